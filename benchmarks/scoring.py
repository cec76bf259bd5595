"""Scoring inside the event loop against bare onnxruntime on the same arrays, in one run.

Prints the share of bare onnxruntime's speed that `Classifier.score` keeps, which also stacks the processor's
observables, checks them, splits events by fold and brings scores back into order. Both sides use one thread and the
same graph; the bare side gets float32 arrays that are ready, one call a fold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import awkward as ak
import numpy as np
import onnxruntime as ort
import torch

from colonnade.inference import Classifier, fold_of, stack_inputs
from colonnade.training import Collection, Feature, Model, SetNetwork
from colonnade.training.export import network_graph, write_model
from colonnade.training.networks import build_network
from colonnade.training.weights import fit_scale

FEATURES = 18


def made_events(count: int) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Draw observables like those of the dilepton analysis, and the events' identity."""
    rng = np.random.default_rng(1)
    counts = rng.poisson(2.0, count)
    total = int(counts.sum())
    observables: dict[str, object] = {f"x{place}": rng.normal(0, 1, count) for place in range(FEATURES)}
    for name in ("jet_pt", "jet_eta", "jet_phi"):
        observables[name] = ak.unflatten(rng.normal(0, 1, total).astype(np.float32), counts)
    identity = {
        name: np.arange(count) // step for name, step in (("run", 10**6), ("luminosityBlock", 1000), ("event", 1))
    }
    return observables, identity


def made_model(path: Path) -> Classifier:
    """Export a set network of the size of models/dilepton_met.py, with two folds; weights are as drawn."""
    jets = Collection("jets", tuple(Feature(name) for name in ("jet_pt", "jet_eta", "jet_phi")))
    model = Model(
        event=tuple(Feature(f"x{place}") for place in range(FEATURES)),
        collections=(jets,),
        network=SetNetwork(objects=(32, 32), hidden=(64, 64)),
    )
    card = model.card("benchmark", {})
    scale = fit_scale("zscore", np.random.default_rng(2).normal(0, 1, (100, FEATURES)).astype(np.float32))
    objects = {"jets": fit_scale("zscore", np.random.default_rng(3).normal(0, 1, (100, 3)).astype(np.float32))}
    networks = [build_network(model, card, scale, objects, seed) for seed in (1, 2)]
    return write_model(path, [network_graph(network, card) for network in networks], card)


def bare_session(path: Path) -> ort.InferenceSession:
    """Open the file with onnxruntime alone, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds_of(model: Classifier, observables: dict[str, object], folds: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Prepare what the graph takes, a feed for each fold."""
    inputs = stack_inputs(model.card, observables)
    feeds = []
    for fold in range(model.card.folds):
        part = inputs.take(np.flatnonzero(folds == fold))
        index = np.repeat(np.arange(len(part)), part.counts["jets"])
        feed = {"event": part.event, "jets": part.objects["jets"], "jet_event": index, "fold": np.array(fold)}
        feeds.append(feed)
    return feeds


def best_of(repeats: int, *actions) -> list[float]:
    """Time several actions in turn and return the median of each, in seconds."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repeats):
        for place, action in enumerate(actions):
            begin = time.perf_counter()
            action()
            times[place].append(time.perf_counter() - begin)
    return [statistics.median(each) for each in times]


def main() -> int:
    """Run the benchmark; exit with 1 if less than the promised share of speed is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = made_model(Path(folder) / "benchmark.onnx")
        observables, identity = made_events(options.events)
        folds = fold_of(identity, model.card.folds)
        feeds, session = feeds_of(model, observables, folds), bare_session(model.path)
        bare = [session.run(None, feed)[0] for feed in feeds]
        scores = model.score(observables, identity)
        assert all(np.abs(scores[folds == fold] - bare[fold]).max() < 1e-6 for fold in range(len(bare)))
        ours, theirs = best_of(
            options.repeats,
            lambda: model.score(observables, identity),
            lambda: [session.run(None, feed) for feed in feeds],
        )
    jets = sum(len(feed["jets"]) for feed in feeds)
    print(f"{options.events:,} events, {jets:,} jets, {model.card.folds} folds, one thread")
    print(f"Classifier.score     {options.events / ours:12,.0f} events/s")
    print(f"bare onnxruntime     {options.events / theirs:12,.0f} events/s")
    print(f"ratio {theirs / ours:.2f}")
    return 0 if theirs / ours >= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
