"""Pythia 8 as a source of columns: settings in, batches of particles out."""

from __future__ import annotations

import importlib
import itertools
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from colonnade.errors import ConfigError, InputError
from colonnade.manifest import Filter, Generate
from colonnade.samples.particles import Floats, Ints, Particles

# LHC run 2. What an analysis of leptons, jets above 20 GeV and missing momentum hardly sees is left out, as it
# would make events ten times dearer: multiparton interactions (the soft term's resolution stands for them),
# quarks' photon radiation before the collision, final-state radiation below 1 GeV, and decays of neutral
# pions, whose two photons a calorimeter sees as one. A dataset's own settings come later and win.
BASE = (
    # errors are still wanted, so not simply Print:quiet
    *(f"Next:numberShow{what} = 0" for what in ("Event", "Info", "Process")),
    *(f"Init:show{what} = off" for what in ("ChangedSettings", "ChangedParticleData", "Processes")),
    "Next:numberCount = 0",
    "Beams:eCM = 13000.",
    "PartonLevel:MPI = off",
    "SpaceShower:QEDshowerByQ = off",
    "TimeShower:pTmin = 1.0",
    "111:mayDecay = off",
    "ParticleDecays:limitTau0 = on",
    "ParticleDecays:tau0Max = 10.",
    "Check:event = off",
    "SLHA:verbose = 0",
)
# an event record holds hundreds of particles; a small batch keeps memory flat
BATCH = 500
MILLIBARN_TO_PICOBARN = 1e9
_LEPTONS, _INVISIBLE = {11, 13}, {12, 14, 16, 18, 52, 1000022}


@dataclass(frozen=True)
class Batch:
    """Generated events.

    Attributes
    ----------
    particles
        Everything in Pythia's record.
    weights
        One for each event.
    s_hat
        Squared energy of the partonic collision in GeV^2.
    boson
        Index in `particles` of the hard process's heaviest resonance or boson, -1 for none.
    """

    particles: Particles
    weights: Floats
    s_hat: Floats
    boson: Ints

    def __len__(self) -> int:
        return len(self.weights)


