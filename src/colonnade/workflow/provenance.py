"""Where a result comes from: enough to make it again, and to know whether a step must be redone."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from hist import Hist

from colonnade.execution import Result
from colonnade.manifest import Dataset
from colonnade.workflow.analysis import one_of
from colonnade.workflow.check import parts_of
from colonnade.workflow.settings import Workflow

# the packages whose version can change a number or a picture
_PACKAGES = (
    "colonnade", "coffea", "awkward", "awkward-cpp", "uproot", "hist", "boost-histogram", "vector", "numpy",
    "scipy", "numba", "mt2", "correctionlib", "dask", "distributed", "onnxruntime", "pyhf", "iminuit",
    "cabinetry", "mplhep", "matplotlib",
)  # fmt: skip


def digest(*parts: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of keys."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@functools.cache
def code_digest(room: str) -> str:
    """Return the SHA-256 of a part of colonnade, such as "statistics", and of all parts that it imports in turn."""
    root = Path(__file__).parents[1]
    waiting, texts = {room}, dict[str, dict[str, str]]()
    while waiting:
        place = root / waiting.pop()
        files = place.rglob("*") if place.is_dir() else [place.with_suffix(".py")]
        texts[place.name] = {
            str(file.relative_to(root)): file.read_text(encoding="utf-8")
            for file in files
            if file.is_file() and "__pycache__" not in file.parts
        }
        for text in texts[place.name].values():
            waiting |= {*re.findall(r"^\s*from colonnade\.(\w+)", text, re.MULTILINE)} - texts.keys()
    return digest(texts)


def histogram_digest(histograms: Mapping[str, Mapping[str, Hist]]) -> str:
    """Return the SHA-256 of every bin of every histogram, flow included: equal bits, equal digest."""
    total = hashlib.sha256()
    for name in sorted(histograms):
        for process in sorted(histograms[name]):
            histogram = histograms[name][process]
            axes = [
                (axis.name, np.asarray(axis.edges).tolist() if hasattr(axis, "edges") else list(axis))
                for axis in histogram.axes
            ]
            total.update(json.dumps([name, process, axes], default=str).encode())
            total.update(np.ascontiguousarray(histogram.values(flow=True)).tobytes())
            total.update(np.ascontiguousarray(histogram.variances(flow=True)).tobytes())
    return total.hexdigest()


@functools.cache
def environment() -> dict[str, Any]:
    """Return the versions of Python and of the packages that can change a result."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # an optional part
            continue
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": versions}


def read_provenance(directory: Path) -> dict[str, Any]:
    """Return a run's provenance, or nothing where there is none to be read."""
    try:
        content = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def about_run(
    workflow: Workflow,
    processor: Any,
    datasets: Sequence[Dataset],
    earlier: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what provenance.json says of a run before it is done."""
    settings = workflow.settings

    coffea = workflow.coffea
    reference = coffea.coffea if coffea else str(settings.processor)
    regions = one_of(processor).regions if coffea is None else {}

    def files(paths: Mapping[str, str]) -> dict[str, Any]:
        return {name: {"path": path, "sha256": file_digest(workflow.root / path)} for name, path in paths.items()}

    def own(each: Workflow) -> dict[str, Any]:
        shared = each.settings.files if coffea is None else dict(zip(coffea.files, coffea.files, strict=True))
        return {"corrections": files(each.settings.corrections), "scorers": files(each.models), "files": files(shared)}

    eras = {era: own(workflow.of_era(era)) for era in settings.eras}
    return {
        "name": workflow.name,
        "title": settings.title or workflow.name,
        "workflow": str(workflow.path),
        "unblinded": settings.unblind,
        "unblinding": _unblinding(workflow, earlier),
        "config": settings.model_dump(mode="json", by_alias=True),
        "environment": environment(),
        "inputs": {
            "manifest": {"path": str(workflow.manifest), "sha256": file_digest(workflow.manifest)},
            **files({"processor": reference.partition(":")[0]}),
            **({"eras": eras} if eras else own(workflow)),
            "datasets": {
                name: dataset.metadata.model_dump(mode="json", exclude_none=True) | others
                for name, others, dataset in (
                    *((dataset.name, {}, dataset) for dataset in datasets),
                    *(
                        (part, {"process": part, "part_of": dataset.metadata.process}, dataset)
                        for part, dataset in parts_of(processor, datasets).items()
                    ),
                )
            },
        },
        "seeds": {
            dataset.name: dataset.metadata.generate.seed
            for dataset in datasets
            if dataset.metadata.generate is not None
        },
        "signal_regions": [name for name, region in regions.items() if region.signal],
        "histograms_sha256": None,
    }


def note_processes(about: dict[str, Any], result: Result) -> None:
    """Note the processes that a coffea processor makes of datasets on its own account: they are backgrounds."""
    datasets = about["inputs"]["datasets"]
    known = {each["process"] for each in datasets.values()}
    for process in dict.fromkeys(process for found in result.histograms.values() for process in found):
        if process not in known:
            datasets[process] = {"process": process, "kind": "background", "k_factor": 1.0, "filter_efficiency": 1.0}


def _unblinding(workflow: Workflow, earlier: Mapping[str, Any]) -> dict[str, str] | None:
    """Say when the data of signal regions were first looked at with these settings."""
    if not workflow.settings.unblind:
        return None
    config = digest(workflow.settings.model_dump(mode="json", by_alias=True))
    before = earlier.get("unblinding") or {}
    if before.get("config_sha256") == config:
        return dict(before)
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "config_sha256": config}
