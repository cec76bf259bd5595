"""Real clusters: scheduler and workers as processes of their own, with TLS; another version; a lost scheduler."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.cluster
Tell = Callable[[str, str, str], None]


class Cluster:
    """A Dask scheduler and workers, each a process of its own that knows nothing of the project."""

    def __init__(self, folder: Path, security: list[str] | None = None) -> None:
        self.folder, self.security = folder, security or []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.prefix: list[str] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        protocol = "tls" if security else "tcp"
        self.address = f"{protocol}://127.0.0.1:{self.port}"
        # not in the project's folder, and without its path: workers have no checkout
        self.environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}

    def hide(self, folder: Path) -> None:
        """Have processes started from now on see an empty folder there, where this one may arrange that."""
        words = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {folder} && exec "$@"', "sh"]
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], check=False, capture_output=True).returncode == 0
        ):
            self.prefix = words

    def _start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"log-{len(self.processes)}").open("wb")
        process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", *words, *self.security],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self.processes.append(process)
        return process

    def scheduler(self) -> subprocess.Popen[bytes]:
        protocol = ["--protocol", "tls"] if self.security else []
        started = self._start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port),
            "--no-dashboard", "--no-show", *protocol,
        )  # fmt: skip
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return started
            time.sleep(0.1)
        pytest.fail("the scheduler did not start")

    def worker(self, *, nanny: bool = False, **environment: str) -> subprocess.Popen[bytes]:
        return self._start(
            "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-dashboard",
            "--nanny" if nanny else "--no-nanny", "--local-directory", str(self.folder), **environment,
        )  # fmt: skip

    def end(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.end()


def certificates(folder: Path) -> dict[str, str]:
    """Make an authority and one certificate that it signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here, which makes the certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "2", "-subj", "/CN=authority of a test")  # fmt: skip
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request.pem",
            "-subj", "/CN=localhost")  # fmt: skip
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "cert.pem", "-days", "2")  # fmt: skip
    return {name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key")}


def test_a_cluster_of_processes_with_tls(lab: Any, tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.simulate()
    clean = lab.clean()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    made = certificates(folder)
    words = ["--tls-ca-file", made["ca"], "--tls-cert", made["cert"], "--tls-key", made["key"]]
    cluster = Cluster(folder, words)
    try:
        cluster.hide(lab.project.analysis.parent)
        cluster.scheduler()
        for _ in range(2):
            cluster.worker()
        for name, file in (("CA_FILE", "ca"), ("CLIENT__CERT", "cert"), ("CLIENT__KEY", "key")):
            monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", made[file])
        outcome = lab.run("dask", executor={"scheduler": cluster.address})
        assert outcome.code == 0, outcome.said
        assert outcome.bits == clean
        refused = lab.run("dask", cache=False, executor={"scheduler": cluster.address.replace("tls", "tcp")})
        assert refused.code == 3
        assert "can't be reached" in refused.said
        assert "Traceback" not in refused.said
    finally:
        cluster.end()
    tell("a Dask cluster of processes with TLS, without checkout", "the clean run's bits", "code travels with the job")


def test_five_workers(lab: Any, tell: Tell, cluster: Cluster) -> None:
    lab.simulate(sizes=(500, 450))
    clean = lab.clean()
    cluster.scheduler()
    for _ in range(5):
        cluster.worker()
    outcome = lab.run("dask", cache=False, executor={"scheduler": cluster.address})
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    tell("a Dask cluster of five workers", "the clean run's bits", "added in the same order")


def test_another_version_is_refused(lab: Any, tell: Tell, cluster: Cluster, tmp_path: Path) -> None:
    lab.simulate()
    cluster.scheduler()
    # what a worker of another installation would say of itself
    old = tmp_path / "old" / "awkward-1.0.0.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: awkward\nVersion: 1.0.0\n")
    cluster.worker()
    cluster.worker(PYTHONPATH=str(tmp_path / "old"))
    time.sleep(5)
    outcome = lab.run("dask", executor={"scheduler": cluster.address})
    assert outcome.code == 2, outcome.said
    assert "has awkward 1.0.0 where this process has" in outcome.said
    assert "Traceback" not in outcome.said
    assert lab.seen() in (["zll 0"], [])
    tell("a worker has another version of awkward", "exit 2", "refused in one sentence before any chunk")


def test_no_scheduler(lab: Any, tell: Tell) -> None:
    lab.simulate()
    outcome = lab.run("dask", executor={"scheduler": "tcp://127.0.0.1:9"})
    assert outcome.code == 3
    assert "tcp://127.0.0.1:9 can't be reached" in outcome.said
    assert outcome.lost
    tell("there is no scheduler at the address", "exit 3, loss named", "one sentence")


def test_the_scheduler_disappears(lab: Any, tell: Tell, cluster: Cluster) -> None:
    lab.simulate(sizes=(300, 250, 350))
    clean = lab.clean()
    scheduler = cluster.scheduler()
    cluster.worker()
    lab.seen()
    lab.at(200)
    process = lab.start("dask", executor={"scheduler": cluster.address})
    lab.held(200)
    before = set(lab.seen())
    scheduler.send_signal(signal.SIGKILL)
    scheduler.wait()
    outcome = lab.finish(process)
    lab.release()
    assert outcome.code == 3, outcome.said
    assert "scheduler has gone" in outcome.said
    assert "are safe in" in outcome.said
    assert "Traceback" not in outcome.said
    assert sum(loss["stop"] - loss["start"] for loss in outcome.lost) == 900
    assert not (outcome.folder / "histograms.root").exists()
    again = lab.run("futures")
    assert again.code == 0
    assert again.bits == clean
    assert not [line for line in lab.seen() if line in before and line != "zll 0"]
    tell(
        "the scheduler disappears, then `--resume`",
        "exit 3, loss named; then the clean run's bits",
        "no result is written",
    )


def test_every_worker_of_a_cluster_is_replaced(lab: Any, tell: Tell, cluster: Cluster) -> None:
    lab.simulate(sizes=(300, 250, 350))
    clean = lab.clean()
    cluster.scheduler()
    first = cluster.worker(nanny=True)
    lab.at(200)
    process = lab.start("dask", cache=False, executor={"scheduler": cluster.address})
    held = lab.held(200)
    first.kill()
    os.kill(held, signal.SIGKILL)
    cluster.worker()
    lab.release()
    outcome = lab.finish(process)
    assert outcome.code == 0, outcome.said
    assert outcome.bits == clean
    tell("all workers of a cluster are killed, new ones come", "the clean run's bits", "lost results are made again")


def test_only_loopback_is_listened_to(lab: Any, tell: Tell) -> None:
    lab.simulate()
    lab.at(100)
    process = lab.start("dask", 1)
    lab.held(100)
    run = psutil.Process(process.pid)
    family = [run, *run.children(recursive=True)]
    listening = [
        connection.laddr.ip
        for one in family
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    lab.release()
    assert lab.finish(process).code == 0
    assert len(listening) >= 2  # scheduler and worker
    assert set(listening) == {"127.0.0.1"}
    tell("somebody on the network looks for a local cluster", "nobody is heard", "it listens on loopback only")
