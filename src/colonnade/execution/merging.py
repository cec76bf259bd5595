"""Adding chunk results in one fixed order, whatever order they arrive in.

Floating-point addition is not associative, so the sum's bits depend on the order. Here it depends on
nothing but the number of chunks of a dataset: chunks are added from left to right in groups of `GROUP`,
which one task may do together, groups from left to right in blocks of `FAN_IN`, blocks in blocks of blocks,
and so on up. A block is added up as its parts arrive, so that one sum a level is alive, not a block of them;
and the depth of the tree, with it the memory, is the same for 9 and for 256 chunks.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from colonnade.errors import EventError

GROUP = 8
FAN_IN = 32


def pieces_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results that one of a dataset is made of: those of its strata, or itself."""
    return list(result["strata"].values()) if "strata" in result else [result]


def fold(total: Any, *results: Any) -> Any:
    """Add results from left to right; `total` stays as it is, so that a scheduler may do this twice.

    Parameters
    ----------
    total
        The sum so far, or None at the start of a block.
    results
        What to add, in this order.
    """
    parts = list(results)
    total = copy.deepcopy(parts.pop(0) if total is None else total)
    for part in parts:
        total = add(total, part)
    return total


def add(total: Any, part: Any) -> Any:
    """Add one chunk result to another, in place where the type allows it.

    Histograms (whatever has `+=`), arrays and numbers add; dictionaries add key by key, a key that one side
    lacks counting as nothing; texts, truths and None must agree.

    Raises
    ------
    EventError
        If the two differ in kind or in a text: two chunks of a dataset describe different things.
    """
    if isinstance(total, dict) and isinstance(part, Mapping):
        for key, value in part.items():
            total[key] = add(total[key], value) if key in total else copy.deepcopy(value)
        return total
    if type(total) is type(part) and hasattr(total, "__iadd__") and not isinstance(total, list | np.ndarray):
        total += part  # histograms
        return total
    if isinstance(total, np.ndarray) and isinstance(part, np.ndarray) and total.shape == part.shape:
        return total + part
    if isinstance(total, bool | str | None) or isinstance(part, bool | str | None):
        if total == part:
            return total
    elif isinstance(total, int | float | np.number) and isinstance(part, int | float | np.number):
        return total + part
    msg = (
        f"Two chunks of one dataset returned {_short(total)} and {_short(part)}, which don't add; "
        "the processor must return the same keys, texts and shapes for every chunk."
    )
    raise EventError(msg)


def _short(value: Any) -> str:
    text = f"{type(value).__name__} {value!r}"
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class Addition:
    """One step of a merge: add `parts`, in order, to `total` for the node (level, index) of the tree."""

    level: int
    index: int
    total: Any
    parts: Sequence[Any]


@dataclass
class _Node:
    """A sum in the making: the prefix that is added up, and what arrived ahead of its turn."""

    size: int
    total: Any = None
    done: int = 0
    busy: bool = False
    waiting: dict[int, Any] = field(default_factory=dict)


_NOTHING = object()


class MergeTree:
    """The order in which one dataset's chunk results are added.

    The tree holds handles (results here, or references to results on workers) and never looks into them.
    `offer` and `added` return the additions that can be made now; the caller makes each and hands its
    result to `added`.

    Parameters
    ----------
    leaves
        The number of chunks, those that will be lost included.
    """

    def __init__(self, leaves: int) -> None:
        self._leaves = leaves
        self._nodes: dict[tuple[int, int], _Node] = {}
        self.finished = leaves == 0
        self.root: Any = None
        self.loose = 0  # results of chunks and groups that are in no longer sum yet

    def offer(self, chunk: int, handle: Any) -> list[Addition]:
        """Take in a chunk's result and return the additions that it makes possible."""
        return self._arrive(0, chunk, handle)

    def offer_group(self, group: int, handle: Any) -> list[Addition]:
        """Take in the sum of a whole group, none of whose chunks is offered or skipped, added from left to right."""
        return self._arrive(1, group, handle)

    def skip(self, chunk: int) -> list[Addition]:
        """Take in that a chunk is lost: it counts as nothing, and the others keep their places."""
        return self._arrive(0, chunk, _NOTHING)

    def added(self, addition: Addition, handle: Any) -> list[Addition]:
        """Take in the result of an addition and return the additions that it makes possible."""
        node = self._nodes[addition.level, addition.index]
        node.total, node.busy = handle, False
        self._tied(addition.level, len(addition.parts))
        return self._advance(addition.level, addition.index)

    def _arrive(self, level: int, position: int, handle: Any) -> list[Addition]:
        width = self._width(level)
        if width == 1:
            self.finished, self.loose = True, 0
            self.root = None if handle is _NOTHING else handle
            return []
        fan_in = FAN_IN if level else GROUP
        index, child = divmod(position, fan_in)
        node = self._nodes.setdefault((level, index), _Node(min(fan_in, width - index * fan_in)))
        node.waiting[child] = handle
        if handle is not _NOTHING:
            self._tied(level, -1)
        return self._advance(level, index)

    def _advance(self, level: int, index: int) -> list[Addition]:
        """Add what is next in line, or hand a finished sum one level up."""
        node = self._nodes[level, index]
        if node.busy:
            return []
        parts = []
        while node.done in node.waiting:
            handle = node.waiting.pop(node.done)
            node.done += 1
            if handle is not _NOTHING:
                parts.append(handle)
        if len(parts) == 1 and node.total is None:
            node.total = parts.pop()
            self._tied(level, 1)
        if parts:
            node.busy = True
            return [Addition(level, index, node.total, parts)]
        if node.done < node.size:
            return []
        del self._nodes[level, index]
        return self._arrive(level + 1, index, _NOTHING if node.total is None else node.total)

    def _tied(self, level: int, count: int) -> None:
        """Count results that have become part of a sum; those higher up are few."""
        if level <= 1:
            self.loose -= count

    def _width(self, level: int) -> int:
        """Return how many sums a level takes in."""
        width = self._leaves
        for below in range(level):
            width = -(-width // (FAN_IN if below else GROUP))
        return width
