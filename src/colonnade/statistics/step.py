"""The statistics step of a run: histograms in, workspace.json, patchset.json and fit.json out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from colonnade.config import parse_settings, read_json
from colonnade.errors import ConfigError, InputError
from colonnade.output import write_json
from colonnade.statistics.analysis import AnalysisResult, analyse
from colonnade.statistics.build import BuiltModel
from colonnade.statistics.settings import ModelSettings
from colonnade.statistics.templates import Inputs, Process
from colonnade.statistics.toys import Report
from colonnade.statistics.workspace import to_workspace


def model_processes(datasets: Iterable[Mapping[str, Any]], data_driven: Collection[str] = ()) -> dict[str, Process]:
    """Return what the model needs to know of the processes, from what provenance.json says of datasets.

    The cross-section is that of a whole process: what is part of another, or of one in strata, has none.

    Parameters
    ----------
    datasets
        Their entries.
    data_driven
        The processes that are made of data.
    """
    datasets = list(datasets)
    alternatives: dict[str, set[str]] = {}
    for each in datasets:
        if each.get("varies"):
            alternatives.setdefault(each["process"], set()).add(each["varies"])
    processes: dict[str, Process] = {}
    for each in datasets:
        name = each["process"]
        if "varies" in each and name in processes:
            continue
        size = None
        if each["kind"] == "signal" and not {"part_of", "stitch"} & each.keys() and each.get("xsec_pb") is not None:
            size = each["xsec_pb"] * each.get("k_factor", 1.0) * each.get("filter_efficiency", 1.0)
        varied = frozenset(alternatives.get(each.get("part_of", name), ()))
        processes[name] = Process(each["kind"], each.get("signal", {}), size, varied, name in data_driven)
    return processes


def refit(
    directory: Path, *, reference: str | None = None, scans: Sequence[str] = (), report: Report | None = None
) -> AnalysisResult:
    """Do the statistics step again on what a run left in its folder.

    The model, the luminosity, what the processes are and whether data may be seen are read from provenance.json.

    Parameters
    ----------
    directory
        The run's output folder.
    reference, scans, report
        As in `analyse`.

    Raises
    ------
    InputError
        If the folder holds no run.
    ConfigError
        If the run's workflow has no model, or the model does not fit the histograms.
    FitError
        If a fit does not converge.
    OutputError
        If a file can't be written.
    """
    inputs, model = load_run(directory)
    result = analyse(inputs, model, reference=reference, scans=scans, folder=directory / "toys", report=report)
    write_analysis(result, directory)
    return result


def load_run(directory: Path) -> tuple[Inputs, ModelSettings]:
    """Read a run's histograms, what they mean, and its model.

    Raises
    ------
    InputError
        If the folder holds no run.
    ConfigError
        If the run's workflow has no model.
    """
    from colonnade.histograms import load

    path = directory / "provenance.json"
    if not path.is_file():
        msg = f"{directory} holds no run: there is no {path.name}; give the output folder of `colonnade run`."
        raise InputError(msg)
    provenance = read_json(path)
    try:
        config, datasets = provenance["config"], provenance["inputs"]["datasets"].values()
        model, luminosity = config["model"], float(config["luminosity"])
        signal_regions = provenance["signal_regions"]
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{path} does not say which model and datasets made this run ({error}); run the workflow again."
        raise InputError(msg) from error
    if model is None:
        msg = f"{path}: the workflow of this run has no `model`, so there is nothing to fit."
        raise ConfigError(msg)
    inputs = Inputs(
        load(directory),
        model_processes(datasets, config.get("data_driven") or ()),
        luminosity,
        frozenset(signal_regions),
        bool(config.get("unblind", False)),
        {era: load(directory, era) for era in config.get("eras") or ()},
    )
    return inputs, parse_settings(ModelSettings, model, f"{path}: config.model")


def write_analysis(result: AnalysisResult, folder: Path) -> None:
    """Write workspace.json (the reference point), patchset.json (all others) and fit.json.

    Raises
    ------
    OutputError
        If a file can't be written.
    """
    workspace = to_workspace(result.reference.model)
    write_json(folder / "workspace.json", workspace)
    others = {name: built for name, built in result.models.items() if name != result.reference.signal}
    if others:
        parameters = {point.signal: point.parameters for point in result.summary.points}
        write_json(folder / "patchset.json", _patchset(workspace, result.reference, others, parameters))
    write_json(folder / "fit.json", result.summary.to_json())


def _patchset(
    workspace: Mapping[str, Any],
    reference: BuiltModel,
    others: Mapping[str, BuiltModel],
    parameters: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return a pyhf patchset that turns the reference point's workspace into each other point's.

    Parameters
    ----------
    workspace
        The reference point's.
    reference, others
        The models. A channel that differs in more than its first sample, the signal, is replaced whole.
    parameters
        Signal -> its parameters, which become the patch's values.
    """
    labels = sorted({key for name in others for key in parameters[name]}) or ["signal"]
    text = json.dumps(workspace, sort_keys=True, ensure_ascii=False).encode()
    patches = []
    for name, built in others.items():
        spec = to_workspace(built.model)
        patch = []
        for index, (mine, theirs) in enumerate(zip(spec["channels"], workspace["channels"], strict=True)):
            path, value = f"/channels/{index}", mine
            # else it is a channel of the point's own, such as one in the score under its hypothesis
            if mine["samples"][1:] == theirs["samples"][1:]:
                path, value = f"{path}/samples/0", mine["samples"][0]
            patch.append({"op": "replace", "path": path, "value": value})
        patch += [
            {"op": "replace", "path": f"/{key}", "value": spec[key]}
            for key in ("observations", "measurements")
            if spec[key] != workspace[key]
        ]
        values = [parameters[name].get(label, name) for label in labels]
        patches.append({"metadata": {"name": _identifier(name), "values": values}, "patch": patch})
    return {
        "metadata": {
            "name": "signals",
            "description": f"Signal points; the workspace itself holds {reference.signal}.",
            "labels": [_identifier(label) for label in labels],
            "digests": {"sha256": hashlib.sha256(text).hexdigest()},
            # pyhf's schema wants a reference; this one says that there is no publication yet
            "references": {"hepdata": "ins0000000"},
        },
        "patches": patches,
        "version": "1.0.0",
    }


def _identifier(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)
