"""The eight queries of the ADL benchmark: colonnade processors against idiomatic coffea ones, on one core."""

from __future__ import annotations

import argparse

import numpy as np
from adl import QUERIES
from measuring import CHUNKS, METADATA, Coffea, Colonnade, compare, events_file, prepare
from peers.adl import QUERIES as PEERS


def differences(ours, theirs) -> list[str]:
    """Tell where the two sides differ; entries at the edge of a bin may fall to either side."""
    problems = []
    for name, made in ours["histograms"].items():
        one = made[{"region": "all", "variation": "nominal"}].values(flow=True)
        two = theirs["histograms"][name].values(flow=True)
        if np.abs(np.cumsum(one - two)).max() > 3 + 1e-4 * one.sum():
            problems.append(f"{name}: {one.sum():.0f} and {two.sum():.0f} entries")
    return problems


def main() -> None:
    """Compare, and report the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("queries", nargs="*", default=list(QUERIES))
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, nargs="+", default=(CHUNKS[0], CHUNKS[-1]))
    options = parser.parse_args()
    prepare()
    path = events_file(options.events)
    for name in options.queries:
        compare(
            f"ADL {name}",
            Colonnade(path, QUERIES[name](), {**METADATA, "kind": "data"}),
            Coffea(path, PEERS[name]()),
            differences,
            least=(3.0, 2.0),
            chunks=options.chunks,
            rounds=options.rounds,
        )


if __name__ == "__main__":
    main()
