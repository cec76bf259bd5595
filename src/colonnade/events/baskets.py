"""Reading plain columns of a TTree: from its baskets straight into NumPy arrays.

uproot says what a branch holds and where its baskets are. Reading them is done here for the branches that
carry nearly all of an analysis's data, one number per event or per object: every column is read, decompressed
and turned into native byte order once, without working out the list of objects again for each of its columns,
and with nothing done per call that can be done once per file. All other branches are read by uproot itself.

A basket is a key (its length, the length of the unpacked data, ...) followed by the packed data: the values
of its events one after the other, big-endian, and where the number per event varies, each event's start.
Source: ROOT's reference guide, classes TKey and TBasket, https://root.cern/doc/master/classTBasket.html
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import struct
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from colonnade.events.source import overlapping
from colonnade.events.uproot_inside import DamagedError, unpack

#: fNbytes, fVersion, fObjlen, fDatime, fKeylen, fCycle
_KEY = struct.Struct(">ihiIhh")
#: fSeekKey, where the key itself is; fSeekPdir is of its size
_PLACE, _LARGE_PLACE = struct.Struct(">i"), struct.Struct(">q")
#: from which version on a key has large ones
_LARGE = 1000
#: fVersion, fBufferSize, fNevBufSize, fNevBuf, fLast: the end of a basket's key, before a last byte
_BASKET = struct.Struct(">Hiiii")
#: algorithm, method, packed length, unpacked length (3 bytes each, little-endian)
_BLOCK = 9
#: unpacks a basket of one block in one call; the library that uproot uses copies its pieces
_ZSTD = pa.Codec("zstd")
_MEMORY = pa.system_memory_pool()

Bytes = npt.NDArray[np.uint8]
Fetch = Callable[[list[tuple[int, int]]], list[Any]]


@dataclasses.dataclass(frozen=True)
class _Basket:
    """One unpacked basket: its values' bytes, and where in them each event starts."""

    data: Bytes
    border: int
    keylen: int
    events: int
    #: the start of each event in bytes, counted from the key; none where every event has one value
    byte_starts: npt.NDArray[np.signedinteger[Any]] | None

    def position(self, event: int) -> int:
        """Return where an event's values start; for the number of events, where the last ones stop."""
        if event >= self.events or self.byte_starts is None:
            return self.border
        return int(self.byte_starts[event]) - self.keylen

    def stops(self, low: int, high: int) -> npt.NDArray[np.int64]:
        """Return where the values of a range of events stop."""
        if self.byte_starts is None or low == high:
            return np.zeros(high - low, np.int64)
        stops = np.empty(high - low, np.int64)
        # where an event stops the next one starts; the last one of the basket stops at the border
        starts = self.byte_starts[low + 1 : high + 1]
        np.subtract(starts, self.keylen, out=stops[: len(starts)])
        if high == self.events:
            stops[-1] = self.border
        return stops


#: Of each branch the basket that the last entry range ended in, and its number: the next range will begin there.
Kept = dict[str, tuple[int, _Basket]]


@dataclasses.dataclass(frozen=True)
class PlainBranch:
    """A branch with one number per event, or any number of them per event.

    Attributes
    ----------
    name
        The branch.
    stored
        Type of the numbers in the file, as NumPy writes it.
    jagged
        Whether there is any number of them per event.
    starts
        The first event of each basket, and after the last one the number of events.
    ranges
        Where each basket starts and stops in the file.
    counter
        The branch that says how many values each event has, where the tree's header names one.
    """

    name: str
    stored: str
    jagged: bool
    starts: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]
    counter: str | None = None

    @property
    def native(self) -> np.dtype[Any]:
        """Type of the numbers in memory."""
        return np.dtype(self.stored).newbyteorder("=")

    def overlapping(self, start: int, stop: int) -> range:
        """Return the baskets that hold events of a range."""
        return range(*overlapping(self.starts, start, stop))


