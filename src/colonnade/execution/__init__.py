"""A processor over many files: plan, executors, merging in a fixed order, ledger, cache."""

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

from colonnade.execution.cache import CacheSettings, ResultCache
from colonnade.execution.ledger import DatasetLedger, Ledger, Loss, StoppedError
from colonnade.execution.progress import NO_PROGRESS, Progress, RichProgress
from colonnade.execution.result import Result
from colonnade.execution.run import run_datasets
from colonnade.execution.settings import ExecutorSettings
