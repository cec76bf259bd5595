"""Correction files and luminosity masks, read when first used in a process and shared by all chunks there."""

from __future__ import annotations

import functools
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from colonnade.config import read_json
from colonnade.errors import ConfigError, nearest
from colonnade.inputs import check_nesting, read_file, require_file
from colonnade.processor.pieces import Array, Chunk, Mask

_FORMULA = re.compile(rb'"expression"\s*:\s*"((?:[^"\\]|\\.)*)"')
#: letters of a formula of a correction
_LONGEST = 8000
#: correction to how many values of the chunk at work it was evaluated for outside its range
OUTSIDE: ContextVar[Counter[str]] = ContextVar("outside")


class Corrections(Mapping[str, Any]):
    """Correction sets by name. They travel to workers by value, so these need not see the files.

    A ROOT file gives a set with one correction for each histogram of one or two axes, of the same name, and NAME_error
    for the errors of its bins; its inputs are ``xaxis`` and ``yaxis``. Values outside the bins are
    refused, as a histogram does not say what holds there. Text files (``*.jec.txt``, ``*.junc.txt``, ``*.ea.txt``, ...)
    are read by coffea's `lookup_tools`, and give its evaluator: ``self.corrections["jec"]["NAME"](eta, pt)``; CSV files
    of b-tagging give coffea's `BTagScaleFactor` of each working point:
    ``self.corrections["btag"]["medium"].eval("central", flavour, eta, pt)``.

    Parameters
    ----------
    paths
        Name to file: correctionlib's (JSON, or JSON.gz), ROOT, CSV or text.
    contents
        Path to content of the files that need not be there, as they came by value.

    Raises
    ------
    ConfigError
        If a file does not exist.
    """

    def __init__(self, paths: Mapping[str, Path | str], contents: Mapping[str, bytes] | None = None) -> None:
        self._paths = {name: str(path) for name, path in paths.items()}
        self._contents = dict(contents or {})
        for name, path in self._paths.items():
            if path not in self._contents:
                require_file(path, ConfigError, f"the correction {name!r}: ")

    def __reduce__(self) -> tuple[Any, ...]:
        contents = {path: self._contents.get(path) or read_file(path) for path in self._paths.values()}
        return Corrections, (self._paths, contents)

    @property
    def paths(self) -> dict[str, str]:
        """Name to file."""
        return dict(self._paths)

    def __getitem__(self, name: str) -> Any:
        if name not in self._paths:
            known = f"; known: {', '.join(self._paths)}" if self._paths else "; none is given"
            msg = f"the analysis asks for the correction {name!r}{nearest(name, self._paths)}{known}."
            raise ConfigError(msg)
        path = self._paths[name]
        return _correction_set(path, self._contents.get(path))

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _checked_text(path: str, content: bytes | None) -> str:
    """Return the text of a correctionlib file that its parser can stand."""
    content = read_file(path, ConfigError) if content is None else content
    check_nesting(content, path, ConfigError)
    longest = max(map(len, _FORMULA.findall(content)), default=0)
    if longest > _LONGEST:  # the parser ends the process where there are too many terms
        msg = f"{path}: a formula has {longest:,} letters, and {_LONGEST:,} at most are read."
        raise ConfigError(msg)
    return content.decode("utf-8")


@functools.lru_cache(maxsize=64)
def _correction_set(path: str, content: bytes | None) -> Any:
    import correctionlib

    kind = Path(path).suffix
    try:
        if kind not in _CONVERTED:
            return correctionlib.CorrectionSet.from_string(_checked_text(path, content))
        if content is None:
            require_file(path, ConfigError)
            return _CONVERTED[kind](path)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / Path(path).name
            place.write_bytes(content)
            return _CONVERTED[kind](str(place))
    except ConfigError:
        raise
    except Exception as error:
        what = {".root": "a ROOT file of histograms", **dict.fromkeys((".csv", ".txt"), "a table of coffea's")}
        msg = f"{path} can't be read as {what.get(kind, 'a correctionlib file')} ({error})."
        raise ConfigError(msg) from error


def _from_root(path: str) -> Any:
    """Make corrections of the histograms of a ROOT file."""
    import uproot
    from correctionlib import CorrectionSet, convert, schemav2

    made = []
    with uproot.open(path) as file:
        for name in file.keys(recursive=True, cycle=False, filter_classname="TH[12]*"):
            histogram = file[name].to_hist()
            for suffix, content in (("", histogram.values()), ("_error", np.sqrt(histogram.variances()))):
                histogram.view(flow=False)["value" if histogram.view().dtype.names else ...] = content
                one = convert.from_histogram(histogram, flow="error")
                made.append(one.model_copy(update={"name": f"{name}{suffix}"}))
    if not made:
        msg = f"{path} holds no histogram of one or two axes, so no correction."
        raise ConfigError(msg)
    text = schemav2.CorrectionSet(schema_version=2, corrections=made).model_dump_json(exclude_unset=True)
    return CorrectionSet.from_string(text)


