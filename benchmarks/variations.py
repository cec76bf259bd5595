"""What variations cost: the dilepton analysis with 0, 10 and 60 shifts of objects, and with 0, 20 and 200 weights.

All sides run in one process, in turn, on one core, over the same file: reading, processing and adding. A shift moves
the energy scale of jets; each has a size of its own, so that no two are alike. Times are told in units of the nominal
event loop. No ratio is printed if the nominal histograms differ, or the first shift is not that of the analysis itself.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from measuring import Colonnade, events_file, in_turn, prepare, report, require
from processors.dilepton_met import DileptonMET

SHIFTS, WEIGHTS = (0, 10, 60), (0, 20, 200)


class Shifted(DileptonMET):
    """The analysis with some shifts of jets, up and down, and no varied weight."""

    def __init__(self, sources: int, **others):
        super().__init__(**others)
        self.shifts = tuple(f"scale_{number}" for number in range(sources // 2))

    def objects(self, events, shift):
        """Jets, and what follows them, moved by a source."""
        size = shift.direction * (1 + int(shift.source.rpartition("_")[2]) / 100) if shift.direction else 0
        return super().objects(events, {"jet_energy_scale": size})

    def weights(self, events, objects, weights):
        """None but the generator's."""


class Weighted(DileptonMET):
    """The analysis with some weights, up and down, and no shift."""

    shifts = ()

    def __init__(self, variations: int, **others):
        super().__init__(**others)
        self.number = variations // 2

    def objects(self, events, shift):
        """Unshifted."""
        return super().objects(events, {"jet_energy_scale": 0})

    def weights(self, events, objects, weights):
        """Weights that cost nothing to make."""
        one = np.ones(len(events))
        for number in range(self.number):
            weights.add(f"weight_{number}", one, one * (1.01 + number / 1000), one * 0.99)


class Few(Shifted):
    """The first source, as the analysis declares it."""

    shifts = ("jet_energy_scale",)

    def __init__(self, **others):
        DileptonMET.__init__(self, **others)

    def objects(self, events, shift):
        """As declared."""
        return DileptonMET.objects(self, events, shift)


def main() -> None:
    """Measure, and report the cost of one variation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prepare()
    path = events_file(options.events)
    sides = {f"{number} shifts": Colonnade(path, Shifted(number)) for number in SHIFTS}
    sides |= {f"{number} weights": Colonnade(path, Weighted(number)) for number in WEIGHTS}
    results = {}

    def run(name: str) -> None:
        results[name] = sides[name].run(100_000)["histograms"]

    times = in_turn({name: lambda name=name: run(name) for name in sides}, options.rounds)
    theirs = Colonnade(path, Few()).run(100_000)["histograms"]
    problems = []
    for name in theirs:
        for what, side in results.items():
            nominal = side[name][:, "nominal", ...].view(flow=True)
            if not (nominal == theirs[name][:, "nominal", ...].view(flow=True)).all():
                problems.append(f"the nominal {name} with {what}")
        for count in SHIFTS[1:]:
            one = results[f"{count} shifts"][name][:, "scale_0_up", ...].view(flow=True)
            if not (one == theirs[name][:, "jet_energy_scale_up", ...].view(flow=True)).all():
                problems.append(f"the first of {count} shifts, {name}")
        up = results["200 weights"][name][:, "weight_3_up", ...].values(flow=True)
        if not np.allclose(up, 1.013 * theirs[name][:, "nominal", ...].values(flow=True), rtol=1e-9):
            problems.append(f"the weights, {name}")
    require(problems)
    for word, counts, most in (("shifts", SHIFTS, 1 / 3), ("weights", WEIGHTS, 0.1)):
        nominal = times[f"0 {word}"]
        for count in counts[1:]:
            each = (times[f"{count} {word}"] / nominal - 1) / count
            report(
                f"dilepton with {count} {word}, {options.events:,} events, against none",
                f"{times[f'{count} {word}']:.2f} and {nominal:.2f} s",
                f"{each:.3f} of the nominal loop each",
                f"<= {most:.2f}",
                holds=each <= most,
            )


if __name__ == "__main__":
    main()