def read_branch(
    branch: PlainBranch, start: int, stop: int, take: Callable[[int], _Basket], kept: Kept, *, with_offsets: bool
) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[Any]] | None:
    """Unpack an entry range of a branch.

    Parameters
    ----------
    branch
        The branch.
    start, stop
        The entry range.
    take
        Gives a basket by its number.
    kept
        The basket that the entry range ends in is left there, as the next range will begin in it.
    with_offsets
        Whether the caller needs to know where each event's values start.

    Returns
    -------
    tuple or None
        Offsets (stop - start + 1 of them; None unless asked for and jagged) and values. None if the baskets
        don't say where their events start, which leaves them to uproot.

    Raises
    ------
    DamagedError
        If the bytes contradict themselves.
    """
    pieces: list[Bytes] = []
    offsets = np.zeros(stop - start + 1, np.int64) if branch.jagged and with_offsets else None
    size = branch.native.itemsize
    values = 0
    for number in branch.overlapping(start, stop):
        basket = take(number)
        if branch.jagged and basket.byte_starts is None and basket.events:
            return None
        first = branch.starts[number]
        low, high = max(start - first, 0), min(stop - first, basket.events)
        if high < basket.events:
            # it stays, so it is not to be turned into native byte order in place
            basket.data.flags.writeable = False
            kept[branch.name] = number, basket
        if branch.jagged:
            begin, end = basket.position(low), basket.position(high)
        else:
            begin, end = low * size, high * size
        if not 0 <= begin <= end <= basket.border or begin % size or end % size:
            _contradiction(branch, number)
        if offsets is not None:
            window = offsets[first + low - start : first + high - start + 1]
            window[1:] = basket.stops(low, high)
            window[1:] -= begin
            window[1:] >>= size.bit_length() - 1  # which divides by a power of two ten times faster
            window[1:] += values
            if np.any(window[1:] < window[:-1]):
                _contradiction(branch, number)
        pieces.append(basket.data[begin:end])
        values += (end - begin) // size
    return offsets, _join(branch, pieces, values)


def _key_name(raw: Any, version: int) -> bytes:
    """Return the name of the branch that a basket's key gives."""
    place = _KEY.size + 2 * (_LARGE_PLACE if version > _LARGE else _PLACE).size
    place += 1 + raw[place]  # the class
    return bytes(raw[place + 1 : place + 1 + raw[place]])


def _unpack(branch: PlainBranch, number: int, raw: Any, others: Collection[str]) -> _Basket:
    """Read a basket's key and unpack its data."""
    begin, end = branch.ranges[number]
    expected = branch.starts[number + 1] - branch.starts[number]
    if len(raw) != end - begin or len(raw) < _KEY.size:
        _contradiction(branch, number)
    nbytes, version, objlen, _, keylen, _ = _KEY.unpack_from(raw, 0)
    tail = keylen - _BASKET.size - 1
    if nbytes != len(raw) or not _KEY.size <= tail or keylen > nbytes or objlen < 0:
        _contradiction(branch, number)
    (place,) = (_LARGE_PLACE if version > _LARGE else _PLACE).unpack_from(raw, _KEY.size)
    if place != begin and any(place == other for other, _ in branch.ranges):  # it was swapped for that one
        _contradiction(branch, number)
    name = _key_name(raw, version)
    # a branch that was renamed keeps the baskets of its old name
    if name != branch.name.encode() and name.decode(errors="replace") in others:
        _contradiction(branch, number)
    _, _, _, events, last = _BASKET.unpack_from(raw, tail)
    border = last - keylen
    if events != expected or not 0 <= border <= objlen:
        _contradiction(branch, number)
    body = memoryview(raw)[keylen:]
    if len(body) == objlen:
        data = np.frombuffer(body, np.uint8)
    else:
        data = decompress(f"basket {number} of {branch.name}", body, objlen)
    byte_starts = None
    if border != objlen:
        # a count, then one start per event, and one more that is not used
        words = data[border : border + 4 * (events + 1)]
        if len(words) != 4 * (events + 1):
            _contradiction(branch, number)
        byte_starts = words.view(">i4")[1:]
    elif not branch.jagged and border != events * branch.native.itemsize:
        _contradiction(branch, number)
    return _Basket(data, border, keylen, events, byte_starts)


