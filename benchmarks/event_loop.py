"""The dilepton event loop: colonnade against an idiomatic coffea processor, and against reading alone, in one run.

Both sides run the analysis of processors/dilepton_met.py over the same file, on one core, in turn: `few` with the three
histograms mll, mT and mT2 and no variations, `full` with all histograms, regions, weight variations and object shifts.
coffea's side is peers/dilepton_met.py in coffea's own `Runner` with its iterative executor; ours reads the columns it
learned and processes and adds chunk by chunk. No ratio is printed if the results differ.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from measuring import CHUNKS, Coffea, Colonnade, compare, events_file, prepare, same_histograms
from peers.dilepton_met import DileptonMET as Peer
from processors.dilepton_met import DileptonMET

FEW = ("mll", "mt", "mt2")


class Few(DileptonMET):
    """Three histograms."""

    histograms = tuple(histogram for histogram in DileptonMET.histograms if histogram.name in FEW)


def differences(ours, theirs) -> list[str]:
    """Tell where the two sides differ."""
    problems = same_histograms(ours["histograms"], theirs["histograms"])
    for region, counts in theirs["cutflow"].items():
        mine = [sums[0] for sums in ours["cutflow"][region].values()][-len(counts) :]
        if np.abs(np.array(mine) - counts).max() > 3:
            problems.append(f"the cutflow of {region}: {mine} and {counts}")
    return problems


def main() -> None:
    """Compare, and report the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=["few", "full"])
    parser.add_argument("--events", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--chunks", type=int, nargs="+", default=None)
    options = parser.parse_args()
    prepare()
    few = options.which == "few"
    path = events_file(options.events or (1_000_000 if few else 500_000))
    compare(
        "dilepton, 3 histograms" if few else "dilepton in full",
        Colonnade(path, Few(variations=False) if few else DileptonMET()),
        Coffea(path, Peer(FEW, systematics=False) if few else Peer()),
        differences,
        least=(4.0, 2.0),
        chunks=options.chunks or (CHUNKS if few else (CHUNKS[0], CHUNKS[-1])),
        rounds=options.rounds or (3 if few else 2),  # coffea takes long
        reading=0.7 if few else 0.0,
    )


if __name__ == "__main__":
    main()
