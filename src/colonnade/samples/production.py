"""Making the samples a manifest describes: in parallel, in fixed blocks, to ROOT files, each whole or not at all."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from colonnade.errors import ConfigError, InputError
from colonnade.manifest import Dataset, Generate, Manifest
from colonnade.output import replacing
from colonnade.processes import in_processes
from colonnade.samples.detector import Collection, simulate
from colonnade.samples.generator import BASE, Generator, require_extra
from colonnade.samples.particles import Floats

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

    @property
    def path(self) -> Path:
        return Path(self.dataset.expand()[0][0])

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
    changed = {} if events is None else {"events": events}
    plans = [
        _Plan(dataset, dataset.metadata.generate.model_copy(update=changed))
        for dataset in manifest.select(names)
        if dataset.metadata.generate is not None
    ]
    made = {plan.dataset.name: _existing(plan, force=force) for plan in plans}
    todo = [plan for plan in plans if made[plan.dataset.name] is None]
    for made_now in _make(todo, workers, progress or (lambda _name, _events: None)):
        made[made_now.dataset.name] = made_now
    return [result for result in made.values() if result is not None]


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
    if found.fingerprint != _fingerprint(plan.generate):
        return None
    return Made(plan.dataset, plan.path, found, skipped=True)


def _make(plans: list[_Plan], workers: int, progress: Progress) -> Iterator[Made]:
    tasks = [(plan.generate, plan.dataset.name, number, size) for plan in plans for number, size in plan.blocks]
    with closing(in_processes(workers, make_block, tasks)) as blocks:
        for plan in plans:
            note = {
                "fingerprint": _fingerprint(plan.generate),
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


NOTE = "colonnade"


@dataclass(frozen=True)
class Block:
    """A fixed range of a dataset's events, made with its own seeds.

    Attributes
    ----------
    number
        Counts the dataset's blocks from 0.
    first
        The number of its first event, from 1.
    weights
        Generator weights.
    collections
        What the detector saw.
    cross_section
        Pythia's estimate in pb, filter included.
    kept, seen
        Hard processes that the filter kept and saw; both 0 without a filter.
    """

    number: int
    first: int
    weights: Floats
    collections: Mapping[str, Collection]
    cross_section: float
    kept: int
    seen: int


@dataclass(frozen=True)
class Provenance:
    """How a file was made, as it is written beside the events.

    Attributes
    ----------
    fingerprint
        Hash of the settings, of the code and of the generator's version.
    events, sumw
        Events and sum of weights in the file.
    cross_section_pb
        The generator's own leading-order estimate, filter included; for comparison with the manifest's.
    filter_efficiency, filter_error
        Share of hard processes kept, and its statistical error.
    generate
        The manifest's settings.
    versions
        Of the generator and the jet finder.
    """

    fingerprint: str
    events: int
    sumw: float
    cross_section_pb: float
    filter_efficiency: float
    filter_error: float
    generate: Mapping[str, Any]
    versions: Mapping[str, str]


def join(parts: Sequence[Mapping[str, Collection]]) -> dict[str, Collection]:
    """Put batches of the same collections one after the other."""
    joined = {}
    for name in parts[0]:
        collections = [part[name] for part in parts]
        columns = {key: np.concatenate([one.columns[key] for one in collections]) for key in collections[0].columns}
        counts = [one.counts for one in collections if one.counts is not None]
        joined[name] = Collection(np.concatenate(counts) if counts else None, columns)
    return joined


def write_ntuple(path: Path, blocks: Iterable[Block], provenance: Mapping[str, Any]) -> Provenance:
    """Write blocks in their order; return what was written.

    Parameters
    ----------
    path
        The file; it is overwritten.
    blocks
        In the order of their numbers; taken one at a time.
    provenance
        `fingerprint`, `generate` and `versions` of the note.
    """
    events, sumw, sumw2 = 0, 0.0, 0.0
    sections: list[float] = []
    kept = seen = 0
    with uproot.recreate(path) as file:
        for block in blocks:
            columns = _columns(block)
            if "Events" not in file:
                file.mktree("Events", {name: _kind(values) for name, values in columns.items()})
            file["Events"].extend(columns)
            events += len(block.weights)
            sumw += float(block.weights.sum())
            sumw2 += float((block.weights**2).sum())
            sections.append(block.cross_section)
            kept, seen = kept + block.kept, seen + block.seen
        efficiency = kept / seen if seen else 1.0
        note = Provenance(
            events=events,
            sumw=sumw,
            cross_section_pb=float(np.mean(sections)),
            filter_efficiency=efficiency,
            filter_error=float(np.sqrt(efficiency * (1.0 - efficiency) / seen)) if seen else 0.0,
            **provenance,
        )
        file["Runs"] = {
            "run": np.ones(1, dtype=np.uint32),
            "genEventCount": np.array([events], dtype=np.int64),
            "genEventSumw": np.array([sumw]),
            "genEventSumw2": np.array([sumw2]),
        }
        file[NOTE] = json.dumps(asdict(note), sort_keys=True)
    return note


def read_provenance(path: Path) -> Provenance | None:
    """Return how a file was made, or None if it was not made here (or is no whole ROOT file)."""
    try:
        with uproot.open(path) as file:
            return Provenance(**json.loads(str(file[NOTE])))
    except Exception:
        return None


def _columns(block: Block) -> dict[str, Any]:
    """Return the branches of a block: jagged collections as records, the rest flat."""
    number = len(block.weights)
    columns: dict[str, Any] = {
        "run": np.ones(number, dtype=np.uint32),
        "luminosityBlock": np.full(number, block.number + 1, dtype=np.uint32),
        "event": np.arange(block.first, block.first + number, dtype=np.uint64),
        "genWeight": block.weights.astype(np.float32),
    }
    for name, collection in block.collections.items():
        compact = {key: _compact(values) for key, values in collection.columns.items()}
        if collection.counts is None:
            columns |= {f"{name}_{key}": values for key, values in compact.items()}
        else:
            columns[name] = ak.zip({key: ak.unflatten(values, collection.counts) for key, values in compact.items()})
    return columns


def _compact(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values.astype(np.float32) if values.dtype.kind == "f" else values


def _kind(values: Any) -> Any:
    """Return the type of a branch as uproot's mktree takes it."""
    return values.dtype if isinstance(values, np.ndarray) else ak.type(values).content
