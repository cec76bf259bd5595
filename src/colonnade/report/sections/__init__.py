"""The sections of the page, in order.

To add one: a function that returns what its template shows beside the run and its pictures, or None when the run has
nothing of it; a template of the section's name in templates/sections; and a line below.
"""

from __future__ import annotations

__all__ = ["SECTIONS", "Section"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from colonnade.report.content import Content
from colonnade.report.sections import events, results, summary


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes
    ----------
    name : str
        Of its template and its anchor.
    title : str
        Its heading.
    context : callable
        From a run to what the template is given beside `run` and `pictures` (`Content.pictures`); None leaves the
        section out.
    """

    name: str
    title: str
    context: Callable[[Content], Mapping[str, Any] | None]


SECTIONS = (
    Section("summary", "Summary", summary.summary),
    Section("results", "Significances and limits", results.results),
    Section("fit", "The fit", results.fit),
    Section("systematics", "Uncertainties", results.systematics),
    Section("classifiers", "Classifiers", results.classifiers),
    Section("bumps", "Bump fits", results.bumps),
    Section("yields", "Yields", events.yields),
    Section("histograms", "Histograms", events.histograms),
    Section("cutflow", "Cutflows", events.cutflow),
    Section("losses", "Losses", events.losses),
    Section("provenance", "Provenance", summary.provenance),
)
