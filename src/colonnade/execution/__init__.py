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
    "StoppedError",
    "run_datasets",
]

from typing import TYPE_CHECKING

from colonnade.lazy import lazy

if TYPE_CHECKING:
    from colonnade.execution.cache import CacheSettings, ResultCache
    from colonnade.execution.ledger import DatasetLedger, Ledger, Loss, StoppedError
    from colonnade.execution.progress import NO_PROGRESS, Progress
    from colonnade.execution.result import Result
    from colonnade.execution.run import run_datasets
    from colonnade.execution.settings import ExecutorSettings

__getattr__ = lazy(
    __name__,
    cache=("CacheSettings", "ResultCache"),
    ledger=("DatasetLedger", "Ledger", "Loss", "StoppedError"),
    progress=("NO_PROGRESS", "Progress"),
    result=("Result",),
    run=("run_datasets",),
    settings=("ExecutorSettings",),
)
