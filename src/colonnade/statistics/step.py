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


def make_inputs(
    histograms: Mapping[str, Mapping[str, Any]],
    *,
    kinds: Mapping[str, str],
    points: Mapping[str, Mapping[str, Any]],
    luminosity: float,
    signal_regions: Collection[str],
    unblind: bool = False,
    eras: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    alternatives: Mapping[str, Collection[str]] | None = None,
    data_driven: Collection[str] = (),
) -> Inputs:
    """Put together a run's histograms and what they mean.

    Parameters
    ----------
    histograms
        `histograms[name][process]`, scaled to the luminosity.
    kinds
        Process -> data, background or signal.
    points
        Signal process -> its `parameters` and `cross_section_pb`.
    luminosity
        In fb^-1.
    signal_regions
        The regions that blinding is about.
    unblind
        Whether data may be used in signal regions.
    eras
        `eras[era][name][process]`, what the histograms are the sums of, where there are eras.
    alternatives
        Process -> its variations that alternative samples stand for.
    data_driven
        The processes that are made of data.
    """
    processes = {
        name: Process(
            kind,  # type: ignore[arg-type]  # the manifest has checked it
            dict(points.get(name, {}).get("parameters", {})),
            points.get(name, {}).get("cross_section_pb"),
            frozenset((alternatives or {}).get(name, ())),
            name in data_driven,
        )
        for name, kind in kinds.items()
    }
    return Inputs(histograms, processes, luminosity, frozenset(signal_regions), unblind, eras or {})


def meaning_of(datasets: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return `kinds`, `points` and `alternatives` of `make_inputs` from what provenance.json says of datasets.

    The cross-section is that of a whole process: what is part of another, or of one in strata, has none.
    """
    datasets = list(datasets)
    alternatives: dict[str, set[str]] = {}
    for each in datasets:
        if each.get("varies"):
            alternatives.setdefault(each["process"], set()).add(each["varies"])
    points = {}
    for each in datasets:
        if "part_of" in each:
            alternatives[each["process"]] = alternatives.get(each["part_of"], set())
        if each["kind"] == "signal" and "varies" not in each:
            whole = each.get("xsec_pb") is not None and "part_of" not in each and "stitch" not in each
            factors = each.get("k_factor", 1.0) * each.get("filter_efficiency", 1.0)
            size = each["xsec_pb"] * factors if whole else None
            points[each["process"]] = {"parameters": each.get("signal", {}), "cross_section_pb": size}
    kinds = {each["process"]: each["kind"] for each in datasets}
    return {"kinds": kinds, "points": points, "alternatives": alternatives}


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
    inputs = make_inputs(
        load(directory),
        **meaning_of(datasets),
        luminosity=luminosity,
        unblind=bool(config.get("unblind", False)),
        signal_regions=signal_regions,
        eras={era: load(directory, era) for era in config.get("eras") or ()},
        data_driven=config.get("data_driven") or (),
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
            if mine["samples"][1:] != theirs["samples"][1:]:
                # a channel of the point's own, such as one in the score under its hypothesis
                patch.append({"op": "replace", "path": f"/channels/{index}", "value": mine})
                continue
            patch.append({"op": "replace", "path": f"/channels/{index}/samples/0", "value": mine["samples"][0]})
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
