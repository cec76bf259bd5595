"""What an analysis is written with: regions, objects and shifts; and what the metadata of its events say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, EventError, nearest
from colonnade.kinematics import own, take

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, init=False)
class Region:
    """A region of an analysis: named cuts, in the order in which the cutflow applies them.

    Parameters
    ----------
    *cuts
        Names of cuts that the analysis's `cuts` produces.
    signal
        Whether the region is blinded: data are not filled in it until the analysis is unblinded.
    transfer
        The transfer factor by which the region's events count, data too; see `Processor.transfers`.

    Examples
    --------
    >>> Region("two muons", "opposite sign", signal=True).cuts
    ('two muons', 'opposite sign')
    """

    cuts: tuple[str, ...]
    signal: bool = False
    transfer: str = ""

    def __init__(self, *cuts: str, signal: bool = False, transfer: str = "") -> None:
        twice = [cut for cut in cuts if cuts.count(cut) > 1]
        if twice:
            msg = f"a region names the cut {twice[0]!r} twice; name each once."
            raise ConfigError(msg)
        if not all(isinstance(cut, str) and cut for cut in cuts):
            msg = f"a region is made of names of cuts, but is given {cuts!r}."
            raise ConfigError(msg)
        object.__setattr__(self, "cuts", tuple(cuts))
        object.__setattr__(self, "signal", bool(signal))
        object.__setattr__(self, "transfer", transfer)


@dataclass(frozen=True)
class Source:
    """A source of uncertainty that shifts objects, where its name alone does not say all.

    Attributes
    ----------
    name
        What its variations are called: ``NAME_up`` and ``NAME_down``.
    sides
        Which of them are filled.
    data
        Whether recorded events are shifted, too, such as by the scale of muon momenta.
    processes
        Names or globs of the processes that are shifted; all others stay at their nominal values.
    moves
        Names of sources that move together, fully correlated, when this one does: ``shift["a"]`` and ``shift["b"]`` are
        +1 in the variation ``jes_up`` of ``Source("jes", moves=("a", "b"))``. Those that are not declared alone are
        never shifted alone.
    """

    name: str
    sides: Literal["both", "up", "down"] = "both"
    data: bool = False
    processes: tuple[str, ...] = ("*",)
    moves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or self.sides not in ("both", "up", "down"):
            msg = f"Source({self.name!r}, sides={self.sides!r}): it needs a name, and the sides both, up or down."
            raise ConfigError(msg)
        for field in ("processes", "moves"):
            if isinstance(getattr(self, field), str):
                msg = f"Source({self.name!r}): {field} is a text; give a tuple of names."
                raise ConfigError(msg)

    @classmethod
    def of(cls, declared: str | Source) -> Source:
        """Read a declaration: a source, or the name of one, which has one side if it ends in it."""
        if isinstance(declared, Source):
            return declared
        sides: tuple[Literal["up", "down"], ...] = ("up", "down")
        for side in sides:
            if declared.endswith(f"_{side}"):
                return cls(declared.removesuffix(f"_{side}"), sides=side)
        return cls(declared)

    def concerns(self, process: str, *, data: bool) -> bool:
        """Tell whether the events of a process are shifted."""
        return (self.data or not data) and any(fnmatchcase(process, pattern) for pattern in self.processes)


@dataclass(frozen=True)
class Shift:
    """By how many standard deviations the objects are shifted: one source up or down, or none.

    Attributes
    ----------
    source
        The name of the source; empty for the nominal objects.
    direction
        +1 or -1; 0 for the nominal objects.
    known
        The sources that the analysis declares.
    moves
        The sources that move with this one.

    Examples
    --------
    >>> shift = Shift("jet_energy_scale", +1, known=("jet_energy_scale", "jet_resolution"))
    >>> shift["jet_energy_scale"], shift["jet_resolution"], shift.variation
    (1, 0, 'jet_energy_scale_up')
    """

    source: str = ""
    direction: int = 0
    known: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()

    def __getitem__(self, source: str) -> int:
        if source not in self.known:
            msg = f"the analysis asks for the shift {source!r}, which it does not declare{nearest(source, self.known)}."
            raise ConfigError(msg)
        return self.direction if source == self.source or source in self.moves else 0

    @property
    def moved(self) -> tuple[str, ...]:
        """The sources that are shifted."""
        return (self.source, *self.moves) if self.direction else ()

    @property
    def variation(self) -> str:
        """The name on the variation axis: "nominal", or the source with _up or _down."""
        if not self.direction:
            return "nominal"
        return f"{self.source}_{'up' if self.direction > 0 else 'down'}"

    @classmethod
    def of(cls, variation: str, declared: Iterable[str | Source]) -> Shift:
        """Return the shift that has a name on the variation axis.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        every = {shift.variation: shift for shift in cls.every(declared)}
        if variation not in every:
            msg = f"there is no shift {variation!r}{nearest(variation, every)}; known: {', '.join(every)}."
            raise ConfigError(msg)
        return every[variation]

    @classmethod
    def every(cls, declared: Iterable[str | Source], process: str = "", *, data: bool = False) -> Iterator[Shift]:
        """Go through the nominal one and each source's up and down, or its one side.

        Parameters
        ----------
        declared
            The sources, or their names.
        process
            Whose events are shifted; without it, the sources of all processes count.
        data
            Whether these are recorded events.
        """
        sources = [Source.of(one) for one in declared]
        known = tuple(dict.fromkeys(name for source in sources for name in (source.name, *source.moves)))
        yield cls("", 0, known)
        for source in sources:
            if process and not source.concerns(process, data=data):
                continue
            if source.sides != "down":
                yield cls(source.name, +1, known, source.moves)
            if source.sides != "up":
                yield cls(source.name, -1, known, source.moves)


