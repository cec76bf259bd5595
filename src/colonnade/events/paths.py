"""Local paths and URLs, and the bytes of several ranges of a remote file in one request."""

from __future__ import annotations

import bisect
import hashlib
import os
import zlib
from collections.abc import Sequence
from typing import Any

import fsspec
from fsspec.utils import merge_offset_ranges

#: Ranges nearer to each other than this are asked for as one: a request costs more than the bytes between.
_GAP = 32_768
_LONGEST = 16 * 2**20

#: Seconds without a byte after which a server counts as stalled.
PATIENCE = 60

#: A server that was away for a moment: XRootD's client would refuse to ask it for half an hour, or wait two minutes
#: between attempts. Seconds; whoever reads tries again by themselves.
_XROOTD = {"XRD_STREAMERRORWINDOW": "5", "XRD_CONNECTIONWINDOW": "5", "XRD_CONNECTIONRETRY": "2"}


def is_remote(path: str) -> bool:
    """Tell whether a path is a URL of a server."""
    return "://" in path and not path.startswith("file://")


def local_path(path: str) -> str:
    """Return the path that a ``file://`` URL means; others stay as they are."""
    return path.removeprefix("file://")


def storage_options(path: str) -> dict[str, Any]:
    """Return what a URL's protocol needs to give up on a server that has stalled, instead of waiting for good."""
    protocol = path.partition("://")[0]
    if protocol in {"http", "https"}:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
        return {"client_kwargs": {"timeout": limit}}
    if protocol in {"root", "roots"}:
        # read when the client is loaded, which comes after this
        for name, value in _XROOTD.items():
            os.environ.setdefault(name, value)
        return {"timeout": PATIENCE}
    return {}


def fetch_remote(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the bytes of several ranges of a remote file.

    Parameters
    ----------
    path
        The URL.
    ranges
        Where each starts and stops; in any order.

    Raises
    ------
    ConnectionError
        If the server sends less than was asked for.
    Exception
        Whatever the protocol's library raises.
    """
    if not ranges:
        return []
    system, inner = fsspec.core.url_to_fs(path, **storage_options(path))
    begins, ends = [start for start, _ in ranges], [stop for _, stop in ranges]
    inners, starts, stops = merge_offset_ranges([inner] * len(ranges), begins, ends, _GAP, _LONGEST)
    answers = system.cat_ranges(inners, starts, stops, on_error="raise")
    for start, stop, answer in zip(starts, stops, answers, strict=True):
        if len(answer) != stop - start:
            msg = f"the server sent {len(answer)} of {stop - start} bytes"
            raise ConnectionError(msg)
    found: list[bytes] = []
    for start, stop in ranges:
        index = bisect.bisect_right(starts, start) - 1  # the last one that starts no later holds it
        found.append(answers[index][start - starts[index] : stop - starts[index]])
    return found


def checksum(path: str, kind: str) -> str:
    """Return a file's checksum in hexadecimal digits, as Rucio writes it.

    Parameters
    ----------
    path
        Local path or URL.
    kind
        ``adler32`` or ``sha256``.
    """
    adler, sha = 1, hashlib.sha256()
    with fsspec.open(path, "rb", **storage_options(path)) as stream:
        while block := stream.read(1 << 24):
            if kind == "adler32":
                adler = zlib.adler32(block, adler)
            else:
                sha.update(block)
    return f"{adler:08x}" if kind == "adler32" else sha.hexdigest()


def forget_connection(path: str) -> None:
    """Have the next use of a URL's protocol connect anew: a connection that failed may stay unusable."""
    if is_remote(path):
        fsspec.get_filesystem_class(fsspec.utils.get_protocol(path)).clear_instance_cache()
