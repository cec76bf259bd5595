"""Pseudo-experiments: the batched engine against a plain loop, both on all cores, in one run.

    python benchmarks/pseudo_experiments.py [--experiments 64] [--workers 2]

A pseudo-experiment of the zgamma study: draw 8,192 events, train a network (8-32-32-1, Adam, batches of 256, 5 epochs)
to tell the mass window from its sidebands, cut on its response at 20 places, and at each fit the background
to the sidebands and the signal on top. The loop does one at a time, with torch and iminuit as one would write
it with care: tensors in memory and sliced, no data loader; bins counted with numpy; a well-conditioned basis,
good starting values and the analytic gradient given to MIGRAD; no HESSE. It runs in as many processes as the
engine, one thread each. Both draw the same events with the same code, begin with the same weights and take
the same batches, so the numbers can be compared experiment by experiment, which this script does too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the study is
from studies.zgamma.block import draw_experiment
from studies.zgamma.engine import run_pseudo_experiments
from studies.zgamma.ensemble import initial_parameters
from studies.zgamma.sampling import Sample, Sampler, make_sampler
from studies.zgamma.settings import PseudoExperimentSettings

from colonnade.statistics import signed_significance
from colonnade.statistics.resonance import BackgroundTable, Gaussian, PolyLogExponential

_loop: dict[str, object] = {}


def made_sample(events: int = 100_000, seed: int = 0) -> Sample:
    """Make a falling mass spectrum with eight features, two of which know something of the mass."""
    rng = np.random.default_rng(seed)
    top, bottom = np.exp(-132 / 40), np.exp(-168 / 40)
    mass = -40 * np.log(top - rng.random(events) * (top - bottom))
    features = rng.normal(size=(events, 8))
    features[:, 0] = 15 + rng.exponential(20, events)
    features[:, 1] += 0.03 * (mass - 150)
    features[:, 2] = rng.uniform(-2.5, 2.5, events)
    features[:, 3] += 0.01 * (mass - 150) ** 2 / 36
    return Sample(mass, features, tuple(f"x{index}" for index in range(8)))


def plain_experiment(sampler: Sampler, settings: PseudoExperimentSettings, index: int) -> np.ndarray:
    """One pseudo-experiment with torch and iminuit: Z at each cut."""
    import torch
    from iminuit import Minuit
    from iminuit.cost import ExtendedBinnedNLL

    mass, features, (rng,) = draw_experiment(sampler, settings, index)
    inside = (mass >= settings.window[0]) & (mass <= settings.window[1])
    sizes = [features.shape[1], *settings.network.hidden, 1]
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(*initial_parameters(sizes, rng), strict=True):
        if layers:
            layers.append(torch.nn.ReLU())
        layer = torch.nn.Linear(*weight.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias[0]))
        layers.append(layer)
    network = torch.nn.Sequential(*layers)
    share = inside.mean(dtype=np.float32)
    weights = np.where(inside, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)
    x, y, w = (torch.from_numpy(each) for each in (features, inside.astype(np.float32)[:, None], weights[:, None]))
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.network.rate)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    for _ in range(settings.network.epochs):
        order = torch.from_numpy(rng.permutation(len(x)))
        for batch in order.split(settings.network.batch):
            optimiser.zero_grad()
            loss(network(x[batch]), y[batch], weight=w[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        score = torch.sigmoid(network(x))[:, 0].numpy()

    edges = np.linspace(settings.low, settings.high, settings.bins + 1)
    low, high = settings.window
    sides = (edges[1:] <= low) | (edges[:-1] >= high)
    template = Gaussian(settings.mean, settings.sigma).fractions(edges)
    table = BackgroundTable(settings.background, edges)
    levels = np.quantile(score[~inside], settings.rejections, method="higher")

    def cumulative(_: np.ndarray, *values: float) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(table.content(np.array([values]))[0])])

    def gradient(_: np.ndarray, *values: float) -> np.ndarray:
        slopes = table.expect(np.array([values]))[1][0].T
        return np.concatenate([np.zeros((len(slopes), 1)), np.cumsum(slopes, axis=1)], axis=1)

    names = [f"a{index}" for index in range(table.parameters)]
    z = np.empty(len(levels))
    for cut, level in enumerate(levels):
        kept = mass if settings.rejections[cut] == 0 else mass[score >= level]
        counts = np.histogram(kept, edges)[0].astype(float)
        cost = ExtendedBinnedNLL(counts, edges, cumulative, grad=gradient, name=names)
        cost.mask = sides
        fit = Minuit(cost, *table.start(counts[None], sides)[0], name=names)
        fit.migrad()
        background = table.content(np.array([fit.values]))[0]
        size_cost = ExtendedBinnedNLL(
            counts, edges, _signal_model(background, template), grad=_signal_slope(template), name=["s"]
        )
        size = Minuit(size_cost, s=0.0)
        size.limits["s"] = (-float((background / np.maximum(template, 1e-300)).min()), None)
        size.migrad()
        z[cut] = signed_significance(size.values["s"] * template[~sides].sum(), background[~sides].sum())
    return z


def _signal_model(background: np.ndarray, template: np.ndarray) -> Callable[..., np.ndarray]:
    base, peak = (np.concatenate([[0.0], np.cumsum(each)]) for each in (background, template))
    return lambda _, s: base + s * peak


def _signal_slope(template: np.ndarray) -> Callable[..., np.ndarray]:
    peak = np.concatenate([[0.0], np.cumsum(template)])[None]
    return lambda _, _s: peak


def _start(sampler: Sampler, settings: PseudoExperimentSettings) -> None:
    import torch

    torch.set_num_threads(1)
    _loop.update(sampler=sampler, settings=settings)


def _one(index: int) -> np.ndarray:
    return plain_experiment(_loop["sampler"], _loop["settings"], index)  # type: ignore[arg-type]  # set by _start


def main() -> None:
    """Time both sides and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--experiments", type=int, default=64, help="for each side's timed part")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    settings = PseudoExperimentSettings()
    sampler = make_sampler("kde", made_sample(), 132.0, 168.0, shape=PolyLogExponential())
    count, workers = arguments.experiments, arguments.workers

    # both sides: start-up and first calls (imports, compilation) are outside the timed part
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (sampler, settings)) as pool:
        list(pool.map(_one, range(2 * workers)))
        begin = time.perf_counter()
        plain = np.array(list(pool.map(_one, range(count))))
        loop = time.perf_counter() - begin

    marks: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        batched = run_pseudo_experiments(
            sampler,
            settings,
            (2 * workers) * settings.block + 4 * count,
            Path(folder),
            workers=workers,
            progress=lambda done, _: marks.append((time.perf_counter(), done)),
        )
    warm = next(index for index, (_, done) in enumerate(marks) if done >= 2 * workers * settings.block)
    engine = (marks[-1][0] - marks[warm][0]) / (marks[-1][1] - marks[warm][1])
    difference = np.abs(plain - batched.results.z[:count])
    report = {
        "experiments": count,
        "workers": workers,
        "loop_ms": round(1e3 * loop / count, 2),
        "engine_ms": round(1e3 * engine, 2),
        "ratio": round(loop / count / engine, 2),
        "median_difference_in_z": float(np.median(difference)),
        "largest_difference_in_z": float(difference.max()),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
