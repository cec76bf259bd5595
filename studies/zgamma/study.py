"""A study by pseudo-experiments: from an analysis's columns to `pseudo_experiments.json`."""

from __future__ import annotations

__all__ = ["network_settings", "read_study_sample", "study_pseudo_experiments"]

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest, norm

from colonnade.errors import ConfigError, FitError, MissingColumnError, nearest
from colonnade.output import write_json
from colonnade.statistics.look_elsewhere import Calibration, GrossVitells, Interval
from colonnade.statistics.resonance import CostName, Exponential, QuadraticExponential, Spectrum, f_test, fit_background
from colonnade.training.declaration import Dense, Model
from studies.zgamma.block import Scan, examine_experiment
from studies.zgamma.engine import PseudoExperiments, identity, run_pseudo_experiments
from studies.zgamma.ensemble import EnsembleSettings
from studies.zgamma.ranking import rank_features
from studies.zgamma.sampling import Sample, Sampler, compare_columns, make_sampler
from studies.zgamma.settings import PseudoExperimentSettings, StudySettings

Array = NDArray[np.float64]

_Z_EDGES = np.linspace(-8, 12, 101)
_LEVELS = np.linspace(0, 6, 25)
_DRAWN = 200_000


def network_settings(model: Model) -> EnsembleSettings:
    """Take the network of a declared model.

    Raises
    ------
    ConfigError
        If ensembles can't train it: they know dense ReLU networks of event features without dropout.
    """
    network = model.network
    if not isinstance(network, Dense) or model.collections or network.activation != "relu" or network.dropout:
        msg = (
            "pseudo-experiments train Dense networks of per-event features, with relu and without dropout; "
            "change the model."
        )
        raise ConfigError(msg)
    how = model.optimisation
    return EnsembleSettings(hidden=network.hidden, epochs=how.epochs, batch=how.batch, rate=how.learning_rate)


def read_study_sample(folder: Path, settings: StudySettings, features: Sequence[str]) -> Sample:
    """Read the events to draw from, out of the columns that `colonnade columns` writes.

    Raises
    ------
    ConfigError
        If the columns know no such process or region.
    MissingColumnError
        If they have no such observable.
    EventError
        If there are no events, or values that are not numbers.
    """
    import pyarrow.parquet as pq

    from colonnade.training.columns import read_card

    card = read_card(folder)
    if settings.region not in card.regions:
        hint = nearest(settings.region, card.regions)
        msg = f"pseudo_experiments.region = {settings.region!r}: the columns have no such region{hint}."
        raise ConfigError(msg)
    wanted = [settings.observable, *features]
    for name in wanted:
        if name not in card.observables or card.observables[name]:
            flat = [known for known, jagged in card.observables.items() if not jagged]
            msg = f"pseudo_experiments: the columns have no per-event observable {name!r}{nearest(name, flat)}."
            raise MissingColumnError(msg)
    bit = np.uint64(1 << card.regions.index(settings.region))
    parts, weights = [], []
    for process in settings.processes:
        if process not in card.processes:
            hint = nearest(process, card.processes)
            msg = f"pseudo_experiments.processes: the columns have no process {process!r}{hint}."
            raise ConfigError(msg)
        table = pq.read_table(folder / card.processes[process].file, columns=[*wanted, "weight", "regions"])
        keep = (table["regions"].to_numpy() & bit) != 0
        parts.append(np.column_stack([table[name].to_numpy() for name in wanted]).astype(np.float64)[keep])
        weights.append(table["weight"].to_numpy()[keep])
    rows, weight = np.concatenate(parts), np.concatenate(weights)
    # events of one weight need none
    uneven = len(weight) > 0 and np.ptp(weight) > 1e-9 * np.abs(weight).max()
    return Sample(rows[:, 0], rows[:, 1:], tuple(features), weight if uneven else None)


