"""Reading a Combine datacard: the grammar of its lines.

The grammar is that of Combine's own parser (Combine's documentation, "Datacards", and its source, release 10.6): up to
the line ``rate`` a line is known by its first word and unknown lines are titles; after it each line is a systematic
uncertainty, known by its second word. `read_card` checks what that parser checks and refuses what it refuses.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from colonnade.errors import ConfigError, InputError, nearest
from colonnade.inputs import read_file
from colonnade.statistics.formats.combine.card import Card, Cell, Effect, Shape, Systematic, edit, refuse
from colonnade.statistics.formula import Formula

_ASYMMETRIC = ("lnN", "lnU")
_CELLS = (*_ASYMMETRIC, "gmN", "gmM", "trG", "unif")
_SHAPES = ("shape", "shapeN", "shapeU", "shape?", "shapeN?", "shapeU?", "shape2", "shapeN2", "shape2?", "shapeN2?")
_OTHERS = ("param", "flatParam", "extArg", "rateParam", "discrete", "edit", "group", "autoMCStats")
_SILENT = {
    "flatParam": "says only that it is unconstrained",
    "discrete": "chooses among pdfs of a RooFit workspace; it has no effect on templates",
}
# what stands between the kind and the cells of a line
_NUMBERS: Mapping[str, tuple[Callable[[str], float], ...]] = {"gmN": (int,), "unif": (float, float)}
_EVERYWHERE = (-math.inf, math.inf)
_WHOLE = re.compile(r"-?[0-9]+")


def read_card(path: Path) -> Card:
    """Read the lines of a datacard.

    Raises
    ------
    InputError
        If the file can't be read or holds no text.
    ConfigError
        If a line is not one of a datacard, or lines do not fit together; the message names file and line.
    """
    try:
        text = read_file(path).decode()
    except UnicodeDecodeError as error:
        msg = f"{path} is not a text file, so no datacard."
        raise InputError(msg) from error
    header = _Header(Card(path))
    lines = enumerate(text.splitlines(), start=1)
    for number, raw in lines:
        words = raw.split()
        with _located(f"{path}, line {number}", words):
            header.read(words)
        if words[:1] == ["rate"]:
            break
    if not header.card.rates:
        refuse(f"{path} is no datacard: it has no bin, process and rate lines.")
    body = _Body(header.card)
    for number, raw in lines:
        words = raw.partition("#")[0].split()
        if len(words) > 1 and not raw.startswith("--"):
            with _located(f"{path}, line {number}", words):
                body.read(words)
    card = header.card
    with _located(str(path)):
        _check_yields(card)
        _drop_empty(card, header.declared.get("kmax") if not body.edited else None)
        _check_names(card)
    return card


@contextmanager
def _located(where: str, words: Sequence[str] = ()) -> Iterator[None]:
    """Say where it is that something is refused, or that the words of a line can't be read."""
    try:
        yield
    except ConfigError as error:
        msg = f"{where}: {error}"
        raise ConfigError(msg) from error
    except (ValueError, IndexError) as error:
        msg = f"{where}: {' '.join(words)[:60]!r} can't be read as a line of a datacard."
        raise ConfigError(msg) from error


# ---- up to the line ``rate``


