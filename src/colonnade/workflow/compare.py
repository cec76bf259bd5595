"""A coffea processor by coffea's own Runner, and here: what differs first."""

from __future__ import annotations

import itertools
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import awkward as ak
import boost_histogram as bh
import hist
import numpy as np
from coffea import processor
from coffea.lumi_tools import LumiList
from coffea.processor.executor import ProcessorABC, WorkItem
from rich.console import Console

from colonnade.accumulators import Accumulated
from colonnade.errors import ConfigError, EventError
from colonnade.events.nanoevents import find_nano_schema, lenient
from colonnade.execution.coffea_processor import seeded, standard_histograms
from colonnade.execution.plan import make_plan
from colonnade.faults import sentence
from colonnade.serialisation import shown, take_apart
from colonnade.terminal import Terminal
from colonnade.workflow.analysis import load_datasets, make_coffea_processor
from colonnade.workflow.run import events_of
from colonnade.workflow.settings import Workflow

# how far sums of the same numbers in another order may be apart, by the numbers' bytes
_RELATIVE = {"f2": 1e-2, "f4": 1e-5, "c8": 1e-5}
_OTHERWISE = 1e-9


def compare_coffea(workflow: Workflow, original: Workflow | None = None, console: Console | None = None) -> int:
    """Compare what a workflow makes with what coffea's `Runner` makes on the same chunks of the same files.

    Parameters
    ----------
    workflow
        Of a coffea processor: its accumulators are compared key by key and bin by bin.
    original
        Of a coffea processor, where `workflow` is of an analysis that was made from it: the histograms of one name are
        compared.
    console
        Where progress is shown.

    Returns
    -------
    int
        How many numbers were compared.

    Raises
    ------
    ConfigError
        If there is nothing to compare.
    EventError
        If something differs, naming the first difference.
    """
    console = console or Terminal()
    reference = original or workflow
    if reference.coffea is None:
        msg = f"{reference.path} runs no coffea processor; name the workflow that does as the original."
        raise ConfigError(msg)
    here = events_of(workflow, console)
    there, processes = _by_coffea(reference)
    if original is None:
        return _compare(here.accumulator, Accumulated(there).value)
    theirs, _ = standard_histograms(there, reference.coffea.axes, processes)
    names = [name for name in here.histograms if name in theirs]
    if not names:
        msg = f"No histogram has the same name in both: {', '.join(here.histograms)}; and {', '.join(theirs)}."
        raise ConfigError(msg)
    return sum(_compare_filled(here.histograms[name], theirs[name], name) for name in names)


def _by_coffea(workflow: Workflow) -> tuple[Any, dict[str, str]]:
    """Return coffea's result on the chunks that a run here has, and the process of each dataset."""
    assert workflow.coffea is not None  # noqa: S101 - its caller has looked
    plan = make_plan(load_datasets(workflow), workflow.settings.chunk_size)
    items = []
    for dataset in plan:
        for chunk in dataset.chunks:
            source = chunk.source
            name = source.identity.partition(":")[0]
            identity = uuid.UUID(name).bytes if name.count("-") == 4 else b""
            place = (source.path, source.tree, chunk.start, chunk.stop, identity)
            items.append(WorkItem(dataset.name, *place, dict(dataset.given or {})))
    runner = processor.Runner(
        processor.IterativeExecutor(status=False), schema=lenient(find_nano_schema(workflow.coffea.nano_schema))
    )
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            made = runner(items, _Seeded(make_coffea_processor(workflow, workflow.coffea)))
        except Exception as error:
            msg = (
                f"Nothing can be compared, as coffea's own Runner fails on {workflow.coffea.coffea}: {sentence(error)}."
            )
            raise EventError(msg) from error
    return made, {dataset.name: dataset.metadata.process for dataset in plan}


