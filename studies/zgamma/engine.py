"""Pseudo-experiments by the ten thousand: in blocks, in several processes, to files that a later run takes up.

A block is a fixed range of experiments. Each experiment has its own random numbers and each block its own
file, so a run that was stopped finds what is there, computes what is missing, and ends with the same numbers;
asking for more experiments later keeps all full blocks. Memory is that of the blocks in work, however many
there are.
"""

from __future__ import annotations

__all__ = ["PseudoExperiments", "identity", "load_pseudo_experiments", "progress_bar", "run_pseudo_experiments"]

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, InputError, OutputError
from colonnade.output import replacing, write_json
from colonnade.processes import processes_of
from colonnade.statistics.look_elsewhere import Calibration
from studies.zgamma.block import BlockResult, run_block
from studies.zgamma.sampling import Sampler
from studies.zgamma.settings import PseudoExperimentSettings

_IDENTITY = "identity.json"
# what a worker process works with, set when it starts: sent once, not with every block
_worker: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class PseudoExperiments:
    """The results of a study.

    Attributes
    ----------
    settings : PseudoExperimentSettings
    results : BlockResult
        All experiments, in order.
    """

    settings: PseudoExperimentSettings
    results: BlockResult

    def calibration(self, statistic: str = "z") -> Calibration:
        """Local and global distributions of `z`, `z_wilks`, `z_free` or `n_signal` over the cuts.

        Raises
        ------
        ConfigError
            If there is no such statistic.
        """
        known = ("z", "z_wilks", "z_free", "n_signal")
        if statistic not in known:
            msg = f"there is no statistic {statistic!r}; there are {', '.join(known)}."
            raise ConfigError(msg)
        return Calibration(getattr(self.results, statistic))

    @property
    def labels(self) -> list[str]:
        """Name of each cut."""
        return [f"{100 * fraction:g} %" for fraction in self.settings.rejections]


def run_pseudo_experiments(
    sampler: Sampler,
    settings: PseudoExperimentSettings,
    experiments: int,
    folder: Path,
    *,
    device: str = "cpu",
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> PseudoExperiments:
    """Run pseudo-experiments, or what is missing of them.

    Parameters
    ----------
    sampler, settings
        Where events come from, and what is done with them.
    experiments
        How many.
    folder
        Where the blocks are kept. A folder of another study is refused.
    device
        `cpu` or `cuda` for the training.
    workers
        Processes, of one thread each; 0 works in this process, as `cuda` always does.
    progress
        Called with the experiments done and wanted; see `progress_bar`.

    Raises
    ------
    ConfigError
        If the folder holds the blocks of other settings, events or device, or the device is not there.
    OutputError
        If the folder can't be written.
    """
    from studies.zgamma.ensemble import check_device

    check_device(device)
    if experiments < 1:
        msg = f"{experiments} pseudo-experiments are not possible; ask for at least one."
        raise ConfigError(msg)
    _claim(folder, sampler, settings, device)
    blocks = [range(first, min(first + settings.block, experiments)) for first in range(0, experiments, settings.block)]
    missing = [block for block in blocks if not _complete(folder, block, settings)]
    done = experiments - sum(map(len, missing))
    if progress:
        progress(done, experiments)
    for block in _work(sampler, settings, missing, folder, device, workers):
        done += len(block)
        if progress:
            progress(done, experiments)
    return load_pseudo_experiments(folder, settings, experiments)


def load_pseudo_experiments(folder: Path, settings: PseudoExperimentSettings, experiments: int) -> PseudoExperiments:
    """Read the blocks of a finished study.

    Raises
    ------
    InputError
        If a block is missing or damaged.
    """
    parts = []
    for first in range(0, experiments, settings.block):
        block = range(first, min(first + settings.block, experiments))
        result = _read(_path(folder, block))
        if result is None or not np.array_equal(result.index, block):
            msg = f"{_path(folder, block)}: this block is missing or damaged; run the pseudo-experiments again."
            raise InputError(msg)
        parts.append(result)
    joined: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(BlockResult)
        if field.name != "response"
    }
    joined["response"] = np.sum([part.response for part in parts], axis=0)
    return PseudoExperiments(settings, BlockResult(**joined))


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with experiments a second and time left; gives what `run_pseudo_experiments` calls."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(title, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def _work(
    sampler: Sampler,
    settings: PseudoExperimentSettings,
    blocks: Sequence[range],
    folder: Path,
    device: str,
    workers: int,
) -> Iterator[range]:
    """Compute and write blocks; gives each when its file is there."""
    if workers == 0 or device.startswith("cuda") or not blocks:
        for block in blocks:
            _write(_path(folder, block), run_block(sampler, settings, block, device=device))
            yield block
        return
    pending: set[Future[range]] = set()
    waiting = list(reversed(blocks))
    with processes_of(min(workers, len(blocks)), partial(_start_worker, sampler, settings, folder, device)) as pool:
        while True:
            # a few blocks ahead keep every worker busy; all at once would grow with the count
            while waiting and len(pending) < 2 * workers:
                pending.add(pool.submit(_work_in_process, waiting.pop()))
            if not pending:
                break
            ready, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in ready:
                yield future.result()


