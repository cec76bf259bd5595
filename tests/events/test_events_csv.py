"""Tables as text, against numpy's own reader."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from colonnade.errors import EventError, InputError
from colonnade.events import inspect_file, read_events

HEADER = "lep1_pt,reco_zv_mass,FullEventWeight"


def written(path, rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("start", "stop"), [(0, 9001), (0, 0), (4095, 4097), (4096, 8192), (8999, 9001)])
def test_any_range_is_what_numpy_reads(tmp_path, start, stop):
    rng = np.random.default_rng(2)
    numbers = rng.normal(size=(9001, 3))
    path = written(tmp_path / "a.csv", [",".join(map(repr, row.tolist())) for row in numbers])
    expected = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)[start:stop]
    source = inspect_file(path)
    assert source.entries == 9001
    events = read_events(source, start, stop, None, {})
    assert np.array_equal(events.lep1.pt, expected[:, 0])
    assert np.array_equal(events.reco.zv_mass, expected[:, 1])
    assert np.array_equal(events.FullEventWeight, expected[:, 2])


def test_rows_are_numbered_so_that_folds_can_tell_them_apart(tmp_path):
    path = written(tmp_path / "a.csv", ["1,2,3"] * 5000)
    events = read_events(inspect_file(path), 4990, 5000, None, {})
    assert events.event.to_list() == list(range(4991, 5001))
    assert set(ak.to_numpy(events.run)) == set(ak.to_numpy(events.luminosityBlock)) == {1}


def test_numbers_of_its_own_are_kept(tmp_path):
    path = written(tmp_path / "a.csv", ["5,1.5", "7,2.5"], "event,MET")
    assert read_events(inspect_file(path), 0, 2, None, {}).event.to_list() == [5, 7]


def test_a_bad_cell_is_named_by_row_and_column(tmp_path):
    source = inspect_file(written(tmp_path / "a.csv", ["1,2,3", "4,,6"]))
    with pytest.raises(EventError, match="row 2, column reco_zv_mass: the cell is missing"):
        read_events(source, 0, source.entries, ("reco_zv_mass", "FullEventWeight"), {})


def test_a_table_without_names_is_refused(tmp_path):
    with pytest.raises(InputError, match="no line of column names"):
        inspect_file(written(tmp_path / "a.csv", ["1,2,3"], "1,2,3"))
