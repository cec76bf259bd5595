"""What the metadata of a chunk of events say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak

from colonnade.errors import ConfigError


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
