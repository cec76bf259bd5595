"""What a run left in its folder, read and checked; the report reads it too."""

from __future__ import annotations

__all__ = ["RunFolder"]

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from colonnade.config import parse_settings, read_json
from colonnade.errors import ConfigError, InputError
from colonnade.plotting.filled import Filled
from colonnade.plotting.views import Cutflow, CutRow, FitSummary, LedgerView

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class RunFolder:
    """A run's output folder; each file is read when first asked for.

    Attributes
    ----------
    path : Path
        The folder.
    """

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Check that a folder is a run's.

        Raises
        ------
        InputError
            If it is not a folder, or holds nothing of a run.
        """
        path = Path(path)
        if not path.is_dir():
            msg = f"{path} is not a folder; give the output folder of a run."
            raise InputError(msg)
        known = ("histograms.zip", "cutflow.json", "ledger.json", "fit.json", "provenance.json")
        if not any((path / name).is_file() for name in known):
            msg = f"{path} holds none of {', '.join(known)}; give the output folder of a run."
            raise InputError(msg)
        return cls(path)

    @cached_property
    def histograms(self) -> Mapping[str, Mapping[str, Any]]:
        """``histograms[name][process]``; none where the file is missing."""
        from colonnade.histograms import load

        return load(self.path) if (self.path / "histograms.zip").is_file() else {}

    @cached_property
    def filled(self) -> Mapping[str, Mapping[str, Filled]]:
        """The same as arrays."""
        return {
            name: {process: Filled.of(each) for process, each in processes.items()}
            for name, processes in self.histograms.items()
        }

    @cached_property
    def ledger(self) -> LedgerView | None:
        """What became of every event."""
        return self._read("ledger.json", LedgerView)

    @cached_property
    def cutflow(self) -> Mapping[str, Mapping[str, tuple[CutRow, ...]]]:
        """Dataset, then region, then rows; empty where the file is missing."""
        found = self._read("cutflow.json", Cutflow)
        return {} if found is None else found.root

    @cached_property
    def fit(self) -> FitSummary | None:
        """Significances and limits."""
        return self._read("fit.json", FitSummary)

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """Where the result comes from; empty where the file is missing."""
        path = self.path / "provenance.json"
        content = _json(path) if path.is_file() else {}
        return content if isinstance(content, dict) else {}

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved workflow, as provenance.json has it."""
        found = self.provenance.get("config")
        return found if isinstance(found, dict) else {}

    @property
    def luminosity(self) -> float | None:
        """In fb^-1, to which the simulation is scaled."""
        if self.fit is not None and self.fit.luminosity is not None:
            return self.fit.luminosity
        found = self.config.get("luminosity")
        return float(found) if isinstance(found, int | float) else None

    @property
    def blinded(self) -> bool:
        """Whether data in signal regions are hidden; without a word on it, yes."""
        if "unblind" in self.config:
            return not self.config["unblind"]
        return self.fit is None or self.fit.blinded

    @property
    def signal_regions(self) -> tuple[str, ...] | None:
        """The regions that blinding is about; none where provenance.json does not say."""
        found = self.provenance.get("signal_regions")
        return tuple(str(name) for name in found) if isinstance(found, list) else None

    def hides_data(self, region: str, empty: bool) -> bool:
        """Say whether a region's data are hidden, rather than nothing having been seen.

        Parameters
        ----------
        region
            The region.
        empty
            Whether it holds no data: that tells where provenance.json does not.
        """
        if not self.blinded:
            return False
        known = self.signal_regions
        return empty if known is None else region in known

    @property
    def declared_signals(self) -> Mapping[str, Mapping[str, Any]]:
        """Process to the signal parameters of the manifest, as provenance.json has them."""
        inputs = self.provenance.get("inputs")
        datasets = inputs.get("datasets") if isinstance(inputs, dict) else None
        if not isinstance(datasets, dict):
            return {}
        return {
            each["process"]: each["signal"]
            for each in datasets.values()
            if isinstance(each, dict) and isinstance(each.get("signal"), dict) and isinstance(each.get("process"), str)
        }

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """Process to data, background or signal, in the manifest's order."""
        kinds = {}
        if self.ledger is not None:
            kinds = {entry.process: entry.kind for entry in self.ledger.datasets.values()}
        signals = set() if self.fit is None else {point.signal for point in self.fit.points}
        for processes in self.histograms.values():
            for name in processes:
                guess = "data" if name == "data" else "signal" if name in signals else "background"
                kinds.setdefault(name, guess)
        return kinds

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """All regions, in the analysis's order."""
        names: dict[str, None] = {}
        for table in self.cutflow.values():
            names.update(dict.fromkeys(table))
        for processes in self.filled.values():
            for histogram in processes.values():
                names.update(dict.fromkeys(histogram.regions))
        return tuple(names)

    def json(self, name: str) -> dict[str, Any] | None:
        """Return the content of a result file that one step writes and one section shows; None where it is missing.

        Raises
        ------
        InputError
            If the file can't be read.
        """
        path = self.path / name
        content = _json(path) if path.is_file() else None
        return content if isinstance(content, dict) else None

    def _read(self, name: str, model: type[M]) -> M | None:
        path = self.path / name
        if not path.is_file():
            return None
        try:
            return parse_settings(model, _json(path), str(path))
        except ConfigError as error:
            msg = f"{str(error).rstrip('.')}; run the workflow again to write the file anew."
            raise InputError(msg) from error


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except ConfigError as error:
        msg = f"{str(error).rstrip('.')}; run the workflow again to write the file anew."
        raise InputError(msg) from error
