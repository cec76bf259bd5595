"""The templates that a datacard names: which file, which histogram, and what is in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from colonnade.errors import ConfigError, InputError, nearest
from colonnade.statistics.formats.combine.card import Card, Shape
from colonnade.statistics.model import Floats

DATA = "data_obs"


@dataclass(frozen=True, slots=True)
class Template:
    """A histogram without its flow bins: values, errors, and the edges of the bins."""

    values: Floats
    errors: Floats
    edges: tuple[float, ...]

    @property
    def total(self) -> float:
        """The sum of the values."""
        return float(self.values.sum())


class _Tables:
    """Templates in a table of pandas, as Combine takes them of a file of comma-separated values, JSON or parquet.

    The last two columns are the sums of weights and of their squares; of those before, the index of a parquet file,
    the last tells the bins of a template apart and the others name it. A name is ``channel:process:systematic``, of
    which the last may be left away where it is ``nominal``, and after a comma the two columns of sums.
    """

    suffixes = (".csv", ".json", ".parquet")

    def __init__(self, path: Path) -> None:
        import pandas as pd

        read = {".csv": pd.read_csv, ".json": pd.read_json, ".parquet": pd.read_parquet}[path.suffix]
        frame: Any = read(path)
        self._frame = frame if path.suffix == ".parquet" else frame.set_index(list(frame.columns[:-2]))

    @cached_property
    def _rows(self) -> dict[str, Any]:
        """The rows of each name, in the order of the file."""
        levels = list(range(self._frame.index.nlevels - 1))
        groups = self._frame.groupby(level=levels, sort=False)
        return {":".join(map(str, key)): rows for key, rows in groups}

    def keys(self) -> list[str]:
        """Return the names of all templates."""
        return list(self._rows)

    def get(self, name: str) -> Template | None:
        """Return a template, whose bins are as wide as one; None where there is none of that name."""
        labels, _, columns = name.partition(",")
        rows = self._rows.get(labels if labels.count(":") >= 2 else f"{labels}:nominal")
        if rows is None:
            return None
        values, squares = (rows[column].to_numpy(dtype=np.float64) for column in (columns or "sum_w:sum_ww").split(":"))
        return Template(values, np.sqrt(squares), tuple(map(float, range(len(values) + 1))))


class _RootFile:
    """The templates of a ROOT file, each a one-dimensional histogram."""

    def __init__(self, path: Path) -> None:
        self._file = uproot.open(path)

    def keys(self) -> list[str]:
        """Return the names of all objects."""
        return [re.sub(r";\d+$", "", each) for each in self._file.keys(recursive=True)]

    def get(self, name: str) -> Template | None:
        """Return a template; None where there is no object of that name.

        Raises
        ------
        ConfigError
            If the object is something else.
        """
        if ":" in name:
            whole, _, part = name.partition(":")
            kind = str(self._file.classname_of(whole)) if whole in self._file else "workspace"
            msg = f"{part} lies in the {kind} {whole}; of RooFit workspaces and trees nothing can be read"
            raise ConfigError(msg)
        try:
            histogram = self._file[name]
        except uproot.KeyInFileError:
            return None
        kind = getattr(histogram, "classname", type(histogram).__name__)
        if not kind.startswith("TH1"):
            msg = f"{name} is a {kind}; only one-dimensional histograms can be read"
            raise ConfigError(msg)
        values, errors = (np.asarray(each, dtype=np.float64) for each in (histogram.values(), histogram.errors()))
        return Template(values, errors, tuple(float(edge) for edge in histogram.axis().edges()))


class Templates:
    """The templates of one card; each file is opened once.

    Parameters
    ----------
    card
        The card; files lie relative to its folder.
    mass
        What ``$MASS`` stands for; None refuses a card that needs it.
    """

    def __init__(self, card: Card, mass: float | None = None) -> None:
        self._card, self._mass = card, mass
        self._files: dict[str, _RootFile | _Tables] = {}
        self._found: dict[tuple[str, str, str], Template | None] = {}

    def counted(self, channel: str, process: str = DATA) -> bool:
        """Tell whether a process has no template, so that its rate is all there is.

        Raises
        ------
        ConfigError
            If the card has shapes lines, but none for this process.
        """
        return not self._card.shapes or self._place(channel, process) is None

    def get(self, channel: str, process: str, systematic: str = "") -> Template:
        """Return a template.

        Parameters
        ----------
        channel, process
            The cell; the process may be ``data_obs``.
        systematic
            Name of the uncertainty with ``Up`` or ``Down``, or empty for the nominal template.

        Raises
        ------
        InputError
            If the file can't be read.
        ConfigError
            If there is no such template, or it is no one-dimensional histogram.
        """
        found = self.find(channel, process, systematic)
        if found is None:
            place = self._place(channel, process)
            if place is None or (systematic and place.varied is None):
                what = f"the shapes line of {process} in {channel} names no template of variations"
            else:
                file, name = self._name(place, channel, process, systematic)
                what = f"{file} has no histogram {name}{nearest(name, self._open(file).keys())}"
            msg = f"{self._card.path}: {what}."
            raise ConfigError(msg)
        return found

    def find(self, channel: str, process: str, systematic: str = "") -> Template | None:
        """Return a template, or None where the file has none of that name; raises what `get` raises else."""
        key = (channel, process, systematic)
        if key not in self._found:
            self._found[key] = self._look_up(channel, process, systematic)
        return self._found[key]

    def _place(self, channel: str, process: str) -> Shape | None:
        """Where the templates of a process lie: what a bin's own lines say goes before those of all bins."""
        shapes = self._card.shapes
        for entries in (shapes.get(channel), shapes.get("*")):
            for name in (process, "*"):
                if entries is not None and name in entries:
                    return entries[name]
        msg = f"{self._card.path}: no shapes line is about the process {process} in the bin {channel}."
        raise ConfigError(msg)

    def _name(self, place: Shape, channel: str, process: str, systematic: str) -> tuple[str, str]:
        words = {"PROCESS": process, "CHANNEL": channel, "SYSTEMATIC": systematic}
        if self._mass is not None:
            words["MASS"] = f"{self._mass:g}" if self._mass % 1 else str(int(self._mass))
        pattern = place.varied if systematic else place.nominal
        return self._filled(place.file, words), self._filled(pattern or "", words)

    def _filled(self, text: str, words: dict[str, str]) -> str:
        for word, value in words.items():
            text = text.replace(f"${word}", value)
        if "$MASS" in text:
            msg = f"{self._card.path}: the shapes depend on the mass ($MASS); give it with --mass."
            raise ConfigError(msg)
        unknown = re.search(r"\$[A-Za-z_]+", text)
        if unknown:
            known = "$PROCESS, $CHANNEL, $SYSTEMATIC and $MASS"
            msg = f"{self._card.path}: the shapes hold the word {unknown[0]}; {known} are known."
            raise ConfigError(msg)
        return text

    def _look_up(self, channel: str, process: str, systematic: str) -> Template | None:
        place = self._place(channel, process)
        if place is None or (systematic and place.varied is None):
            return None
        file, name = self._name(place, channel, process, systematic)
        try:
            found = self._open(file).get(name)
        except ConfigError as error:
            msg = f"{self._card.path}: in {file} {error}."
            raise ConfigError(msg) from None
        if found is not None and not np.all(np.isfinite(found.values)):
            msg = f"{self._card.path}: {name} in {file} has a bin that is not a number."
            raise ConfigError(msg)
        return found

    def _open(self, file: str) -> _RootFile | _Tables:
        path = self._card.path.parent / file
        if file not in self._files:
            if not path.is_file():
                msg = f"{self._card.path}: there is no file of shapes {path}."
                raise InputError(msg)
            table = path.suffix in _Tables.suffixes
            try:
                self._files[file] = _Tables(path) if table else _RootFile(path)
            except Exception as error:  # uproot and pandas raise many kinds on what is something else
                kind = "a table of templates" if table else "ROOT"
                msg = f"{self._card.path}: the file of shapes {path} can't be read as {kind}."
                raise InputError(msg) from error
        return self._files[file]
