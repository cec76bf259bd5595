"""The account of every event: ledger.json."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping
from typing import Any

from colonnade.report.content import Content

# a page is read, a ledger is searched: beyond this the page refers to the file
_MOST = 200


def context(content: Content) -> Mapping[str, Any] | None:
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
