"""A cluster on this machine answers its owner alone."""

import contextlib
import subprocess
import sys

from colonnade.execution import ExecutorSettings
from colonnade.execution.cluster import open_cluster

STRANGER = """
import logging, os, sys
logging.disable()
from distributed import Client
if os.geteuid() == 0:
    os.setuid(65534)  # nobody
for address in (sys.argv[1], sys.argv[1].replace("tls://", "tcp://")):
    try:
        Client(address, timeout="3s", set_as_default=False).submit(print, 1).result(3)
    except (OSError, TimeoutError, TypeError, ValueError, RuntimeError):
        continue
    sys.exit(1)
"""


def test_a_stranger_is_refused():
    with contextlib.ExitStack() as stack:
        pool = open_cluster(ExecutorSettings(kind="dask", workers=1), 1, stack)
        address = pool._client.scheduler.address
        assert address.startswith("tls://127.0.0.1")
        command = [sys.executable, "-c", STRANGER, address]
        done = subprocess.run(command, timeout=120, check=False, cwd="/", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert pool._client.submit(sum, [1, 2]).result(30) == 3
