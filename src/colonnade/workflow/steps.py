"""A run as steps, and the one rule by which a step is done again.

A step owns files in the run's folder. provenance.json says of each file which step made it, in which run, and the
SHA-256 of its content. A step is done again unless its key is the recorded one and its files are as recorded; the key
holds all that the files depend on.

Files are removed before the record that names them, and a record is written before the files it names. So the records
are true at every moment at which a process may be killed.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from colonnade.errors import ConfigError, InputError, OutputError
from colonnade.output import held_alone, sweep, write_json
from colonnade.processes import processes_of, undisturbed
from colonnade.versions import code_digest, digest, environment, file_digest
from colonnade.workflow.folder import read_provenance

# what the steps of a run write, files and folders; nothing else in an output folder is ever touched
_OUTPUTS = (
    "accumulator.zip", "histograms.zip", "histograms.root", "cutflow.json", "ledger.json", "workspace.json",
    "patchset.json", "fit.json", "bumps.json", "classifiers.json", "plots", "fit_plots", "report.html",
)  # fmt: skip
# where steps keep what they go on with after an interruption; each file there has its own key
_WORK = ("toys",)
_LOCK = ".lock"
# what a file system without locks answers
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes
    ----------
    name
        What it is called on the terminal and in provenance.json.
    outputs
        The files and folders that it may write, and no other step writes.
    run
        Writes the outputs into the folder it is given, where it finds those of earlier steps.
    settings
        What the outputs depend on, as plain data, apart from code and earlier steps.
    after
        The keys of the steps on whose results it depends.
    rooms
        The parts of colonnade whose code computes the outputs; what these import counts, too.
    work
        Folders with its unfinished work.
    beside
        Whether it is done in a process of its own while the later steps are done; then none of them takes its outputs,
        and `run` is a function that can be pickled.
    """

    name: str
    outputs: tuple[str, ...]
    run: Callable[[Path], object]
    settings: Any = None
    after: Collection[str] = ()
    rooms: tuple[str, ...] = ()
    work: tuple[str, ...] = ()
    beside: bool = False

    @cached_property
    def key(self) -> str:
        """The hash of all that the outputs depend on: equal key, equal outputs."""
        code = [code_digest(room) for room in self.rooms]
        versions = environment()["packages"]
        return digest(self.name, self.settings, code, versions, sorted(self.after))


