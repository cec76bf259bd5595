"""Which columns an analysis touches, found before it runs, and what happens when that was not all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from colonnade.errors import MissingColumnError
from colonnade.events import inspect_file, learn_columns, read_events, use_events


def test_touched_columns_and_no_others(made: str) -> None:
    source = inspect_file(made)

    def use(events: ak.Array) -> Any:
        good = events.Muon[events.Muon.pt > 20]
        return ak.sum(good.charge, axis=1) * events.genWeight * (ak.num(events.Jet) > 1)

    assert learn_columns(source, use, {}) == ("Muon_charge", "Muon_pt", "genWeight", "nJet")
    columns = learn_columns(source, use, {})
    assert ak.all(use(read_events(source, 0, 2500, columns, {})) == use(read_events(source, 0, 2500, None, {})))


def test_a_vectors_property_touches_its_coordinates(made: str) -> None:
    source = inspect_file(made)
    assert learn_columns(source, lambda events: events.Muon.px, {}) == ("Muon_phi", "Muon_pt")
    assert learn_columns(source, lambda events: events.MET.px, {}) == ("MET_phi", "MET_pt")
    mass = ("Jet_eta", "Jet_mass", "Jet_phi", "Jet_pt")
    assert learn_columns(source, lambda events: (events.Jet[:, :1] + events.Jet[:, :1]).mass, {}) == mass


def test_a_counter_is_read_only_where_nothing_else_counts(made: str) -> None:
    source = inspect_file(made)
    assert learn_columns(source, lambda events: ak.num(events.Muon), {}) == ("nMuon",)
    assert learn_columns(source, lambda events: events.Muon.pt[ak.num(events.Muon) > 1], {}) == ("Muon_pt",)
    assert learn_columns(source, lambda events: events.nMuon + 1, {}) == ("nMuon",)
    counted = read_events(source, 0, 50, ("nMuon",), {})
    assert ak.num(counted.Muon).to_list() == counted.nMuon.to_list()


def test_the_metadata_is_there_while_learning(made: str) -> None:
    seen = {}

    def use(events: ak.Array) -> None:
        seen.update(events.metadata)

    learn_columns(inspect_file(made), use, {"dataset": "dy"})
    assert seen["dataset"] == "dy"
    assert (seen["entrystart"], seen["filename"]) == (0, made)


@pytest.mark.parametrize(
    ("use", "column"),
    [
        (lambda events: events.Muon.ptt, r"Muon_ptt \(did you mean Muon_pt"),
        (lambda events: events["Muon", "ptt"], "Muon_ptt"),
        (lambda events: events.Muon["ptt"], "Muon_ptt"),
        (lambda events: events[events.genWeight > 0].Muon[:, :1].ptt, "Muon_ptt"),
        (lambda events: events.Muons, r"Muons \(did you mean Muon"),
        (lambda events: events.HLT.IsoMu27, r"HLT_IsoMu27 \(did you mean HLT_IsoMu24\?\)"),
        (lambda events: events.MET.significance, "MET_significance"),
    ],
)
def test_a_missing_column_is_found_before_the_run(made: str, use: Any, column: str) -> None:
    source = inspect_file(made)
    with pytest.raises(MissingColumnError, match=rf"^Dataset dy, .*made\.root, tree Events: .* no column {column}"):
        learn_columns(source, use, {"dataset": "dy"})
    with pytest.raises(MissingColumnError, match=column):
        use_events(use, source, 0, 10, ("genWeight",), {"dataset": "dy"})


def test_asking_whether_a_column_is_there(made: str, shared_data: Path) -> None:
    simulated = inspect_file(made)
    data = inspect_file(str(shared_data / "nanoaod" / "cms_dimuon_100k.root"))

    def weights(events: ak.Array) -> Any:
        return events.genWeight if hasattr(events, "genWeight") else np.ones(len(events))

    for source, columns in ((simulated, ("genWeight",)), (data, ())):
        assert learn_columns(source, lambda events: np.sum(weights(events)), {}) == columns
        # whichever columns were read, the answer is the file's
        found = use_events(weights, source, 0, 100, ("nMuon",), {})
        assert len(found) == 100
        assert isinstance(found, ak.Array) == bool(columns)


def test_what_the_first_events_did_not_show(made: str) -> None:
    source = inspect_file(made)
    calls = []

    def use(events: ak.Array) -> float:
        calls.append(events.metadata["entrystart"])
        total = float(ak.sum(events.genWeight))
        if calls[-1] >= 2000:
            total += float(ak.sum(events.Jet.pt)) + float(ak.sum(events.Muon.charge))
        return total

    columns = learn_columns(source, use, {})
    assert columns == ("genWeight",)
    calls.clear()
    first = use_events(use, source, 0, 1000, columns, {})
    assert calls == [0]
    last = use_events(use, source, 2000, 2500, columns, {})
    assert calls == [0, 2000, 2000]
    everything = read_events(source, 2000, 2500, None, {})
    assert last == use(everything)
    assert first != last


def test_an_error_of_the_analysis_comes_through(made: str) -> None:
    def use(events: ak.Array) -> None:
        msg = f"no luck with {len(events)}"
        raise RuntimeError(msg)

    source = inspect_file(made)
    with pytest.raises(RuntimeError, match="no luck with 10"):
        use_events(use, source, 0, 10, ("genWeight",), {})
    with pytest.raises(RuntimeError, match="no luck with 1000"):
        learn_columns(source, use, {})


def test_lazy_events_read_only_what_is_touched(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from colonnade.events.root import TTreeReader

    read = TTreeReader.read
    names: list[str] = []

    def recorded(self: Any, wanted: Any, *args: Any, **options: Any) -> Any:
        names.extend(wanted)
        return read(self, wanted, *args, **options)

    source = inspect_file(made)
    monkeypatch.setattr(TTreeReader, "read", recorded)
    events = read_events(source, 0, 100, None, {})
    assert names == []
    ak.sum(events.Jet.eta)
    assert set(names) <= {"nJet", "Jet_eta", "Jet_pt"}
    eager = read_events(inspect_file(made), 0, 100, ("Jet_eta", "Jet_phi"), {})
    names.clear()
    ak.sum(eager.Jet.eta)
    assert names == []
