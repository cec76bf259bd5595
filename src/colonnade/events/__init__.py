"""ROOT trees, RNTuples and parquet files to awkward events: one naming, GeV, only the touched columns."""

__all__ = [
    "KeptColumns",
    "KnownPlaces",
    "SourceFile",
    "inspect_file",
    "learn_columns",
    "read_events",
    "use_events",
]

from colonnade.events.kept import KeptColumns, KnownPlaces
from colonnade.events.reading import inspect_file, learn_columns, read_events, use_events
from colonnade.events.source import SourceFile
