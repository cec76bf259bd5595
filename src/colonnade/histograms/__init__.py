"""Declared histograms: what is filled, the filling over regions and variations, reading and writing."""

__all__ = ["Histogram", "HistogramSet", "combine", "load", "write_root", "write_zip"]

from colonnade.histograms.declaration import Histogram
from colonnade.histograms.filled import HistogramSet, combine
from colonnade.histograms.storage import load, write_root, write_zip