def _from_csv(path: str) -> Any:
    """Read factors of b-tagging with coffea, for each working point of the file."""
    from coffea.btag_tools import BTagScaleFactor

    points = set(BTagScaleFactor.readcsv(path)[0]["OperatingPoint"])
    methods = dict.fromkeys(("loose", "medium", "tight"), "comb,comb,incl")
    methods["reshape"] = "iterativefit,iterativefit,iterativefit"
    found = {
        word: BTagScaleFactor(path, number, method)
        for number, (word, method) in enumerate(methods.items())
        if number in points
    }
    if not found:
        msg = f"{path} has no working point 0 to 3, but {', '.join(map(str, points))}; take the correctionlib file."
        raise ConfigError(msg)
    return found


def _from_text(path: str) -> Any:
    """Read a table with coffea's lookups."""
    from coffea.lookup_tools import extractor

    reader = extractor()
    reader.add_weight_sets([f"* * {path}"])
    reader.finalize()
    return reader.make_evaluator()


_CONVERTED = {".root": _from_root, ".csv": _from_csv, ".txt": _from_text}


class LuminosityMask:
    """Which luminosity blocks of which runs are certified.

    Parameters
    ----------
    certified
        Run number (as text, for it is JSON) to list of first and last block, both included.
    """

    def __init__(self, certified: Mapping[str, Sequence[Sequence[int]]]) -> None:
        ranges = sorted(
            (_key(int(run), int(first)), _key(int(run), int(last)))
            for run, blocks in certified.items()
            for first, last in blocks
        )
        self._firsts = np.array([first for first, _ in ranges], dtype=np.uint64)
        # ranges may overlap: what matters is how far those that have begun reach
        self._lasts = np.maximum.accumulate(np.array([last for _, last in ranges], dtype=np.uint64))

    def __call__(self, run: Array, block: Array) -> Mask:
        """Return whether each event is in a certified block."""
        keys = _key(run.astype(np.uint64), block.astype(np.uint64))
        begun = np.searchsorted(self._firsts, keys, side="right")
        certified: Mask = begun > 0
        certified[certified] = keys[certified] <= self._lasts[begun[certified] - 1]
        return certified


def countable(events: Any, chunk: Chunk) -> dict[str, Mask]:
    """Return what decides of data whether an event counts: certified blocks, and triggers of primary datasets.

    Raises
    ------
    ConfigError
        If there is a luminosity mask and the events have no run or block.
    """
    masks = {}
    if chunk.is_data and chunk.luminosity_mask is not None:
        missing = [name for name in ("run", "luminosityBlock") if name not in ak.fields(events)]
        if missing:
            msg = f"a luminosity mask is given for data without the column {missing[0]!r} {chunk.where}."
            raise ConfigError(msg)
        run, block = (np.asarray(events[name]) for name in ("run", "luminosityBlock"))
        masks["luminosity mask"] = luminosity_mask(chunk.luminosity_mask)(run, block)
    if chunk.is_data and chunk.triggers:
        masks["primary dataset"] = _fired(events, chunk.triggers) & ~_fired(events, chunk.triggers_before)
    return masks


def _fired(events: Any, triggers: Sequence[str]) -> Mask:
    """Tell of each event whether any trigger fired; one that a file lacks did not, see `execution.plan`."""
    fired = np.zeros(len(events), dtype=bool)
    for trigger in triggers:
        group, _, field = trigger.partition("_")
        if trigger in ak.fields(events):
            fired |= np.asarray(events[trigger]).astype(bool)
        elif group in ak.fields(events) and field in ak.fields(events[group]):
            fired |= np.asarray(events[group][field]).astype(bool)
    return fired


def luminosity_mask(path: str) -> LuminosityMask:
    """Return what a golden JSON file certifies, read once a process and again when the file changes.

    Raises
    ------
    ConfigError
        If the file can't be read or is none.
    """
    status = Path(path).stat() if Path(path).exists() else None
    return _read_mask(path, None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino))


@functools.lru_cache(maxsize=16)
def _read_mask(path: str, version: tuple[int, ...] | None) -> LuminosityMask:
    del version  # counts in the cache's key only
    certified = read_json(Path(path))
    try:
        return LuminosityMask(certified)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        msg = f"the luminosity mask {path} must give for each run a list of first and last blocks ({error})."
        raise ConfigError(msg) from error


def _key(run: Any, block: Any) -> Any:
    """Return one number that orders by run, then block."""
    return run * 2**32 + block
