"""All sources of uncertainty of jet energies, up and down: found together against correctionlib source by source.

The jets are those of real simulated events, repeated, with momenta that are drawn anew. Both sides end with momenta and
masses of every jet under each source, up and down. In the first line both start from calibrated jets, and the other
side asks correctionlib for one source after the other, as coffea's CorrectedJetsFactory does, on flat arrays and
without the factory's own work. In the second line the factory itself is the other side, and both calibrate the jets.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
from coffea.jetmet_tools import CorrectedJetsFactory
from coffea.jetmet_tools import correctionlib_adapters as adapters
from measuring import in_turn, prepare, report, require

from colonnade.calibration import Jets
from colonnade.events import inspect_file, read_events
from colonnade.kinematics.views import flat
from colonnade.processor import Shift

DATA = Path(__file__).parents[2] / "shared" / "data"
JEC, ALGORITHM = "Summer22_22Sep2023_V3_MC", "AK4PFPuppi"
COLUMNS = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_area", "Jet_rawFactor", "Rho_fixedGridRhoFastjetAll", "run")
NAMES = {
    "JetPt": "pt", "JetMass": "mass", "JetEta": "eta", "JetA": "area", "Rho": "rho", "ptRaw": "pt_raw",
    "massRaw": "mass_raw",
}  # fmt: skip


def main() -> None:
    """Compare, and report the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prepare()
    corrections = correctionlib.CorrectionSet.from_file(str(DATA / "corrections" / "jet_jerc_Summer22_V3.json.gz"))
    sources = sources_of(corrections)
    source = inspect_file(DATA / "nanoaod" / "nano_tt_v15.root")
    few = read_events(source, 0, source.entries, COLUMNS, {})
    events = few[np.arange(options.events) % len(few)]
    drawn = np.random.default_rng(1).uniform(0.8, 1.25, int(ak.count(events.Jet.pt)))
    jets = ak.with_field(events.Jet, events.Jet.pt * ak.unflatten(drawn, ak.num(events.Jet)), "pt")
    calibrate = Jets(corrections, jec=JEC, algorithm=ALGORITHM, sources=sources)
    nominal = calibrate(jets, events)
    eta, pt, mass = (flat(nominal[name]).astype(np.float64) for name in ("eta", "pt", "mass"))
    results: dict[str, dict[str, float]] = {}

    def ours(calibrate: Jets = calibrate) -> None:
        results["ours"] = found = {}
        for shift in Shift.every(tuple(sources)):
            shifted = calibrate(jets, events, shift)
            found[shift.variation] = digest(flat(shifted.pt), flat(shifted.mass))

    def ours_from_the_start() -> None:
        ours(Jets(corrections, jec=JEC, algorithm=ALGORITHM, sources=sources))

    def one_by_one() -> None:
        results["correctionlib"] = found = {"nominal": digest(pt, mass)}
        for name in sources:
            size = corrections[f"{JEC}_{name}_{ALGORITHM}"].evaluate(eta, pt)
            for word, sign in (("up", 1), ("down", -1)):
                found[f"{name}_{word}"] = digest(pt * (1 + sign * size), mass * (1 + sign * size))

    def factory() -> None:
        results["factory"] = by_factory(corrections, sources, jets, events)

    sides = {"ours": ours, "correctionlib": one_by_one, "ours whole": ours_from_the_start, "factory": factory}
    ours()
    times = in_turn(sides, options.rounds)
    require([
        f"{side}: {name}"
        for side in ("correctionlib", "factory")
        for name, value in results[side].items()
        if not np.allclose(value, results["ours"][name], rtol=1e-5)
    ])  # fmt: skip
    for mine, side, words in (
        ("ours", "correctionlib", "correctionlib source by source"),
        ("ours whole", "factory", "coffea's CorrectedJetsFactory"),
    ):
        ratio = times[side] / times[mine]
        report(
            f"{len(sources)} sources of jet energies, {len(pt):,} jets of {options.events:,} events, against {words}",
            f"{times[mine]:.2f} and {times[side]:.2f} s",
            f"{ratio:.1f} x",
            ">= 3 x",
            holds=ratio >= 3,
        )


def by_factory(corrections: correctionlib.CorrectionSet, sources: list[str], jets: Any, events: Any) -> dict[str, Any]:
    """Calibrate with coffea's factory."""
    stack = type("Stack", (), {"jer": None, "jersf": None})
    stack.jec = adapters.CorrectionLibJEC(corrections.compound[f"{JEC}_L1L2L3Res_{ALGORITHM}"])
    stack.junc = adapters.CorrectionLibJUNC([(name, corrections[f"{JEC}_{name}_{ALGORITHM}"]) for name in sources])
    columns = {name: jets[name] for name in ("pt", "mass", "eta", "phi", "area")}
    columns |= {f"{name}_raw": jets[name] * (1 - jets.rawFactor) for name in ("pt", "mass")}
    columns["rho"] = ak.broadcast_arrays(events.Rho.fixedGridRhoFastjetAll, jets.pt)[0]
    made = CorrectedJetsFactory(NAMES, stack).build(ak.zip(columns))
    found = {"nominal": digest(flat(made.pt), flat(made.mass))}
    for name in sources:
        for word in ("up", "down"):
            one = made[f"JES_{name}"][word]
            found[f"{name}_{word}"] = digest(flat(one.pt), flat(one.mass))
    return found


def sources_of(corrections: correctionlib.CorrectionSet) -> list[str]:
    """Name every source of the file."""
    start, end = f"{JEC}_", f"_{ALGORITHM}"
    names = [name.removeprefix(start).removesuffix(end) for name in corrections if name.startswith(start)]
    inputs = {name: [one.name for one in corrections[f"{start}{name}{end}"].inputs] for name in names}
    return [name for name in names if inputs[name] == ["JetEta", "JetPt"] and not name.startswith(("L2", "L3"))]


def digest(pt: np.ndarray, mass: np.ndarray) -> tuple[float, float, float]:
    """Numbers that differ if jets do."""
    return float(pt.sum(dtype=np.float64)), float(mass.sum(dtype=np.float64)), float(pt[::97].sum(dtype=np.float64))


if __name__ == "__main__":
    main()
