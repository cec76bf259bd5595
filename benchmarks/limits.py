"""Six CLs upper limits of one workspace: ours against plain pyhf's, in one run.

    python benchmarks/limits.py [WORKSPACE.json] [--channels N] [--alone] [--write FILE]

Without a workspace one is made: N channels of three bins, a signal and two backgrounds each, with normalisation, shape
and statistical uncertainties. Both sides find the observed and the five expected limits; processor time is compared.
--alone leaves pyhf out, which takes hours where there are many parameters; --write keeps the made workspace, for
`colonnade limit FILE` and `colonnade fit FILE`.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def made(channels: int) -> dict[str, Any]:
    """Make a workspace."""
    rng = np.random.default_rng(1)
    parts, observations = [], []
    for number in range(channels):
        name = f"channel{number}"
        samples: list[dict[str, Any]] = []
        for sample, size in (("signal", 15.0), ("top", 60.0), ("diboson", 25.0)):
            yields = (size * np.array([1.5, 1.0, 0.5]) * rng.uniform(0.8, 1.2, 3)).tolist()
            data = {"hi_data": [1.05 * y for y in yields], "lo_data": [0.96 * y for y in yields]}
            modifiers: list[dict[str, Any]] = [
                {"name": "efficiency", "type": "normsys", "data": {"hi": 1.03, "lo": 0.97}},
                {"name": f"norm_{sample}", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
                {"name": "energy", "type": "histosys", "data": data},
                {"name": f"model_{number % 5}", "type": "normsys", "data": {"hi": 1.06, "lo": 0.95}},
            ]
            if sample == "signal":
                modifiers.append({"name": "mu", "type": "normfactor", "data": None})
            else:
                errors = [0.05 * y for y in yields]
                modifiers.append({"name": f"stat_{name}", "type": "staterror", "data": errors})
            samples.append({"name": sample, "data": yields, "modifiers": modifiers})
        total = np.sum([each["data"] for each in samples[1:]], axis=0)
        parts.append({"name": name, "samples": samples})
        observations.append({"name": name, "data": rng.poisson(total).astype(float).tolist()})
    config = {"poi": "mu", "parameters": []}
    return {
        "channels": parts,
        "observations": observations,
        "measurements": [{"name": "made", "config": config}],
        "version": "1.0.0",
    }


def main() -> None:
    """Time both sides and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", nargs="?", type=Path)
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    spec = json.loads(options.workspace.read_text()) if options.workspace else made(options.channels)
    if options.write:
        options.write.write_text(json.dumps(spec))
    warnings.filterwarnings("ignore", "jsonschema.RefResolver", DeprecationWarning)

    import pyhf

    from colonnade.statistics import Likelihood, from_workspace, upper_limits

    begin = time.process_time()
    likelihood = Likelihood(from_workspace(spec))
    ready = time.process_time() - begin
    ours = upper_limits(likelihood)
    mine = time.process_time() - begin
    print(f"{len(spec['channels'])} channels, {likelihood.bins} bins, {len(likelihood.labels)} parameters")
    print(
        f"colonnade {mine:8.2f} s   {ours.observed:.5f}  {' '.join(f'{each:.5f}' for each in ours.expected)}"
        f"   (of which {ready:.2f} s to read and compile)"
    )
    if options.alone:
        return
    begin = time.process_time()
    workspace = pyhf.Workspace(spec)
    model = workspace.model()
    observed, expected = pyhf.infer.intervals.upper_limits.upper_limit(workspace.data(model), model)
    theirs = time.process_time() - begin
    print(f"pyhf      {theirs:8.2f} s   {float(observed):.5f}  {' '.join(f'{float(each):.5f}' for each in expected)}")
    pairs = zip((ours.observed, *ours.expected), (observed, *expected), strict=True)
    furthest = max(abs(float(b) / a - 1) for a, b in pairs)
    print(f"ratio     {theirs / mine:8.1f}     largest difference of a limit {furthest:.1e}, relative")


if __name__ == "__main__":
    main()
