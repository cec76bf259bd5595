"""Children follow their parent, and what killed processes left is swept by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from colonnade.errors import InputError
from colonnade.output import claim, claim_folder, replacing, sweep
from colonnade.processes import in_processes
from colonnade.store import Store

POOL = """
import os, sys, time
from colonnade.processes import processes_of, undisturbed

def pid():
    time.sleep(0.2)
    return os.getpid()

if __name__ == "__main__":
    try:
        with processes_of(2) as pool:
            with undisturbed():
                found = [pool.submit(pid) for _ in range(4)]
            print(*{each.result() for each in found}, flush=True)
            pool.submit(time.sleep, 600)
            time.sleep(600)
    except KeyboardInterrupt:
        sys.exit(130)
"""
HOLDER = """
import sys, time
from pathlib import Path
from colonnade.output import claim, claim_folder

claim(Path(sys.argv[1]), ".part.", ".json")
with claim_folder("colonnade-test-", Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


def started(folder: Path, program: str, *words: object) -> subprocess.Popen[str]:
    (folder / "program.py").write_text(program)
    command = [sys.executable, str(folder / "program.py"), *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_children_follow_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    process = started(tmp_path, POOL)
    assert process.stdout
    children = [int(word) for word in process.stdout.readline().split()]
    assert children
    assert all(map(alive, children))
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: to every process of the group
    else:
        process.kill()
    _, error = process.communicate(timeout=60)
    assert gone(children)
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    assert "Traceback" not in error


def test_every_pool_of_processes_follows_its_parent(project: Path) -> None:
    for path in (project / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "ProcessPoolExecutor(" in text:
            assert "follow_parent" in text, path


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_come_back_in_their_order(workers: int) -> None:
    assert list(in_processes(workers, pow, [(2, 3), (3, 2), (5, 1)])) == [8, 9, 5]


def test_a_process_that_dies_is_said_in_a_sentence() -> None:
    with pytest.raises(InputError, match="A worker process died"):
        list(in_processes(2, os._exit, [(1,), (1,)]))


def test_what_a_killed_process_left_is_swept_and_what_is_held_is_not(tmp_path: Path) -> None:
    holder = started(tmp_path, HOLDER, tmp_path)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"

    sweep(tmp_path, ".part.", ".json")
    with claim_folder("colonnade-test-", tmp_path) as own:
        assert len(list(tmp_path.glob("colonnade-test-*"))) == 2
        assert own.is_dir()
    assert not own.exists()
    assert len(list(tmp_path.glob(".part.*.json"))) == 1
    holder.kill()
    holder.communicate()
    sweep(tmp_path, ".part.", ".json")
    with claim_folder("colonnade-test-", tmp_path):
        assert len(list(tmp_path.glob("colonnade-test-*"))) == 1
    assert not list(tmp_path.glob(".part.*.json"))


def test_files_of_others_and_links_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "colonnade-x-1").symlink_to(tmp_path / "kept")
    (tmp_path / "colonnade-x-2").mkdir()  # just made by another process, which does not hold it yet
    sweep(tmp_path, "colonnade-x-")
    assert (tmp_path / "kept" / "file").exists()
    assert (tmp_path / "colonnade-x-2").is_dir()


def test_the_next_to_write_a_file_or_to_use_a_store_sweeps(tmp_path: Path) -> None:
    handle, part = claim(tmp_path, ".result.", ".json")
    with replacing(tmp_path / "result.json") as temporary:
        temporary.write_text("{}")
    assert part.exists()  # another process may be writing the same file
    os.close(handle)  # as when it is killed
    with replacing(tmp_path / "result.json") as temporary:
        temporary.write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    store = Store(tmp_path / "store", 1000, ".result")
    store.prepare()
    assert store.put("aa", b"x")
    handle, part = claim(store.path("aa").parent, ".", ".part")
    store.prepare()
    assert part.exists()
    os.close(handle)
    store.prepare()
    assert not part.exists()
    assert store.keys() == {"aa"}


SWALLOWED = """
import click, os, signal, sys, time, weakref
from colonnade.cli import entry

class Thing: pass

@click.command()
def command():
    thing = Thing()
    # what is raised in a callback of the interpreter's is ignored, as when modules are imported
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing
    time.sleep(60)

sys.argv = ["command"]
entry(command)
"""


def test_no_interrupt_is_swallowed(tmp_path: Path) -> None:
    process = started(tmp_path, SWALLOWED)
    _, error = process.communicate(timeout=50)
    assert process.returncode == 130
    assert error.split() == ["Interrupted."]