def study_pseudo_experiments(
    sample: Sample,
    settings: StudySettings,
    model: Model,
    *,
    directory: Path,
    device: str = "cpu",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run a study and write `pseudo_experiments.json`.

    Blocks are kept in `pseudo_experiments/` beside it, in a folder named by the hash of all that they depend on: a
    study of other settings neither mixes with them nor loses them.

    Parameters
    ----------
    sample
        From `read_study_sample`.
    settings, model
        What to do.
    directory
        The run's folder.
    device, workers, progress
        As in `run_pseudo_experiments`.

    Raises
    ------
    ConfigError, EventError, FitError, OutputError
        As the steps.
    """
    experiment = settings.experiment.model_copy(update={"network": network_settings(model)})
    inside = sample.between(experiment.low, experiment.high)
    sampler = make_sampler(
        experiment.sampler,
        inside,
        experiment.low,
        experiment.high,
        bandwidth=experiment.bandwidth,
        shape=experiment.background if experiment.smooth_mass else None,
    )
    known = json.dumps(identity(sampler, experiment, device), sort_keys=True)
    found = run_pseudo_experiments(
        sampler,
        experiment,
        settings.experiments,
        directory / "pseudo_experiments" / hashlib.sha256(known.encode()).hexdigest()[:12],
        device=device,
        workers=workers,
        progress=progress,
    )
    drawn = sampler.draw(np.random.default_rng(experiment.seed), _DRAWN)
    result = {
        "settings": {**settings.model_dump(mode="json"), "experiment": experiment.model_dump(mode="json")},
        "features": list(inside.names),
        "simulated_events": len(inside.mass),
        "bandwidth": getattr(sampler, "bandwidth", None),
        "draws": compare_columns(drawn, inside, units={feature.name: feature.unit for feature in model.event}),
        "shapes": _shapes(inside, settings, experiment),
        "example": _example(sampler, experiment, device),
        "response": found.results.response.tolist(),
        "auc": {"mean": float(np.nanmean(found.results.auc)), "width": float(np.nanstd(found.results.auc))},
        "cuts": found.labels,
        "kept": found.results.kept.mean(axis=0).tolist(),
        "statistics": {},
    }
    for name in ("z", "z_wilks", *(["z_free"] if experiment.free_background else [])):
        result["statistics"][name] = summarise(found, name, settings.sigmas)
    events = found.calibration("n_signal")
    result["fake_events"] = {
        f"{sigma:g}": [_size(events, sigma, place) for place in range(len(found.labels))] for sigma in settings.sigmas
    }
    write_json(directory / "pseudo_experiments.json", result)
    return result


def summarise(found: PseudoExperiments, statistic: str, sigmas: Sequence[float]) -> dict[str, Any]:
    """Distributions, normal fits, sizes, p-values and trials factors of one statistic, as plain data."""
    toys = found.calibration(statistic)
    levels = []
    for level in _LEVELS:
        over = toys.p_global(float(level))
        passed = np.where(np.isfinite(toys.z), toys.z >= level, np.nan)
        each = np.nanmean(passed, axis=1)
        local, error = float(each.mean()), float(each.std() / np.sqrt(len(each)))
        nominal = float(norm.sf(level))
        levels.append(
            {
                "z": float(level),
                "p_nominal": nominal,
                "p_local": vars(Interval(local, max(local - error, 0.0), local + error)),
                "p_global": vars(over),
                "trials_factor": over.value / local if local > 0 else None,
                "trials_factor_nominal": {key: value / nominal for key, value in vars(over).items()},
            }
        )
    try:
        crossings = vars(GrossVitells.from_scans(toys.z, level=0.5))
    except FitError:
        crossings = None
    return {
        **calibration_summary(toys, sigmas, found.labels),
        "edges": _Z_EDGES.tolist(),
        "local_counts": [_counts(toys.z[:, place]) for place in range(toys.z.shape[1])],
        "global_counts": _counts(toys.maxima),
        "levels": levels,
        "upcrossings": crossings,
    }


def calibration_summary(toys: Calibration, sigmas: Sequence[float], labels: Sequence[str]) -> dict[str, Any]:
    """Return normal fits and sizes as plain data, local for every place and global."""
    return {
        "toys": len(toys.z),
        "lost": toys.lost,
        "local": [
            {
                "place": name,
                "failed": int((~np.isfinite(toys.z[:, index])).sum()),
                "normal": normal_fit(toys.z[:, index]),
                "size": _sizes(toys, sigmas, index),
            }
            for index, name in enumerate(labels)
        ],
        "global": {"normal": normal_fit(toys.maxima), "size": _sizes(toys, sigmas, None)},
    }


def _sizes(toys: Calibration, sigmas: Sequence[float], place: int | None) -> dict[str, dict[str, float] | None]:
    reachable = len(toys.z)
    return {
        f"{sigma:g}": vars(toys.size(sigma, place)) if reachable * norm.sf(sigma) >= 2 else None for sigma in sigmas
    }


def normal_fit(sample: Array) -> dict[str, float]:
    """Fit a normal distribution to the finite entries of a sample.

    Returns
    -------
    dict of str to float
        Maximum-likelihood `mean` and `width` with `mean_error` and `width_error`; Kolmogorov's and Smirnov's `distance`
        to the sample and its `p`, which is too large as the normal was fitted (Lilliefors): a small one still refutes
        it.

    Raises
    ------
    FitError
        If fewer than three entries are finite, or all are equal.
    """
    values = sample[np.isfinite(sample)]
    if len(values) < 3 or not np.ptp(values) > 0:
        msg = f"a normal distribution can't be fitted to {len(values)} entries; make more toys."
        raise FitError(msg)
    mean, width = float(values.mean()), float(values.std())
    test = kstest(values, "norm", args=(mean, width))
    root = float(np.sqrt(len(values)))
    return {
        "mean": mean,
        "mean_error": width / root,
        "width": width,
        "width_error": width / (float(np.sqrt(2)) * root),
        "distance": float(test.statistic),
        "p": float(test.pvalue),
    }


def _counts(values: Array) -> list[int]:
    finite = values[np.isfinite(values)]
    counted, _ = np.histogram(np.clip(finite, _Z_EDGES[0], _Z_EDGES[-1]), _Z_EDGES)
    return [int(count) for count in counted]


def _size(toys: Calibration, sigma: float, place: int) -> dict[str, float] | None:
    try:
        return vars(toys.size(sigma, place))
    except FitError:
        return None


def _shapes(sample: Sample, settings: StudySettings, experiment: PseudoExperimentSettings) -> dict[str, Any]:
    """Compare the background forms: each fitted to the simulated mass spectrum in the bins of the experiments."""
    edges = np.linspace(experiment.low, experiment.high, experiment.bins + 1)
    spectrum = Spectrum.fill(sample.mass, edges, sample.weights)
    cost: CostName = "poisson" if sample.weights is None else "poisson_mc"
    rows: list[dict[str, Any]] = []
    for shape in settings.shapes:
        try:
            fit = fit_background(spectrum, shape, cost=cost)
        except FitError as error:
            rows.append({"shape": shape.label, "failed": str(error)})
        else:
            rows.append({**fit.to_json(), "shape": shape.label, "failed": None})
    nested = [shape for shape in (Exponential(), QuadraticExponential()) if shape in settings.shapes]
    test = f_test(spectrum, nested, cost=cost).to_json() if len(nested) == 2 else None
    return {"spectrum": spectrum.to_dict(), "fits": rows, "f_test": test}


def _example(sampler: Sampler, experiment: PseudoExperimentSettings, device: str) -> dict[str, Any]:
    """Examine the first experiment: response, ROC curve, ranking of features, and the fits of its scan."""
    scan: Scan = examine_experiment(sampler, experiment, 0, device=device)
    rng = np.random.default_rng(experiment.seed)
    inside, score = scan.inside, scan.score
    edges = np.linspace(0, 1, 51)
    thresholds = np.quantile(score, np.linspace(0, 1, 101))
    ranking = rank_features(scan.respond, scan.features, sampler.names, rng)
    return {
        "edges": edges.tolist(),
        "response": {
            "sidebands": np.histogram(score[~inside], edges)[0].tolist(),
            "window": np.histogram(score[inside], edges)[0].tolist(),
        },
        "roc": {
            "false": [float(np.mean(score[~inside] >= level)) for level in thresholds],
            "true": [float(np.mean(score[inside] >= level)) for level in thresholds],
        },
        "auc": float(scan.result.auc[0]),
        "ranking": ranking.to_dict(),
        "mass_edges": np.linspace(experiment.low, experiment.high, experiment.bins + 1).tolist(),
        "scan": [
            {
                "rejection": rejection,
                "counts": scan.counts[place].astype(int).tolist(),
                "background": _plain(scan.background[place]),
                "signal": _plain(scan.signal[place]),
                "n_signal": _number(scan.result.n_signal[0, place]),
                "n_background": _number(scan.result.n_background[0, place]),
                "z": _number(scan.result.z[0, place]),
            }
            for place, rejection in enumerate(experiment.rejections)
        ],
    }


def _plain(values: Array) -> list[float] | None:
    return values.tolist() if np.isfinite(values).all() else None


def _number(value: np.floating[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None
