"""Reading the header of a wide TTree: every branch's name, and the rest of those that are wanted.

A TTree's header holds, for each of its branches, some six hundred bytes of names, types and places of baskets. Every
object in it begins with the number of its bytes, so that a branch which nobody asks for can be passed over once its
name is known. What is not known here (another class, another version, an object within an object) is left to uproot.

Sources: ROOT's reference guide, classes TTree, TBranch and TLeaf, https://root.cern/doc/master/, and its
notes on the file format, https://root.cern/doc/master/classTFile.html
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from colonnade.events.baskets import PlainBranch, decompress
from colonnade.events.uproot_inside import DamagedError

#: What stands between a TTree's bases and its branches, by its version; where it counts its ranges of clusters.
_TREES = {
    16: (struct.Struct(">qqqqdiiiqqqqq"), None),
    17: (struct.Struct(">qqqqdiiiiqqqqq"), None),
    18: (struct.Struct(">qqqqqdiiiiqqqqqq"), None),
    19: (struct.Struct(">qqqqqdiiiiIqqqqqq"), 10),
    20: (struct.Struct(">qqqqqdiiiiIqqqqqq"), 10),
}
#: The same of a TBranch: fCompress, ..., fWriteBasket, fEntryNumber; fOffset, fMaxBaskets, fSplitLevel, fEntries, ...
_BRANCH = struct.Struct(">iiiiq")
_BRANCH_REST = {10: struct.Struct(">iIiqqq"), **dict.fromkeys((11, 12, 13), struct.Struct(">iIiqqqq"))}
_LEAF = struct.Struct(">iii??")
#: Number of bytes and class of an object; then of TBranch and TNamed their bytes and versions, and a TObject.
_OBJECT = struct.Struct(">II")
_VERSION = struct.Struct(">IH")
_NAMED = struct.Struct(">IHHII")
_COUNT = struct.Struct(">I")
_PAIR = struct.Struct(">ii")

_HAS_BYTES = 0x4000_0000
_NEW_CLASS = 0xFFFF_FFFF
_IS_CLASS = 0x8000_0000
_REFERENCED = 1 << 4
#: What references count from the start of the key is this much more than the position.
_MAP_OFFSET = 2
_KINDS = {
    "TLeafO": ("?", "?"),
    "TLeafB": (">i1", ">u1"),
    "TLeafS": (">i2", ">u2"),
    "TLeafI": (">i4", ">u4"),
    "TLeafL": (">i8", ">u8"),
    "TLeafG": (">i8", ">u8"),
    "TLeafF": (">f4", ">f4"),
    "TLeafD": (">f8", ">f8"),
}


class UnknownLayoutError(Exception):
    """A header has something that is not known here; uproot may know it."""


@contextlib.contextmanager
def _checked() -> Iterator[None]:
    """Turn what reading past an end raises into one error."""
    try:
        yield
    except DamagedError:
        raise
    except (struct.error, ValueError, IndexError) as error:
        raise UnknownLayoutError from error


def unpack_key(key: Any, raw: Any) -> bytes:
    """Return an object's bytes from those of its record in the file; the key is uproot's.

    Raises
    ------
    DamagedError
        If the record is not what its key says.
    """
    if len(raw) != key.fNbytes or int.from_bytes(raw[:4], "big") != key.fNbytes:
        msg = f"the record of {key.fName} is not where the file's list of keys says"
        raise DamagedError(msg)
    body = memoryview(raw)[key.fKeylen :]
    if len(body) == key.fObjlen:
        return bytes(body)
    return bytes(decompress(key.fName, body, key.fObjlen))


def _text(content: bytes, position: int) -> tuple[str, int]:
    """Return a string and where what comes after it starts."""
    length = content[position]
    position += 1
    if length == 255:
        (length,) = _COUNT.unpack_from(content, position)
        position += 4
    stop = position + length
    if stop > len(content):
        raise UnknownLayoutError
    return content[position:stop].decode("utf-8", errors="surrogateescape"), stop


class TreeHeader:
    """The header of a TTree whose branches each hold one leaf and no other branch.

    Parameters
    ----------
    content
        The tree's bytes.
    keylen
        The length of the key before them, which references in them count.

    Raises
    ------
    UnknownLayoutError
        If the tree is of another kind, of an unknown version, or its numbers of bytes contradict each other.
    """

    def __init__(self, content: bytes, keylen: int) -> None:
        self._content = content
        self._origin = keylen + _MAP_OFFSET
        self._classes: dict[int, str] = {}
        #: where each branch's TBranch starts and stops, and whether it is one of plain class
        self._places: dict[str, tuple[int, int, bool]] = {}
        with _checked():
            self._walk()

    @property
    def names(self) -> tuple[str, ...]:
        """The branches, in the file's order."""
        return tuple(self._places)

    def _walk(self) -> None:
        content = self._content
        stop, version, position = self._versioned(0, len(content))
        if stop != len(content) or version not in _TREES:
            raise UnknownLayoutError
        for _ in range(4):  # TNamed, TAttLine, TAttFill, TAttMarker
            position, _, _ = self._versioned(position, stop)
        layout, ranges = _TREES[version]
        fields = layout.unpack_from(content, position)
        self.entries = int(fields[0])
        position += layout.size
        if ranges is not None:
            position += 2 * (1 + 8 * fields[ranges])
        if version == 20:
            position, _, _ = self._versioned(position, stop)  # fIOFeatures
        leaves, count, position = self._list(position, stop)
        for _ in range(count):
            position = self._pass_branch(position, leaves)
        _, alike, _ = self._list(leaves, stop)
        # a branch within a branch, or a second leaf of one, would be counted here
        if position != leaves or alike != count or len(self._places) != count or self.entries < 0:
            raise UnknownLayoutError

    def _pass_branch(self, position: int, stop: int) -> int:
        """Note a branch's name and place, and return where the next one starts."""
        kind, begin, end = self._object(position, stop)
        if kind == "TBranchElement":
            _, _, begin = self._versioned(begin, end)
        elif kind != "TBranch":
            raise UnknownLayoutError
        name, _ = self._name(_VERSION.size + begin, end)
        self._places[name] = begin, end, kind == "TBranch"
        return end

    def mentions(self, name: str, counter: str) -> bool:
        """Tell whether a branch's leaf is titled as one whose values another leaf counts: ``Jet_pt[nJet]``."""
        begin, end, plain = self._places[name]
        return plain and self._content.find(f"{name}[{counter}]".encode(), begin, end) >= 0

    def branch(self, name: str) -> PlainBranch | None:
        """Return what is needed to read a branch; None where uproot has to.

        Raises
        ------
        DamagedError
            If what the header says of it contradicts itself.
        """
        begin, end, plain = self._places[name]
        if not plain:
            return None
        try:
            with _checked():
                return self._branch(name, begin, end)
        except UnknownLayoutError:
            return None

    def _branch(self, name: str, begin: int, end: int) -> PlainBranch | None:
        content = self._content
        stop, version, position = self._versioned(begin, end)
        if version not in _BRANCH_REST or stop != end:
            return None
        position, _, _ = self._versioned(position, end)  # TNamed
        position, _, _ = self._versioned(position, end)  # TAttFill
        *_, written, _ = _BRANCH.unpack_from(content, position)
        position += _BRANCH.size
        if version == 13:
            position, _, _ = self._versioned(position, end)
            if content[position - 1]:
                return None  # baskets of another form
        rest = _BRANCH_REST[version].unpack_from(content, position)
        limit, entries = rest[1], rest[3]
        _, below, position = self._list(position + _BRANCH_REST[version].size, end)
        after, leaves, position = self._list(position, end)
        if below or leaves != 1:
            return None
        leaf = self._leaf(position, after)
        position, _, _ = self._versioned(after, end)  # fBaskets
        arrays, position = self._arrays(position, end, limit)
        if leaf is None or _text(content, position)[1] != end:
            return None
        return _plain(name, leaf, arrays, written, entries)

    def _arrays(self, position: int, end: int, limit: int) -> tuple[list[Any], int]:
        """Return sizes, first entries and places of baskets."""
        arrays = []
        for size in (4, 8, 8):
            if position + 1 + limit * size > end:
                raise UnknownLayoutError
            arrays.append(np.frombuffer(self._content, f">i{size}", limit, position + 1))
            position += 1 + limit * size
        return arrays, position

    def _leaf(self, position: int, stop: int) -> tuple[np.dtype[Any], str | None] | None:
        """Return the type of a leaf's numbers, and the branch that says how many there are."""
        kind, begin, end = self._object(position, stop)
        if kind not in _KINDS:
            return None
        _, _, begin = self._versioned(begin, end)
        inner, _, begin = self._versioned(begin, end)
        after, _, _ = self._versioned(begin, inner)
        _, title = self._name(begin, after)
        length, size, _, _, unsigned = _LEAF.unpack_from(self._content, after)
        dtype = np.dtype(_KINDS[kind][unsigned])
        # the title of a leaf whose values another one counts: Jet_pt[nJet]
        counter = title.partition("[")[2].removesuffix("]")
        (counted,) = _COUNT.unpack_from(self._content, after + _LEAF.size)
        if length != 1 or size != dtype.itemsize or bool(counted) != (counter in self._places):
            return None
        return dtype, counter or None

    def _versioned(self, position: int, stop: int) -> tuple[int, int, int]:
        """Return where an object stops, its version, and where its members start."""
        size, version = _VERSION.unpack_from(self._content, position)
        end = position + 4 + (size & ~_HAS_BYTES)
        if not size & _HAS_BYTES or not position + 6 <= end <= stop:
            raise UnknownLayoutError
        return end, version, position + 6

    def _object(self, position: int, stop: int) -> tuple[str, int, int]:
        """Return the class of an object that says it itself, and where it starts and stops."""
        size, tag = _OBJECT.unpack_from(self._content, position)
        end = position + 4 + (size & ~_HAS_BYTES)
        if not size & _HAS_BYTES or not position + 8 <= end <= stop:
            raise UnknownLayoutError
        if tag == _NEW_CLASS:
            after = self._content.index(b"\0", position + 8, min(position + 80, end))
            kind = self._classes[position + 4] = self._content[position + 8 : after].decode()
            return kind, after + 1, end
        place = (tag & ~_IS_CLASS) - self._origin
        if not tag & _IS_CLASS:
            raise UnknownLayoutError
        if place not in self._classes:
            if place < 0 or _COUNT.unpack_from(self._content, place)[0] != _NEW_CLASS:
                raise UnknownLayoutError
            after = self._content.index(b"\0", place + 4, place + 80)
            self._classes[place] = self._content[place + 4 : after].decode()
        return self._classes[place], position + 8, end

    def _name(self, position: int, stop: int) -> tuple[str, str]:
        """Return a TNamed's name and title."""
        size, _, _, _, bits = _NAMED.unpack_from(self._content, position)
        end = position + 4 + (size & ~_HAS_BYTES)
        name, after = _text(self._content, position + _NAMED.size + 2 * bool(bits & _REFERENCED))
        title, after = _text(self._content, after)
        if not size & _HAS_BYTES or after != end or end > stop:
            raise UnknownLayoutError
        return name, title

    def _list(self, position: int, stop: int) -> tuple[int, int, int]:
        """Return where a TObjArray stops, how many objects it has, and where they start."""
        end, _, position = self._versioned(position, stop)
        bits = _COUNT.unpack_from(self._content, position + 6)[0]
        _, position = _text(self._content, position + 10 + 2 * bool(bits & _REFERENCED))
        count, _ = _PAIR.unpack_from(self._content, position)
        if not 0 <= count <= end - position:
            raise UnknownLayoutError
        return end, count, position + _PAIR.size


def _plain(
    name: str, leaf: tuple[np.dtype[Any], str | None], arrays: list[Any], written: int, entries: int
) -> PlainBranch | None:
    """Put a branch together; None where some of its baskets are not in the file's own records."""
    sizes, starts, seeks = arrays
    empty = np.flatnonzero(seeks == 0)
    count = min(int(empty[0]) if len(empty) else len(seeks), written)
    if not 0 <= count < len(starts):
        return None
    first = starts[: count + 1].tolist()
    if first[0] or first[-1] != entries or first != sorted(first):
        return None
    if np.any(sizes[:count] <= 0) or np.any(seeks[:count] <= 0):
        msg = f"the places of the baskets of {name} can't be right, so the file is damaged; copy or make it again"
        raise DamagedError(msg)
    dtype, counter = leaf
    places = zip(seeks[:count].tolist(), sizes[:count].tolist(), strict=True)
    return PlainBranch(
        name=name,
        stored=dtype.str,
        jagged=counter is not None,
        starts=tuple(first),
        ranges=tuple((seek, seek + size) for seek, size in places),
        counter=counter,
    )
