"""A process that has imported all, and forks one for each command: quick to start, and free of others' threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading


class Zygote:
    """Runs commands of colonnade in processes of their own, which may be killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *words: str, kill_after: float | None = None) -> int:
        """Run a command, or kill it after some seconds; return what it exits with, or -9."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([words, kill_after]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _serve() -> None:
    import colonnade.execution.preload
    import colonnade.statistics.analysis
    import colonnade.workflow.run  # noqa: F401 - imported for those that are forked
    from colonnade.cli import main

    answers = os.dup(1)
    for line in sys.stdin:
        words, kill_after = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            code = 1
            try:
                main(words)
            except SystemExit as error:
                code = int(error.code or 0)
            finally:
                os._exit(code)
        timer = threading.Timer(kill_after or 0.0, os.kill, (child, signal.SIGKILL))
        if kill_after is not None:
            timer.start()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        timer.cancel()
        if timer.ident is not None:
            timer.join()
        os.write(answers, f"{status}\n".encode())


if __name__ == "__main__":
    _serve()
