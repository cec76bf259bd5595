"""What each cut leaves, by region: expected events, simulated ones, and N-1."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping, Sequence
from typing import Any

from colonnade.plotting.yields import CutRow, merged_cutflow
from colonnade.report.content import Content
from colonnade.report.numbers import grouped, measured


def context(content: Content) -> Mapping[str, Any] | None:
    """Return a table for each region, with pictures where they are drawn."""
    if not content.run.result.cutflow:
        return None
    regions = [_region(content, name) for name in content.run.all_regions]
    return {"regions": [each for each in regions if each is not None]}


def _region(content: Content, region: str) -> dict[str, Any] | None:
    run = content.run
    observed = [] if run.hides_data(region) else run.of_kind("data")
    backgrounds = run.backgrounds
    columns: list[tuple[str, list[str]]] = [("data", observed)] if observed else []
    if len(backgrounds) > 1:
        columns.append(("total", backgrounds))
    columns += [(name, [name]) for name in (*reversed(backgrounds), *run.signals)]
    tables = {name: merged_cutflow(run.result, members, region) for name, members in columns}
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
            if any((row := _find(rows, cut)) is not None and row.without is not None for rows in tables.values())
        ],
        "images": [*content.pictures("cutflow", region), *content.pictures("n_minus_one", region)],
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
    if row is None or row.without is None:
        return "–", ""
    if data:
        return grouped(row.without.weighted), ""
    value, error = measured(row.without.weighted, row.without.error)
    return value, error
