"""Columns straight from their baskets: every way in which ROOT files pack them, and damage."""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.errors import InputError
from colonnade.events import baskets, inspect_file, read_events
from colonnade.events.files import forget_handle
from colonnade.events.root import RootFile, TTreeReader

COMPRESSIONS = [None, uproot.ZLIB(1), uproot.LZ4(4), uproot.LZMA(1), uproot.ZSTD(5)]


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_compression(rewrite: Callable[..., str], compression: object, threads: int) -> None:
    path = rewrite(compression=compression)
    expected = uproot.open(path)["Events"].arrays(entry_start=50, entry_stop=290)
    source = inspect_file(path)
    events = read_events(source, 50, 290, tuple(sorted(source.columns)), {}, threads=threads)
    for name in ("Muon_pt", "Muon_charge", "Muon_tightId", "Jet_phi"):
        group, field = name.split("_")
        assert ak.all(events[group][field] == expected[name])
    assert ak.all(events.event == expected.event)
    assert ak.all(events.HLT.IsoMu24 == expected.HLT_IsoMu24)


def test_what_is_read_here_and_what_is_left_to_uproot(made: str, shared_data: Path) -> None:
    tree = TTreeReader(RootFile(made), "Events")
    for name, jagged in (("Muon_pt", True), ("Muon_tightId", True), ("event", False), ("nMuon", False)):
        (branch,) = tree.places([name])
        assert branch.jagged == jagged
    flat = TTreeReader(RootFile(str(shared_data / "nanoaod" / "nano_dy.root")), "Events")
    assert flat.places(["nMuon"])
    flat = TTreeReader(RootFile(str(shared_data / "atlas_open_data" / "data_A.4lep.root")), "mini")
    # a vector has a header in front of each event's values
    assert not flat.places(["lep_pt"])


def test_a_basket_of_several_blocks(tmp_path: Path) -> None:
    # blocks hold at most 16 MB
    numbers = np.random.default_rng(2).integers(0, 1000, 2_300_000).astype(np.float64)
    path = tmp_path / "large.root"
    with uproot.recreate(path, compression=uproot.ZSTD(1)) as file:
        file.mktree("Events", {"x": "float64"}).extend({"x": numbers})
    assert numbers.nbytes > 2**24
    source = inspect_file(str(path))
    assert np.array_equal(read_events(source, 0, len(numbers), ("x",), {}).x, numbers)
    assert np.array_equal(read_events(source, 2_200_000, 2_200_003, ("x",), {}).x, numbers[2_200_000:2_200_003])


def test_baskets_inside_the_trees_own_record(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "atlas_open_data" / "data_B.4lep.root"))
    tree = uproot.open(source.path)["mini"]
    assert len(tree["met_et"].embedded_baskets) == 1
    expected = tree["met_et"].array(entry_start=3, entry_stop=150) / np.float32(1000)
    for _ in range(2):
        assert ak.all(read_events(source, 3, 150, ("MET_pt",), {}).MET.pt == expected)


def test_ranges_that_share_a_basket(made: str, columns: dict[str, ak.Array], monkeypatch: pytest.MonkeyPatch) -> None:
    # baskets hold 400 events: each is read and unpacked once for ranges that follow each other, and stays as it was
    forget_handle(made)
    source = inspect_file(made)
    unpacked: list[int] = []
    unpack = baskets._unpack

    def counted(branch: baskets.PlainBranch, number: int, raw: bytes, others: frozenset[str]) -> object:
        unpacked.append(number)
        return unpack(branch, number, raw, others)

    monkeypatch.setattr(baskets, "_unpack", counted)
    for start in (0, 150, 300, 450, 600):
        events = read_events(source, start, start + 150, ("Jet_mass", "event"), {})
        assert ak.all(events.Jet.mass == columns["Jet"].mass[start : start + 150])
        assert ak.all(events.event == columns["event"][start : start + 150])
    assert unpacked == [0, 0, 1, 1]
    again = read_events(source, 300, 450, ("Jet_mass", "event"), {})
    assert ak.all(again.Jet.mass == columns["Jet"].mass[300:450])


