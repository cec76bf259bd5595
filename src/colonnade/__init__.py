"""Columnar searches for new particles, from a dataset manifest to a limit.

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from colonnade.lazy import lazy

if TYPE_CHECKING:
    from colonnade.accumulators import load
    from colonnade.errors import ColonnadeError
    from colonnade.histograms import Histogram
    from colonnade.processor import Objects, Processor, Region, Shift, Source


__all__ = ["ColonnadeError", "Histogram", "Objects", "Processor", "Region", "Shift", "Source", "load"]

__getattr__ = lazy(
    __name__,
    accumulators=("load",),
    errors=("ColonnadeError",),
    histograms=("Histogram",),
    processor=("Objects", "Processor", "Region", "Shift", "Source"),
)


def __dir__() -> list[str]:
    return sorted(__all__)
