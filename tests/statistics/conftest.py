from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


def pytest_collection_modifyitems(items):
    # pyhf 0.7, called directly for comparison, resolves its schemas by a part of jsonschema that is to go
    ignore = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(ignore)


@pytest.fixture
def shared_data():
    if not DATA.is_dir():
        pytest.skip("the folder of real files is absent")
    return DATA


def _random_sample(rng, channel, name, bins, *, signal):
    yields = rng.uniform(0.5, 8, bins) if signal else rng.uniform(20, 200, bins)
    modifiers = [{"name": "lumi", "type": "lumi", "data": None}]
    if signal:
        modifiers.append({"name": "mu", "type": "normfactor", "data": None})
    for index in range(3):
        low, high = np.sort(rng.uniform(0.8, 1.2, 2))
        modifiers.append({"name": f"norm{index}", "type": "normsys", "data": {"hi": high, "lo": low}})
    for index in range(2):
        data = {
            "hi_data": (yields * rng.uniform(0.9, 1.2, bins)).tolist(),
            "lo_data": (yields * rng.uniform(0.8, 1.05, bins)).tolist(),
        }
        modifiers.append({"name": f"norm{index}", "type": "histosys", "data": data})
        modifiers.append({"name": f"shape{index}", "type": "histosys", "data": data})
    if name == "one":
        modifiers.append({"name": "free", "type": "normfactor", "data": None})
    if name == "two" and channel != "c":
        modifiers.append({"name": f"any_{bins}", "type": "shapefactor", "data": None})
    if name == "three":
        errors = yields * rng.uniform(0.05, 0.3, bins)
        errors[0] = 0.0
        modifiers.append({"name": f"shapesys_{channel}", "type": "shapesys", "data": errors.tolist()})
    if not signal:
        errors = (yields * rng.uniform(0.02, 0.1, bins)).tolist()
        modifiers.append({"name": f"stat_{channel}", "type": "staterror", "data": errors})
    return {"name": name, "data": yields.tolist(), "modifiers": modifiers}


@pytest.fixture
def random_workspace():
    """A function of a seed: a workspace in which every kind of modifier of pyhf occurs."""

    def make(seed):
        rng = np.random.default_rng(seed)
        channels, observations = [], []
        for channel, bins in (("b", 3), ("a", 2), ("c", 4)):
            names = ["one", "two", "three"]
            samples = [_random_sample(rng, channel, name, bins, signal=False) for name in names]
            if channel != "c":
                samples.insert(1, _random_sample(rng, channel, "signal", bins, signal=True))
            channels.append({"name": channel, "samples": samples})
            total = np.sum([sample["data"] for sample in samples], axis=0)
            observations.append({"name": channel, "data": rng.poisson(total).astype(float).tolist()})
        lumi = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.02], "inits": [1.0], "bounds": [[0.5, 1.5]]}
        config = {"poi": "mu", "parameters": [lumi, {"name": "free", "inits": [1.1], "bounds": [[0.0, 5.0]]}]}
        return {
            "channels": channels,
            "observations": observations,
            "measurements": [{"name": "random", "config": config}],
            "version": "1.0.0",
        }

    return make
