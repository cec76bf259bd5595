"""The analysis's modules are found, hashed by what they do, and run where there is no checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colonnade.execution.project import SourceModule, collect_code
from colonnade.execution.work import Job, pack, version_difference

WORKER = """
import sys
from pathlib import Path
from colonnade.execution.work import unpack

for name in sys.argv[1:]:
    blob = Path(name).read_bytes()
    job = unpack(blob)
    module = sys.modules[type(job.processor).__module__]
    print(job.processor.lowest, module.threshold(1.0), job.processor.late())
"""


def test_an_analysis_brings_what_it_imports_and_no_package(pairs: Any) -> None:
    (pairs.analysis.parent / "late.py").write_text("VALUE = 5\n")
    text = (
        pairs.analysis.read_text()
        + f"\n    def late(self):\n        from {pairs.package} import late\n        return late.VALUE\n"
    )
    pairs.analysis.write_text(text)
    code = collect_code(pairs.load()())
    names = [module.name.removeprefix(f"{pairs.package}.") for module in code.modules]
    assert names == ["late", "neighbour", "pairs"]


def test_it_runs_where_there_is_no_checkout_in_two_versions(pairs: Any, tmp_path: Path) -> None:
    (pairs.analysis.parent / "late.py").write_text("VALUE = 5\n")
    text = (
        pairs.analysis.read_text()
        + f"\n    def late(self):\n        from {pairs.package} import late\n        return late.VALUE\n"
    )
    pairs.analysis.write_text(text)
    blobs = []
    for number, addition in enumerate(("1.0", "7.0")):
        pairs.neighbour.write_text(pairs.neighbour.read_text().replace("lowest + 1.0", f"lowest + {addition}"))
        processor = pairs.load()(lowest=float(number))
        blob = tmp_path / f"{number}.job"
        blob.write_bytes(pack(Job(processor, {}, ()), collect_code(processor)))
        blobs.append(str(blob))
    pairs.analysis.parent.rename(tmp_path / "elsewhere")
    command = [sys.executable, "-c", WORKER, *blobs, blobs[0]]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.splitlines()
    assert lines == ["0.0 2.0 5", "1.0 8.0 5", "0.0 2.0 5"]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("x = 1  # one", "x  =  1", True),
        ('def f():\n    """Say."""\n    return 1', 'def f():\n    """Tell."""\n    return 1', True),
        ('def f():\n    return "a"', 'def f():\n    return "b"', False),
        ("class A:\n    x = 1", "class A:\n    x = 2", False),
        ('"""Doc."""\nx = """a"""', '"""Other."""\nx = """b"""', False),
    ],
)
def test_meaning(one: str, other: str, equal: bool) -> None:
    first, second = (SourceModule("m", "/m.py", text.encode(), is_package=False) for text in (one, other))
    assert (first.meaning == second.meaning) == equal


def test_other_versions_are_named() -> None:
    assert version_difference({"awkward": "1"}, {"awkward": "1", "more": "2"}) == ""
    assert "awkward 2 where this process has 1" in version_difference({"awkward": "1", "hist": "1"}, {"awkward": "2"})