class Generator:
    """One Pythia, initialised for one seed.

    Parameters
    ----------
    generate
        The manifest's settings.
    seed
        Of Pythia's own random numbers, 1 to 900,000,000.
    name
        The dataset's, for messages.

    Raises
    ------
    ConfigError
        If Pythia refuses a setting or can't start.
    """

    def __init__(self, generate: Generate, seed: int, name: str) -> None:
        pythia8 = require_extra("pythia8mc")
        self._name = name
        self._hook = _make_hook(pythia8, generate)
        with captured() as said:
            self._pythia = pythia8.Pythia("", False)
            for line in (*BASE, "Random:setSeed = on", f"Random:seed = {seed}", *generate.settings):
                if not self._pythia.readString(line):
                    msg = f"Dataset {name}: Pythia refuses the setting {line!r} ({_reason(said())})."
                    raise ConfigError(msg)
            if self._hook is not None:
                self._pythia.setUserHooksPtr(self._hook)
            if not self._initialise(generate.slha):
                msg = f"Dataset {name}: Pythia can't start with these settings ({_reason(said())})."
                raise ConfigError(msg)

    def _initialise(self, slha: tuple[str, ...]) -> bool:
        if not slha:
            return bool(self._pythia.init())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "spectrum.slha"
            path.write_text("\n".join(slha) + "\n", encoding="utf-8")
            self._pythia.readString(f"SLHA:file = {path}")
            return bool(self._pythia.init())

    def batches(self, events: int) -> Iterator[Batch]:
        """Yield batches that together hold exactly this many accepted events.

        Events that Pythia fails on are made again; they count nowhere.

        Raises
        ------
        InputError
            If Pythia makes no event in a whole batch.
        """
        made = 0
        while made < events:
            with captured() as said:
                record = self._pythia.nextBatch(min(BATCH, events - made), "skip")
            if len(record) == 0:
                msg = f"Dataset {self._name}: Pythia makes no event with these settings ({_reason(said())})."
                raise InputError(msg)
            made += len(record)
            yield self._batch(record)

    @property
    def cross_section(self) -> float:
        """Pythia's own estimate for what was made, filter included, in pb."""
        return float(self._pythia.infoPython().sigmaGen()) * MILLIBARN_TO_PICOBARN

    @property
    def filtered(self) -> tuple[int, int]:
        """How many events the filter kept, of how many it saw."""
        return (0, 0) if self._hook is None else (self._hook.kept, self._hook.seen)

    def _batch(self, record: Any) -> Batch:
        prt = record.prt
        counts = ak.to_numpy(ak.num(prt, axis=1)).astype(np.int64)
        flat = ak.flatten(prt, axis=1)
        pdg = ak.to_numpy(flat.id).astype(np.int64)
        offsets = np.repeat(np.cumsum(counts) - counts, counts)
        mother = ak.to_numpy(flat.mother1).astype(np.int64)
        momentum, vertex = flat.p, flat.vProd
        kinds, inverse = np.unique(pdg, return_inverse=True)
        data = self._pythia.particleData
        charge = np.array([data.charge(int(kind)) for kind in kinds])[inverse]
        visible = np.array([data.isVisible(int(kind)) for kind in kinds])[inverse]
        status = ak.to_numpy(flat.status).astype(np.int64)
        mass = ak.to_numpy(flat.m)
        particles = Particles(
            counts=counts,
            pdg=pdg,
            status=status,
            mother=np.where(mother > 0, mother + offsets, -1),
            px=ak.to_numpy(momentum.px),
            py=ak.to_numpy(momentum.py),
            pz=ak.to_numpy(momentum.pz),
            energy=ak.to_numpy(momentum.e),
            vx=_filled(vertex.px),
            vy=_filled(vertex.py),
            vz=_filled(vertex.pz),
            charge=charge,
            visible=visible,
        )
        return Batch(
            particles=particles,
            weights=ak.to_numpy(ak.firsts(record.info.weights)).astype(np.float64),
            s_hat=ak.to_numpy(record.info.sHat),
            boson=_boson(particles, mass),
        )