class OutputFolder:
    """The folder of a run, while one process works in it; see `OutputFolder.opened`.

    Attributes
    ----------
    path
        The folder.
    about
        The content of provenance.json.
    """

    def __init__(self, path: Path, console: Console) -> None:
        self.path, self._console = path, console
        self.about = read_provenance(path)
        self._run = {
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    @classmethod
    @contextmanager
    def opened(cls, path: Path, console: Console, *, again: bool = False) -> Iterator[OutputFolder]:
        """Give the folder to this process alone; it is made when missing, and freed of what killed runs left.

        Parameters
        ----------
        path, console
            The folder, and where is told what happens there.
        again
            Whether a run has to have left it, to whose results a command adds.

        Raises
        ------
        InputError
            If no run left the folder, but one has to.
        OutputError
            If another run works in the folder, or it can't be written.
        ConfigError
            If the folder holds files of the names that a run writes, but no run made them.
        """
        if again and "config" not in read_provenance(path):
            msg = f"{path} holds no run: it has no provenance.json; give the output folder of `colonnade run`."
            raise InputError(msg)
        with _locked(path):
            found = [name for name in _OUTPUTS if (path / name).exists()]
            if found and not (path / _PROVENANCE).exists():
                msg = f"{path / found[0]} was made by no run; move it away or name another folder with --output."
                raise ConfigError(msg)
            for name in (*_OUTPUTS, _PROVENANCE):  # what processes that were killed left half-written
                sweep(path, f".{Path(name).stem}.", Path(name).suffix)
            yield cls(path, console)

    def begin(self, about: Mapping[str, Any], steps: Sequence[Step]) -> None:
        """Make the folder one run's: what its steps would not make themselves, to the byte, is removed.

        Parameters
        ----------
        about
            What provenance.json is to say of the run.
        steps
            All steps of the run.
        """
        kept = {step.name: self._records[step.name] for step in steps if self._has(step)}
        wanted = {name for step in steps if step.name in kept for name in step.outputs}
        wanted |= {name for step in steps for name in step.work}
        for name in (*_OUTPUTS, *_WORK):
            if name not in wanted:
                _remove(self.path / name)
        self.about = {**about, **self._run, "finished": None, "steps": kept}
        self.save()

    def do(self, *steps: Step) -> None:
        """Do steps in order unless they are done, those that may run beside others beside them."""
        with ExitStack() as stack:
            for step in steps:
                if self._has(step):
                    self._console.print(f"  {step.name:<11} unchanged", highlight=False)
                elif step.beside:
                    stack.enter_context(self._beside(step))
                else:
                    self.redo(step)

    def redo(self, step: Step) -> Any:
        """Do a step, and return what it returns."""
        self._start(step)
        began = time.monotonic()
        result = step.run(self.path)
        self._finish(step, time.monotonic() - began)
        return result

    def keys(self, *names: str) -> list[str]:
        """Return the keys of those of some steps whose results the folder holds."""
        return [self._records[name]["key"] for name in names if name in self._records]

    @contextmanager
    def _beside(self, step: Step) -> Iterator[None]:
        """Do a step in a process of its own while the block runs."""
        self._start(step)
        with processes_of(1) as pool:
            with undisturbed():
                seconds = pool.submit(_timed, step.run, self.path)
            yield
            self._finish(step, seconds.result())

    def note(self, name: str, seconds: float, what: str) -> None:
        """Print what a step did and how long it took."""
        self._console.print(f"  {name:<11} {seconds:6.1f} s  {what}", highlight=False)

    def save(self) -> None:
        """Write provenance.json."""
        write_json(self.path / _PROVENANCE, self.about)

    @property
    def _records(self) -> dict[str, Any]:
        records: dict[str, Any] = self.about.setdefault("steps", {})
        return records

    def _has(self, step: Step) -> bool:
        """Whether a step's outputs are there, all that it made and as it made them."""
        record = self._records.get(step.name)
        if not isinstance(record, dict) or record.get("key") != step.key or not record.get("files"):
            return False
        return bool(self._files(step) == record["files"])

    def _files(self, step: Step) -> dict[str, str]:
        """Return the SHA-256 of each file among a step's outputs."""
        paths = [self.path / name for name in step.outputs]
        inside = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
        return {file.relative_to(self.path).as_posix(): file_digest(file) for file in inside if file.is_file()}

    def _start(self, step: Step) -> None:
        for name in step.outputs:
            _remove(self.path / name)
        self._records[step.name] = {"key": step.key, "run": self._run, "files": None}
        self.save()

    def _finish(self, step: Step, seconds: float) -> None:
        self._records[step.name] |= {"files": self._files(step), "seconds": round(seconds, 3)}
        self.save()
        self.note(step.name, seconds, ", ".join(name for name in step.outputs if (self.path / name).exists()))


def _timed(run: Callable[[Path], object], path: Path) -> float:
    began = time.monotonic()
    run(path)
    return time.monotonic() - began


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a folder's lock, which ends with the process however that ends."""
    lock = path / _LOCK
    with ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            handle = stack.enter_context(held_alone(lock, os.O_CREAT))
            while not lock.exists() or not os.path.samestat(lock.stat(), os.fstat(handle)):
                # the run that held it has just removed it
                handle = stack.enter_context(held_alone(lock, os.O_CREAT))
            stack.callback(lock.unlink, missing_ok=True)
            os.truncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        except BlockingIOError as error:
            holder = lock.read_text(errors="replace") or "another process"
            msg = f"Another run works in {path} ({holder}); wait until it ends, or name another folder with --output."
            raise OutputError(msg) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                msg = f"{path} can't be written: {error.strerror or error}."
                raise OutputError(msg) from error
        yield
