"""Files made for the tests of reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

EVENTS = 2500


def made_columns(events: int = EVENTS, seed: int = 5) -> dict[str, ak.Array]:
    """Columns in NanoAOD's names, with events that have no object at all."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "run": np.full(events, 7, np.uint32),
        "luminosityBlock": (np.arange(events) // 100).astype(np.uint32),
        "event": np.arange(events, dtype=np.uint64) + 2**40,
        "genWeight": rng.normal(1, 1, events).astype(np.float32),
        "MET_pt": rng.exponential(40, events).astype(np.float32),
        "MET_phi": rng.uniform(-np.pi, np.pi, events).astype(np.float32),
        "HLT_IsoMu24": rng.random(events) < 0.3,
    }
    for name, mean in (("Muon", 1.2), ("Jet", 3.0), ("Photon", 0.2)):
        counts = rng.poisson(mean, events)
        objects = int(counts.sum())
        fields = {
            "pt": rng.exponential(30, objects).astype(np.float32),
            "eta": rng.uniform(-2.5, 2.5, objects).astype(np.float32),
            "phi": rng.uniform(-np.pi, np.pi, objects).astype(np.float32),
            "charge": rng.choice([-1, 1], objects).astype(np.int32),
            "tightId": rng.random(objects) < 0.5,
        }
        if name != "Photon":
            fields["mass"] = rng.uniform(0, 10, objects).astype(np.float32)
        columns[name] = ak.zip({field: ak.unflatten(values, counts) for field, values in fields.items()})
    return {name: ak.Array(values) for name, values in columns.items()}


def write_tree(path: Path, columns: dict[str, ak.Array], basket: int = 400, **options: Any) -> Path:
    """Write columns as a TTree in NanoAOD's layout, in baskets of a number of events."""
    types = {name: array.type.content for name, array in columns.items()}
    with uproot.recreate(path, **options) as file:
        tree = file.mktree("Events", types)
        for start in range(0, len(next(iter(columns.values()))), basket):
            tree.extend({name: array[start : start + basket] for name, array in columns.items()})
        file.mktree("Runs", {"run": "uint32", "genEventSumw": "float64"}).extend(
            {"run": np.array([7, 7], np.uint32), "genEventSumw": np.array([1000.5, 2000.0])}
        )
    return path


@pytest.fixture(scope="session")
def columns() -> dict[str, ak.Array]:
    """What the made file holds."""
    return made_columns()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, columns: dict[str, ak.Array]) -> str:
    """A NanoAOD-layout file of several baskets."""
    return str(write_tree(tmp_path_factory.mktemp("made") / "made.root", columns))


@pytest.fixture
def rewrite(tmp_path: Path) -> Callable[..., str]:
    """Write a small file of one's own."""

    def write(name: str = "own.root", **options: Any) -> str:
        return str(write_tree(tmp_path / name, made_columns(300, seed=8), basket=120, **options))

    return write
