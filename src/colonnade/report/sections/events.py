"""Sections about the events: yields, histograms, cutflows, and what became of every event."""

from __future__ import annotations

__all__ = ["cutflow", "histograms", "losses", "yields"]

from collections.abc import Mapping, Sequence
from typing import Any

from colonnade.plotting.run import Run
from colonnade.plotting.yields import CutRow, Expected, merged_cutflow
from colonnade.report.content import Content
from colonnade.report.numbers import measured


def yields(content: Content) -> Mapping[str, Any] | None:
    """Return a row for each region, and which processes are in any of them."""
    run, tables = content.run, list(content.run.yields.values())
    if not tables:
        return None
    present = {name for table in tables for name in table.processes}
    return {
        "backgrounds": [name for name in reversed(run.backgrounds) if name in present],
        "signals": [name for name in run.signals if name in present],
        "systematic": any(_uncertainty(table.total) for table in tables),
        "uncertainty": _uncertainty,
        "rows": tables,
        "eras": [run.with_plots(era=era) for era in run.result.eras],
    }


def _uncertainty(total: Expected | None) -> str:
    """Write the systematic uncertainty to the place of the statistical one, or its own when that is coarser."""
    if total is None or not (total.up or total.down):
        return ""
    _, _, up, down = measured(total.value, total.error or max(total.up, total.down), total.up, total.down)
    return f"± {up}" if up == down else f"+{up} −{down}"


def histograms(content: Content) -> Mapping[str, Any] | None:
    """Leave the section out where no histogram was drawn."""
    return {} if content.pictures("histogram") else None


def cutflow(content: Content) -> Mapping[str, Any] | None:
    """Return a table for each region, and the processes that are parts of others."""
    if not content.run.result.cutflow:
        return None
    regions = [_region(content.run, name) for name in content.run.all_regions]
    split = {entry.process: entry.parts for entry in content.run.result.ledger.datasets.values() if entry.parts}
    return {"regions": [each for each in regions if each is not None], "split": split}


def _region(run: Run, region: str) -> dict[str, Any] | None:
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
    # blinded data hold all events and, in open regions, the last row
    cuts = dict.fromkeys(row.cut for rows in sorted(tables.values(), key=len, reverse=True) for row in rows)
    found = [(cut, [_find(rows, cut) for rows in tables.values()]) for cut in cuts]
    without = [(cut, [None if row is None else row.without for row in rows]) for cut, rows in found]
    return {
        "name": region,
        "columns": list(tables),
        "rows": found,
        "n_minus_one": [(cut, rows) for cut, rows in without if any(row is not None for row in rows)],
    }


def _find(rows: Sequence[CutRow], cut: str) -> CutRow | None:
    return next((row for row in rows if row.cut == cut), None)


# a page is read, a ledger is searched: beyond this the page refers to the file
_MOST = 200


def losses(content: Content) -> Mapping[str, Any] | None:
    """Say how many lost ranges are shown beside each dataset's account."""
    return {"most": _MOST} if content.run.result.ledger.datasets else None
