"""Scores of every model and observable of a mass scan, for each mass, of events that the scoring network never saw."""

from __future__ import annotations

__all__ = ["ScanSample", "network_scan", "scan_sample", "sized", "train_side_by_side", "tree_scan"]

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, EventError, nearest
from colonnade.inference import Inputs, fold_of
from colonnade.processes import processes_of
from colonnade.training.declaration import Model, Trees
from colonnade.training.sample import Sample, read_sample
from colonnade.training.train import fit_fold, weigher
from colonnade.training.trainer import SILENT, TrainingProgress
from studies.hnl_tau.declaration import MassScan

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def sized(models: Mapping[str, Model], scan: MassScan, size: str) -> dict[str, Model]:
    """Return the file's models with the changes of a size; `*` stands for all models.

    Raises
    ------
    ConfigError
        If the scan has no such size, or a size names a model that is not declared.
    """
    if size not in scan.sizes:
        msg = f"The scan has no size '{size}'{nearest(size, scan.sizes)}; it has: {', '.join(scan.sizes) or 'none'}."
        raise ConfigError(msg)
    changes = scan.sizes[size]
    for name in changes:
        if name not in models:
            msg = f"The scan's size {size} changes the model '{name}'{nearest(name, models)}, which is not declared."
            raise ConfigError(msg)
    return {name: model.with_(**changes.get(name, {})) for name, model in models.items()}


@dataclass(frozen=True)
class ScanSample:
    """Events of a scan, which all models share.

    Attributes
    ----------
    sample
        As the reference model reads it.
    masses
        Of the signals, rising.
    rows
        Mass to the rows of that signal's events and all background.
    channels
        Name to [N] of bool.
    """

    sample: Sample
    masses: tuple[float, ...]
    rows: Mapping[float, Rows]
    channels: Mapping[str, NDArray[np.bool_]]

    def column(self, name: str) -> Floats:
        """Return one feature [N]."""
        names = [feature.name for feature in self.sample.card.event]
        return self.sample.inputs.event[:, names.index(name)].astype(np.float64)


def scan_sample(columns: Path, model: Model, scan: MassScan) -> ScanSample:
    """Read the events of a scan.

    Parameters
    ----------
    columns
        Training columns.
    model
        A model that is told the mass.
    scan
        Whose parameter is the mass.

    Raises
    ------
    ConfigError
        If the model is not told that parameter.
    """
    names = [parameter.name for parameter in model.parameters]
    if names != [scan.parameter]:
        given = ", ".join(names) or "none"
        msg = f"A mass scan's models take the parameter {scan.parameter} alone, but the first takes {given}."
        raise ConfigError(msg)
    sample = read_sample(columns, model, "scan")
    masses = {mass[0]: sample.processes.index(process) for process, mass in sample.points().items()}
    ordered = tuple(sorted(masses))
    rows = {mass: np.flatnonzero(~sample.target | (sample.process == masses[mass])) for mass in ordered}
    return ScanSample(sample, ordered, rows, {name: sample.in_region(name) for name in sample.region_names})


def train_side_by_side(models: Mapping[str, Model], columns: Path, workers: int) -> None:
    """Train the folds of several networks in so many processes of one thread each; `network_scan` then finds them.

    What an earlier training has finished is not trained again.

    Parameters
    ----------
    models
        By name, as `colonnade train` names them; a regression that one starts from must be there.
    columns
        Training columns, beside which trainings are kept.
    workers
        Number of processes.
    """
    jobs = [(name, model, fold, columns) for name, model in models.items() for fold in range(model.folds)]
    # the dearest first, so that no process is left with one of them at the end
    jobs.sort(key=lambda job: -job[1].members)
    with processes_of(workers) as pool:
        for done in [pool.submit(_train_fold, *job) for job in jobs]:
            done.result()


def _train_fold(name: str, model: Model, fold: int, columns: Path) -> None:
    import torch

    torch.set_num_threads(1)
    fit_fold(name, model, read_sample(columns, model, name), fold, columns / "training" / name)