def _start_worker(sampler: Sampler, settings: PseudoExperimentSettings, folder: Path, device: str) -> None:
    import torch

    torch.set_num_threads(1)
    _worker.update(sampler=sampler, settings=settings, folder=folder, device=device)


def _work_in_process(block: range) -> range:
    sampler, settings, folder, device = (_worker[key] for key in ("sampler", "settings", "folder", "device"))
    _write(_path(folder, block), run_block(sampler, settings, block, device=device))
    return block


def identity(sampler: Sampler, settings: PseudoExperimentSettings, device: str) -> dict[str, Any]:
    """Return all that the numbers of an experiment depend on but its place in the row, as plain data."""
    return {
        "settings": settings.model_dump(mode="json"),
        "events": sampler.digest(),
        "features": list(sampler.names),
        "device": device.partition(":")[0],
        "code": _code(),
    }


def _claim(folder: Path, sampler: Sampler, settings: PseudoExperimentSettings, device: str) -> None:
    """Mark a new folder with what its blocks depend on, or refuse one that is marked otherwise."""
    wanted = identity(sampler, settings, device)
    path = folder / _IDENTITY
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if known is None:
            write_json(path, wanted)
    except (OSError, ValueError) as error:
        msg = f"{folder}: the pseudo-experiments can't be kept there ({error}); choose another folder."
        raise OutputError(msg) from error
    if known is not None and known != wanted:
        changed = ", ".join(sorted(key for key in wanted if known.get(key) != wanted[key]))
        msg = f"{folder} holds pseudo-experiments of other {changed}; choose another folder or remove it."
        raise ConfigError(msg)


def _code() -> str:
    """Hash of the modules that make the numbers, so that blocks of two versions are never mixed."""
    from colonnade.statistics import counting
    from colonnade.statistics.resonance import backgrounds, batch, newton, signals
    from studies.zgamma import block, ensemble, sampling

    found = hashlib.sha256()
    for module in (backgrounds, batch, counting, newton, signals, block, sampling, ensemble):
        found.update(Path(str(module.__file__)).read_bytes())
    return found.hexdigest()


def _path(folder: Path, block: range) -> Path:
    return folder / f"block_{block.start:09d}.npz"


def _complete(folder: Path, block: range, settings: PseudoExperimentSettings) -> bool:
    result = _read(_path(folder, block))
    return (
        result is not None
        and np.array_equal(result.index, block)
        and result.z.shape == (len(block), len(settings.rejections))
    )


def _read(path: Path) -> BlockResult | None:
    """Read a block; None where it is not there or not whole."""
    try:
        # opened here, as numpy leaves a damaged file open
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return BlockResult(**{field.name: file[field.name] for field in fields(BlockResult)})
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, result: BlockResult) -> None:
    """Write a block under a temporary name, then rename it: a killed run leaves no half block.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    arrays: dict[str, Any] = {field.name: getattr(result, field.name) for field in fields(BlockResult)}
    with replacing(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)
