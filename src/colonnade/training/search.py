"""Searches of hyper-parameters: all points of a grid, trained in parallel.

Each trial trains one network (the first fold's) and is judged on events it never saw. Its result is one JSON file
under a hash of all it depends on, so a search that was interrupted goes on, and a larger one uses the smaller one's
trials. `search.json` brings them together.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch
from numpy.typing import NDArray

from colonnade.config import read_json
from colonnade.errors import FitError
from colonnade.inference import Inputs
from colonnade.output import write_json
from colonnade.processes import in_processes
from colonnade.training.declaration import Model, Search
from colonnade.training.evaluation import BACKGROUND_ERROR, Significance, accuracy, best, points_of
from colonnade.training.export import model_scores
from colonnade.training.results import SearchResult, Trial, TrialPoint
from colonnade.training.sample import TEST_PART, read_sample
from colonnade.training.train import fit_part


@dataclass(frozen=True)
class Candidate:
    """One point of a search: what it changes in the model, and the model it makes."""

    changes: Mapping[str, Any]
    model: Model

    def key(self, digest: str) -> str:
        """Identify the training by everything its result depends on."""
        text = json.dumps([repr(self.model), digest])
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def candidates_of(search: Search, model: Model) -> list[Candidate]:
    """List what a search tries: all combinations of its axes.

    Raises
    ------
    ConfigError
        If an axis names no field of the model, or a value is not allowed.
    """
    combinations = itertools.product(*search.axes.values())
    changes = [dict(zip(search.axes, values, strict=True)) for values in combinations]
    return [Candidate(change, model.with_(**change)) for change in changes]


def run_search(
    name: str,
    search: Search,
    model: Model,
    columns: Path,
    folder: Path,
    *,
    significance: Significance,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Run a search and write `folder/search.json`.

    Parameters
    ----------
    name
        Of the model.
    search, model
        What to vary in what.
    columns
        The training columns; workers read them from there.
    folder
        Where results go.
    significance
        See `training.evaluation`.
    workers
        Processes that train, by default one for each core; 1: this one.
    progress
        Called with the numbers of trials done and of all.

    Raises
    ------
    InputError
        If a process dies.
    """
    trials = candidates_of(search, model)
    digest = read_sample(columns, model, name).digest
    paths = [folder / "trials" / f"{trial.key(digest)}.json" for trial in trials]
    waiting = [(trial, path) for trial, path in zip(trials, paths, strict=True) if not path.is_file()]
    known = len(trials) - len(waiting)
    job = functools.partial(_run_trial, name, columns, significance)
    # by value, as a model file may declare a network of its own
    tasks = [(job, cloudpickle.dumps(candidate.model)) for candidate, _ in waiting]
    with closing(in_processes(workers or len(os.sched_getaffinity(0)), _call, tasks)) as found:
        for done, ((candidate, path), trial) in enumerate(zip(waiting, found, strict=True), known + 1):
            write_json(path, replace(trial, changes=candidate.changes).to_json())
            if progress is not None:
                progress(done, len(trials))
    result = SearchResult(
        model=name,
        axes=search.axes,
        cut=model.cut,
        background_error=BACKGROUND_ERROR,
        columns=digest,
        trials=tuple(Trial.from_json(read_json(path), str(path)) for path in paths),
    )
    content = result.to_json()
    write_json(folder / "search.json", content)
    return SearchResult.from_json(content, str(folder / "search.json"))


def _call(job: Callable[[Model], Trial], model: bytes) -> Trial:
    trained: Trial = job(cloudpickle.loads(model))  # from the process that started this one
    return trained


def _run_trial(name: str, columns: Path, significance: Significance, model: Model) -> Trial:
    """Train and judge one trial, on one thread; one that diverges is a result too, without numbers."""
    sample = read_sample(columns, model, name)
    split = sample.split(model.folds, 0)
    torch.set_num_threads(1)
    try:
        fitted = fit_part(model, sample, 0, 1000 * model.seed)
    except FitError as error:
        return Trial({}, (), str(error))

    def score(inputs: Inputs, rows: NDArray[np.int64]) -> NDArray[np.float32]:  # noqa: ARG001 - the shape of a Score
        return model_scores(fitted, inputs)

    points = points_of(sample, score, split.test, float(model.folds if model.folds > 1 else TEST_PART))
    trained = {point.signal: point for point in points_of(sample, score, split.train)}
    results = []
    for point in points:
        at_cut = point.scan(significance, cuts=[model.cut])[0]
        highest = best(point.scan(significance))
        right = accuracy(point.score, point.target)
        results.append(TrialPoint(point.signal, point.auc, trained[point.signal].auc, right, at_cut, highest))
    return Trial({}, tuple(results))
