"""Sections about the events: yields, histograms, cutflows, and what became of every event."""

from __future__ import annotations

__all__ = ["cutflow", "histograms", "losses", "yields"]

from collections.abc import Mapping, Sequence
from typing import Any

from colonnade.plotting.yields import CutRow, Expected, RegionYields, merged_cutflow
from colonnade.report.content import Content
from colonnade.report.numbers import grouped, measured


def yields(content: Content) -> Mapping[str, Any] | None:
    """Return a row for each region, and the signals in each."""
    tables = list(content.run.yields.values())
    if not tables:
        return None
    backgrounds = [name for name in reversed(content.run.backgrounds) if any(name in t.processes for t in tables)]
    signals = [name for name in content.run.signals if any(name in t.processes for t in tables)]
    systematic = any(t.total is not None and (t.total.up or t.total.down) for t in tables)
    return {
        "backgrounds": backgrounds,
        "signals": signals,
        "systematic": systematic,
        "has_data": "data" in content.run.kinds.values(),
        "rows": [_row(table, backgrounds, signals) for table in tables],
        "images": content.pictures("yields"),
        "eras": [_of_era(content, era, backgrounds, signals) for era in content.run.result.eras],
    }


def _of_era(content: Content, era: str, backgrounds: list[str], signals: list[str]) -> dict[str, Any]:
    run = content.run.with_plots(era=era)
    rows = [_row(table, backgrounds, signals) for table in run.yields.values()]
    return {"name": era, "luminosity": f"{run.luminosity:g}", "rows": rows}


def _row(table: RegionYields, backgrounds: list[str], signals: list[str]) -> dict[str, Any]:
    total = table.total
    return {
        "region": table.region,
        "backgrounds": [_pair(table.processes.get(name)) for name in backgrounds],
        "signals": [_pair(table.processes.get(name)) for name in signals],
        "total": _pair(total),
        "systematic": _systematic(total),
        "data": None if table.data is None else grouped(table.data),
    }


def _pair(each: Expected | None) -> tuple[str, str]:
    if each is None:
        return "–", ""
    value, error = measured(each.value, each.error)
    return value, error


def _systematic(total: Expected | None) -> str:
    """Write the systematic uncertainty to the place of the statistical one, or its own when that is coarser."""
    if total is None or not (total.up or total.down):
        return ""
    _, _, up, down = measured(total.value, total.error or max(total.up, total.down), total.up, total.down)
    return f"± {up}" if up == down else f"+{up} −{down}"


def histograms(content: Content) -> Mapping[str, Any] | None:
    """Return the pictures of all histograms, with the regions and histograms to choose from."""
    images = content.pictures("histogram")
    if not images:
        return None
    return {
        "images": images,
        "regions": list(dict.fromkeys(each.region for each in images)),
        "histograms": list(dict.fromkeys(each.histogram for each in images)),
    }


def cutflow(content: Content) -> Mapping[str, Any] | None:
    """Return a table for each region, with pictures where they are drawn."""
    if not content.run.result.cutflow:
        return None
    regions = [_region(content, name) for name in content.run.all_regions]
    split = {entry.process: entry.parts for entry in content.run.result.ledger.datasets.values() if entry.parts}
    return {"regions": [each for each in regions if each is not None], "split": split}


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


# a page is read, a ledger is searched: beyond this the page refers to the file
_MOST = 200


def losses(content: Content) -> Mapping[str, Any] | None:
    """Return each dataset's account and every lost range."""
    ledger = content.run.result.ledger
    if not ledger.datasets:
        return None
    lost = ledger.lost
    return {
        "datasets": [
            {
                "name": name,
                "process": entry.process,
                "kind": entry.kind,
                "files": len(entry.files),
                "expected": entry.events_expected,
                "processed": entry.events_processed,
                "lost": entry.events_expected - entry.events_processed,
                "fraction": 1 - entry.events_processed / entry.events_expected if entry.events_expected else 0.0,
                "sumw": entry.sumw_processed,
                "hit": bool(entry.lost),
            }
            for name, entry in ledger.datasets.items()
        ],
        "lost": lost[:_MOST],
        "more": max(len(lost) - _MOST, 0),
        "fraction": ledger.lost_fraction,
        "allowed": ledger.allow_loss,
        "too_much": ledger.too_much_lost,
    }
