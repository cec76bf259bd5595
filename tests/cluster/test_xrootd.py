"""Files on a real XRootD server that runs for the length of the test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]


class Server:
    """An XRootD server for a folder."""

    def __init__(self, folder: Path, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home = home
        self.config = home / "xrootd.cfg"
        self.config.write_text(
            f"xrd.port {self.port}\nxrd.protocol xrootd *\nall.export {folder}\nall.adminpath {home}/admin\n"
            f"all.pidpath {home}/pid\nxrd.network nodnr\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"root://127.0.0.1:{self.port}/"

    def start(self) -> None:
        words = ["xrootd", "-c", str(self.config), "-l", str(self.home / "log")]
        if os.geteuid() == 0:  # it refuses to run as root
            words += ["-R", "xrootd"]
            subprocess.run(["chown", "-R", "xrootd:xrootd", str(self.home)], check=True)
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.home.rglob("log*") if path.is_file())
        pytest.fail(f"the XRootD server did not start: {logs}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def server(open_lab: Any, open_folder: Path) -> Iterator[Server]:
    if shutil.which("xrootd") is None:
        pytest.skip("xrootd not found: apt-get install xrootd-server")
    pytest.importorskip("XRootD", reason="xrootd is not installed: pip install 'colonnade[cluster]'")
    pytest.importorskip("fsspec_xrootd", reason="fsspec-xrootd is not installed: pip install 'colonnade[cluster]'")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("xrootd")
        except KeyError:
            pytest.skip("xrootd does not run as root, and there is no user xrootd")
    home = open_folder / "xrootd"
    home.mkdir()
    made = Server(open_lab.root, home)
    made.start()
    yield made
    made.stop()


def over_xrootd(lab: Any, server: Server) -> None:
    lab.datasets["zll"]["files"] = {
        f"{server.address}{lab.root}/{name}": tree for name, tree in lab.datasets["zll"]["files"].items()
    }


def test_files_are_read(open_lab: Any, tell: Tell, server: Server) -> None:
    lab = open_lab
    lab.simulate()
    clean = lab.clean()
    over_xrootd(lab, server)
    outcome = lab.run("futures", 2)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    tell("files on a real XRootD server, `root://`", "the clean run's bits", "")


def test_the_server_goes_away_and_comes_back(open_lab: Any, tell: Tell, server: Server) -> None:
    lab = open_lab
    lab.simulate()
    clean = lab.clean()
    over_xrootd(lab, server)
    lab.at(100)
    process = lab.start("futures", 1, executor={"patience": 5.0, "retries": 6})
    lab.held(100)
    server.stop()
    lab.release()
    time.sleep(6)
    server.start()
    outcome = lab.finish(process)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    tell("an XRootD server is killed and comes back", "the clean run's bits", "tried again with back-off")


def test_the_server_goes_away_for_good(open_lab: Any, tell: Tell, server: Server) -> None:
    lab = open_lab
    paths = lab.simulate()
    over_xrootd(lab, server)
    lab.datasets["zll"]["files"] = {paths[0].name: "Events", **dict(list(lab.datasets["zll"]["files"].items())[1:])}
    lab.at(100)
    process = lab.start("futures", 1, executor={"patience": 3.0, "retries": 1})
    lab.held(100)
    server.stop()
    lab.release()
    outcome = lab.finish(process)
    assert outcome.code == 3, outcome.said
    assert {loss["file"].rpartition("/")[2] for loss in outcome.lost} == {paths[1].name}
    assert outcome.ledger["datasets"]["zll"]["sumw"] == 3.0 * 300
    tell("an XRootD server is killed for good", "exit 3, loss named", "given up after the retries")
