"""From a run's results to pictures of fitted peaks."""

from __future__ import annotations

import numpy as np
from helpers.made_run import empty_run

from colonnade.plotting.resonance_pictures import bump_pictures, pseudo_experiment_pictures

EDGES = np.linspace(0.0, 4.0, 5)
CENTERS = EDGES[:-1] + 0.5
FLAT = np.ones(4)


def fit(cost="poisson"):
    return {
        "shape": "exponential", "cost": cost, "expected": [4.0] * 4, "pulls": [0.5, None, -0.5, 0.0],
        "goodness": {"chi2": 3.0, "ndf": 2, "p": 0.2}, "parameters": [
            {"name": name, "value": 1.0, "error": 0.1} for name in ("yield", "mean", "sigma")
        ],
        "spectrum": {"name": "mass", "edges": EDGES.tolist(), "values": [5.0] * 4, "variances": [5.0] * 4},
    }  # fmt: skip


def both():
    return {
        **fit(), "z_wilks": 2.0, "window": [1.0, 2.0], "n_signal_total": {"name": "N", "value": 3.0, "error": 1.0},
        "expected_signal": [0.0, 1.0, 1.0, 0.0], "background": fit(), "background_only": fit(),
    }  # fmt: skip


def bumps():
    return {
        "luminosity": 139.0,
        "fits": {
            "cuts": {
                "region": "cuts", "signal": "H1000", "signal_only": fit("poisson_mc"), "background_only": fit("chi2"),
                "both": {"mc_statistics": both(), "luminosity": both()},
                "data": {"sidebands": fit(), "fit": None},
                "checks": {
                    "closure": {"toys": 3, "injected": 5.0, "mean": 0.0, "mean_error": 0.1, "width": 1.0,
                                "width_error": 0.1, "pulls": [0.1, -0.2, 1.0]},
                    "wilks": {"toys": 3, "p": 0.5, "q": [0.1, 1.0, 2.0]},
                },
            }
        },
        "sculpting": [
            {"before": "all", "after": "network", "window_ratio": 1.5, "edges": EDGES.tolist(),
             "shape_before": [0.25] * 4, "shape_after": [0.1, 0.4, 0.4, 0.1]}
        ],
    }  # fmt: skip


def test_bump_fits_of_a_run():
    pictures = {picture.stem: picture for picture in bump_pictures(empty_run(bumps=bumps()))}
    kinds = ("signal", "background", "mc_statistics", "luminosity", "data", "closure", "wilks")
    assert list(pictures) == [*(f"bumps/cuts_{name}" for name in kinds), "bumps/sculpting_network"]
    content = pictures["bumps/cuts_luminosity"].plot
    assert content.curves[0].y.tolist() == [4, 5, 5, 4]
    assert content.shaded == (1.0, 2.0)
    assert "Z = 2" in pictures["bumps/cuts_luminosity"].alt
    for picture in pictures.values():
        picture.plot.figure()


def test_a_run_without_them_has_no_pictures():
    assert not [*bump_pictures(empty_run()), *pseudo_experiment_pictures(empty_run())]
