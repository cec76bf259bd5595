"""Damage to files of every kind, by generators with fixed seeds."""

from __future__ import annotations

import contextlib
import copy
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import ColonnadeError

#: what stands in a text or a tree of values where it does not belong
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, -1e308, 10**30, "", "x", "nominal", "\x1b[31mred\x1b[0m", "[bold]a[/bold", "a\0b",
    "../../etc/passwd", "file:///etc/passwd", "é" * 300, "a" * 3000, [], {}, [[]], [None], {"": None}, {"a": {"b": {}}},
    [1, "a", None, {}], "1e400", "nan",
)  # fmt: skip
TOKENS = (
    b"-1", b"nan", b"inf", b"1e999", b"9" * 5000, b"0" * 50, b"[", b"{", b"}", b"]", b"(", b")", b":", b",", b"\n",
    b"\n\n", b"\t", b"\0", b"\xff", b"\x1b[31m", b"&a", b"*a", b"<<: *a", b"!!python/object:os.system", b"---",
    b"- - - -", b"null", b"~", b"%", b"'", b'"', b"\r", b"[" * 3000, b"- " * 2000, b"#",
)  # fmt: skip


def binary(rng: np.random.Generator, content: bytes) -> bytes:
    """Flip bits, write over words, cut, repeat or leave out pieces."""
    data = bytearray(content)
    place, size = int(rng.integers(len(data))), int(rng.integers(1, 64))
    kind = int(rng.integers(7))
    if kind <= 1:
        for _ in range(1 if kind == 0 else 8):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        data[place : place + 4] = rng.bytes(4)
    elif kind == 3:
        data[place : place + 8] = bytes([255 * int(rng.integers(2))] * 8)
    elif kind == 4:
        del data[place:]
    elif kind == 5:
        del data[place : place + size]
    else:
        data[place:place] = data[place : place + size]
    return bytes(data)


def text(rng: np.random.Generator, content: bytes) -> bytes:
    """Put tokens where they do not belong; leave out, repeat or exchange words and lines."""
    kind = int(rng.integers(5))
    if kind == 0:
        return binary(rng, content)
    if kind == 1:
        place = int(rng.integers(len(content)))
        return content[:place] + TOKENS[int(rng.integers(len(TOKENS)))] + content[place:]
    lines = content.split(b"\n")
    place = int(rng.integers(len(lines)))
    if kind == 2:
        lines[place], lines[-1 - place] = lines[-1 - place], lines[place]
    elif kind == 3:
        del lines[place]
    else:
        words = lines[place].split(b" ")
        words[int(rng.integers(len(words)))] = TOKENS[int(rng.integers(len(TOKENS)))]
        lines[place] = b" ".join(words)
    return b"\n".join(lines)


def values(rng: np.random.Generator, content: bytes) -> bytes:
    """Change a value somewhere in a JSON document: another one, none, a new name, twice."""
    document = copy.deepcopy(json.loads(content))
    places = list(_places(document))
    for _ in range(int(rng.integers(1, 3))):
        holder, key = places[int(rng.integers(len(places)))]
        kind = int(rng.integers(4))
        with contextlib.suppress(KeyError, IndexError):
            if kind <= 1:
                holder[key] = ODD[int(rng.integers(len(ODD)))]
            elif kind == 2:
                del holder[key]
            elif isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            else:
                holder[f"{key}x"] = holder.pop(key)
    return json.dumps(document).encode()


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    keys = document.keys() if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield document, key
        yield from _places(document[key])


class HungError(BaseException):
    """Reading took too long."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise where the block takes longer."""

    def stop(*_: object) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(read: Callable[[Path], Any], path: Path, seconds: float = 60.0) -> tuple[str, Any]:
    """Read a file: what it gave, or one sentence that says why not; anything else is raised."""
    try:
        with at_most(seconds):
            return "read", read(path)
    except ColonnadeError as error:
        sentence = str(error)
        assert sentence.strip(), "an error without words"
        assert "tree , " not in sentence, f"a tree without a name: {sentence}"
        assert "tree  " not in sentence, f"a tree without a name: {sentence}"
        assert len(sentence) < 20_000, f"a sentence of {len(sentence)} letters"
        return "refused", sentence