def require_extra(module: str) -> Any:
    """Import a module of the extra `samples`.

    Raises
    ------
    ConfigError
        Giving the install command, if it is missing.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        msg = f"Making samples needs {module}; install it with: pip install 'colonnade[samples]'"
        raise ConfigError(msg) from error


def _filled(column: Any) -> Floats:
    filled: Floats = ak.to_numpy(ak.fill_none(column, 0.0)).astype(np.float64)
    return filled


def _boson(particles: Particles, mass: Floats) -> Ints:
    """Find, in each event, the last copy of the heaviest decayed boson of the hard process."""
    code = np.abs(particles.pdg)
    boson = np.isin(code, (23, 24, 25, 32, 34, 35, 55, 1000023, 9900024)) & (particles.status < 0)
    boson &= np.abs(particles.status) < 70
    where = np.flatnonzero(boson)
    # heaviest first: of one event's copies, which share their mass, the last in the record has all recoil
    order = where[np.lexsort((where, np.round(mass[where], 3), particles.event[where]))]
    chosen = np.full(len(particles.counts), -1)
    chosen[particles.event[order]] = order
    return chosen


def _make_hook(pythia8: Any, generate: Generate) -> Any:
    """Make the object that Pythia asks about each hard process, or None where nothing is to be asked."""
    wanted = generate.filter
    weighted = generate.weight == "shat_squared"
    if wanted == Filter() and not weighted:
        return None

    class Hook(pythia8.UserHooks):  # type: ignore[misc]  # the base class comes without types
        def __init__(self) -> None:
            pythia8.UserHooks.__init__(self)
            self.seen = self.kept = 0

        def canVetoProcessLevel(self) -> bool:  # noqa: N802 - Pythia's name
            return wanted != Filter()

        def doVetoProcessLevel(self, process: Any) -> bool:  # noqa: N802 - Pythia's name
            keep = _passes(process, wanted)
            self.seen += 1
            self.kept += keep
            return not keep

        def canModifySigma(self) -> bool:  # noqa: N802 - Pythia's name
            return weighted

        def multiplySigmaBy(self, _process: Any, phase_space: Any, _in_event: bool) -> float:  # noqa: N802
            return float((phase_space.sHat() / 1e6) ** 2)

    return Hook()


def _passes(process: Any, wanted: Filter) -> bool:
    """Tell whether a hard process is wanted; called for each, so cheap questions first."""
    charged, invisible_x, invisible_y, boson_pt = [], 0.0, 0.0, None
    for index in range(5, process.size()):  # after the beams and the partons that collide
        particle = process[index]
        code = particle.idAbs()
        if particle.status() <= 0:
            if boson_pt is None and code in {23, 24, 25}:
                boson_pt = particle.pT()
        elif code in _LEPTONS:
            charged.append(particle)
        elif code in _INVISIBLE:
            invisible_x += particle.px()
            invisible_y += particle.py()
    keep = wanted.met is None or _within(math.hypot(invisible_x, invisible_y), wanted.met)
    if keep and wanted.boson_pt is not None:
        keep = boson_pt is not None and _within(boson_pt, wanted.boson_pt)
    if keep and (wanted.leptons or wanted.mll or wanted.mt2):
        leptons = [(p.px(), p.py(), p.pz(), p.e()) for p in charged]
        keep = sum(map(_inside, leptons)) >= wanted.leptons
        if keep and wanted.mll is not None:
            keep = len(leptons) >= 2 and _within(_mass(leptons), wanted.mll)
        if keep and wanted.mt2 is not None:
            keep = len(leptons) >= 2 and _within(_mt2(leptons, invisible_x, invisible_y), wanted.mt2)
    return keep != wanted.invert


def _inside(momentum: tuple[float, float, float, float]) -> bool:
    px, py, pz, _ = momentum
    pt = math.hypot(px, py)
    return pt > 8.0 and abs(pz) < pt * math.sinh(2.7)


def _within(value: float, bounds: tuple[float, float | None]) -> bool:
    return bounds[0] <= value and (bounds[1] is None or value < bounds[1])


def _hardest_pair(leptons: list[tuple[float, float, float, float]]) -> Any:
    return sorted(leptons, key=lambda p: -math.hypot(p[0], p[1]))[:2]


def _mass(leptons: list[tuple[float, float, float, float]]) -> float:
    total = [sum(parts) for parts in zip(*_hardest_pair(leptons), strict=True)]
    return math.sqrt(max(total[3] ** 2 - total[0] ** 2 - total[1] ** 2 - total[2] ** 2, 0.0))


def _mt2(leptons: list[tuple[float, float, float, float]], x: float, y: float) -> float:
    from mt2 import mt2

    (ax, ay, *_), (bx, by, *_) = _hardest_pair(leptons)
    return float(mt2(0.0, ax, ay, 0.0, bx, by, x, y, 0.0, 0.0))


@contextmanager
def captured() -> Iterator[Any]:
    """Keep what C++ prints off the terminal; give a function that returns it."""
    sys.stdout.flush()
    with tempfile.TemporaryFile() as kept:
        terminal = os.dup(1)
        os.dup2(kept.fileno(), 1)

        def said() -> str:
            return os.pread(kept.fileno(), os.fstat(kept.fileno()).st_size, 0).decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(terminal, 1)
            os.close(terminal)


def _reason(said: str) -> str:
    """Return Pythia's first complaint, in one line: later ones follow from it."""
    lines = [line.strip() for line in said.splitlines()]
    errors = [index for index, line in enumerate(lines) if "Error" in line or "Abort" in line]
    if not errors:
        return "it gives no reason"
    first = lines[errors[0] :]
    text = " ".join(itertools.takewhile(lambda line: line and "PYTHIA" not in line, first[1:2]))
    text = f"{first[0]} {text}"
    return text.removeprefix("PYTHIA ").removeprefix("Error").removeprefix("Abort").strip(" :.")
