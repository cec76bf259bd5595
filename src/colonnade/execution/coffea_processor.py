"""Coffea processors: their events counted here, their histograms found and brought to one form."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import boost_histogram as bh
import hist
import numpy as np
from coffea.processor import ProcessorABC

from colonnade.accumulators import Accumulated, require_numbers
from colonnade.errors import ConfigError, EventError, nearest
from colonnade.faults import sentence
from colonnade.kinematics import take
from colonnade.manifest.strata import stratum_of
from colonnade.processor import Processor
from colonnade.serialisation import shown

#: What an axis may stand for, with the names that are taken for it where the user gives none.
AXES: Mapping[str, Sequence[str]] = {
    "process": ("process", "dataset"),
    "region": ("region", "channel"),
    "variation": ("variation", "systematic"),
}
_ALL = {"process": "all", "region": "all", "variation": "nominal"}

Histograms = dict[str, dict[str, hist.Hist]]


def is_coffea_processor(processor: Any) -> bool:
    """Whether a processor is one of coffea's, rather than an analysis of colonnade."""
    return isinstance(processor, ProcessorABC) and not isinstance(processor, Processor)


def process_events(processor: Any, events: Any, dataset: str) -> Any:
    """Have a chunk processed; what a coffea processor returns is put beside the number of its events.

    Raises
    ------
    EventError
        If a coffea processor returns nothing, or a sum that is not a number.
    """
    if not is_coffea_processor(processor):
        strata = events.metadata.get("strata") if getattr(processor, "stitches", True) else None
        return processor.process(events) if strata is None else _by_stratum(processor, events, dataset, strata)
    count = len(events)
    with seeded(events.metadata):
        value = processor.process(events)
    if value is None:
        msg = f"The process() of {type(processor).__name__} returns nothing; return what is to be added."
        raise EventError(msg)
    require_numbers(value)
    return {dataset: {"accumulator": Accumulated(value), "events": count, "sumw": float(count)}}


def _by_stratum(processor: Any, events: Any, dataset: str, strata: Mapping[str, Any]) -> Any:
    """Process the events of each stratum by themselves, as what they are worth is known at the end."""
    numbers = stratum_of(events, strata, f"the dataset {dataset} in {events.metadata['filename']}")
    parts = {
        str(number): processor.process(take(events, np.flatnonzero(numbers == number)))[dataset]
        for number in strata["reached"]
    }
    return {dataset: {"strata": parts, "events": len(events), "sumw": sum(part["sumw"] for part in parts.values())}}


@contextmanager
def seeded(metadata: Mapping[str, Any]) -> Iterator[None]:
    """Seed the random numbers that NumPy and Python share, for one chunk: so each executor draws the same."""
    place = "|".join(str(metadata[key]) for key in ("dataset", "fileuuid", "entrystart"))
    seed = int.from_bytes(hashlib.blake2b(place.encode(), digest_size=4).digest())
    states = np.random.get_state(), random.getstate()  # noqa: NPY002 - what processors use
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])


def finished(processor: Any, parts: Sequence[Accumulated]) -> Any:
    """Return what coffea's `Runner` returns: the sum over all datasets, after `postprocess`.

    Raises
    ------
    EventError
        If the datasets' accumulators can't be added, `postprocess` fails, or its result can't be written.
    """
    total, *others = parts
    for other in others:
        total += other
    try:
        value = processor.postprocess(total.value)
    except Exception as error:
        msg = f"The postprocess() of {type(processor).__name__} failed: {sentence(error)}."
        raise EventError(msg) from error
    return Accumulated(total.value if value is None else value).value