class _Header:
    """The lines up to ``rate``: bins, observations, processes, where the templates lie."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.declared: dict[str, int | None] = {}  # by imax, jmax and kmax; None where the lines are to be counted
        self._pending: list[str] = []  # the last bin line, until an observation or process line takes it
        self._observations: list[float] | None = None
        self._names: list[str] | None = None
        self._columns: list[Cell] = []

    def read(self, words: list[str]) -> None:
        """Take one line; a line of another first word is a title."""
        match words:
            case ["imax" | "jmax" | "kmax" as which, *rest]:
                self.declared[which] = None if rest[0] == "*" else int(rest[0])
            case ["shapes", *rest]:
                self._shapes(rest)
            case ["observation" | "Observation", *rest]:
                self._observation(rest)
            case ["bin", *rest]:
                self._bin(rest)
            case ["process", *rest]:
                self._process(rest)
            case ["rate", *rest]:
                self._rate(rest)

    def _count(self, which: str, found: Sequence[object], what: str, *, plus: int = 0) -> None:
        """See that a declared number, if any, is that of what was found."""
        declared = self.declared.get(which)
        if declared is not None and declared + plus != len(found):
            names = ", ".join(map(str, found))
            refuse(f"there are {len(found)} {what} ({names}), not {declared + plus} ({which}{' + 1' if plus else ''}).")

    def _shapes(self, words: list[str]) -> None:
        process, channel, file, *names = (*words, "", "", "")
        names = [name for name in names if name]
        if not file or (file != "FAKE" and not names):
            refuse("a shapes line needs a process, a bin, a file and the name of a template, or FAKE.")
        entries = self.card.shapes.setdefault(channel, {})
        if process in entries:
            refuse(f"the shapes of process {process!r} in bin {channel!r} are given twice.")
        entries[process] = Shape(file, *names[:2]) if names else None

    def _observation(self, words: list[str]) -> None:
        self._observations = [float(word) for word in words]
        if self._pending:
            _same_length(words, "observations", self._pending, "bins")
            self.card.bins, self._pending = self._pending, []

    def _bin(self, words: list[str]) -> None:
        self._pending = words
        odd = next((word for word in words if word[0].isdigit()), None)
        if odd is not None:
            _note(self.card, f"Combine itself refuses the name of bin {odd!r}, which begins with a digit.")

    def _process(self, words: list[str]) -> None:
        if self._columns:
            refuse("there is a third process line.")
        if self._names is None:
            _same_length(words, "processes", self._pending, "bins")
            self._names = words
            return
        numbers, names = words, self._names
        if _WHOLE.match(names[0]) and not _WHOLE.match(numbers[0]):  # numbers may stand above names
            numbers, names = names, numbers
        _same_length(numbers, "numbers", names, "processes")
        self._columns = list(zip(self._pending, names, strict=True))
        card, bins = self.card, list(dict.fromkeys(self._pending))
        card.bins = card.bins or bins
        stray = next((channel for channel in bins if channel not in card.bins), None)
        if stray is not None:
            refuse(f"the bin {stray} is not among the declared bins {', '.join(card.bins)}.")
        self._count("jmax", list(dict.fromkeys(names)), "processes", plus=1)
        self._count("imax", card.bins, "bins")
        if self._observations is not None:
            _same_length(self._observations, "observations", card.bins, "bins")
            card.observed = dict(zip(card.bins, self._observations, strict=True))
        signals, backgrounds = (
            {name for name, number in zip(names, numbers, strict=True) if (int(number) <= 0) is signal}
            for signal in (True, False)
        )
        if signals & backgrounds:
            refuse(f"the process {min(signals & backgrounds)} is signal in one bin and background in another.")
        card.signals = signals

    def _rate(self, words: list[str]) -> None:
        _same_length(words, "rates", self._columns, "columns of the two process lines")
        if len(set(self._columns)) != len(self._columns):
            twice = next(cell for cell in self._columns if self._columns.count(cell) > 1)
            refuse(f"the process {twice[1]} stands twice in the bin {twice[0]}.")
        self.card.rates = dict(zip(self._columns, map(float, words), strict=True))


def _same_length(found: Sequence[object], what: str, expected: Sequence[object], of: str) -> None:
    if len(found) != len(expected):
        refuse(f"there are {len(found)} {what} for {len(expected)} {of}.")


def _note(card: Card, sentence: str) -> None:
    if sentence not in card.notes:
        card.notes.append(sentence)


# ---- after the line ``rate``


class _Body:
    """The lines after ``rate``: systematic uncertainties and what belongs to them."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.edited = False

    def read(self, line: list[str]) -> None:
        """Take one line."""
        name, kind, *words = line
        name = name.replace("[nofloat]", "")
        if kind == "edit":
            self.edited = True
            edit(self.card, words)
            return
        if kind in _SILENT:
            self.card.idle.add(name)
            _note(self.card, f"the {kind} {name} {_SILENT[kind]}.")
        elif kind == "extArg":
            self._free(kind, name, words)
        elif kind in ("group", "autoMCStats", "rateParam", "param"):
            getattr(self, f"_{kind}")(name, words)
        elif kind in _CELLS or kind in _SHAPES:
            self._cells(f"theta{name}" if name[0].isdigit() else name, kind, words)
        else:
            known = (*_CELLS, *_SHAPES, *_OTHERS)
            refuse(f"{name} is of the unknown kind {kind!r}{nearest(kind, known)}; {', '.join(known)} can be read.")

    def _cells(self, name: str, kind: str, words: list[str]) -> None:
        kinds = {kind, *(each.kind for each in self.card.systematics if each.name == name)}
        if kinds >= {"lnN", "shape"}:
            refuse(f"{name} is a lnN in one line and a shape in another; write 'shape?' for what may be either.")
        numbers = _NUMBERS.get(kind, ())
        arguments = tuple(float(number(word)) for number, word in zip(numbers, words, strict=False))
        cells = words[len(numbers) :]
        if len(cells) < len(self.card.rates):
            refuse(f"the {kind} {name} has {len(cells)} entries for {len(self.card.rates)} columns.")
        found = Systematic(name, kind, arguments)
        for cell, word in zip(self.card.rates, cells, strict=False):  # words behind the last column are a remark
            effect = _effect(name, kind, word)
            if effect != 0.0:
                found.effects[cell] = effect
                if kind == "gmN" and self.card.rates[cell] == 0:
                    self.card.rates[cell] = 1e-6
        self.card.systematics.append(found)

    def _param(self, name: str, words: list[str]) -> None:
        if len(words) < 2:
            refuse(f"the param {name} needs a mean and a width.")
        two = re.fullmatch(r"-([^/]+)/\+([^/]+)", words[1])
        if "/" in words[1] and two is None:
            refuse(f"the two widths of the param {name} are written as -x/+y, not {words[1]}.")
        below, above = (float(word) for word in (two.groups() if two else (words[1], words[1])))
        if not min(below, above) > 0:
            refuse(f"the param {name} has the width {words[1]}, which is not above 0.")
        mean = float(words[0])
        self.card.measured[name] = {
            "constraint": "normal",
            "inits": [mean],
            "auxdata": [mean],
            "sigmas": [above],
            "below": [below],
            "bounds": [_range(words[2]) if len(words) == 3 else (mean - 4 * below, mean + 4 * above)],
        }

    def _rateParam(self, name: str, words: list[str]) -> None:  # noqa: N802  # named as Combine's line is
        if not 3 <= len(words) <= 4:
            refuse(f"the rateParam {name} needs a bin, a process, and a value (and [range]), or a formula and names.")
        bins, processes = (
            [each for each in known if _matches(each, word)]
            for known, word in zip((self.card.bins, self.card.processes), words, strict=False)
        )
        if not bins or not processes:
            refuse(f"the rateParam {name} names the bin {words[0]} and process {words[1]}, which are not both there.")
        if len(words) == 4 and "[" not in words[3]:
            if name not in self.card.free:
                self.card.formulas.setdefault(name, Formula(words[2], tuple(words[3].split(","))))
        else:
            self._free("rateParam", name, words[2:])
        for cell in ((channel, process) for process in processes for channel in bins):
            if cell in self.card.rates:
                self.card.scaled.setdefault(cell, []).append(name)

    def _free(self, kind: str, name: str, words: list[str]) -> None:
        """Create a parameter of a value and, if stated, a range; the first line of a name counts."""
        if ".root:" in words[0]:
            refuse(f"the {kind} {name} lies in the RooFit workspace {words[0]}, which can't be read here.")
        value, fixed = float(words[0]), kind == "extArg" and words[1:] in (["const"], ["[const]"])
        bounds = _range(words[1]) if len(words) > 1 and not fixed else _EVERYWHERE
        if not bounds[0] <= value <= bounds[1]:
            refuse(f"the {kind} {name} begins at {value:g}, outside its range {words[1]}.")
        if name not in self.card.formulas:
            settings = {"constraint": "none", "inits": [value], "bounds": [bounds], "fixed": fixed}
            self.card.free.setdefault(name, settings)

    def _group(self, name: str, words: list[str]) -> None:
        if words[:1] != ["+=" if name in self.card.groups else "="]:
            refuse(f"the group {name} needs = and the names of parameters, once, and += in further lines.")
        self.card.groups.setdefault(name, set()).update(words[1:])

    def _autoMCStats(self, name: str, words: list[str]) -> None:  # noqa: N802  # named as Combine's line is
        if not 1 <= len(words) <= 3:
            refuse("autoMCStats takes a threshold, whether signal counts (0 or 1) and a mode (1 or 2).")
        threshold, signal, mode = (*words, *("0", "1")[len(words) - 1 :])
        setting = (float(threshold), bool(int(signal)), int(mode))
        if "*" not in name and name not in self.card.bins:
            refuse(f"autoMCStats names the bin {name}, which is not there{nearest(name, self.card.bins)}.")
        self.card.statistics |= {channel: setting for channel in self.card.bins if _matches(channel, name)}