class _Seeded(ProcessorABC):  # type: ignore[misc]  # coffea has no types
    """A processor that draws the same random numbers as here."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.postprocess = processor.postprocess

    def process(self, events: Any) -> Any:
        """Process a chunk, and read what is returned of it while its file is open."""
        with seeded(events.metadata):
            made = self._processor.process(events)
        take_apart(made)
        return made


def _compare(one: Any, other: Any, *path: Any) -> int:
    """Compare two accumulators; return how many numbers they hold."""
    here, there = dict(_leaves(one, path)), dict(_leaves(other, path))
    for place in [*here, *there]:
        if (place in here) != (place in there):
            raise _difference(place, *("present" if place in each else "missing" for each in (here, there)))
    count = 0
    for place, (first, axes) in here.items():
        second = there[place][0]
        numbers = all(isinstance(each, np.ndarray) and each.dtype.kind in "biufc" for each in (first, second))
        if numbers and first.shape == second.shape and first.dtype == second.dtype:
            apart = _apart(first, second)
            if apart.any():
                at = tuple(map(int, np.argwhere(apart)[0]))
                bins = [_bin(axis, each) for axis, each in zip(axes, at, strict=True)] if axes else at
                raise _difference((*place, *bins), first[at], second[at])
            count += first.size
        elif numbers or not np.array_equal(first, second):
            raise _difference(place, first, second)
    return count


def _leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], tuple[Any, Any]]]:
    """Give each part of an accumulator that holds no others, with its place, and the axes of a histogram."""
    if isinstance(value, bh.Histogram):
        yield (*path, "axes"), (str(value.axes), None)
        view = np.asarray(value.view(flow=True))
        for name in view.dtype.names or ("count",):
            yield (*path, name), (view[name] if view.dtype.names else view, value.axes)
        return
    if isinstance(value, LumiList):  # coffea's + turns luminosity sections round, and its += does not
        value = sorted(np.asarray(value.array).tolist())
    elif isinstance(value, ak.Array):
        value = ak.to_list(value)
    elif hasattr(value, "__dict__") and not isinstance(value, Mapping | type):
        value = vars(value)
    if isinstance(value, Mapping | list | tuple):
        yield (*path, "type"), (type(value).__name__, None)
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _leaves(item, (*path, key))
    else:
        plain = isinstance(value, np.generic | int | float | complex)
        yield path, (np.asarray(value) if plain else value, None)


def _apart(one: Any, other: Any) -> Any:
    """Return where two arrays differ by more than the order of adding explains."""
    if one.dtype.kind not in "fc":
        return one != other
    rtol = _RELATIVE.get(one.dtype.str[1:], _OTHERWISE)
    scale = np.nanmax(np.abs(other), initial=0.0)
    return ~np.isclose(one, other, rtol=rtol, atol=rtol * scale * 1e-3, equal_nan=True)


def _bin(axis: Any, place: int) -> str:
    found = axis.bin(place - int(axis.traits.underflow))  # of underflow and overflow one edge is infinite
    text = f"[{found[0]:g}, {found[1]:g})" if isinstance(found, tuple) else "overflow" if found is None else f"{found}"
    return f"{getattr(axis, 'name', '') or 'axis'}={text}"


def _compare_filled(here: Mapping[str, hist.Hist], there: Mapping[str, hist.Hist], name: str) -> int:
    """Compare a histogram of an analysis with the one of the processor that it was made from."""
    count = 0
    for process, other in there.items():
        if process not in here:
            raise _difference((name, process), "missing", "present")
        one = here[process]
        # a processor without regions has one, and so may the analysis, whatever its name
        only = one.axes["region"][0] if len(one.axes["region"]) == len(other.axes["region"]) == 1 else None
        for region, variation in itertools.product(other.axes["region"], other.axes["variation"]):
            wanted = {"region": only or region, "variation": variation}
            if any(label not in one.axes[axis] for axis, label in wanted.items()):
                raise _difference((name, process, region, variation), "missing", "present")
            theirs = other[{"region": region, "variation": variation}]
            count += _compare_scaled(one[wanted], theirs, (name, process, region, variation))
    return count


def _compare_scaled(one: hist.Hist, other: hist.Hist, path: tuple[Any, ...]) -> int:
    try:
        return _compare(one, other, *path)
    except EventError:
        factor = one.sum(flow=True).value / (other.sum(flow=True).value or np.nan)
        if one.axes == other.axes and np.isfinite(factor) and not _apart(one.values(), factor * other.values()).any():
            msg = f"{shown(path)} differs by the factor {factor:g} alone: one of the two is scaled, the other is not."
            raise EventError(msg) from None
        raise


def _difference(path: tuple[Any, ...], here: Any, there: Any) -> EventError:
    msg = f"The first difference is at {shown(path)}: {str(here)[:200]} here, {str(there)[:200]} by coffea."
    return EventError(msg)
