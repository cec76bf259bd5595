"""Event images, vectorised and compiled, against the pseudo-code as plain loops over cells, in one run.

The loops are those of tests/processors/event_images/loops.py, step by step as in the appendix of the monojet document
(with its misprints corrected), on made events of the size of the simulated ones. Results are compared before times are.
The loops get a few events, as they need most of a second for each; the compiled code gets many. Prints both in
microseconds an event, and the ratio, which must be at least 50.

    python benchmarks/images.py --events 2000 --loops 4
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path

import awkward as ak
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from processors.event_images import COMPRESSIONS, GRID, compress, make_images

SIZE, LEAST = 60, 50.0
# kind, mass in GeV, charge
KINDS = ((211, 0.1396, 1.0), (-211, 0.1396, -1.0), (22, 0.0, 0.0), (130, 0.4976, 0.0), (11, 0.000511, -1.0))


def load_loops():
    """Import the pseudo-code, which is a test's reference and no part of the package."""
    path = Path(__file__).parents[1] / "tests" / "processors" / "event_images" / "loops.py"
    specification = importlib.util.spec_from_file_location("image_loops", path)
    loops = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loops)
    return loops


def made_events(count: int) -> tuple[ak.Array, ak.Array]:
    """Draw particles in two narrow bundles and around, about 100 an event, and two or three jets."""
    rng = np.random.default_rng(1)
    counts, jet_counts = rng.poisson(100, count), rng.integers(1, 4, count)
    total, jets = counts.sum(), jet_counts.sum()
    kind = rng.integers(0, len(KINDS), total)
    narrow = rng.random(total) < 0.6
    axis = np.repeat(rng.uniform(-1.5, 1.5, count), counts)
    columns = {
        "pt": rng.exponential(8.0, total) + 0.5,
        "eta": np.where(narrow, axis + rng.normal(0, 0.15, total), rng.uniform(-2.5, 2.5, total)),
        "phi": np.where(narrow, rng.normal(1.0, 0.15, total), rng.uniform(-np.pi, np.pi, total)),
        "mass": np.array([mass for _, mass, _ in KINDS])[kind],
        "charge": np.array([charge for _, _, charge in KINDS])[kind],
        "pdgId": np.array([pdg for pdg, _, _ in KINDS])[kind],
    }
    jet_columns = {
        "pt": rng.exponential(200.0, jets) + 20,
        "eta": rng.uniform(-2.5, 2.5, jets),
        "phi": rng.uniform(-np.pi, np.pi, jets),
        "width": rng.uniform(0, 0.3, jets),
    }
    return tuple(
        ak.zip({name: ak.unflatten(values, number) for name, values in which.items()})
        for which, number in ((columns, counts), (jet_columns, jet_counts))
    )


def orders(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the stochastic compression's choices as `compress` draws them."""
    rng = np.random.default_rng(7)
    return tuple(rng.permuted(np.tile(np.arange(lines), (count, 1)), axis=1) for lines in (GRID.rows, GRID.columns))


def by_loops(loops, method: str, particles: list, jets: list, count: int) -> np.ndarray:
    """Make the images of the first events as the pseudo-code says."""
    rows, columns = orders(count)
    images = []
    for event in range(count):
        image, _ = loops.dense_image(particles[event], jets[event], GRID.rows, GRID.columns, GRID.cell, fraction=True)
        images.append(
            {
                "cell": lambda image=image: loops.by_cell(image, SIZE),
                "row_column": lambda image=image: loops.by_row_and_column(image, SIZE),
                "stochastic": lambda image=image, event=event: loops.stochastic(
                    image, SIZE, rows[event], columns[event]
                ),
                "none": lambda image=image: image,
            }[method]()
        )
    return np.stack(images)


def compiled(method: str, particles: ak.Array, jets: ak.Array, batch: int = 128) -> np.ndarray:
    """Make the images batch by batch, as training and scoring do; return those of the last batch."""
    rng = np.random.default_rng(7)
    images = np.zeros(0)
    for low in range(0, len(particles), batch):
        here = slice(low, low + batch)
        images = compress(make_images(particles[here], jets[here]), method, size=SIZE, rng=rng).images
    return images


def main() -> int:
    """Compare and time every compression."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2000, help="for the compiled code")
    parser.add_argument("--loops", type=int, default=4, help="events for the loops")
    arguments = parser.parse_args()
    loops = load_loops()
    particles, jets = made_events(arguments.events)
    few = particles[: arguments.loops], jets[: arguments.loops]
    # lists of numbers, as a loop reads them
    as_lists = tuple(each.to_list() for each in few)
    for method in COMPRESSIONS:  # compile
        compiled(method, *few)
    least = np.inf
    print("compression   loops [us]  compiled [us]  ratio  largest difference")
    for method in COMPRESSIONS:
        begin = time.perf_counter()
        expected = by_loops(loops, method, *as_lists, arguments.loops)
        slow = (time.perf_counter() - begin) / arguments.loops
        fast = np.inf
        for _ in range(3):
            begin = time.perf_counter()
            compiled(method, particles, jets)
            fast = min(fast, (time.perf_counter() - begin) / arguments.events)
        found = compiled(method, *few, batch=arguments.loops)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
        difference = float(np.abs(found - expected).max())
        least = min(least, slow / fast)
        print(f"{method:12s} {slow * 1e6:11,.0f} {fast * 1e6:14,.1f} {slow / fast:6,.0f}  {difference:.1e}")
    print(f"least ratio {least:,.0f}, wanted {LEAST:g}")
    return 0 if least >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