def standard_histograms(
    accumulator: Any, axes: Mapping[Any, str], processes: Mapping[str, str]
) -> tuple[Histograms, list[str]]:
    """Return the histograms of an accumulator in the form that plots and models read.

    Where an axis or a key stands for datasets, its categories become processes. Of a process only the variations that
    it fills are kept. Profiles (storages of means) are left out.

    Parameters
    ----------
    accumulator
        Nested dictionaries that hold histograms.
    axes
        ``process``, ``region``, ``variation``: the axis that stands for it; without, one of the names in `AXES`.
    processes
        Dataset to process.

    Returns
    -------
    histograms
        ``histograms[name][process]`` with the axes region, variation and the others, storage Weight. The name is made
        of the keys, joined by a stroke.
    notes
        What a user should know of them.

    Raises
    ------
    ConfigError
        If no histogram has an axis that is named, or it has no categories.
    EventError
        If two histograms have the same name.
    """
    found = list(_found(accumulator, (), processes))
    _check_axes(axes, [histogram for _, _, histogram in found])
    histograms: Histograms = {}
    unknown: dict[str, None] = {}
    places: dict[str, tuple[Any, ...]] = {}
    for path, process, histogram in found:
        name = "/".join(map(str, path)) or "histogram"
        if places.setdefault(name, path) != path:
            msg = f"The histograms at {shown(places[name])} and {shown(path)} are both called {name}; rename a key."
            raise EventError(msg)
        if histogram.kind == bh.Kind.MEAN:
            continue
        if histogram.variances() is None and (histogram.values() % 1).any():
            unknown[name] = None
        for key, each in _split(histogram, axes):
            of = processes.get(key, key) if process is None else process
            known = histograms.setdefault(name, {})
            try:
                known[of] = known[of] + each if of in known else each
            except ValueError as error:
                msg = f"The histograms {name} of the process {of} have different axes, so they can't be added."
                raise EventError(msg) from error
    note = (
        f"the histograms {', '.join(unknown)} hold weights but no variances (storage Weight keeps them), so their "
        "statistical errors are those of counts."
    )
    return histograms, [note] if unknown else []


def _found(
    value: Any, path: tuple[Any, ...], processes: Mapping[str, str], process: str | None = None
) -> Iterator[tuple[tuple[Any, ...], str | None, Any]]:
    """Give each histogram with its place, and the process of the dataset under whose key it is."""
    if isinstance(value, bh.Histogram):
        yield path, process, value
    elif isinstance(value, MutableMapping):
        for key, item in value.items():
            if process is None and isinstance(key, str) and key in processes:
                yield from _found(item, path, processes, processes[key])
            else:
                yield from _found(item, (*path, key), processes, process)


def _check_axes(axes: Mapping[str, str], histograms: Sequence[Any]) -> None:
    names = {name for histogram in histograms for name in _names(histogram)}
    for role, name in axes.items():
        if name not in names:
            msg = f"axes.{role} = {name!r}: no histogram of the processor has this axis{nearest(name, names)}."
            raise ConfigError(msg)


def _names(histogram: Any) -> list[str]:
    return [getattr(axis, "name", "") for axis in histogram.axes]


def _split(histogram: Any, axes: Mapping[str, str]) -> Iterator[tuple[str, hist.Hist]]:
    """Give each process of a histogram."""
    names = _names(histogram)
    places: list[int | None] = []
    for role, usual in AXES.items():
        wanted = [axes[role]] if role in axes else usual
        place = next((names.index(name) for name in wanted if name in names), None)
        if place is not None and not isinstance(histogram.axes[place], bh.axis.StrCategory | bh.axis.IntCategory):
            if role in axes:
                msg = f"axes.{role} = {axes[role]!r}: this axis has no categories."
                raise ConfigError(msg)
            place = None
        places.append(place)
    labels = {
        role: [_ALL[role]] if place is None else [str(label) for label in histogram.axes[place]]
        for role, place in zip(AXES, places, strict=True)
    }
    values = histogram.values(flow=True)
    variances = histogram.variances(flow=True)
    content = np.stack([values, np.abs(values) if variances is None else variances], axis=-1)
    present = [place for place in places if place is not None]
    content = np.moveaxis(content, present, range(len(present)))
    content = np.expand_dims(content, [position for position, place in enumerate(places) if place is None])
    content = content[tuple(slice(len(each)) for each in labels.values())]  # without what is in no category
    others = [axis for place, axis in enumerate(histogram.axes) if place not in present]
    for place, process in enumerate(labels["process"]):
        part = content[place]
        filled = [
            number for number, label in enumerate(labels["variation"]) if label == "nominal" or part[:, number].any()
        ] or [0]
        made = hist.Hist(
            hist.axis.StrCategory(labels["region"], name="region"),
            hist.axis.StrCategory([labels["variation"][number] for number in filled], name="variation"),
            *others,
            storage=hist.storage.Weight(),
            label=getattr(histogram, "label", None),
        )
        view = made.view(flow=True)
        inside = (slice(len(labels["region"])), slice(len(filled)))
        view["value"][inside], view["variance"][inside] = np.moveaxis(part[:, filled], -1, 0)
        yield process, made