def network_scan(
    name: str,
    model: Model,
    events: ScanSample,
    columns: Path,
    *,
    device: str = "cpu",
    threads: int = 1,
    progress: TrainingProgress = SILENT,
) -> dict[float, Floats]:
    """Train a model's folds, or take them from an earlier training, and score every event for each mass.

    Parameters
    ----------
    name
        Of the model, as `colonnade train` names it.
    model
        Told the mass; its signals may leave masses out.
    events
        What to score.
    columns
        Training columns, beside which trainings are kept.
    device, threads, progress
        See `train_model`.

    Returns
    -------
    dict
        Mass to scores of the events `events.rows[mass]`.

    Raises
    ------
    ConfigError
        If the model has a single fold, so that it knows most events.
    """
    if model.folds < 2:
        msg = f"The model {name} of a mass scan needs two folds or more, so that no event is scored by who saw it."
        raise ConfigError(msg)
    sample = read_sample(columns, model, name)
    fits = [
        fit_fold(name, model, sample, fold, columns / "training" / name, device, threads, progress)
        for fold in range(model.folds)
    ]
    # the events of all masses, also of those that this model did not learn from
    everything = read_sample(columns, replace(model, signals=("*",)), name) if model.signals != ("*",) else sample
    fold = fold_of(everything.identity, model.folds)
    return {
        mass: _scores(fits, everything.inputs.take(rows), fold[rows], mass, everything.card.parameter_columns())
        for mass, rows in events.rows.items()
    }


def _scores(fits: list[Any], inputs: Inputs, fold: Rows, mass: float, place: slice) -> Floats:
    from colonnade.training import export

    inputs.event[:, place] = mass
    found = np.zeros(len(fold))
    for number, fitted in enumerate(fits):
        rows = np.flatnonzero(fold == number)
        found[rows] = export.model_scores(fitted, inputs.take(rows))
    return found


def tree_scan(
    name: str,
    model: Model,
    events: ScanSample,
    columns: Path,
    *,
    device: str = "cpu",
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[float, Floats]:
    """Train trees for each mass and channel by themselves and score their events.

    Parameters
    ----------
    name
        Of the model.
    model
        `Trees` without parameters.
    events, columns, device, threads
        As in `network_scan`.
    progress
        Called with how many of how many masses are done.

    Returns
    -------
    dict
        Mass to scores of the events `events.rows[mass]`; where a channel has too few events to train on, they are 0.

    Raises
    ------
    ConfigError
        If the model is told parameters or is not of trees.
    """
    from colonnade.training.export import tree_scores
    from colonnade.training.trees import fit_trees

    if model.parameters or not isinstance(model.network, Trees):
        msg = f"The model {name} is trained for each mass and channel, so it must be of Trees and take no parameter."
        raise ConfigError(msg)
    sample = read_sample(columns, model, name)
    fold = fold_of(sample.identity, model.folds)
    found = {}
    for done, (mass, rows) in enumerate(events.rows.items(), start=1):
        scores = np.zeros(len(rows))
        for channel, inside in events.channels.items():
            here = np.flatnonzero(inside[rows])
            part = sample.take(rows[here])
            for number in range(model.folds):
                split = part.split(model.folds, number)
                key = hashlib.sha256(json.dumps([repr(model), sample.digest, mass, channel, number]).encode())
                try:
                    trees = fit_trees(
                        model,
                        part,
                        split,
                        weigher(model),
                        seed=1000 * model.seed + number,
                        device=device,
                        threads=threads,
                        checkpoint=columns / "training" / name / f"{mass:g}_{channel}_{number}.json",
                        key=key.hexdigest(),
                    )
                except EventError:  # no signal at all to learn from: every event scores the same
                    continue
                own = np.flatnonzero(fold[rows[here]] == number)
                scores[here[own]] = tree_scores(trees, part.inputs.take(own))
        found[mass] = scores
        if progress is not None:
            progress(done, len(events.rows))
    return found
