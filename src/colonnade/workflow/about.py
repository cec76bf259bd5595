"""What provenance.json says of a run before it is done: its settings, inputs and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from colonnade.execution import Result
from colonnade.manifest import Dataset
from colonnade.workflow.analysis import one_of
from colonnade.workflow.check import parts_of
from colonnade.workflow.provenance import digest, environment, file_digest
from colonnade.workflow.settings import Workflow


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
