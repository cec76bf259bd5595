import itertools
from dataclasses import replace

import numpy as np
import pytest
from studies.dilepton_met.heat_maps import draw_search, heat_maps

from colonnade.training.results import CutYield, SearchResult, Trial, TrialPoint

AXES = {
    "optimisation__learning_rate": [1e-3, 1e-2, 1e-1],
    "optimisation__l2": [1e-5, 1e-4],
    "network__hidden": [[1], [50], [10, 10]],
}


def made_search(left_out=()):
    trials = []
    for number, values in enumerate(itertools.product(*AXES.values())):
        if number in left_out:
            continue
        at_cut, top = (CutYield(0.85, 1.0, 1.0, 0.1, z) for z in (number / 10, float(number)))
        point = TrialPoint("S", 0.5 + number / 100, 0.5, 0.7, at_cut, top)
        trials.append(Trial(dict(zip(AXES, values, strict=True)), (point, point)))
    axes = {name: tuple(values) for name, values in AXES.items()}
    return SearchResult("made", axes, 0.85, 0.2, "columns", tuple(trials))


def test_every_trial_is_at_its_place():
    figure = heat_maps(made_search(), "auc")
    frames = [frame for frame in figure.axes if frame.get_visible()]
    assert [frame.get_title() for frame in frames] == [
        "hidden layers 1 × 1",
        "hidden layers 1 × 50",
        "hidden layers 2 × 10",
    ]
    values = np.stack([np.asarray(frame.images[0].get_array()) for frame in frames], axis=-1)
    assert values == pytest.approx(0.5 + np.arange(18).reshape(3, 2, 3) / 100)
    assert "mean of 2 signal points" in figure.get_suptitle()


def test_what_was_not_tried_stays_empty():
    figure = heat_maps(made_search(left_out=(4,)), "significance_best")
    second = np.asarray(figure.axes[1].images[0].get_array())
    assert np.isnan(second).sum() == 1
    assert len(figure.axes[1].texts) == 5


def test_one_figure_a_metric(tmp_path):
    written = draw_search(made_search(), tmp_path, ("png",))
    assert sorted(path.stem for path in written) == ["accuracy", "auc", "significance_at_cut", "significance_best"]
    assert all(path.stat().st_size > 5000 for path in written)


def test_one_axis_makes_no_map(tmp_path):
    one = made_search()
    assert draw_search(replace(one, axes={"optimisation__l2": (1e-5,)}), tmp_path) == []