def _matches(name: str, word: str) -> bool:
    """Tell whether a word means a bin or process: its name, or a pattern with an asterisk."""
    return name == word or ("*" in word and fnmatch.fnmatchcase(name, word))


def _range(word: str) -> tuple[float, float]:
    low, high = (float(each) for each in word.strip("[]").split(","))
    if not low < high:
        refuse(f"the range {word} is empty.")
    return low, high


def _effect(name: str, kind: str, word: str) -> Effect:
    """Read one cell; 0 is no effect."""
    if set(word) == {"-"}:
        return 0.0
    if "/" in word:
        if kind not in _ASYMMETRIC and not kind.endswith("?"):
            refuse(f"the {kind} {name} has the entry {word}: only lnN and lnU have two values.")
        down, up = (float(each) for each in word.split("/"))
        if not min(down, up) > 0:
            refuse(f"the {kind} {name} has the entry {word}, which is not above 0.")
        return down, up
    value = float(word)
    if kind != "trG" and not value >= 0:
        refuse(f"the {kind} {name} has the negative entry {word}.")
    return value


# ---- what must hold of the whole card


def _check_yields(card: Card) -> None:
    for channel in card.bins:
        roles = {name in card.signals for (where, name), rate in card.rates.items() if where == channel and rate}
        if not roles:
            refuse(f"no process contributes to the bin {channel}.")
        if False not in roles:
            refuse(f"no background contributes to the bin {channel}; Combine refuses that.")
        if True not in roles:
            _note(card, f"no signal contributes to the bin {channel}.")


