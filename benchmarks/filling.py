"""Filling 100 histograms of 40 weight variations: all at once against one fill each, on one core.

One chunk of events and one region; observables and weights are ready. The other side fills a `hist.Hist` with axes
variation and observable, Weight storage, once for each histogram and variation.
"""

from __future__ import annotations

import argparse

import hist
import numpy as np
from hist.axis import Regular
from measuring import in_turn, prepare, report, require

from colonnade.histograms import Histogram, HistogramSet

HISTOGRAMS, VARIATIONS = 100, 40


def main() -> None:
    """Compare, and report the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    prepare()
    rng = np.random.default_rng(1)
    observables = {f"x{number}": rng.exponential(50, options.events) for number in range(HISTOGRAMS)}
    weights = rng.normal(1, 0.1, (options.events, VARIATIONS))
    names = ["nominal", *(f"v{number}" for number in range(1, VARIATIONS))]
    declared = [Histogram(name, Regular(60, 0, 600)) for name in observables]
    everyone = {"all": np.ones(options.events, dtype=bool)}
    results: dict[str, object] = {}

    def ours() -> None:
        filled = HistogramSet(declared, ["all"], names)
        filled.fill(observables, everyone, weights)
        results["ours"] = filled

    def one_fill_each() -> None:
        results["theirs"] = filled = {}
        columns = np.ascontiguousarray(weights.T)
        for name, values in observables.items():
            axes = hist.axis.StrCategory(names, name="variation"), hist.axis.Regular(60, 0, 600, name=name)
            filled[name] = histogram = hist.Hist(*axes, storage=hist.storage.Weight())
            for variation, column in zip(names, columns, strict=True):
                histogram.fill(variation=variation, weight=column, **{name: values})

    ours()
    times = in_turn({"ours": ours, "one fill each": one_fill_each}, options.rounds)
    problems = []
    for name, made in results["ours"].items():
        one, two = made["all", ...].view(flow=True), results["theirs"][name].view(flow=True)[:VARIATIONS]
        if not (np.allclose(one.value, two.value) and np.allclose(one.variance, two.variance)):
            problems.append(name)
    require(problems)
    ratio = times["one fill each"] / times["ours"]
    report(
        f"filling {HISTOGRAMS} histograms x {VARIATIONS} variations, {options.events:,} events, against one fill each",
        f"{times['ours']:.2f} and {times['one fill each']:.2f} s",
        f"{ratio:.1f} x",
        ">= 10 x",
        holds=ratio >= 10,
    )


if __name__ == "__main__":
    main()
