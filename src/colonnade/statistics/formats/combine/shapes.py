"""The templates that a datacard names: which file, which histogram, and what is in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
        self._files: dict[str, uproot.ReadOnlyDirectory] = {}
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
            msg = f"{self._card.path}: the shapes line of {process} in {channel} names no template of variations."
            if place is not None and place.varied is not None:
                _, file, name = self._name(place, channel, process, systematic)
                known = [re.sub(r";\d+$", "", each) for each in self._open(file).keys(recursive=True)]
                msg = f"{self._card.path}: {file} has no histogram {name}{nearest(name, known)}."
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

    def _name(self, place: Shape, channel: str, process: str, systematic: str) -> tuple[Shape, str, str]:
        words = {"PROCESS": process, "CHANNEL": channel, "SYSTEMATIC": systematic}
        if self._mass is not None:
            words["MASS"] = f"{self._mass:g}" if self._mass % 1 else str(int(self._mass))
        pattern = place.varied if systematic else place.nominal
        file, name = (self._filled(text, words) for text in (place.file, pattern or ""))
        return place, file, name

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
        _, file, name = self._name(place, channel, process, systematic)
        if ":" in name:
            self._refuse_object(file, name)
        try:
            histogram = self._open(file)[name]
        except uproot.KeyInFileError:
            if systematic:
                return None
            known = [re.sub(r";\d+$", "", each) for each in self._open(file).keys(recursive=True)]
            msg = f"{self._card.path}: {file} has no histogram {name}{nearest(name, known)}."
            raise ConfigError(msg) from None
        kind = getattr(histogram, "classname", type(histogram).__name__)
        if not kind.startswith("TH1"):
            msg = f"{self._card.path}: {name} in {file} is a {kind}; only one-dimensional histograms can be read."
            raise ConfigError(msg)
        values = np.asarray(histogram.values(), dtype=np.float64)
        if not np.all(np.isfinite(values)):
            msg = f"{self._card.path}: {name} in {file} has a bin that is not a number."
            raise ConfigError(msg)
        errors = np.asarray(histogram.errors(), dtype=np.float64)
        return Template(values, errors, tuple(float(edge) for edge in histogram.axis().edges()))

    def _refuse_object(self, file: str, name: str) -> None:
        whole, _, part = name.partition(":")
        kind = str(self._open(file).classname_of(whole)) if whole in self._open(file) else "workspace"
        msg = (
            f"{self._card.path}: {part} lies in the {kind} {whole} of {file}; shapes of RooFit workspaces and trees "
            "can't be read here, only histograms."
        )
        raise ConfigError(msg)

    def _open(self, file: str) -> uproot.ReadOnlyDirectory:
        path = self._card.path.parent / file
        if file not in self._files:
            try:
                self._files[file] = uproot.open(path)
            except Exception as error:  # uproot raises many kinds on what is no ROOT file
                msg = f"{self._card.path}: the file of shapes {path} can't be read as ROOT."
                raise InputError(msg) from error
        return self._files[file]
