"""The sum of weights that normalises is that of what was processed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.errors import InputError, LossError
from colonnade.events import SourceFile
from colonnade.execution.ledger import Ledger, Loss, Outcome, effective_sumw, entry_of
from colonnade.execution.plan import DatasetPlan, FilePlan, split
from colonnade.manifest import Metadata


def plan(files: list[tuple[int | None, float | None]], **more: Any) -> DatasetPlan:
    """Make a dataset of files with so many entries (None: can't be opened) and such Runs sums."""
    made = []
    for number, (entries, sumw) in enumerate(files):
        path = f"/f{number}.root"
        source = None
        if entries is not None:
            source = SourceFile(path, "Events", entries, "nanoaod", f"id{number}", 10, frozenset(), sumw)
        made.append(FilePlan(path, source, "" if source else f"{path} is damaged."))
    metadata = Metadata(**{"process": "zll", "kind": "background", "xsec_pb": 1.0, **more})
    return DatasetPlan("zll", metadata, made, ())


def test_all_processed() -> None:
    assert effective_sumw(plan([(10, None), (20, None)]), (), 24.5) == 24.5
    assert effective_sumw(plan([(10, 100.0), (20, 300.0)]), (), 24.5) == 400.0
    assert effective_sumw(plan([(10, 100.0)], sumw=555.0), (), 24.5) == 555.0


def test_a_skimmed_file_counts_by_its_own_share() -> None:
    # the second file kept 20 entries of what made 300; half of them are lost
    losses = (Loss("/f1.root", 0, 10, ""),)
    assert effective_sumw(plan([(10, 100.0), (20, 300.0)]), losses, 1.0) == 250.0
    assert effective_sumw(plan([(10, 100.0), (20, 300.0)], sumw=800.0), losses, 1.0) == 500.0
    assert effective_sumw(plan([(10, None), (20, None)], sumw=300.0), losses, 1.0) == pytest.approx(200.0)


def test_a_skimmed_file_without_entries_counts_whole() -> None:
    assert effective_sumw(plan([(0, 50.0), (10, 100.0)]), (), 1.0) == 150.0


def test_a_file_that_cant_be_opened_counts_nothing() -> None:
    files = [(10, 100.0), (None, None), (20, 300.0)]
    assert effective_sumw(plan(files), (), 1.0) == 400.0
    assert effective_sumw(plan(files, sumw=1000.0), (), 1.0) == 400.0
    assert effective_sumw(plan([(10, None), (None, None)], sumw=1000.0), (), 1.0) == 500.0


def test_sums_of_some_files_only_are_refused() -> None:
    with pytest.raises(InputError, match=r"the first is /f1\.root.*sumw in the manifest"):
        effective_sumw(plan([(10, 100.0), (20, None)]), (), 1.0)


@given(
    entries=st.lists(st.integers(1, 1000), min_size=1, max_size=5),
    each=st.floats(0.1, 10),
    data=st.data(),
)
def test_equal_weights_give_the_share_of_the_events(entries: list[int], each: float, data: st.DataObject) -> None:
    """With the same skim efficiency everywhere, S is proportional to the processed events, whoever gives it."""
    lost = [data.draw(st.integers(0, count)) for count in entries]
    losses = [Loss(f"/f{n}.root", 0, gone, "") for n, gone in enumerate(lost) if gone]
    processed = sum(entries) - sum(lost)
    runs = plan([(count, each * count) for count in entries])
    manifest = plan([(count, None) for count in entries], sumw=each * sum(entries))
    for dataset in (runs, manifest):
        assert effective_sumw(dataset, losses, 0.0) == pytest.approx(each * processed, rel=1e-9, abs=1e-9)


def outcome(events: int, *losses: Loss) -> Outcome:
    return Outcome({"events": events, "sumw": 1.0}, losses)


def test_events_must_add_up() -> None:
    with pytest.raises(InputError, match="are not the 30 expected"):
        entry_of(plan([(10, None), (20, None)]), outcome(20, Loss("/f0.root", 0, 5, "")))


def test_losses_above_what_is_allowed_end_the_run() -> None:
    lossy = entry_of(plan([(10, None), (20, None)]), outcome(27, Loss("/f0.root", 0, 3, "It is damaged.")))
    assert Ledger(0.2, {"zll": lossy}).check() is None
    for allowed in (0.0, 0.05):
        with pytest.raises(LossError, match=r"3 events \(10\.000%\).*f0\.root: It is damaged") as caught:
            Ledger(allowed, {"zll": lossy}).check()
        assert caught.value.exit_code == 3


@given(entries=st.integers(0, 10**7), size=st.integers(1000, 10**6))
def test_chunks_cover_a_file_evenly(entries: int, size: int) -> None:
    ranges = split(entries, size)
    assert sum(stop - start for start, stop in ranges) == entries
    assert all(one[1] == other[0] for one, other in itertools.pairwise(ranges))
    if ranges:
        lengths = [stop - start for start, stop in ranges]
        assert max(lengths) <= size
        assert max(lengths) - min(lengths) <= 1
