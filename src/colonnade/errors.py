"""Every error a user can meet: one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

__all__ = [
    "ColonnadeError",
    "ConfigError",
    "EventError",
    "FitError",
    "InputError",
    "LossError",
    "MissingColumnError",
    "OutputError",
    "nearest",
]

import difflib
import heapq
from collections.abc import Iterable
from itertools import takewhile


class ColonnadeError(Exception):
    """Base of the errors that the command line prints as one sentence.

    Attributes
    ----------
    exit_code : int
        What the process exits with when the error reaches the command line.
    """

    exit_code = 2


class ConfigError(ColonnadeError):
    """A manifest, workflow, model or option is wrong; found before any event is read."""


class InputError(ColonnadeError):
    """An input file can't be used. Permanent: reading it again would fail in the same way."""


class MissingColumnError(InputError):
    """The analysis asks for a column (branch) that an input does not have."""


class EventError(ColonnadeError):
    """Events hold values that would make the result wrong, such as a weight that is not a number."""


class FitError(ColonnadeError):
    """A fit or limit did not converge, or its input can't define one."""


class OutputError(ColonnadeError):
    """A result can't be written."""


class LossError(ColonnadeError):
    """Events were lost beyond what the workflow allows; the result is written and says so."""

    exit_code = 3


# a comparison of two names takes about a millisecond
_COMPARED = 300


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """Return a hint naming the known words nearest to a misspelt one.

    Examples
    --------
    >>> nearest("xsec", ["xsec_pb", "k_factor"])
    ' (did you mean xsec_pb?)'
    >>> nearest("zebra", ["xsec_pb"])
    ''
    """
    # of a file's thousands of names, those that begin or end alike
    names = sorted(heapq.nlargest(_COMPARED, set(known), key=lambda name: _shared(word, name)))
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(word, names, n=count, cutoff=0.6)
    close = close or [folded[each] for each in difflib.get_close_matches(word.casefold(), folded, n=count, cutoff=0.6)]
    if not close:
        close = [name for name in names if len(word) > 2 and word.casefold() in name.casefold()][:count]
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _shared(word: str, name: str) -> int:
    """Return how many letters two names share at their beginning or at their end."""
    ends = (zip(word, name, strict=False), zip(reversed(word), reversed(name), strict=False))
    return max(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters)) for letters in ends)
