"""The sample and sampler of the pseudo-experiments, and the plain loop that they are compared with."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from studies.zgamma.sampling import make_sampler

from colonnade.statistics.resonance import Exponential

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def benchmark():
    """The benchmark script: it holds the plain loop."""
    spec = importlib.util.spec_from_file_location("benchmark", PROJECT / "benchmarks" / "pseudo_experiments.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sample(benchmark):
    return benchmark.made_sample(20_000)


@pytest.fixture(scope="module")
def sampler(sample):
    return make_sampler("kde", sample, 132, 168, shape=Exponential())
