"""The statistics step of a run: histograms in, workspace.json, patchset.json and fit.json out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from colonnade.config import parse_settings, read_json
from colonnade.errors import ConfigError, InputError
from colonnade.statistics.analysis import AnalysisResult, analyse
from colonnade.statistics.settings import ModelSettings
from colonnade.statistics.summary import write_analysis
from colonnade.statistics.templates import Inputs, Process


def infer(
    histograms: Mapping[str, Mapping[str, Any]],
    model: ModelSettings,
    *,
    directory: Path,
    kinds: Mapping[str, str],
    points: Mapping[str, Mapping[str, Any]],
    luminosity: float,
    unblind: bool = False,
    signal_regions: Collection[str] | None = None,
    eras: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    alternatives: Mapping[str, Collection[str]] | None = None,
    data_driven: Collection[str] = (),
) -> AnalysisResult:
    """Fit a run's histograms, set limits, and write the result.

    Parameters
    ----------
    histograms
        `histograms[name][process]`, scaled to the luminosity.
    model
        The workflow's model.
    directory
        Where the files go.
    kinds
        Process -> data, background or signal.
    points
        Signal process -> its `parameters` and `cross_section_pb`.
    luminosity
        In fb^-1.
    unblind
        Whether data may be used in signal regions.
    signal_regions
        The regions that blinding is about. Where they are not given, a region whose data are empty is taken as
        blinded, as blinded data are never filled.
    eras
        `eras[era][name][process]`, what the histograms are the sums of, where there are eras.
    alternatives
        Process -> its variations that alternative samples stand for.
    data_driven
        The processes that are made of data.

    Raises
    ------
    ConfigError
        If the model does not fit the histograms.
    FitError
        If a fit does not converge.
    OutputError
        If a file can't be written.
    """
    inputs = make_inputs(
        histograms,
        kinds=kinds,
        points=points,
        luminosity=luminosity,
        unblind=unblind,
        signal_regions=signal_regions,
        eras=eras,
        alternatives=alternatives,
        data_driven=data_driven,
    )
    result = analyse(inputs, model, folder=directory / "toys")
    write_analysis(result, directory)
    return result


def make_inputs(
    histograms: Mapping[str, Mapping[str, Any]],
    *,
    kinds: Mapping[str, str],
    points: Mapping[str, Mapping[str, Any]],
    luminosity: float,
    unblind: bool,
    signal_regions: Collection[str] | None,
    eras: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    alternatives: Mapping[str, Collection[str]] | None = None,
    data_driven: Collection[str] = (),
) -> Inputs:
    """Put together what `infer` is told."""
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
    regions = frozenset(_empty_regions(histograms, kinds) if signal_regions is None else signal_regions)
    return Inputs(histograms, processes, luminosity, regions, unblind, eras or {})


def meaning_of(datasets: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return `kinds`, `points` and `alternatives` of `infer` from what provenance.json says of datasets.

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


def refit(directory: Path, *, reference: str | None = None, scans: Sequence[str] = ()) -> AnalysisResult:
    """Do the statistics step again on what a run left in its folder.

    The model, the luminosity, what the processes are and whether data may be seen are read from provenance.json.

    Parameters
    ----------
    directory
        The run's output folder.
    reference, scans
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
    result = analyse(inputs, model, reference=reference, scans=scans, folder=directory / "toys")
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
        signal_regions=provenance.get("signal_regions"),
        eras={era: load(directory, era) for era in config.get("eras") or ()},
        data_driven=config.get("data_driven") or (),
    )
    return inputs, parse_settings(ModelSettings, model, f"{path}: config.model")


def _empty_regions(histograms: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str]) -> set[str]:
    """Return the regions in which no data were filled, although there are data."""
    content: dict[str, float] = {}
    for by_process in histograms.values():
        for process, filled in by_process.items():
            if kinds.get(process) != "data":
                continue
            regions = list(filled.axes["region"])
            # the category axes may have an overflow bin of their own
            values = filled.values(flow=True)[: len(regions)]
            sums = values.reshape(len(regions), -1).sum(axis=1)
            for region, total in zip(regions, sums, strict=True):
                content[region] = content.get(region, 0.0) + float(total)
    return {region for region, total in content.items() if total == 0}
