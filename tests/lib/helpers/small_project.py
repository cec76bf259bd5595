"""A project of one analysis and one dataset, and the command line that is to refuse it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from colonnade.cli import main

PROCESSOR = """
import awkward as ak
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region


class Analysis(Processor):
    histograms = (Histogram("pt", Regular(10, 0, 100)),)
    regions = {"all": Region()}

    def objects(self, events, shift):
        return Objects(muons=events.Muon)

    def observables(self, events, objects):
        return {"pt": objects.muons.pt}

    def cuts(self, events, objects, observables):
        return {}
"""


def write_project(folder: Path, files: dict[str, str | None], *, processor: str = PROCESSOR, **metadata) -> Path:
    for name in ("processors", "workflows"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "processors" / "x.py").write_text(processor, encoding="utf-8")
    workflow = folder / "workflows" / "x.yaml"
    workflow.write_text("processor: processors/x.py\nluminosity: 1.0\nexecutor: {kind: iterative}\n", encoding="utf-8")
    entry = {"files": files, "metadata": {"process": "data", "kind": "data", **metadata}}
    (folder / "datasets.json").write_text(json.dumps({"d": entry}), encoding="utf-8")
    return workflow


def fails(capsys, *words: str, code: int = 2) -> str:
    """Run the command line, which must fail with one sentence; return it."""
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    error = capsys.readouterr().err.strip().splitlines()
    assert caught.value.code == code
    assert "Traceback" not in "\n".join(error)
    assert len(error) == 1, error
    assert error[0].startswith("Error: ")
    return error[0]
