"""Reading a TTree with uproot."""

from __future__ import annotations

__all__ = ["TTreeReader"]

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np

from colonnade.events.readers import Raw


class TTreeReader:
    """A TTree of an open ROOT file.

    Parameters
    ----------
    directory
        The file, as uproot opens it.
    tree
        The tree in it.
    """

    def __init__(self, directory: Any, tree: Any) -> None:
        self._directory = directory
        self._tree = tree
        self.entries = int(tree.num_entries)
        self.names: tuple[str, ...] = tuple(branch.name for branch in tree.branches)
        self.size = int(directory.file.fEND)
        self.identity = f"{directory.file.uuid}:{self.size}"

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a branch is jagged, and the awkward form of its values."""
        branch = self._tree[name]
        form = branch.interpretation.awkward_form(branch.file)
        jagged = isinstance(form, ak.forms.ListOffsetForm) and form.parameter("__array__") is None
        return jagged, form.content if jagged else form

    def read(self, names: Sequence[str], start: int, stop: int) -> Mapping[str, Raw]:
        """Read branches of an entry range in one call."""
        arrays = self._tree.arrays(list(names), entry_start=start, entry_stop=stop, library="ak", how=dict)
        return {name: to_raw(arrays[name].layout) for name in names}

    def total(self, name: str) -> float | None:
        """Sum a branch of the ``Runs`` tree."""
        runs = self._directory.get("Runs")
        if runs is None or not hasattr(runs, "num_entries") or name not in runs:
            return None
        return float(np.sum(runs[name].array(library="np"), dtype=np.float64))


def to_raw(layout: Any) -> Raw:
    """Split an awkward layout into the outermost offsets and the values."""
    if layout.is_list and layout.parameter("__array__") is None and not layout.is_regular:
        layout = layout.to_ListOffsetArray64(start_at_zero=True)
        offsets = np.asarray(layout.offsets.data)
        return Raw(offsets, _plain(layout.content[: offsets[-1]]))
    return Raw(None, _plain(layout))


def _plain(layout: Any) -> Any:
    return layout.data if isinstance(layout, ak.contents.NumpyArray) and not layout.parameters else layout
