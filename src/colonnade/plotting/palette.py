"""Colours and dashes that every kind of colour vision tells apart; plain texts for matplotlib."""

from __future__ import annotations

__all__ = ["BACKGROUND_COLOURS", "SIGNAL_COLOURS", "SIGNAL_DASHES", "literal"]

from typing import Any

# M. A. Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270, Table 1: the set of ten,
# fills first; its red and purple are kept for signals, which are lines and need contrast with every fill
BACKGROUND_COLOURS = (
    "#3f90da", "#ffa90e", "#94a4a2", "#92dadd", "#b9ac70", "#a96b59", "#717581", "#e76300",
)  # fmt: skip
SIGNAL_COLOURS = ("#bd1f01", "#5b1a8c", "#00513a", "#0b2d6b")
SIGNAL_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.6)), (0, (5, 1.4, 1.2, 1.4)), (0, (1.4, 1.3)))


def literal(text: str) -> str:
    r"""Return a name as matplotlib draws it letter by letter, dollars included.

    Examples
    --------
    >>> print(literal("cost_in_$"))
    cost_in_\$
    """
    return text.replace("$", r"\$")
