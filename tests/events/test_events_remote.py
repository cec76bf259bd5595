"""Files on a web server that answers ranges, and on one that fails."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import awkward as ak
import pytest

from colonnade.errors import InputError
from colonnade.events import inspect_file, read_events
from colonnade.events.root import RootFile
from colonnade.faults import TransientInputError


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves byte ranges; drops connections while the server says so."""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.requests += 1
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        if server.stalled is not None:
            server.stalled.wait(20)
            return
        if server.broken:
            self.send_error(503)
            return
        data = path.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first = int(wanted[1])
            last = min(int(wanted[2] or len(data) - 1), len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if body:
            server.sent += len(data)
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


class _Server(http.server.ThreadingHTTPServer):
    broken = False
    stalled: threading.Event | None = None
    sent = 0
    requests = 0


@pytest.fixture
def server(made: str) -> Iterator[_Server]:
    folder = str(Path(made).parent)

    class Handler(_Handler):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, directory=folder, **options)  # type: ignore[arg-type]

    with _Server(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_ranges_of_a_remote_file(server: _Server, made: str) -> None:
    url = f"http://127.0.0.1:{server.server_port}/made.root"
    local, remote = inspect_file(made), inspect_file(url)
    assert local.identity.startswith(f"{remote.identity}:")  # a server tells no time
    assert (remote.entries, remote.sumw, remote.columns) == (local.entries, local.sumw, local.columns)
    before = server.sent
    columns = ("Muon_pt", "Muon_charge", "genWeight", "nJet")
    found = read_events(remote, 500, 900, columns, {})
    expected = read_events(local, 500, 900, columns, {})
    assert ak.all(found.Muon.pt == expected.Muon.pt)
    assert ak.all(found.Muon.charge == expected.Muon.charge)
    assert ak.all(found.genWeight == expected.genWeight)
    assert ak.all(found.nJet == expected.nJet)
    # only the baskets that are needed travel
    assert 0 < server.sent - before < remote.size / 3


def test_round_trips_to_open_a_file(
    server: _Server, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colonnade.events import KnownPlaces, root
    from colonnade.events.files import forget_handle

    url = f"http://127.0.0.1:{server.server_port}/made.root"
    columns = (
        *("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge", "Jet_pt", "Jet_eta", "Jet_mass"),
        *("genWeight", "nJet", "MET_pt"),
    )
    trips = 0
    fetch = root.fetch_remote

    def counted(*arguments: object) -> list[bytes]:
        nonlocal trips
        trips += 1
        return fetch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(root, "fetch_remote", counted)
    places = KnownPlaces(tmp_path)
    # header, list of objects, both trees, sum of weights
    source = inspect_file(url)
    assert trips <= 4
    # what planning has not to do again in a worker: header, list of objects, tree, and the ten columns
    forget_handle(url)
    trips = server.requests = 0
    first = read_events(source, 0, source.entries, columns, {}, places=places)
    assert trips <= 4
    assert server.requests <= 8  # a range far from the others is a request of its own in the same trip
    # whose places are known: the header, and the ten columns
    forget_handle(url)
    trips = 0
    again = read_events(source, 0, source.entries, columns, {}, places=places)
    assert trips == 2
    assert ak.array_equal(first, again)


def test_a_server_that_fails_may_recover(server: _Server) -> None:
    url = f"http://127.0.0.1:{server.server_port}/made.root"
    source = inspect_file(url)
    server.broken = True
    with pytest.raises(TransientInputError, match=r"made\.root, tree Events, entries 0 to 2500 can't"):
        read_events(source, 0, 2500, ("Muon_pt",), {})
    server.broken = False
    assert len(read_events(source, 0, 2500, ("Muon_pt",), {})) == 2500


def test_a_server_that_stalls_is_given_up(server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colonnade.events.paths.PATIENCE", 0.2)
    source = inspect_file(f"http://127.0.0.1:{server.server_port}/made.root")
    server.stalled = threading.Event()
    try:
        with pytest.raises(TransientInputError, match=r"made\.root, tree Events, entries 0 to 2500 can't be read"):
            read_events(source, 0, 2500, ("Muon_pt",), {})
    finally:
        server.stalled.set()


def test_a_file_that_is_not_on_the_server(server: _Server) -> None:
    with pytest.raises(InputError, match=r"none\.root"):
        inspect_file(f"http://127.0.0.1:{server.server_port}/none.root")


def test_a_server_that_is_not_there(server: _Server) -> None:
    port = server.server_port
    server.server_close()
    with pytest.raises(TransientInputError, match=rf"127\.0\.0\.1:{port}"):
        inspect_file(f"http://127.0.0.1:{port}/made.root")


def test_a_file_that_stalls_holds_up_no_other(made: str) -> None:
    waits, ends = threading.Event(), threading.Event()
    stalls, answers = RootFile(made), RootFile(made)
    inside = stalls.fetch

    def stall(ranges: list[tuple[int, int]]) -> list[Any]:
        waits.set()
        ends.wait(20)
        return inside(ranges)

    stalls.fetch = stall  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(lambda: (stalls.kinds, stalls.identity))
        assert waits.wait(20)
        second = threads.submit(lambda: (answers.kinds, answers.identity))
        try:
            assert second.result(10) == (answers.kinds, answers.identity)
        finally:
            ends.set()
        assert first.result(20) == second.result()
