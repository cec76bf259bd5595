"""A processor over many files: plan, executors, merging in a fixed order, ledger, cache.

Names are loaded when first used: results can be read without what is needed to make them.
"""

from __future__ import annotations

__all__ = [
    "NO_PROGRESS",
    "CacheSettings",
    "DatasetLedger",
    "ExecutorSettings",
    "Ledger",
    "Loss",
    "Progress",
    "Result",
    "ResultCache",
    "RichProgress",
    "StoppedError",
    "run_datasets",
]

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colonnade.execution.cache import CacheSettings, ResultCache
    from colonnade.execution.ledger import DatasetLedger, Ledger, Loss, StoppedError
    from colonnade.execution.progress import NO_PROGRESS, Progress, RichProgress
    from colonnade.execution.result import Result
    from colonnade.execution.run import run_datasets
    from colonnade.execution.settings import ExecutorSettings

_HOME = {
    "CacheSettings": "cache",
    "DatasetLedger": "ledger",
    "ExecutorSettings": "settings",
    "Ledger": "ledger",
    "Loss": "ledger",
    "NO_PROGRESS": "progress",
    "Progress": "progress",
    "Result": "result",
    "ResultCache": "cache",
    "RichProgress": "progress",
    "StoppedError": "ledger",
    "run_datasets": "run",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"colonnade.execution.{_HOME[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
