"""pyhf's binderexample: the contents of its histograms, as counts of events of one weight.

Read from docs/examples/notebooks/binderexample/data.root in the source distribution of pyhf 0.1.2 (Apache 2.0); the
model is that of meas.xml and meas_channel1.xml there.
"""

from __future__ import annotations

__all__ = ["workspace"]

from typing import Any

import numpy as np

WEIGHTS = {"data": 1.0, "signal": 0.0025, "qcd": 0.1875, "mc1": 0.01875, "mc2": 0.0125}
COUNTS = {
    "data": """
        60 103 101 116 158 156 160 172 192 214 207 252 249 279 279 302 331 335 343 335 323 351 305
        303 282 242 239 217 208 197 214 202 224 199 224 218 261 239 264 254 275 268 262 300 258 284
        301 289 309 283
    """,
    "signal": """
        0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 14 43 152 463 1158 2501 4841 7549 10511 12583 12571
        10605 7712 4745 2679 1159 482 181 41 8 2 1 0 0 0 0 0 0 0 0
    """,
    "qcd": """
        72 85 90 112 108 143 137 199 190 219 231 267 256 282 335 374 414 420 490 493 568 595 657 620
        720 765 797 840 909 988 977 1017 1067 1147 1168 1243 1239 1280 1395 1352 1390 1461 1540 1485
        1597 1618 1574 1618 1642 1577
    """,
    "mc1": """
        3781 4556 5264 5710 6588 7159 7585 8172 8427 8335 8447 8352 7968 7526 7033 6545 5716 5068
        4564 3905 3198 2622 2105 1679 1318 1001 741 568 427 303 225 161 97 70 39 22 19 16 6 4 6 0 1
        0 0 0 0 0 0 0
    """,
    "mc1_shape_conv_dn": """
        5390 6375 6630 7226 7816 8067 8359 8294 8348 7945 7733 7254 6611 6097 5477 4764 4184 3612
        2942 2402 2021 1539 1211 939 710 544 374 293 192 162 103 55 36 19 20 20 8 5 4 2 0 0 0 0 0 0
        0 0 0 0
    """,
    "mc1_shape_conv_up": """
        2378 2944 3522 4248 4788 5596 6173 6751 7244 7771 8050 8394 8293 8146 8093 7606 7283 6742
        6033 5444 4897 4327 3365 3014 2354 2046 1568 1196 923 680 516 388 298 223 154 107 39 43 28
        16 12 8 3 2 4 1 0 0 0 0
    """,
    "mc2": """
        0 3 12 12 40 80 162 314 555 929 1560 2410 3603 4924 6636 8550 10446 12262 13374 14193 13980
        13224 12213 10320 8688 6622 5080 3689 2410 1503 1025 584 273 157 81 40 21 15 5 2 1 0 0 0 0 0
        0 0 0 0
    """,
    "mc2_shape_conv_dn": """
        20 44 92 187 312 538 932 1486 2153 3270 4528 6068 7586 9350 10999 12458 13164 13281 13278
        12269 10889 9357 7833 6215 4451 3371 2237 1493 917 526 339 184 71 47 22 11 5 1 0 1 0 0 0 0 0
        0 0 0 0 0
    """,
    "mc2_shape_conv_up": """
        0 0 2 4 11 19 43 107 158 312 533 901 1535 2166 3154 4601 5986 7675 9313 11048 12558 13286
        13367 13016 12315 11053 9549 7708 5838 4615 3243 2273 1484 912 542 299 184 86 57 19 12 12 3
        0 1 0 0 0 0 0
    """,
}


def counts(name: str) -> np.ndarray:
    """Return the content of a histogram."""
    return np.array(COUNTS[name].split(), dtype=float) * WEIGHTS[name.partition("_")[0]]


def workspace() -> dict[str, Any]:
    """Return the HistFactory model as a pyhf workspace."""
    samples = []
    for name in ("signal", "qcd", "mc1", "mc2"):
        data = counts(name)
        modifiers: list[dict[str, Any]] = [{"name": "lumi", "type": "lumi", "data": None}]
        if name == "signal":
            modifiers.append({"name": "SigXsecOverSM", "type": "normfactor", "data": None})
        if name.startswith("mc"):
            # the weight varies by 5 %, the shape is that of other histograms
            sides = {"weight_var1": (1.05 * data, 0.95 * data)}
            sides["shape_conv"] = counts(f"{name}_shape_conv_up"), counts(f"{name}_shape_conv_dn")
            for kind, (up, down) in sides.items():
                sizes = {"hi_data": up.tolist(), "lo_data": down.tolist()}
                modifiers.append({"name": f"{name}_{kind}", "type": "histosys", "data": sizes})
        samples.append({"name": name, "data": data.tolist(), "modifiers": modifiers})
    lumi = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.1], "inits": [1.0], "bounds": [[0.5, 1.5]]}
    strength = {"name": "SigXsecOverSM", "bounds": [[0.0, 3.0]], "inits": [1.0]}
    return {
        "channels": [{"name": "channel1", "samples": samples}],
        "observations": [{"name": "channel1", "data": counts("data").tolist()}],
        "measurements": [{"name": "meas", "config": {"poi": "SigXsecOverSM", "parameters": [lumi, strength]}}],
        "version": "1.0.0",
    }
