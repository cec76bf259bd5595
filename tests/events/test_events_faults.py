"""Files that can't be read, in one sentence; what passes apart from what stays."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import uproot

from colonnade.errors import InputError, MissingColumnError
from colonnade.events import SourceFile, inspect_file, read_events
from colonnade.faults import TransientInputError, is_transient, reason, translated

REFUSED = {
    "PR554_SkipReadOnlyDirectory.root": "holds no tree",
    "bad_delphes.root": "holds no tree",
    "nano_dy_truncated.parquet": "can't be opened as a parquet file",
    "nano_dy_truncated_200000.root": "is cut short: it has 200000 of 352599 bytes",
    "text.root": "is neither a ROOT nor a parquet file, nor is it called .csv: it starts with b'not a ro'",
    "zero_byte.root": r"is empty \(0 bytes\)",
}
OPENED = {
    "missing_luminosityBlock.root": 2,
    "nano_dimuon_bitflip_120000_120400.root": 40,
    "nano_dy_SpecialTree.root": 40,
    "nano_dy_empty.parquet": 0,
    "nano_dy_empty.root": 0,
    "uproot-empty.root": 0,
}


def whole(source: SourceFile, *columns: str) -> object:
    return read_events(source, 0, source.entries, columns, {})


def one_sentence(error: pytest.ExceptionInfo[BaseException]) -> bool:
    text = str(error.value)
    return "\n" not in text and text.endswith(".") and "Traceback" not in text


def test_every_bad_file_is_known(shared_data: Path) -> None:
    assert {path.name for path in (shared_data / "bad").iterdir()} == {*REFUSED, *OPENED}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_opened(shared_data: Path, name: str) -> None:
    path = shared_data / "bad" / name
    with pytest.raises(InputError, match=REFUSED[name]) as error:
        inspect_file(str(path))
    assert one_sentence(error)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", OPENED)
def test_what_can_be_opened(shared_data: Path, name: str) -> None:
    source = inspect_file(str(shared_data / "bad" / name))
    assert source.entries == OPENED[name]
    if source.entries == 0:
        columns = tuple(sorted(source.columns))[:20]
        for asked in (columns, None):
            assert len(read_events(source, 0, 0, asked, {})) == 0


def test_a_missing_event_number_is_noted(shared_data: Path) -> None:
    (note,) = inspect_file(str(shared_data / "bad" / "missing_luminosityBlock.root")).notes
    assert "has no luminosityBlock:" in note


def test_flipped_bits_fail_in_the_branches_where_uproot_fails(shared_data: Path) -> None:
    path = str(shared_data / "bad" / "nano_dimuon_bitflip_120000_120400.root")
    tree = uproot.open(path)["Events"]
    source = inspect_file(path)
    sane = uproot.open(shared_data / "nanoaod" / "nano_dimuon.root")["Events"]
    damaged = []
    for name in tree.keys(filter_name="HLT_AK8*"):
        try:
            tree[name].array()
        except Exception:
            damaged.append(name)
            with pytest.raises(InputError, match=rf"entries 0 to 40, branch {name} can't be read") as error:
                whole(source, "run", name)
            assert one_sentence(error)
        else:
            events = read_events(source, 0, 40, (name,), {})
            assert np.array_equal(events["HLT"][name[4:]], sane[name].array(library="np"))
    assert 1 <= len(damaged) <= 4


def test_a_wrong_tree_names_the_trees_there_are(shared_data: Path) -> None:
    path = str(shared_data / "bad" / "nano_dy_SpecialTree.root")
    expected = r"has no tree 'Event' \(did you mean Events or NotEvents\?\); it has Events, Runs, NotEvents"
    with pytest.raises(InputError, match=expected):
        inspect_file(path, "Event")
    assert inspect_file(path, "NotEvents").tree == "NotEvents"


def test_several_trees_and_none_of_a_known_name(shared_data: Path) -> None:
    path = str(shared_data / "statistics" / "cabinetry_prediction.root")
    with pytest.raises(InputError, match=r"holds several trees .*; say which one to read"):
        inspect_file(path)
    assert inspect_file(path, "signal").entries == 5000


def test_a_path_that_is_not_a_file(tmp_path: Path, made: str) -> None:
    with pytest.raises(InputError, match="is a directory, not a file"):
        inspect_file(str(tmp_path))
    with pytest.raises(InputError, match=r"mad\.root does not exist \(did you mean made\.root\?\)"):
        inspect_file(str(Path(made).with_name("mad.root")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(rewrite: Callable[..., str]) -> None:
    path = rewrite()
    Path(path).chmod(0)
    with pytest.raises(InputError, match="can't be opened: Permission denied"):
        inspect_file(path)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_file_replaced_after_planning(rewrite: Callable[..., str], prefix: str) -> None:
    path = Path(rewrite("one.root"))
    source = inspect_file(f"{prefix}{path}")
    before = read_events(source, 0, 300, ("Muon_pt",), {}).Muon.pt.to_list()
    # the same content somewhere else, of the same time, moved into its place, is the same file
    copy = path.with_name("copy.root")
    shutil.copy2(path, copy)
    copy.replace(path)
    assert read_events(source, 0, 300, ("Muon_pt",), {}).Muon.pt.to_list() == before
    # another file of the same structure is not
    Path(rewrite("two.root")).replace(path)
    with pytest.raises(InputError, match=r"one\.root is not the file that was planned with: it was replaced"):
        read_events(source, 0, 300, ("Muon_pt",), {})


def test_a_file_truncated_or_deleted_after_planning(rewrite: Callable[..., str]) -> None:
    source = inspect_file(rewrite())
    os.truncate(source.path, source.size // 2)
    with pytest.raises(InputError, match="is cut short"):
        whole(source, "Muon_pt")
    Path(source.path).unlink()
    with pytest.raises(InputError, match="does not exist"):
        whole(source, "Muon_pt")


def test_a_range_beyond_the_end(made: str) -> None:
    with pytest.raises(InputError, match="entries 2400 to 2600: this tree has 2500 entries"):
        read_events(inspect_file(made), 2400, 2600, ("Muon_pt",), {})


def test_a_missing_column_names_dataset_file_branch_and_near_matches(made: str) -> None:
    expected = r"Dataset dy, .*made\.root, tree Events: there is no column Muon_ptt \(did you mean Muon_pt"
    with pytest.raises(MissingColumnError, match=expected) as error:
        read_events(inspect_file(made), 0, 10, ("Muon_pt", "Muon_ptt"), {"dataset": "dy"})
    assert one_sentence(error)


class ServerError(aiohttp.ClientError):
    status = 503


class GoneError(aiohttp.ClientError):
    status = 403


@pytest.mark.parametrize(
    ("error", "remote", "passes"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), False, True),
        (TimeoutError(), False, True),
        (OSError(errno.EIO, "input/output error"), False, True),
        (OSError(errno.ESTALE, "stale file handle"), False, True),
        (aiohttp.ServerDisconnectedError(), True, True),
        (ServerError(), True, True),
        (GoneError(), True, False),
        (FileNotFoundError(errno.ENOENT, "no such file"), True, False),
        (PermissionError(errno.EACCES, "denied"), True, False),
        (OSError("expected Chunk of length 4,\nreceived 0 bytes"), True, True),
        (OSError("expected Chunk of length 4,\nreceived 0 bytes"), False, False),
        (OSError("Failed to open file: [FATAL] Connection error"), True, True),
        (OSError("File did not open properly: [ERROR] Server responded with an error: [3011] no file"), True, False),
        (TypeError("'ClientResponseError' object is not subscriptable"), True, True),
        (ValueError("I/O operation on closed file"), True, True),
        (ValueError("I/O operation on closed file"), False, False),
        (TypeError("'int' object is not subscriptable"), True, False),
        (ValueError("nonsense"), True, False),
    ],
)
def test_what_passes_and_what_stays(error: Exception, remote: bool, passes: bool) -> None:
    assert is_transient(error, remote=remote) == passes
    with pytest.raises(TransientInputError if passes else InputError, match=r"^x can't be read: .*\.$"):  # noqa: SIM117
        with translated("x can't be read", remote=remote):
            raise error


def test_reasons_are_short() -> None:
    assert reason(OSError("expected Chunk of length 4,\nreceived 0 bytes\nfor file path /x")) == (
        "expected Chunk of length 4, received 0 bytes"
    )
    assert reason(ValueError("\n\nnot good:\n\n   details")) == "not good"
    assert reason(KeyError()) == "KeyError"
    assert len(reason(ValueError("x" * 500))) == 160


def test_memory_that_runs_out_is_no_damage() -> None:
    with pytest.raises(MemoryError), translated("x can't be read"):
        raise MemoryError