class Objects:
    """The physics objects of some events, by name, jagged or flat; all have one entry an event.

    A member may be a function of the other members. It is called when the member is first used: for the events that
    are left by then, or never.

    Examples
    --------
    >>> objects = Objects(jets=ak.Array([[20.0, 30.0], [], [40.0]]), hard=lambda made: made.jets[made.jets > 25])
    >>> objects.hard.tolist()
    [[30.0], [], [40.0]]
    >>> objects[np.array([True, False, True])].hard.tolist()
    [[30.0], [40.0]]
    """

    def __init__(self, **members: Any) -> None:
        _require_one_length({name: len(member) for name, member in members.items() if not callable(member)})
        self._members = members
        self._source: Objects | None = None
        #: where these events are among the source's; None: they are the same
        self._places: Places | None = None
        self._composed: dict[int, tuple[Places, Places]] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_members", "_source", "_places", "_composed"):
            raise AttributeError(name)  # asked by copy and pickle before there are any
        member = self.raw(name)
        if callable(member):
            member = self._members[name] = member(self)
        return member

    def find(self, name: str) -> tuple[Any, Places | None]:
        """Return a member as the nearest source has it, perhaps a function, and where these events are there."""
        if name in self._members or self._source is None:
            return self._members[name], None
        member, above = self._source.find(name)
        if self._places is None or above is None:
            return member, above if self._places is None else self._places
        if id(above) not in self._composed:
            # the argument is kept with the result, so that no other takes its identity
            self._composed[id(above)] = above, above.take(self._places)
        return member, self._composed[id(above)][1]

    def joined(self, own: Objects) -> Objects:
        """Return these and others together; where names are the same, the others."""
        both = Objects(**{name: own.raw(name) for name in own})
        both._source = self
        _require_one_length({**self.lengths(), **both.lengths()})
        return both

    def raw(self, name: str) -> Any:
        """Return a member of these events, perhaps a function that was not needed yet."""
        if name not in self:
            msg = f"there are no objects {name!r}{nearest(name, self)}; there are: {', '.join(self)}."
            raise AttributeError(msg)
        if name not in self._members:
            member, places = self.find(name)
            if not callable(member):
                member = own(member) if places is None else take(member, places)
            self._members[name] = member
        return self._members[name]

    def lengths(self) -> dict[str, int]:
        """Return how many entries each member has that is no function."""
        found = {name: self.find(name) for name in self}
        return {
            name: len(member if places is None else places)
            for name, (member, places) in found.items()
            if not callable(member)
        }

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*(self._source or ()), *self._members]))

    def __contains__(self, name: object) -> bool:
        return name in self._members or (self._source is not None and name in self._source)

    def __getitem__(self, events: Array) -> Objects:
        """Return the objects of some events: those that a mask keeps, or those at some places."""
        selected = Objects()
        selected._source = self
        selected._places = np.flatnonzero(events) if events.dtype == np.bool_ else events
        return selected


