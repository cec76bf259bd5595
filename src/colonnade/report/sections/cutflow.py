"""What each cut leaves, by region: expected events, simulated ones, and N-1."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping, Sequence
from typing import Any

from colonnade.plotting.views import CutRow
from colonnade.plotting.yields import merged_cutflow
from colonnade.report.numbers import grouped, measured
from colonnade.report.run import Run


def context(run: Run) -> Mapping[str, Any] | None:
    """Return a table for each region, with pictures where they are drawn."""
    if not run.folder.cutflow:
        return None
    regions = [_region(run, name) for name in run.folder.regions]
    return {"regions": [each for each in regions if each is not None]}


def _region(run: Run, region: str) -> dict[str, Any] | None:
    hidden = run.folder.hides_data(region, empty=False)
    observed = [name for name, each in run.processes.items() if each.kind == "data" and not hidden]
    backgrounds = run.drawing.backgrounds
    columns: list[tuple[str, list[str]]] = [("data", observed)] if observed else []
    if len(backgrounds) > 1:
        columns.append(("total", backgrounds))
    columns += [(name, [name]) for name in (*reversed(backgrounds), *run.drawing.signals)]
    tables = {name: merged_cutflow(run.folder, members, region) for name, members in columns}
    tables = {name: rows for name, rows in tables.items() if rows}
    if not tables:
        return None
    order = sorted(tables.values(), key=len, reverse=True)
    cuts = list(dict.fromkeys(row.cut for rows in order for row in rows))
    # blinded data hold all events and, in open regions, the last row
    return {
        "name": region,
        "columns": list(tables),
        "data": tuple(observed),
        "weighted": [
            (cut, [_weighted(_find(rows, cut), name == "data") for name, rows in tables.items()]) for cut in cuts
        ],
        "raw": [(cut, [_raw(_find(rows, cut)) for rows in tables.values()]) for cut in cuts],
        "n_minus_one": [
            (cut, [_without(_find(rows, cut), name == "data") for name, rows in tables.items()])
            for cut in cuts
            if any((row := _find(rows, cut)) is not None and row.n_minus_one is not None for rows in tables.values())
        ],
        "images": [*run.pictures("cutflow", region), *run.pictures("n_minus_one", region)],
    }


def _find(rows: Sequence[CutRow], cut: str) -> CutRow | None:
    return next((row for row in rows if row.cut == cut), None)


def _weighted(row: CutRow | None, data: bool) -> tuple[str, str]:
    if row is None:
        return "–", ""
    if data:
        return grouped(row.weighted), ""
    value, error = measured(row.weighted, row.error)
    return value, error


def _raw(row: CutRow | None) -> tuple[str, str]:
    return ("–", "") if row is None else (grouped(row.raw), "")


def _without(row: CutRow | None, data: bool) -> tuple[str, str]:
    if row is None or row.n_minus_one is None:
        return "–", ""
    if data:
        return grouped(row.n_minus_one.weighted), ""
    value, error = measured(row.n_minus_one.weighted, row.n_minus_one.error)
    return value, error
