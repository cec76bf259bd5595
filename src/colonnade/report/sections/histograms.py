"""Every histogram's picture, by region."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping
from typing import Any

from colonnade.report.content import Content


def context(content: Content) -> Mapping[str, Any] | None:
    """Return the pictures of all histograms, with the regions and histograms to choose from."""
    images = content.pictures("histogram")
    if not images:
        return None
    return {
        "images": images,
        "regions": list(dict.fromkeys(each.region for each in images)),
        "histograms": list(dict.fromkeys(each.histogram for each in images)),
    }
