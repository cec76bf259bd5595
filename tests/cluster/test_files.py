"""Faults of files: at planning, between planning and reading, and of the servers they lie on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uproot

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]

_spec = importlib.util.spec_from_file_location("colonnade_test_servers", Path(__file__).parent / "servers.py")
assert _spec is not None
assert _spec.loader is not None
servers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(servers)


def truncate(path: Path, lab: Any) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def delete(path: Path, lab: Any) -> None:
    path.unlink()


def replace(path: Path, lab: Any) -> None:
    (other,) = lab.simulate("other", (250,))
    del lab.datasets["other"]
    other.replace(path)


def flip(path: Path, lab: Any) -> None:
    """Flip one bit in each basket of the muons' momenta."""
    places = []
    with uproot.open(path) as file:
        branch = file["Events/Muon_pt"]
        for number in range(branch.num_baskets):
            key = branch.basket_key(number)
            places.append(key.data_cursor.index + key.data_compressed_bytes // 2)
    blob = bytearray(path.read_bytes())
    for place in places:
        blob[place] ^= 16
    path.write_bytes(blob)


def forbid(path: Path, lab: Any) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and setpriv is not here")
    path.chmod(0)


FAULTS = {"truncated": truncate, "deleted": delete, "bit-flipped": flip, "made unreadable": forbid}


@pytest.fixture
def half(lab: Any) -> tuple[list[Path], str]:
    """Give a dataset of two files, and the bits of a clean run on the first alone."""
    paths = lab.simulate()
    files = lab.datasets["zll"]["files"]
    lab.datasets["zll"]["files"] = {paths[0].name: "Events"}
    bits = lab.clean()
    lab.datasets["zll"]["files"] = files
    return paths, bits


def assert_second_file_lost(outcome: Any, paths: list[Path], bits: str) -> None:
    assert outcome.code == 3, outcome.said
    assert {loss["file"].rpartition("/")[2] for loss in outcome.lost} == {paths[1].name}
    assert all(loss["reason"] for loss in outcome.lost)
    assert outcome.bits == bits
    assert outcome.ledger["datasets"]["zll"]["sumw"] == 3.0 * 300
    assert "Traceback" not in outcome.said


@pytest.mark.parametrize("fault", FAULTS)
def test_before_planning(lab: Any, tell: Tell, half: tuple[list[Path], str], fault: str) -> None:
    paths, bits = half
    FAULTS[fault](paths[1], lab)
    assert_second_file_lost(lab.run("iterative"), paths, bits)
    tell(f"a file is {fault} before the run", "exit 3, loss named", "normalised to the other files")


def test_the_first_file_is_damaged(lab: Any, tell: Tell) -> None:
    paths = lab.simulate()
    files = lab.datasets["zll"]["files"]
    lab.datasets["zll"]["files"] = {paths[1].name: "Events"}
    bits = lab.clean()
    lab.datasets["zll"]["files"] = files
    flip(paths[0], lab)
    outcome = lab.run("iterative")
    assert outcome.code == 3, outcome.said
    assert {loss["file"] for loss in outcome.lost} == {str(paths[0])}
    assert outcome.bits == bits
    tell("the file on which columns would be learned is bit-flipped", "exit 3, loss named", "learned on the next")


@pytest.mark.parametrize("fault", [*FAULTS, "replaced"])
def test_between_planning_and_reading(lab: Any, tell: Tell, half: tuple[list[Path], str], fault: str) -> None:
    paths, bits = half
    lab.at(100)
    # who has a file open goes on reading it, whatever becomes of its permissions: other processes have not
    process = lab.start("futures" if fault == "made unreadable" else "iterative", 1)
    lab.held(100)
    {**FAULTS, "replaced": replace}[fault](paths[1], lab)
    lab.release()
    assert_second_file_lost(lab.finish(process), paths, bits)
    tell(f"a file is {fault} between planning and reading", "exit 3, loss named", "never tried again")


def test_a_file_that_is_mended_is_all_that_runs_again(lab: Any, tell: Tell, half: tuple[list[Path], str]) -> None:
    paths, bits = half
    clean = lab.clean()
    whole = paths[1].read_bytes()
    status = paths[1].stat()
    truncate(paths[1], lab)
    assert_second_file_lost(lab.run("iterative"), paths, bits)
    paths[1].write_bytes(whole)
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    lab.seen()
    outcome = lab.run("iterative")
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    assert sorted(lab.seen()) == ["zll 0", "zll 0", "zll 166", "zll 83"]  # one to learn the columns, three chunks
    tell("a lost file is mended, then `--resume`", "the clean run's bits", "only that file's chunks run")


def test_real_file_with_flipped_bits(lab: Any, tell: Tell) -> None:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real files are not here: ../shared/data is missing")
    bad = folder / "bad" / "nano_dimuon_bitflip_120000_120400.root"
    good = folder / "nanoaod" / "nano_dimuon.root"
    # four triggers of this file can't be read; all else can
    text = lab.project.analysis.read_text()
    text = text.replace("        pt = objects", "        ak.sum(events.HLT.PFJet15)\n        pt = objects")
    lab.datasets["data"] = {
        "files": {str(good): "Events", str(bad): "Events"},
        "metadata": {"process": "data", "kind": "data", "luminosity": 2.0},
    }
    assert lab.run("iterative", 1).code == 0
    lab.project.analysis.write_text(text)
    outcome = lab.run("futures", 2)
    assert outcome.code == 3, outcome.said
    assert [loss["file"] for loss in outcome.lost] == [str(bad)]
    assert "HLT_PFJet15" in outcome.lost[0]["reason"]
    assert outcome.ledger["datasets"]["data"]["luminosity_lost"] == 1.0
    tell("real CMS data with flipped bits in four branches", "exit 3, loss named", "only where such a branch is read")


@pytest.fixture
def server(lab: Any) -> Iterator[Any]:
    with servers.serving(lab.root) as made:
        yield made


def over_http(lab: Any, server: Any) -> None:
    lab.datasets["zll"]["files"] = {
        f"{server.address}/{name}": tree for name, tree in lab.datasets["zll"]["files"].items()
    }


@pytest.mark.parametrize("fault", ["stall", "drop", "503"])
@pytest.mark.parametrize("times", ["once", "always"])
def test_a_file_server_at_fault(
    lab: Any, tell: Tell, half: tuple[list[Path], str], server: Any, fault: str, times: str
) -> None:
    paths, bits = half
    clean = lab.clean()
    over_http(lab, server)
    lab.at(100)
    kind = "futures" if times == "always" else "iterative"
    process = lab.start(kind, 1, executor={"patience": 5.0, "retries": 1})
    lab.held(100)
    start = server.counts.get(f"/{paths[1].name}", 0)

    def misbehave(name: str, count: int) -> str:
        return fault if name == paths[1].name and (times == "always" or count <= start + 1) else ""

    server.fault = misbehave
    lab.release()
    outcome = lab.finish(process)
    if times == "once":
        assert outcome.code == 0, outcome.said
        assert outcome.bits == clean
        tell(f"a file server answers once with: {fault}", "the clean run's bits", "tried again with back-off")
    else:
        assert_second_file_lost(outcome, paths, bits)
        tell(f"a file server always answers with: {fault}", "exit 3, loss named", "given up after the retries")


@pytest.mark.parametrize("times", ["once", "always"])
def test_a_file_server_that_stalls_when_files_are_opened(
    lab: Any, tell: Tell, half: tuple[list[Path], str], server: Any, times: str
) -> None:
    paths, bits = half
    clean = lab.clean()
    over_http(lab, server)
    server.fault = lambda name, count: "stall" if name == paths[1].name and (times == "always" or count == 1) else ""
    outcome = lab.run("iterative", 1, executor={"patience": 5.0, "retries": 1})
    if times == "once":
        assert outcome.code == 0, outcome.said
        assert outcome.bits == clean
        tell("a file server stalls once when files are opened", "the clean run's bits", "tried again with back-off")
    else:
        assert_second_file_lost(outcome, paths, bits)
        tell("a file server always stalls when files are opened", "exit 3, loss named", "given up after the retries")


def test_http_reads_ranges_only(lab: Any, tell: Tell, server: Any) -> None:
    lab.simulate()
    clean = lab.clean()
    over_http(lab, server)
    outcome = lab.run("futures", 2)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    assert server.requests
    assert "all" not in server.requests
    tell("files on an HTTP server with range requests", "the clean run's bits", "no file is fetched whole")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a disk of its own, of 32 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("a small disk can't be mounted: this needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_at_output(lab: Any, tell: Tell, small_disk: Path) -> None:
    lab.simulate()
    clean = lab.clean()
    (small_disk / "ballast").write_bytes(b"x" * 24_000)
    outcome = lab.run("iterative", output=str(small_disk / "output"))
    assert outcome.code == 2, outcome.said
    assert "No space left on device" in outcome.said
    assert "Traceback" not in outcome.said
    left = sorted(path.name for path in (small_disk / "output").iterdir())
    assert not [name for name in left if name.startswith(".")], "a half-written file is left"
    assert "histograms.root" not in left
    lab.seen()
    again = lab.run("iterative")
    assert again.bits == clean
    assert lab.seen() == []
    tell(
        "the disk is full at output",
        "exit 2, nothing half-written",
        "the results are kept: elsewhere, at no event work",
    )


def test_a_read_only_output_folder(lab: Any, tell: Tell, small_disk: Path) -> None:
    lab.simulate()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    outcome = lab.run("iterative", output=str(small_disk / "output"))
    assert outcome.code == 2, outcome.said
    assert "Read-only file system" in outcome.said
    assert "Traceback" not in outcome.said
    tell("the output folder is read-only", "exit 2", "one sentence; the results are kept")


def test_a_full_disk_at_the_cache(lab: Any, tell: Tell, small_disk: Path) -> None:
    lab.simulate()
    clean = lab.clean()
    (small_disk / "ballast").write_bytes(b"x" * 28_000)
    (lab.root / "cache").symlink_to(small_disk)
    outcome = lab.run("futures", 2)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    assert not list(small_disk.rglob("*.part"))
    tell("the cache's disk is full", "the clean run's bits", "results are not kept")
