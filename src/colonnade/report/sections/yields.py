"""Events expected and seen in each region."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping
from typing import Any

from colonnade.plotting.yields import Expected, RegionYields
from colonnade.report.content import Content
from colonnade.report.numbers import grouped, measured


def context(content: Content) -> Mapping[str, Any] | None:
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
    }


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