def _drop_empty(card: Card, declared: int | None) -> None:
    """Drop uncertainties without an effect on any process with events, as Combine does; kmax counts them too."""

    def acts(each: Systematic) -> bool:
        return any(
            card.rates[cell] != 0 and not (each.kind == "lnN" and effect == 1.0)
            for cell, effect in each.effects.items()
        )

    count = len(card.systematics) + len(card.measured)
    if declared not in (None, count):
        refuse(f"there are {count} systematic uncertainties, not {declared} (kmax); kmax * counts them.")
    for each in card.systematics[:]:
        if not acts(each):
            _note(card, f"the {each.kind} {each.name} has no effect.")
            card.systematics.remove(each)


def _check_names(card: Card) -> None:
    """Refuse names that would mean two things, and formulas or groups of what is not there."""
    twice = {"r", *(each.name for each in card.systematics)} & {*card.free, *card.formulas}
    for name in sorted(twice):
        what = "the signal strength" if name == "r" else "a systematic uncertainty"
        refuse(f"{name} is {what} and a rateParam; give one another name.")
    needed = {name: set(formula.parameters) for name, formula in card.formulas.items()}
    uses = [(f"formula of {name} needs", names - {"r"}) for name, names in needed.items()]
    uses += [(f"group {name} names", names - card.idle) for name, names in card.groups.items()]
    known = card.parameters | set(card.formulas)
    for what, names in uses:
        for stray in sorted(names - known):
            refuse(f"the {what} {stray}, which is no parameter{nearest(stray, sorted(known))}.")
    try:
        TopologicalSorter({name: arguments & set(needed) for name, arguments in needed.items()}).prepare()
    except CycleError as error:
        other, one = error.args[1][-2:]  # each is needed by the next
        refuse(f"the formula of {one} needs {other}, and in the end itself.")
