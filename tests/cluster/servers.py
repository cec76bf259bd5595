"""An HTTP server for files that answers range requests, and misbehaves when told to."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FileServer(ThreadingHTTPServer):
    """Serves a folder; `fault(path, count)` says what happens to the so-many-th request for data of a file.

    It returns "" (answer), "stall" (send half, then nothing), "drop" (send half, then close) or a status to
    answer.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.fault: Callable[[str, int], str] = lambda _path, _count: ""
        self.requests: list[str] = []
        self.counts: dict[str, int] = {}
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        fault = ""
        if body:
            with self.server.lock:
                self.server.requests.append(self.headers.get("Range", "all"))
                count = self.server.counts[self.path] = self.server.counts.get(self.path, 0) + 1
            fault = self.server.fault(path.name, count)
        if fault.isdigit():
            self.send_error(int(fault))
            return
        first, last = 0, len(data) - 1
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        else:
            self.send_response(200)
        part = data[first : last + 1]
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if not body:
            return
        if not fault:
            self.wfile.write(part)
            return
        self.wfile.write(part[: len(part) // 2])
        self.wfile.flush()
        if fault == "stall":
            self.server.over.wait(120)
        self.close_connection = True


@contextmanager
def serving(folder: Path) -> Iterator[FileServer]:
    """Run a server in a thread for the length of a block."""
    server = FileServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        time.sleep(0)