def _require_one_length(lengths: Mapping[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        msg = f"objects must all have one entry an event, but their lengths differ: {found}."
        raise ConfigError(msg)


@dataclass(frozen=True)
class Chunk:
    """A range of entries of one file.

    Attributes
    ----------
    dataset
        Name of the dataset.
    process
        Name of the process; the dataset's, where the metadata say none.
    kind
        "data", "background" or "signal".
    alternative
        Whether it is an alternative sample, of which nothing is varied.
    where
        Dataset, file and entries, for messages.
    luminosity_mask
        The golden JSON file of data, if they have one.
    triggers, triggers_before
        Of data of several primary datasets: the triggers of this one, and those of datasets that come before it.
    """

    dataset: str
    process: str
    kind: str
    where: str
    luminosity_mask: str | None
    triggers: tuple[str, ...] = ()
    triggers_before: tuple[str, ...] = ()
    alternative: bool = False

    @property
    def is_data(self) -> bool:
        """Whether these are collisions that were recorded."""
        return self.kind == "data"

    @classmethod
    def of(cls, events: Any) -> Chunk:
        """Read ``events.metadata``; events without a kind are data if they have no generator weights.

        Raises
        ------
        ConfigError
            If the kind is not known.
        """
        metadata: Mapping[str, Any] = getattr(events, "metadata", None) or {}
        dataset = str(metadata.get("dataset", "events"))
        kind = metadata.get("kind") or ("background" if "genWeight" in ak.fields(events) else "data")
        if kind not in ("data", "background", "signal"):
            msg = f"dataset {dataset!r}: its kind is {kind!r}; allowed: data, background, signal."
            raise ConfigError(msg)
        words = [f"in dataset {dataset!r}"]
        if metadata.get("filename"):
            words.append(f"file {metadata['filename']}")
        if metadata.get("entrystart") is not None:
            words.append(f"entries {metadata['entrystart']} to {metadata.get('entrystop', '?')}")
        path = metadata.get("luminosity_mask")
        process = str(metadata.get("process", dataset))
        own, before = (tuple(metadata.get(key) or ()) for key in ("triggers", "triggers_before"))
        mask = None if path is None else str(path)
        alternative = metadata.get("varies") is not None
        return cls(dataset, process, kind, ", ".join(words), mask, own, before, alternative)


class Scorer(Protocol):
    """What makes a further observable of the others: a classifier, see `colonnade.inference.Classifier`."""

    def score_variations(self, variations: Sequence[Mapping[str, Any]], identities: Sequence[Any]) -> Sequence[Any]:
        """Score all variations of a chunk in one call.

        Parameters
        ----------
        variations
            For each shift, the observables of the selected events.
        identities
            For each shift, these events, which give `run`, `luminosityBlock` and `event`.

        Returns
        -------
        sequence
            For each shift, one score an event (or a list of scores), or a mapping of endings to such scores: a scorer
            named ``score`` that gives ``top`` makes the observable ``score_top``.
        """
        ...


def as_mask(values: Any, name: str, events: int) -> Mask:
    """Read a cut: one truth value an event, where a missing one (None) is false.

    Raises
    ------
    ConfigError
        If it is not that.
    """
    mask: Mask = one_each(values, f"the cut {name!r}", events, "b", "truth value")
    return mask.filled(False) if isinstance(mask, np.ma.MaskedArray) else mask


def one_each(values: Any, what: str, events: int, kinds: str, word: str) -> Array:
    """Read an array of one value an event, masked where one is missing (None).

    Parameters
    ----------
    values
        NumPy or awkward.
    what, word
        What it is, and what each event must have, for messages.
    events
        How many there are.
    kinds
        The kinds of NumPy's types that it may be of.

    Raises
    ------
    ConfigError
        If it is not that.
    """
    try:
        read: Array = values if isinstance(values, np.ndarray) else ak.to_numpy(values, allow_missing=True)
    except (TypeError, ValueError) as error:
        msg = f"{what} must have one {word} an event."
        raise ConfigError(msg) from error
    if read.dtype.kind not in kinds or read.shape != (events,):
        found = f"has shape {read.shape} and type {read.dtype}"
        msg = f"{what} must have one {word} for each of {events} events, but {found}."
        raise ConfigError(msg)
    return read


def members_of(made: Mapping[str, Any], names: Iterable[str], events: int, what: str, where: str) -> dict[str, Mask]:
    """Read which events are of each part, what is left as that without a name.

    Parameters
    ----------
    made
        Part to its events: one truth value an event.
    names
        The parts that are declared.
    events
        How many events there are.
    what, where
        Who tells the parts apart, and of which events, for messages.

    Raises
    ------
    ConfigError
        If other parts are told apart than those that are declared.
    EventError
        If an event is of two parts.
    """
    declared = tuple(names)
    if set(made) != set(declared):
        found = ", ".join(made) or "nothing"
        msg = f"{what} returns {found} {where}, where parts declares {', '.join(declared)}."
        raise ConfigError(msg)
    members: dict[str, Mask] = {}
    rest = np.ones(events, dtype=bool)
    for name in declared:
        mask = as_mask(made[name], f"split: {name}", events)
        if (twice := int(np.count_nonzero(mask & ~rest))) > 0:
            msg = f"{what}: {twice} events of {name} are of another part, too, {where}."
            raise EventError(msg)
        members[name], rest = mask, rest & ~mask
    return {"": rest, **members}
