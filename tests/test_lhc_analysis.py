"""docs/lhc_analysis.md: every block of Python runs, on real files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest


def test_the_page_runs(project: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (shared_data / "nanoaod" / "nano_tt_v15.root", *(shared_data / "corrections").glob("jet_jerc*")):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    text = (project / "docs" / "lhc_analysis.md").read_text(encoding="utf-8")
    module: dict[str, Any] = {"__name__": "lhc_analysis"}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/lhc_analysis.md", "exec"), module)  # noqa: S102 - what the page shows
    filled = module["result"].histograms["met"]["ttbar"]["two jets", :, :].project("variation", "met")
    nominal = filled["nominal", :].values(flow=True)
    assert nominal.sum() > 0
    for source in (*module["SOURCES"], "jer"):
        for side in ("up", "down"):
            assert (filled[f"{source}_{side}", :].values(flow=True) != nominal).any(), source
