"""The header of a TTree, read in part: the same as uproot finds, fewer requests, and what damage does to it."""

from __future__ import annotations

import functools
import inspect
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.errors import ColonnadeError
from colonnade.events import inspect_file, read_events
from colonnade.events import root as trees
from colonnade.events.header import TreeHeader, UnknownLayoutError, unpack_key
from colonnade.events.root import RootFile, TTreeReader
from colonnade.events.uproot_inside import unpack
from colonnade.faults import TransientInputError

FILES = [
    "nanoaod/cms_dimuon_100k",
    "nanoaod/cms_singlemu_2012b_1000",
    "nanoaod/nano_dy",
    "nanoaod/nano_dimuon",
    "nanoaod/nano_tt_v12",
    "nanoaod/nano_tt_v15",
    "nanoaod/pfnano",
    "physlite/PHYSLITE_example",
    "atlas_open_data/data_A.4lep",
    "statistics/cabinetry_data",
    "statistics/cabinetry_prediction",
    "statistics/pyBumpHunter_data",
    "bad/nano_dy_empty",
    "bad/nano_dy_SpecialTree",
]


def _branch_and_tree(path: str) -> list[str]:
    return [name for name, kind in RootFile(path).kinds.items() if kind.startswith("TTree")]


@pytest.mark.parametrize("file", FILES)
def test_every_branch_of_every_real_file(shared_data: Path, file: str) -> None:
    path = str(shared_data / f"{file}.root")
    for name in _branch_and_tree(path):
        tree = uproot.open(path)[name]
        reader = TTreeReader(RootFile(path), name)
        assert reader.entries == tree.num_entries
        assert reader.identity == f"{tree.file.uuid}:{tree.file.fEND}"
        inner = [branch for branch in tree.itervalues(recursive=True) if not branch.branches]
        assert len(inner) == len(reader.names)
        start, stop = reader.entries // 3, reader.entries
        for branch, column in zip(inner, reader.names, strict=True):
            try:
                expected = branch.array(entry_start=start, entry_stop=stop)
            except Exception:
                with pytest.raises(Exception, match=r".*"):
                    reader.read([column], start, stop)
                continue
            raw = reader.read([column], start, stop)[column]
            content = ak.Array(raw.content)
            counts = None if raw.offsets is None else np.diff(raw.offsets)
            found = content if counts is None else ak.unflatten(content, counts)
            assert ak.array_equal(found, expected, check_parameters=False, check_regular=False, equal_nan=True), column


