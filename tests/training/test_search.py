"""Searches: their trials, results and resuming."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from colonnade.errors import ConfigError
from colonnade.statistics import asimov_significance
from colonnade.training import Search, load_models
from colonnade.training import search as module
from colonnade.training.results import SearchResult
from colonnade.training.search import candidates_of, run_search
from colonnade.workflow import load_workflow
from colonnade.workflow.columns import make_columns

pytest.importorskip("torch", reason="needs the train extra")

GRID = Search({"optimisation__learning_rate": (1e-3, 1e-2), "network__hidden": ((2,), (4, 4))})


@pytest.fixture(scope="module")
def models(mini):
    models = load_models(mini / "models" / "mini.py")
    return {name: model.with_(optimisation__epochs=2) if name == "model" else model for name, model in models.items()}


@pytest.fixture(scope="module")
def columns(mini, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search_columns")
    workflow = load_workflow(mini / "workflows" / "mini.yaml")
    make_columns(workflow, tuple(models.values()), folder, Console(quiet=True))
    return folder


def test_a_grid_has_every_combination(models):
    trials = candidates_of(GRID, models["model"])
    assert [(t.model.optimisation.learning_rate, t.model.network.hidden) for t in trials] == [
        (1e-3, (2,)),
        (1e-3, (4, 4)),
        (1e-2, (2,)),
        (1e-2, (4, 4)),
    ]
    assert len({trial.key("a") for trial in trials} | {trials[0].key("b")}) == 5


def test_an_unknown_axis_is_refused(models):
    with pytest.raises(ConfigError, match=r"no field 'network__hiden' \(did you mean hidden"):
        candidates_of(Search({"network__hiden": ((1,),)}), models["model"])


def run(columns, models, folder, search=GRID, base="model", **options):
    return run_search(
        "mini", search, models[base], columns, folder, significance=asimov_significance, **{"workers": 1, **options}
    )


def test_a_search_is_resumable_and_says_what_it_found(columns, models, tmp_path, monkeypatch):
    calls, real = [], module._run_trial

    def counted(*arguments):
        calls.append(arguments[-1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "_run_trial", counted)
    with pytest.raises(KeyboardInterrupt):
        run(columns, models, tmp_path)
    told = []
    result = run(columns, models, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert len(calls) == 5  # the two that were done are not done again
    assert told == [(3, 4), (4, 4)]
    assert SearchResult.from_json(json.loads((tmp_path / "search.json").read_text()), "search.json") == result
    assert result.axes["network__hidden"] == ([2], [4, 4])
    assert [trial.changes["network__hidden"] for trial in result.trials] == [[2], [4, 4], [2], [4, 4]]
    for trial in result.trials:
        assert 0 < trial.auc < 1
        assert 0 < trial.accuracy < 1
        assert trial.significance_best >= trial.significance_at_cut >= 0
        assert [point.signal for point in trial.points] == ["S_100", "S_300"]
    assert result == run(columns, models, tmp_path)
    assert len(calls) == 5


def test_processes_find_what_this_one_finds(columns, models, tmp_path):
    search = Search({"network__depth": (1, 2)}, base="trees")
    result = run(columns, models, tmp_path, search, "trees", workers=2)
    assert [trial.changes for trial in result.trials] == [{"network__depth": 1}, {"network__depth": 2}]
    assert result.trials == run(columns, models, tmp_path / "alone", search, "trees").trials


def test_a_trial_that_diverges_is_a_result_without_numbers(columns, models, tmp_path):
    search = Search({"optimisation__learning_rate": (1e-3, 1e30)})
    result = run_search("mini", search, models["model"], columns, tmp_path, significance=asimov_significance, workers=1)
    fine, diverged = result.trials
    assert fine.auc > 0
    assert diverged.auc is None
    assert "lower the learning rate" in diverged.failed
