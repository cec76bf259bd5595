"""Making the samples a manifest describes: in parallel, in fixed blocks, each file whole or not at all."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path

import numpy as np

from colonnade.errors import ConfigError, InputError
from colonnade.manifest import Dataset, Generate, Manifest
from colonnade.output import replacing
from colonnade.processes import processes_of, undisturbed
from colonnade.samples.detector import simulate
from colonnade.samples.generator import BASE, Generator, require_extra
from colonnade.samples.ntuple import Block, Provenance, join, read_provenance, write_ntuple

# events that share one Pythia and one stream of random numbers: fixed, so that the number of processes
# changes nothing; large, as starting Pythia costs as much as 500 events
BLOCK = 5000
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Made:
    """What became of one dataset.

    Attributes
    ----------
    dataset
        The manifest's entry.
    path
        The file.
    provenance
        What the file says about itself.
    skipped
        Whether it was there already.
    """

    dataset: Dataset
    path: Path
    provenance: Provenance
    skipped: bool

    @property
    def warning(self) -> str:
        """Say so if the manifest's filter efficiency is not what the generator found; else empty."""
        found, error = self.provenance.filter_efficiency, self.provenance.filter_error
        stated = self.dataset.metadata.filter_efficiency
        if abs(found - stated) <= max(5.0 * error, 1e-9):
            return ""
        return (
            f"{self.dataset.name}: the manifest says filter_efficiency {stated:.4g}, the generator finds "
            f"{found:.4g} +- {error:.2g}"
        )


@dataclass(frozen=True)
class _Plan:
    """One file to make."""

    dataset: Dataset
    generate: Generate
    path: Path
    fingerprint: str

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Number and size of each block."""
        total = self.generate.events
        return [(number, min(BLOCK, total - first)) for number, first in enumerate(range(0, total, BLOCK))]


def make_samples(
    manifest: Manifest,
    names: Sequence[str] = ("*",),
    *,
    workers: int = 1,
    events: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Made]:
    """Make the simulated datasets that are missing or whose settings changed.

    Parameters
    ----------
    manifest
        Which datasets exist, and how they are made.
    names
        Names or globs; datasets without `generate` are passed over.
    workers
        Processes; 1 works in this one. The content does not depend on it.
    events
        Make this many events of each dataset instead of the manifest's number.
    force
        Make files again that are up to date, and overwrite files that were not made here.
    progress
        Called with a dataset's name and how many more of its events are made.

    Returns
    -------
    list of Made
        In the manifest's order.

    Raises
    ------
    ConfigError
        If a name is unknown, the extra `samples` is not installed, or Pythia refuses a setting.
    InputError
        If a file is in the way, or a dataset's settings make no events.
    OutputError
        If a file can't be written.
    """
    for module in ("pythia8mc", "fastjet"):
        require_extra(module)
    if workers < 1 or (events is not None and events < 1):
        msg = "The numbers of workers and of events must be at least 1."
        raise ConfigError(msg)
    plans = [_plan(dataset, events) for dataset in manifest.select(names) if dataset.metadata.generate]
    made = {plan.dataset.name: _existing(plan, force=force) for plan in plans}
    todo = [plan for plan in plans if made[plan.dataset.name] is None]
    for made_now in _make(todo, workers, progress or (lambda _name, _events: None)):
        made[made_now.dataset.name] = made_now
    return [result for result in made.values() if result is not None]


def _plan(dataset: Dataset, events: int | None) -> _Plan:
    generate = dataset.metadata.generate
    if generate is None:
        msg = f"Dataset {dataset.name} does not say how it is made."
        raise ConfigError(msg)
    if events is not None:
        generate = generate.model_copy(update={"events": events})
    path = Path(dataset.expand()[0][0])
    return _Plan(dataset, generate, path, _fingerprint(generate))


def _fingerprint(generate: Generate) -> str:
    """Hash everything that a file's content depends on."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    parts = [generate.model_dump_json(), json.dumps(_versions(), sort_keys=True)]
    # of the code, what it does: comments and layout may change
    parts += [ast.dump(ast.parse(source.read_text(encoding="utf-8"))) for source in sources]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("pythia8mc", "fastjet")}


def _existing(plan: _Plan, *, force: bool) -> Made | None:
    """Return the file that is there already, if it is what the manifest asks for."""
    if force or not plan.path.exists():
        return None
    found = read_provenance(plan.path)
    if found is None:
        msg = (
            f"Dataset {plan.dataset.name}: {plan.path} is there but was not made by colonnade samples; "
            "move it away, or add --force to overwrite it."
        )
        raise InputError(msg)
    if found.fingerprint != plan.fingerprint:
        return None
    return Made(plan.dataset, plan.path, found, skipped=True)


def _make(plans: list[_Plan], workers: int, progress: Progress) -> Iterator[Made]:
    if not plans:
        return
    with _blocks(plans, workers) as blocks:
        for plan in plans:
            note = {
                "fingerprint": plan.fingerprint,
                "generate": plan.generate.model_dump(mode="json") | {"base": list(BASE)},
                "versions": _versions(),
            }
            with replacing(plan.path) as temporary:
                provenance = write_ntuple(temporary, _taken(plan, blocks, progress), note)
            yield Made(plan.dataset, plan.path, provenance, skipped=False)


def _taken(plan: _Plan, blocks: Iterator[Block], progress: Progress) -> Iterator[Block]:
    """Give the blocks of one plan, and say of each that its events are made."""
    for _, size in plan.blocks:
        yield next(blocks)
        progress(plan.dataset.name, size)


@contextmanager
def _blocks(plans: list[_Plan], workers: int) -> Iterator[Iterator[Block]]:
    """Give every block of every plan, in order, made here or by worker processes."""
    tasks = [(plan.generate, plan.dataset.name, number, size) for plan in plans for number, size in plan.blocks]
    if workers == 1:
        yield starmap(make_block, tasks)
        return
    with processes_of(min(workers, len(tasks))) as pool:
        with undisturbed():
            futures = [pool.submit(make_block, *task) for task in tasks]
        try:
            yield (futures.pop(0).result() for _ in tasks)
        except BrokenProcessPool as error:
            msg = "A worker process died, perhaps for want of memory; try fewer --workers."
            raise InputError(msg) from error


def make_block(generate: Generate, name: str, number: int, size: int) -> Block:
    """Make one block of a dataset; the same for the same settings, whoever makes it.

    Parameters
    ----------
    generate
        The manifest's settings.
    name
        The dataset's, for messages.
    number, size
        Which block, and how many events it holds.
    """
    # two independent streams of this dataset's seed and this block (numpy's SeedSequence)
    for_pythia, for_detector = np.random.SeedSequence((generate.seed, number)).spawn(2)
    seed = 1 + int(for_pythia.generate_state(1, np.uint64)[0] % 899_999_999)
    rng = np.random.default_rng(for_detector)
    generator = Generator(generate, seed, name)
    weights, parts = [], []
    for batch in generator.batches(size):
        signs = np.where(rng.random(len(batch)) < generate.negative_weights, -1.0, 1.0)
        weights.append(batch.weights * signs)
        parts.append(simulate(batch, generate.content, rng))
    kept, seen = generator.filtered
    return Block(number, number * BLOCK + 1, np.concatenate(weights), join(parts), generator.cross_section, kept, seen)
