"""All speed benchmarks, or some rows of them: `python benchmarks/run.py [ROW ...]`.

Each row runs in a process of its own and leaves its lines in build/benchmarks, so rows can be run one by one, on a
quiet machine, and again. At the end all lines that there are go to the terminal and into the table of
docs/performance.md, whose other lines stay. A row that fails, for instance as the two sides' results differ, says so
there instead of a ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
FOLDER = HERE.parent / "build" / "benchmarks"
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- what follows is written by benchmarks/run.py -->", "<!-- end of what is written -->"
LIBRARIES = ("coffea", "awkward", "uproot", "numpy", "numba", "boost-histogram", "onnxruntime")


@dataclass(frozen=True)
class Row:
    """One benchmark.

    Attributes
    ----------
    words
        The script, and what it is told.
    ratio
        For a script that only prints: what is measured, the pattern of its ratio, and what that must reach.
    """

    words: tuple[str, ...]
    ratio: tuple[str, str, float] | None = None


ROWS = {
    "dilepton": Row(("event_loop.py", "few")),
    "dilepton_full": Row(("event_loop.py", "full")),
    "reading": Row(("reading.py",)),
    "wide": Row(("wide.py",)),
    **{f"adl_{number}": Row(("adl_queries.py", f"Q{number}")) for number in range(1, 9)},
    "variations": Row(("variations.py",)),
    "analysis": Row(("whole_analysis.py",)),
    "filling": Row(("filling.py",)),
    "workers": Row(("workers.py",)),
    "cache": Row(("cache.py",)),
    "coffea": Row(("coffea_processors.py",)),
    "scoring": Row(("scoring.py",), ("scoring in the event loop against bare onnxruntime", r"ratio ([\d.]+)", 0.8)),
    "merging": Row(("merging.py",)),
    "growth": Row(("growth.py",)),
    "start": Row(("start.py",)),
    "calibration": Row(("calibration.py",)),
}


def run_row(name: str) -> bool:
    """Run one row; return whether it came to its end."""
    row = ROWS[name]
    lines = FOLDER / f"{name}.lines"
    lines.unlink(missing_ok=True)
    environment = {**os.environ, "BENCHMARK_LINES": str(lines), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(HERE / row.words[0]), *row.words[1:]]
    started = datetime.now(UTC)
    process = subprocess.Popen(  # noqa: S603 - scripts beside this one
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line.rstrip())
        print(f"  {line.rstrip()}", flush=True)
    failed = process.wait() != 0
    found = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    lines.unlink(missing_ok=True)
    if row.ratio is not None:
        what, pattern, must = row.ratio
        values = re.findall(pattern, "\n".join(output))
        if values:
            failed = False  # some scripts say with their exit status that it falls short
            ratio = float(values[-1])
            found = [_line(what, "", f"{ratio:.2f} x", f">= {must:g} x", holds=ratio >= must)]
    if failed:
        said = next((line for line in reversed(output) if line.strip()), "it said nothing")
        found = [_line(name, "", f"failed: {said[-200:]}", "", holds=False)]
    answer = {"date": f"{started:%Y-%m-%d %H:%M}", "machine": machine(), "lines": found}
    (FOLDER / f"{name}.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")
    return not failed


def _line(what: str, measured: str, result: str, must: str, *, holds: bool) -> dict[str, object]:
    return {"what": what, "measured": measured, "result": result, "must": must, "holds": holds}


def machine() -> str:
    """Describe the machine and what runs on it."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = named.group(1) if named else model
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, {libraries}"


def collect() -> list[tuple[str, str, dict[str, object]]]:
    """Return row, date and line of all that was measured, in the order of the rows."""
    found = []
    for name in ROWS:
        path = FOLDER / f"{name}.json"
        if not path.exists():
            continue
        answer = json.loads(path.read_text(encoding="utf-8"))
        found += [(name, answer["date"], line) for line in answer["lines"]]
    return found


def show(found: list[tuple[str, str, dict[str, object]]]) -> None:
    """Print the table."""
    table = Table("row", "what", "measured", "result", "must be", "", title="Benchmarks")
    for name, _, line in found:
        colour, word = _verdict(line["holds"])
        result = f"[{colour}]{line['result']}[/]"
        table.add_row(name, str(line["what"]), str(line["measured"]), result, str(line["must"]), word)
    Console().print(table)


def write(found: list[tuple[str, str, dict[str, object]]]) -> None:
    """Write what was measured into the table of the page; what was not measured here stays as it is."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = [line for line in rest.partition(END)[0].splitlines() if line.startswith("|")]
    lines, known = table[:2], {_what(line): line for line in table[2:]}
    for _, date, line in found:
        cells = (line["what"], line["measured"], line["result"], line["must"], _verdict(line["holds"])[1], date)
        row = "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"
        known[_what(row)] = row
    answers = [FOLDER / f"{name}.json" for name in ROWS]
    named = [line for line in rest.partition(END)[0].splitlines() if line.startswith("Measured on ")]
    named += [f"Measured on {json.loads(path.read_text())['machine']}." for path in answers if path.exists()]
    body = "\n".join([*lines, *known.values(), "", *dict.fromkeys(named)])
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def _what(row: str) -> str:
    """Return what a row of the page's table is about."""
    return row.split("|")[1].strip()


def _verdict(holds: object) -> tuple[str, str]:
    if holds is None:
        return "default", ""
    return ("green", "holds") if holds else ("red", "**falls short**")


def main() -> int:
    """Run rows, and show and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; by default all")
    parser.add_argument("--table", action="store_true", help="run nothing, only show and write what there is")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; there are: {', '.join(ROWS)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = True
    for name in [] if options.table else options.rows or ROWS:
        print(f"{name}: {' '.join(ROWS[name].words)}", flush=True)
        done &= run_row(name)
    found = collect()
    show(found)
    write(found)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
