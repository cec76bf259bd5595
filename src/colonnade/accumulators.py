"""What a coffea processor returns: added by coffea's rules, and written and read without pickle.

An accumulator is nested dictionaries, lists and sets of numbers, arrays, histograms and objects that add. It is taken
apart into plain data and arrays, which any tool can read: `accumulator.json` says where each of them belongs, arrays
are `.npy` files, and histograms are in uhi's serialisation.
"""

from __future__ import annotations

__all__ = ["Accumulated", "load", "require_numbers", "write_accumulator"]

import collections
import copy
import io
import json
import zipfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import boost_histogram as bh
import numpy as np

from colonnade.errors import EventError
from colonnade.histograms import storage
from colonnade.inputs import open_archive
from colonnade.output import replacing
from colonnade.serialisation import Parts, put_together, short, shown, take_apart

_FILE = "accumulator.zip"


class Accumulated:
    """What `process` returned for one chunk, or the sum of several; ``+=`` adds another one by coffea's rules.

    Parameters
    ----------
    value
        The accumulator. It is copied, as the processor may hold parts of it, and arrays may be views of its events.

    Raises
    ------
    EventError
        If it holds something that can't be kept, naming the key.
    """

    def __init__(self, value: Any) -> None:
        self.value = put_together(take_apart(value))

    def __reduce__(self) -> Any:
        return put_together, (take_apart(self),)

    def __iadd__(self, other: Accumulated) -> Accumulated:
        """Add another accumulator.

        Raises
        ------
        EventError
            If some part can't be added, naming its key.
        """
        self.value = _added(self.value, other.value, ())
        return self


def _added(one: Any, other: Any, path: tuple[Any, ...]) -> Any:
    """Add an accumulator, dictionaries key by key; in place but for arrays, whose type may have to change."""
    from coffea.processor.accumulator import add, iadd

    if isinstance(one, MutableMapping) or isinstance(other, MutableMapping):
        if not (isinstance(other, type(one)) or isinstance(one, type(other))):
            raise EventError(_unlike(one, other, path, "their types differ"))
        if not isinstance(one, collections.Counter):
            for key, value in other.items():
                one[key] = _added(one[key], value, (*path, key)) if key in one else copy.deepcopy(value)
            return one
    if isinstance(one, list) and isinstance(other, list):  # coffea can't add three of its list_accumulator
        one.extend(other)
        return one
    try:
        return add(one, other) if isinstance(one, np.ndarray) else iadd(one, other)
    except Exception as error:
        raise EventError(_unlike(one, other, path, str(error).partition("\n")[0].rstrip("."))) from error


def _unlike(one: Any, other: Any, path: tuple[Any, ...], reason: str) -> str:
    return f"The accumulators at {shown(path)} can't be added: {short(one)} and {short(other)} ({reason})."


def require_numbers(value: Any, path: tuple[Any, ...] = ()) -> None:
    """Refuse sums that are not numbers: they would make the whole sum none.

    Columns may hold such values, as they are not added to each other.

    Raises
    ------
    EventError
        If a number or the content of a histogram is not one, naming the key.
    """
    if isinstance(value, MutableMapping):
        for key, item in value.items():
            require_numbers(item, (*path, key))
        return
    if isinstance(value, bh.Histogram):
        wrong = bool(np.isnan(value.values(flow=True)).any()) and "Mean" not in value.storage_type.__name__
    else:
        wrong = isinstance(value, float | complex | np.inexact) and bool(np.isnan(value))
    if wrong:
        msg = f"The accumulator holds at {shown(path)} a {type(value).__name__} that is not a number (NaN)."
        raise EventError(msg)


def write_accumulator(value: Any, path: Path | str) -> None:
    """Write an accumulator as a ZIP archive; `load` reads it. Equal accumulators give equal bytes.

    Parameters
    ----------
    value
        What `postprocess` returned.
    path
        The file to write.

    Raises
    ------
    EventError
        If it holds something that can't be written, naming the key.
    OutputError
        If the file can't be written.
    """
    parts = take_apart(value)
    with (
        replacing(Path(path)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        storage.write_member(archive, "accumulator.json", json.dumps(parts.tree, indent=1))
        for number, array in enumerate(parts.arrays):
            stream = io.BytesIO()
            np.save(stream, array, allow_pickle=False)
            storage.write_member(archive, f"{number}.npy", stream.getvalue())


def load(folder: Path | str, era: str | None = None) -> Any:
    """Read what a run left; nothing is unpickled.

    Parameters
    ----------
    folder
        The output folder of a run, or an archive of it.
    era
        One of the run's eras; without it, the sums over all.

    Returns
    -------
    object
        Of a coffea processor, what coffea's `Runner` would have returned; of an analysis of colonnade
        ``histograms[name][process]``, each with the axes region, variation and the declared ones.

    Raises
    ------
    InputError
        If there is no such file, it can't be read, or it holds an object of a class whose module is not imported.
    """
    path = Path(folder)
    path = path / _FILE if path.is_dir() else path
    if path.name != _FILE or not path.is_file():
        return storage.load(folder, era)
    with open_archive(path, "an accumulator") as archive:
        tree = json.loads(archive.read("accumulator.json"))
        places = range(len(archive.namelist()) - 1)
        arrays = [np.load(io.BytesIO(archive.read(f"{place}.npy")), allow_pickle=False) for place in places]
        return put_together(Parts(tree, arrays))
