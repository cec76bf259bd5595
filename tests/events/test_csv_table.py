"""Tables as text: ranges, identities, and the sentence for each bad cell."""

from __future__ import annotations

import numpy as np
import pytest

from colonnade.errors import EventError, InputError
from colonnade.events.tables import CsvReader, is_csv


def write(path, rows, header="lep1_pt,fatjet_D2,event"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(10_000, 2)).round(6)
    rows = [f"{a},{b},{index}" for index, (a, b) in enumerate(values)]
    return write(tmp_path / "table.csv", rows), values


@pytest.mark.parametrize(("start", "stop"), [(0, 10_000), (0, 1), (4095, 4097), (4096, 8192), (9_999, 10_000), (5, 5)])
def test_any_range_is_that_of_the_whole_table(table, start, stop):
    path, values = table
    reader = CsvReader(path)
    assert reader.entries == 10_000
    assert reader.names == ("lep1_pt", "fatjet_D2", "event", "run", "luminosityBlock")
    found = reader.read(["fatjet_D2", "event"], start, stop)
    assert np.array_equal(found["fatjet_D2"].content, values[start:stop, 1])
    assert np.array_equal(found["event"].content, np.arange(start, stop))
    assert found["event"].content.dtype == np.int64
    assert found["event"].offsets is None


def test_blank_lines_are_no_rows(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"pt\n1\n\n2\r\n\r\n\n3\n\n")
    reader = CsvReader(str(path))
    assert reader.entries == 3
    assert [reader.read(["pt"], row, row + 1)["pt"].content.tolist() for row in range(3)] == [[1.0], [2.0], [3.0]]
    assert reader.read(["pt"], 1, 3)["pt"].content.tolist() == [2.0, 3.0]


def test_windows_lines_row_numbers_and_no_last_break(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf,pt,eta\r\n0,1.5,2\r\n1,2.5,-1")
    reader = CsvReader(str(path))
    assert reader.entries == 2
    assert reader.names == ("pt", "eta", "run", "luminosityBlock", "event")
    assert reader.read(["pt"], 0, 2)["pt"].content.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("1.0,,3", "row 3, column fatjet_D2: the cell is missing"),
        ("1.0,abc,3", "row 3, column fatjet_D2: 'abc' is not a number"),
        ("nan,2,3", "row 3, column lep1_pt: 'nan' is not a number"),
        ("1.0,2,3.5", "row 3, column event: '3.5' is not a number"),
        ("1.0,2", "row 3: 2 cells where the header names 3 columns"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, row, sentence):
    path = write(tmp_path / "table.csv", ["1,2,1", "1,2,2", row, "1,2,4"])
    reader = CsvReader(path)
    with pytest.raises(EventError, match=sentence):
        reader.read(reader.names, 0, 4)


def test_a_bad_cell_far_down_has_its_own_row_number(tmp_path):
    rows = ["1,2,3"] * 6000
    rows[5432] = "1,x,3"
    reader = CsvReader(write(tmp_path / "table.csv", rows))
    with pytest.raises(EventError, match="row 5433, column fatjet_D2: 'x' is not a number"):
        reader.read(reader.names, 5000, 6000)
    # a range without it can be read
    assert len(reader.read(["fatjet_D2"], 0, 4000)["fatjet_D2"].content) == 4000


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("", "no line of column names"),
        ("1.0,2.0,3", "no line of column names"),
        ("pt,pt,eta", "two columns 'pt'"),
        ('"pt",eta,phi', "quoted cells"),
    ],
)
def test_a_bad_header_is_refused(tmp_path, header, sentence):
    with pytest.raises(InputError, match=sentence):
        CsvReader(write(tmp_path / "table.csv", ["1,2,3"], header))


def test_endings():
    assert is_csv("a/b.CSV")
    assert not is_csv("a/b.root")
