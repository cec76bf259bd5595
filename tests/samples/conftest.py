"""Small batches of generated events, made once for the room's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import awkward as ak
import numpy as np
import pytest

from colonnade.manifest import Generate
from colonnade.samples.detector import Collection
from colonnade.samples.generator import Batch, Generator
from colonnade.samples.particles import Particles
from colonnade.samples.production import join

pytest.importorskip("pythia8mc", reason="the extra 'samples' is not installed")
pytest.importorskip("fastjet", reason="the extra 'samples' is not installed")

ZLL = ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 60", "23:onMode = off", "23:onIfAny = 11 13")
TTBAR = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 11 13")


def generate(settings: tuple[str, ...], events: int, **options: Any) -> Generate:
    return Generate(settings=settings, events=events, seed=7, **options)


def batches(settings: tuple[str, ...], events: int) -> list[Batch]:
    return list(Generator(generate(settings, events), 1234, "test").batches(events))


@pytest.fixture(scope="session")
def zll() -> list[Batch]:
    return batches(ZLL, 2000)


@pytest.fixture(scope="session")
def ttbar() -> list[Batch]:
    return batches(TTBAR, 500)


@pytest.fixture(scope="session")
def seen() -> Callable[[list[Batch]], dict[str, ak.Array]]:
    """What the detector makes of batches, as jagged records."""
    from colonnade.samples.detector import simulate

    def run(made: list[Batch], content: tuple[str, ...] = ()) -> dict[str, ak.Array]:
        rng = np.random.default_rng(5)
        joined = join([simulate(batch, content, rng) for batch in made])
        return {name: records(collection) for name, collection in joined.items()}

    return run


def records(collection: Collection) -> ak.Array:
    if collection.counts is None:
        return ak.zip(dict(collection.columns))
    columns = {name: ak.unflatten(values, collection.counts) for name, values in collection.columns.items()}
    return ak.zip(columns, with_name="Momentum4D")


def made_particles(counts: list[int], **columns: Any) -> Particles:
    """Stable, visible, massless charged pions unless told otherwise; `pt`, `eta`, `phi` set their momenta."""
    number = sum(counts)
    pt, eta, phi = (np.asarray(columns.pop(name), dtype=float) for name in ("pt", "eta", "phi"))
    zero = np.zeros(number)
    made = Particles(
        counts=np.asarray(counts),
        pdg=np.full(number, 211),
        status=np.full(number, 83),
        mother=np.full(number, -1),
        px=pt * np.cos(phi),
        py=pt * np.sin(phi),
        pz=pt * np.sinh(eta),
        energy=pt * np.cosh(eta),
        vx=zero,
        vy=zero,
        vz=zero,
        charge=np.ones(number),
        visible=np.ones(number, dtype=bool),
    )
    return replace(made, **{name: np.asarray(values) for name, values in columns.items()})


@pytest.fixture(scope="session")
def particles_of() -> Callable[..., Particles]:
    return made_particles


@pytest.fixture(scope="session")
def batch_of() -> Callable[[Particles], Batch]:
    return _batch_of


def _batch_of(particles: Particles) -> Batch:
    number = len(particles.counts)
    return Batch(particles, np.ones(number), np.ones(number), np.full(number, -1))