def test_a_wide_file_is_opened_without_uproot(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        pytest.fail("uproot opened the tree")

    monkeypatch.setattr(trees.uproot, "open", refused)
    monkeypatch.setattr(trees.uproot.reading.ReadOnlyKey, "get", refused)
    source = inspect_file(str(shared_data / "nanoaod" / "nano_dy.root"))
    events = read_events(source, 0, source.entries, ("Muon_pt", "Jet_pt", "genWeight", "HLT_IsoMu24"), {})
    assert len(events.Muon.pt) == 40
    assert sum(events.genWeight) == pytest.approx(578762.435546875)


@functools.cache
def _content(path: str) -> tuple[bytes, int]:
    file = RootFile(path)
    key = file.directory.key("Events")
    return unpack_key(key, file.fetch([(key.fSeekKey, key.fSeekKey + key.fNbytes)])[0]), key.fKeylen


def test_every_cut_of_a_header_is_noticed(made: str) -> None:
    content, keylen = _content(made)
    for stop in range(0, len(content), 7):
        with pytest.raises(UnknownLayoutError):
            TreeHeader(content[:stop], keylen)


@pytest.mark.parametrize("seed", range(24))
def test_damaged_headers_give_a_sentence_or_the_same(
    tmp_path: Path, made: str, columns: dict[str, ak.Array], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # an uncompressed header, as every damage of a compressed one is found by unpacking it
    with uproot.open(made) as file:
        key = file.key("Events")
        assert key.fNbytes - key.fKeylen == key.fObjlen
        begin, end = key.fSeekKey + key.fKeylen, key.fSeekKey + key.fNbytes
    content = bytearray(Path(made).read_bytes())
    if seed % 2:
        # a word of counts, sizes or places that says something else
        place = int(rng.integers(begin, end - 4))
        content[place : place + 4] = struct.pack(">I", int(rng.integers(0, 2**32)))
    else:
        content[int(rng.integers(begin, end))] ^= 1 << int(rng.integers(8))
    path = tmp_path / "damaged.root"
    path.write_bytes(content)
    names = ("Muon_pt", "Jet_eta", "genWeight", "MET_pt")
    try:
        source = inspect_file(str(path))
        events = read_events(source, 0, source.entries, names, {})
    except (ColonnadeError, TransientInputError) as error:
        assert "damaged.root" in str(error)  # noqa: PT017 - or it is read all the same
        return
    whole = uproot.open(made)["Events"].arrays(["Muon_pt", "Jet_eta", "genWeight", "MET_pt"])
    assert source.entries == len(whole)
    assert ak.array_equal(events.Muon.pt, whole.Muon_pt, check_parameters=False)
    assert ak.array_equal(events.Jet.eta, whole.Jet_eta, check_parameters=False)
    assert ak.array_equal(events.genWeight, whole.genWeight, check_parameters=False)
    assert ak.array_equal(events.MET.pt, whole.MET_pt, check_parameters=False)


def test_a_basket_of_another_branch_is_refused(tmp_path: Path, made: str) -> None:
    tree = uproot.open(made)["Events"]
    mine, other = (tree[name].member("fBasketSeek")[0] for name in ("Muon_eta", "Muon_phi"))
    content = Path(made).read_bytes()
    assert struct.pack(">q", mine) in content
    path = tmp_path / "swapped.root"
    path.write_bytes(content.replace(struct.pack(">q", mine), struct.pack(">q", other)))
    with pytest.raises(ColonnadeError, match="Muon_eta"):
        read_events(inspect_file(str(path)), 0, 10, ("Muon_eta",), {})


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_what_was_found_in_a_header_is_kept(
    tmp_path: Path, made: str, columns: dict[str, ak.Array], monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    from colonnade.events import KnownPlaces
    from colonnade.events.files import forget_handle

    names = ("Jet_pt", "Jet_eta", "Muon_pt", "genWeight", "nPhoton", "HLT_IsoMu24")
    path = f"{prefix}{made}"
    source = inspect_file(path)
    first = read_events(source, 100, 900, names, {}, places=KnownPlaces(tmp_path))
    forget_handle(path)

    def refused(*_: Any, **__: Any) -> None:
        pytest.fail("the tree was looked at")

    monkeypatch.setattr(RootFile, "header", refused)
    monkeypatch.setattr(trees.uproot, "open", refused)
    again = read_events(source, 100, 900, names, {}, places=KnownPlaces(tmp_path))
    assert ak.array_equal(first, again)
    assert ak.all(again.Jet.phi == columns["Jet"].phi[100:900])  # a coordinate that nobody asked for before
    assert ak.all(again.Jet.eta == columns["Jet"].eta[100:900])
    assert again.nPhoton.to_list() == ak.num(columns["Photon"].pt[100:900]).to_list()


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"0\n{}"])
def test_kept_places_that_are_damaged_are_found_again(tmp_path: Path, made: str, damage: bytes) -> None:
    from colonnade.events import KnownPlaces
    from colonnade.events.files import forget_handle

    forget_handle(made)
    source = inspect_file(made)
    first = read_events(source, 0, 100, ("Jet_pt",), {}, places=KnownPlaces(tmp_path))
    (path,) = tmp_path.rglob("*.places")
    path.write_bytes(damage)
    forget_handle(made)
    assert ak.array_equal(read_events(source, 0, 100, ("Jet_pt",), {}, places=KnownPlaces(tmp_path)), first)


def test_a_file_that_was_replaced_after_planning_is_a_sentence(tmp_path: Path, rewrite: Callable[..., str]) -> None:
    from colonnade.events import KnownPlaces

    path, places = rewrite(), KnownPlaces(tmp_path / "places")
    source = inspect_file(path)
    read_events(source, 0, 10, ("Jet_pt",), {}, places=places)
    rewrite()
    with pytest.raises(ColonnadeError, match="replaced"):
        read_events(source, 0, 10, ("Jet_pt",), {}, places=places)


def test_the_private_part_of_uproot_that_is_used(shared_data: Path) -> None:
    ntuple = uproot.open(shared_data / "nanoaod" / "nano_dy_rntuple.root")["Events"]
    assert hasattr(ntuple.all_fields[0], "_fields"), f"uproot {uproot.__version__} has no RField._fields"
    for method, parameters in (
        ("read_page", "destination cluster_idx col_idx page_idx field_metadata"),
        ("read_locator", "loc uncomp_size"),
    ):
        found = " ".join(inspect.signature(getattr(ntuple, method)).parameters)
        assert found == parameters, f"uproot {uproot.__version__} has another RNTuple.{method}"
    content = bytes(range(256)) * 8
    packed = np.frombuffer(uproot.compression.compress(content, uproot.LZ4(4)), np.uint8)
    assert bytes(unpack(packed, len(content))) == content, f"uproot {uproot.__version__} unpacks blocks otherwise"