def decompress(what: str, body: memoryview, objlen: int) -> Bytes:
    """Unpack the blocks of a record (each at most 16 MB) one after the other.

    Raises
    ------
    DamagedError
        If they are not what they say.
    """
    blocks, end, total = 0, 0, 0
    while end + _BLOCK <= len(body):
        packed, unpacked = (int.from_bytes(body[end + at : end + at + 3], "little") for at in (3, 6))
        blocks, end, total = blocks + 1, end + _BLOCK + packed, total + unpacked
    if end != len(body) or total != objlen:
        _damaged(what)
    if blocks != 1 or bytes(body[:2]) != b"ZS":
        # the other algorithms, with their checksums, as uproot knows them
        return np.frombuffer(unpack(np.frombuffer(body, np.uint8), objlen), np.uint8)
    try:
        # the memory it is unpacked to becomes the basket's
        return np.frombuffer(_ZSTD.decompress(body[_BLOCK:], objlen, memory_pool=_MEMORY), np.uint8)
    except OSError:
        _damaged(what)


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library reuse the memory of one chunk for the next instead of returning it, where it is glibc.

    Otherwise each chunk's pages are asked for and cleared anew, a fifth of the time of reading. glibc raises its own
    limit (to twice 31 MB here) when so large a piece is given back; the piece is never written, so it costs nothing.
    """
    np.empty(31 << 20, np.uint8)


def _join(branch: PlainBranch, pieces: list[Bytes], values: int) -> npt.NDArray[Any]:
    """Join the baskets' values in native byte order."""
    if len(pieces) == 1 and pieces[0].flags.writeable:
        # a basket's own memory, which nobody else holds
        whole = pieces[0].view(branch.native)
        if np.dtype(branch.stored) != branch.native:
            whole.byteswap(inplace=True)
        return whole
    output = np.empty(values, branch.native)
    done = 0
    for piece in pieces:
        part = piece.view(branch.stored)
        output[done : done + len(part)] = part
        done += len(part)
    return output


def _contradiction(branch: PlainBranch, number: int) -> NoReturn:
    _damaged(f"basket {number} of {branch.name}")


def _damaged(what: str) -> NoReturn:
    msg = f"{what} contradicts itself, so the file is damaged; copy or make it again"
    raise DamagedError(msg)


def read_branches(
    branches: list[tuple[PlainBranch, bool]],
    start: int,
    stop: int,
    fetch: Fetch,
    kept: Kept,
    executor: Executor | None = None,
    others: Collection[str] = (),
) -> list[Any]:
    """Read an entry range of several branches: one request for all bytes; unpacked in parallel if asked.

    A basket that says it is of one of the `others` is not where the header says, and refused.
    """
    known = [dict([kept[branch.name]]) if branch.name in kept else {} for branch, _ in branches]
    missing = [
        [number for number in branch.overlapping(start, stop) if number not in here]
        for (branch, _), here in zip(branches, known, strict=True)
    ]
    packed = fetch([branch.ranges[k] for (branch, _), ks in zip(branches, missing, strict=True) for k in ks])
    bounds = list(itertools.accumulate(map(len, missing), initial=0))

    def unpack(index: int) -> Any:
        branch, with_offsets = branches[index]
        raws = dict(zip(missing[index], packed[bounds[index] : bounds[index + 1]], strict=True))

        def take(number: int) -> _Basket:
            return known[index][number] if number in known[index] else _unpack(branch, number, raws[number], others)

        return read_branch(branch, start, stop, take, kept, with_offsets=with_offsets)

    if executor is None:
        return [unpack(index) for index in range(len(branches))]
    return list(executor.map(unpack, range(len(branches))))