def test_threads_share_an_open_file(made: str, columns: dict[str, ak.Array]) -> None:
    source = inspect_file(made)

    def total(start: int) -> float:
        events = read_events(source, start, start + 100, ("Muon_pt", "Jet_pt"), {})
        return float(ak.sum(events.Muon.pt) + ak.sum(events.Jet.pt))

    starts = list(range(0, 2500, 100)) * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(total, starts))
    expected = [float(ak.sum(columns["Muon"].pt[s : s + 100]) + ak.sum(columns["Jet"].pt[s : s + 100])) for s in starts]
    assert found == expected


def flip(path: str, name: str, change: Callable[[bytearray, int, int], None]) -> str:
    """Damage the second basket of a branch."""
    branch = uproot.open(path)["Events"][name]
    begin = int(branch.member("fBasketSeek")[1])
    end = begin + branch.basket_compressed_bytes(1)
    data = bytearray(Path(path).read_bytes())
    change(data, begin, end)
    damaged = Path(path).with_name("damaged.root")
    damaged.write_bytes(data)
    return str(damaged)


def zeros(data: bytearray, begin: int, end: int) -> None:
    data[begin + 80 : end] = bytes(end - begin - 80)


def key_length(data: bytearray, begin: int, end: int) -> None:
    data[begin + 14] ^= 0x40


def unpacked_length(data: bytearray, begin: int, end: int) -> None:
    data[begin + 7] ^= 0x7F


def events(data: bytearray, begin: int, end: int) -> None:
    keylen = int.from_bytes(data[begin + 14 : begin + 16], "big")
    data[begin + keylen - 6] ^= 1


@pytest.mark.parametrize("change", [zeros, key_length, unpacked_length, events])
def test_damage_is_reported_with_file_range_and_branch(
    rewrite: Callable[..., str], change: Callable[[bytearray, int, int], None]
) -> None:
    path = flip(rewrite(compression=uproot.ZSTD(3)), "Jet_eta", change)
    source = inspect_file(path)
    assert len(read_events(source, 0, 120, ("Jet_eta", "Jet_pt"), {})) == 120
    with pytest.raises(InputError, match=r"damaged\.root, tree Events, entries 100 to 300, branch Jet_eta can't"):
        read_events(source, 100, 300, ("Jet_pt", "Jet_eta"), {})


def test_offsets_that_run_backwards(rewrite: Callable[..., str]) -> None:
    def backwards(data: bytearray, begin: int, end: int) -> None:
        # uncompressed: the starts of the events are the last words
        data[end - 200 : end - 196] = (2**30).to_bytes(4, "big")

    source = inspect_file(flip(rewrite(compression=None), "Jet_pt", backwards))
    with pytest.raises(InputError, match="branch Jet_pt can't be read: basket 1 of Jet_pt contradicts itself"):
        read_events(source, 0, 300, ("Jet_pt",), {})


@pytest.mark.parametrize("name", ["genWeight", "HLT_IsoMu24"])
def test_baskets_that_changed_places_are_refused(rewrite: Callable[..., str], tmp_path: Path, name: str) -> None:
    """Two baskets of one branch look alike; but the key of each says where it belongs."""
    path = Path(rewrite(compression=None))
    branch = uproot.open(path)["Events"][name]
    (one, other), size = branch.member("fBasketSeek")[:2].tolist(), branch.basket_compressed_bytes(0)
    assert size == branch.basket_compressed_bytes(1)
    data = bytearray(path.read_bytes())
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
    damaged = tmp_path / "damaged.root"
    damaged.write_bytes(data)
    source = inspect_file(str(damaged))
    assert len(read_events(source, 240, 300, (name,), {})) == 60
    with pytest.raises(InputError, match=rf"damaged\.root.*basket 1 of {name} contradicts itself"):
        read_events(source, 120, 240, (name,), {})


def test_a_tree_that_says_it_has_fewer_entries_than_its_branches(rewrite: Callable[..., str], tmp_path: Path) -> None:
    path = Path(rewrite(compression=None))
    content = path.read_bytes()
    with uproot.open(path) as file:
        key = file.key("Events")
        place = content.index(struct.pack(">q", 300), key.fSeekKey)
    damaged = tmp_path / "damaged.root"
    damaged.write_bytes(content[:place] + struct.pack(">q", 240) + content[place + 8 :])
    source = inspect_file(str(damaged))
    assert source.entries == 240
    for name in ("genWeight", "Muon_pt", "HLT_IsoMu24"):
        with pytest.raises(InputError, match=f"branch {name} has 300 entries where the tree has 240"):
            read_events(source, 0, 240, (name,), {})
