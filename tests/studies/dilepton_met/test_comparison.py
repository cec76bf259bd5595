"""Models against cut and count: yields against counting by hand, and a comparison from end to end."""

from __future__ import annotations

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from studies.dilepton_met.comparison import compare_models, crossed_yields
from studies.dilepton_met.settings import Channel, Comparison
from studies.dilepton_met.table import markdown

from colonnade.errors import ConfigError
from colonnade.statistics import asimov_significance
from colonnade.training import Trees, load_models
from colonnade.training.evaluation import Point
from colonnade.workflow import load_workflow
from colonnade.workflow.columns import make_columns

pytest.importorskip("xgboost", reason="needs the train extra")


def test_the_cut_of_a_fold_comes_from_the_other_folds():
    rng = np.random.default_rng(1)
    count = 4000
    target = rng.random(count) < 0.3
    fold = rng.integers(0, 2, count)
    # in fold 0 signal sits above 0.7, in fold 1 above 0.3: each fold's own best cut would differ from the used one
    low = np.where(fold == 0, 0.7, 0.3)
    score = np.where(target, rng.uniform(low, 1), rng.uniform(0, 1, count))
    weight = np.where(target, 0.1, 1.0)
    point = Point("S", (), np.arange(count), score, weight, target)
    (signal, background, error), cuts = crossed_yields(point, fold, 2, asimov_significance, 0.0)
    assert cuts[0] == pytest.approx(0.3, abs=0.06)  # fold 0 is cut where fold 1 is best
    assert cuts[1] == pytest.approx(0.7, abs=0.06)
    above = score > np.array(cuts)[fold]
    assert signal == pytest.approx(weight[above & target].sum())
    assert background == pytest.approx(weight[above & ~target].sum())
    assert error == pytest.approx(math.sqrt((above & ~target).sum()))


@pytest.fixture(scope="module")
def columns(mini, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared_columns")
    models = load_models(mini / "models" / "mini.py")
    make_columns(load_workflow(mini / "workflows" / "mini.yaml"), tuple(models.values()), folder, Console(quiet=True))
    return folder


def test_a_comparison_from_columns_to_table(mini, columns, tmp_path):
    trees = load_models(mini / "models" / "mini.py")["trees"]
    models = {"trees": trees, "hard": trees.with_(network=Trees(count=5, depth=2)), "one": trees.with_(folds=1)}
    comparison = Comparison(
        ("trees", "hard"), (Channel("all", ("low", "high"), "high"),), 0.2, {"hard": ("leading_pt", 20.0)}
    )
    result = compare_models(models, comparison, columns, tmp_path, significance=asimov_significance)
    # cut and count is the region, counted directly
    for signal in ("S_100", "S_300"):
        tables = {name: pq.read_table(columns / f"{name}.parquet") for name in ("top", "zll", signal)}
        inside = {name: np.asarray(table["weight"])[np.asarray(table["met"]) > 60] for name, table in tables.items()}
        background = np.concatenate([inside["top"], inside["zll"]])
        counted = result["counting"][signal]["all"]
        assert counted["signal"] == pytest.approx(inside[signal].sum())
        assert counted["background"] == pytest.approx(background.sum())
        error = math.hypot(0.2 * background.sum(), math.sqrt((background**2).sum()))
        expected = float(asimov_significance(inside[signal].sum(), background.sum(), error))
        assert counted["z"] == pytest.approx(expected)
    # a model that can't score an event can't select it
    table = pq.read_table(columns / "S_300.parquet")
    kept = np.asarray(table["weight"])[np.asarray(table["leading_pt"]) >= 20].sum()
    (point,) = [point for point in result["models"]["hard"] if point["signal"] == "S_300"]
    assert point["channels"]["all"]["signal"] <= kept * 1.01
    # the rule for the choice of the cut: a tight bound asks for more background
    rules = {each["bound"]: each["points"] for each in result["bounds"]}
    assert rules[0.3] == result["models"]["trees"]
    for signal, points in enumerate(rules[0.15]):
        tight, loose = points["channels"]["all"], rules[None][signal]["channels"]["all"]
        assert tight["background_statistical"] <= 0.25 * tight["background"]
        assert tight["background"] >= loose["background"]
    text = markdown(result)
    assert "| any | " in text
    assert "| trees | 2 |" in text
    assert "| S_300 | all |" in text
    told = []

    class Steps:
        begin = round = staticmethod(lambda *_: told.append(1))
        end = staticmethod(lambda: None)

    again = compare_models(models, comparison, columns, tmp_path, significance=asimov_significance, progress=Steps())
    assert again == result
    assert len(told) == 4  # begun, but no tree was grown again


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (Comparison(("treees",), ()), r"names the model 'treees', which is not declared \(did you mean trees"),
        (Comparison(("one",), ()), "'one' has one fold"),
        (Comparison(("trees",), (Channel("x", ("hihg",), "high"),)), "region 'hihg', which does not exist"),
    ],
)
def test_comparisons_that_can_not_be_made(mini, columns, tmp_path, comparison, words):
    trees = load_models(mini / "models" / "mini.py")["trees"]
    models = {"trees": trees, "one": trees.with_(folds=1)}
    with pytest.raises(ConfigError, match=words):
        compare_models(models, comparison, columns, tmp_path, significance=asimov_significance)
