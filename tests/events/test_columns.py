"""Columns of files that others made: each is read right, or missed only where it is asked for."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from colonnade.errors import ColonnadeError, InputError, MissingColumnError
from colonnade.events import inspect_file, learn_columns, read_events

# two objects, then one, then three; and as many in all, but otherwise
COUNTS = np.array([2, 1, 3])
OTHERS = np.array([1, 3, 2])


def _write(path: Path, columns: dict[str, object], **counters: object) -> str:
    with uproot.recreate(path) as file:
        kinds = {
            name: values.dtype if isinstance(values, np.ndarray) else ak.type(values).content
            for name, values in columns.items()
        }
        file.mktree("Events", kinds, **counters).extend(columns)
    return str(path)


def _lists(counts: np.ndarray, start: float = 0.0) -> ak.Array:
    return ak.unflatten(np.arange(start, start + counts.sum(), dtype=np.float32), counts)


def _read(path: str, *names: str, schema: str | None = None) -> ak.Array:
    source = inspect_file(path, None, schema)
    lazy = read_events(source, 0, source.entries, None, {})
    events = read_events(source, 0, source.entries, names, {})
    assert ak.array_equal(ak.materialize(lazy[events.layout.fields]), events, check_parameters=False)
    return events


def test_columns_whose_numbers_differ_are_no_collection(tmp_path: Path) -> None:
    columns = {"nJet": COUNTS, "Jet_pt": _lists(COUNTS), "Jet_eta": _lists(COUNTS, 10), "Jet_other": _lists(OTHERS)}
    events = _read(_write(tmp_path / "a.root", columns), "Jet_pt", "Jet_eta", "Jet_charge", "Jet_other", "nJet")
    assert events.Jet.pt.to_list() == columns["Jet_pt"].to_list()
    assert events.Jet.eta.to_list() == columns["Jet_eta"].to_list()
    assert events["Jet_other"].to_list() == columns["Jet_other"].to_list()
    assert events.nJet.to_list() == [2, 1, 3]


def test_a_counter_that_counts_something_else_groups_nothing(tmp_path: Path) -> None:
    columns = {"nJet": COUNTS, "Jet_pt": _lists(OTHERS)}
    events = _read(_write(tmp_path / "a.root", columns), "Jet_pt", "nJet")
    assert events.Jet.pt.to_list() == [[0], [1, 2, 3], [4, 5]]
    assert events.nJet.to_list() == [2, 1, 3]


def test_values_beside_a_number_of_the_same_name(tmp_path: Path) -> None:
    columns = {"ntag": COUNTS, "tag_h1_j1": np.array([5.0, 6.0, 7.0]), "tag_h2": np.array([1, 2, 3])}
    events = _read(_write(tmp_path / "a.root", columns), "ntag", "tag_h1_j1", "tag_h2")
    assert events.ntag.to_list() == [2, 1, 3]
    assert events.tag.h1_j1.to_list() == [5, 6, 7]


def test_two_kinds_of_lists_under_one_prefix(tmp_path: Path) -> None:
    columns = {"off_pv_x": _lists(OTHERS), "off_jet_pt": _lists(COUNTS), "off_jet_eta": _lists(COUNTS, 5)}
    events = _read(_write(tmp_path / "a.root", columns), *columns)
    for name, values in columns.items():
        assert events.off[name[4:]].to_list() == values.to_list()


def test_columns_that_differ_only_after_the_first_events_are_a_sentence(tmp_path: Path) -> None:
    first = np.full(1000, 2)
    counts, others = np.concatenate([first, COUNTS]), np.concatenate([first, OTHERS])
    columns = {"nJet": counts, "Jet_pt": _lists(counts), "Jet_other": _lists(others)}
    source = inspect_file(_write(tmp_path / "a.root", columns))
    with pytest.raises(InputError, match=r"Jet_other.*flat"):
        read_events(source, 1000, 1003, ("Jet_pt", "Jet_other"), {})
    events = read_events(inspect_file(source.path, None, "flat"), 1000, 1003, ("Jet_pt", "Jet_other"), {})
    assert events["Jet_other"].to_list() == columns["Jet_other"][1000:].to_list()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6))
def test_whatever_the_numbers_no_value_changes_its_event(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[tuple[int, int]]
) -> None:
    counts, others = np.array(numbers).T
    columns = {"nJet": counts, "Jet_pt": _lists(counts), "Jet_x": _lists(others, 100)}
    source = inspect_file(_write(tmp_path_factory.mktemp("made") / "a.root", columns))
    events = read_events(source, 0, len(counts), ("Jet_pt", "Jet_x"), {})
    assert events.Jet.pt.to_list() == columns["Jet_pt"].to_list()
    found = events.Jet.x if (counts == others).all() else events["Jet_x"]
    assert found.to_list() == columns["Jet_x"].to_list()


def test_flat_takes_the_tree_as_it_is(tmp_path: Path) -> None:
    columns = {"nJet": COUNTS, "Jet_pt": _lists(COUNTS), "MET_pt": np.array([1.0, 2.0, 3.0])}
    events = _read(_write(tmp_path / "a.root", columns), *columns, schema="flat")
    assert set(events.layout.fields) == set(columns)
    assert events["Jet_pt"].to_list() == columns["Jet_pt"].to_list()


@pytest.mark.parametrize("names", [("Px", "Py", "Pz", "E"), ("px", "py", "pz", "energy")])
def test_momenta_by_components(tmp_path: Path, names: tuple[str, ...]) -> None:
    columns = {f"Muon_{name}": _lists(COUNTS, 10 * place) for place, name in enumerate(names)}
    events = _read(
        _write(tmp_path / "a.root", columns), "Muon_px", "Muon_py", "Muon_pz", "Muon_energy", schema="cartesian"
    )
    x, y = (ak.flatten(columns[f"Muon_{name}"]) for name in names[:2])
    assert np.allclose(ak.flatten(events.Muon.pt), np.hypot(x, y))


def test_a_branch_with_fewer_entries_is_a_sentence(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.root", {"x": np.arange(7.0), "short": np.arange(7.0)})
    content = (tmp_path / "a.root").read_bytes()
    # as trees are that were filled branch by branch: the tree's number of entries is another one
    source = inspect_file(path)
    assert source.entries == 7
    from colonnade.events.header import TreeHeader

    class Longer(TreeHeader):
        @property
        def entries(self) -> int:
            return 9

        @entries.setter
        def entries(self, value: int) -> None:
            assert value == 7

    assert content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colonnade.events.root.TreeHeader", Longer)
        other = tmp_path / "b.root"
        other.write_bytes(content)
        with pytest.raises(InputError, match=r"short has 7 entries.*9"):
            read_events(inspect_file(str(other)), 0, 9, ("short",), {})


def test_the_manifest_names_the_weight(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.root", {"EventWeight": np.array([1.5, -1.0, 2.0]), "x": COUNTS})
    source = inspect_file(path, weight="EventWeight")
    assert learn_columns(source, lambda events: ak.sum(events.genWeight), {}) == ("genWeight",)
    assert read_events(source, 0, 3, ("genWeight",), {}).genWeight.to_list() == [1.5, -1.0, 2.0]
    with pytest.raises(InputError, match="EventWeigth"):
        inspect_file(path, weight="EventWeigth")


def test_a_type_that_nobody_knows_is_missed_only_if_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from colonnade.events.root import TTreeReader

    path = _write(tmp_path / "a.root", {"odd_a": _lists(COUNTS), "odd_b": _lists(COUNTS), "x": COUNTS})
    form = TTreeReader.form

    def unknown(self: TTreeReader, name: str) -> object:
        if name == "odd_a":
            msg = "unknown type"
            raise NotImplementedError(msg)
        return form(self, name)

    monkeypatch.setattr(TTreeReader, "form", unknown)
    source = inspect_file(path)
    assert read_events(source, 0, 3, None, {}).x.to_list() == [2, 1, 3]
    assert read_events(source, 0, 3, None, {}).odd.b.to_list() == _lists(COUNTS).to_list()
    with pytest.raises((ColonnadeError, MissingColumnError, AttributeError)):
        learn_columns(source, lambda events: events.odd.a, {})


def test_blank_lines_of_a_table_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{number}.0" for number in range(10_000)]
    for place in (9000, 8192, 4097, 4096, 4095, 1):
        rows.insert(place, "")
    path.write_text("x\n" + "\n".join(rows) + "\n\n")
    source = inspect_file(str(path))
    assert source.entries == 10_000
    for start, stop in ((0, 4096), (4096, 8192), (4000, 4100), (8191, 10_000)):
        assert read_events(source, start, stop, ("x",), {}).x.to_list() == list(range(start, stop))


@pytest.mark.parametrize(("text", "word"), [(b"a;b\n1;2\n", "commas"), ("a,b\n1,2\n".encode("utf-16"), "UTF-8")])
def test_tables_of_another_kind_are_a_sentence(tmp_path: Path, text: bytes, word: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text)
    with pytest.raises(InputError, match=word):
        inspect_file(str(path))


PARQUET: dict[str, list[object]] = {
    "x": [1.0, 2.0, 3.0],
    "missing": [1.0, None, 3.0],
    "lists": [[1.0, 2.0], [], [3.0]],
    "record": [{"a": 1, "b": 2.0}, {"a": 2, "b": 3.0}, {"a": 3, "b": 4.0}],
    "records": [[{"pt": 1, "eta": 2.0}], [], [{"pt": 1, "eta": 2.0}, {"pt": 4, "eta": 5.0}]],
    "deep": [[[1, 2], [3]], [], [[4]]],
    "text": ["a", "bc", ""],
}


@pytest.mark.parametrize("extended", [False, True])
def test_parquet_of_every_nesting(tmp_path: Path, extended: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = str(tmp_path / "a.parquet")
    if extended:
        ak.to_parquet(
            ak.Array([dict(zip(PARQUET, row, strict=True)) for row in zip(*PARQUET.values(), strict=True)]), path
        )
    else:
        pq.write_table(pa.table({**PARQUET, "nothing": pa.array([None] * 3)}), path)
    source = inspect_file(path)
    for names in (None, tuple(PARQUET)):
        events = read_events(source, 0, 3, names, {})
        for name, values in PARQUET.items():
            assert events[name].to_list() == values, name


def test_lists_with_missing_values_are_read_whole_or_a_sentence(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [[1.0, None], [], [2.0]]}), path)
    source = inspect_file(path)
    assert read_events(source, 0, 3, ("x",), {}).x.to_list() == [[1.0, None], [], [2.0]]
    with pytest.raises(InputError, match="missing values"):
        ak.materialize(read_events(source, 0, 3, None, {}).x)


def test_physlite_in_each_of_its_spellings() -> None:
    from colonnade.events.catalog import build_catalog
    from colonnade.events.schemas import detect_schema

    for event in ("EventInfoAuxDyn", "EventInfoAux"):
        names = (f"{event}.eventNumber", f"{event}.mcEventWeights", "AnalysisMuonsAuxDyn.pt", "AnalysisMuonsAuxDyn.phi")
        schema = detect_schema(names)
        assert schema.name == "physlite"
        columns = build_catalog(schema, names).columns
        assert columns["event"].source == names[0]
        assert columns["genWeight"].first
        assert columns["Muon_pt"].divisor == 1000


def test_of_two_trees_with_one_name_the_newest_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "a.root")
    with uproot.recreate(path) as file:
        for count in (3, 5):
            file.mktree("Events", {"x": "float64"}).extend({"x": np.arange(float(count))})
    source = inspect_file(path)
    assert source.entries == 5
    assert any("cycles" in note for note in source.notes)
    assert read_events(source, 0, 5, ("x",), {}).x.to_list() == [0, 1, 2, 3, 4]
