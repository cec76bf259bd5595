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


def _filled(rng, regions, bins, yields, slope, events):
    """A histogram as a run leaves it: falling in the observable, with two variations and flow."""
    import hist

    axes = [
        hist.axis.StrCategory(regions, name="region"),
        hist.axis.StrCategory(
            ["nominal", "energy_up", "energy_down", "efficiency_up", "efficiency_down", "single_up"],
            name="variation",
        ),
        hist.axis.Regular(bins, 0, 300, name="mt2", label="$m_{T2}$ [GeV]"),
    ]
    filled = hist.Hist(*axes, storage=hist.storage.Weight())
    for region in regions:
        values = rng.exponential(slope, events)
        weight = yields[region] / events
        scales = {"energy_up": 1.05, "energy_down": 0.95}
        factors = {"efficiency_up": 1.03, "efficiency_down": 0.98, "single_up": 1.04}
        for variation in axes[1]:
            filled.fill(
                region=region,
                variation=variation,
                mt2=values * scales.get(variation, 1.0),
                weight=weight * factors.get(variation, 1.0),
            )
    return filled


@pytest.fixture(scope="session")
def make_inputs():
    """A function that makes a search's histograms: two flavours, control and signal regions, signal points."""
    from colonnade.statistics.templates import Inputs, Process

    def make(*, data=False, unblind=False, points=(130, 500), bins=30, events=2000, seed=0):
        rng = np.random.default_rng(seed)
        flavours = ("ee", "mm")
        regions = ["CR_em", *(f"{kind}_{f}" for f in flavours for kind in ("CR", "SR1", "SR2", "SR3", "CC"))]
        scale = {"CR_em": 20.0, "CR": 50.0, "SR1": 10.0, "SR2": 4.0, "SR3": 1.0, "CC": 0.5}

        def yields(total, em=0.0):
            kinds = {region: scale[region.split("_")[0]] * total for region in regions}
            return kinds | {"CR_em": em}

        histograms = {"mt2": {}}
        processes = {}
        backgrounds = {"zll": (100, 0.1), "ttbar": (20, 900), "ww": (8, 150), "wz": (6, 4), "zz": (4, 0.4)}
        for name, (total, em) in backgrounds.items():
            histograms["mt2"][name] = _filled(rng, regions, bins, yields(total, em), 60, events)
            processes[name] = Process("background")
        for mass in points:
            name = f"DH_mZp{mass}"
            size = {region: scale[region.split("_")[0]] * 0.1 for region in regions}
            size |= {region: 30 * 130 / mass for region in regions if region.startswith(("SR", "CC"))}
            histograms["mt2"][name] = _filled(rng, regions, bins, size, 120 + mass / 10, events)
            processes[name] = Process("signal", {"m_Zprime": mass, "model": "DH"}, 0.1 * 130 / mass)
        if data:
            total = sum(histograms["mt2"][name] for name in backgrounds)
            seen = total.copy()
            view = seen.view(flow=True)
            view["value"] = rng.poisson(np.maximum(view["value"], 0))
            view["variance"] = view["value"]
            histograms["mt2"]["data"] = seen
            processes["data"] = Process("data")
        signal_regions = frozenset(region for region in regions if region.startswith(("SR", "CC")))
        return Inputs(histograms, processes, 139.0, signal_regions, unblind)

    return make


@pytest.fixture(scope="session")
def search_settings():
    from colonnade.config import parse_settings
    from colonnade.statistics.settings import ModelSettings

    channels = {"CR_em": {"histogram": "mt2", "rebin": 30}}
    for flavour in ("ee", "mm"):
        channels[f"CR_{flavour}"] = {"histogram": "mt2", "rebin": 30}
        for region in ("SR1", "SR2", "SR3"):
            channels[f"{region}_{flavour}"] = {"histogram": "mt2", "rebin": 3}
    settings = {
        "channels": channels,
        "luminosity_uncertainty": 0.017,
        "systematics": [
            {"name": "energy_scale", "type": "histosys", "variation": "energy"},
            {"name": "efficiency", "type": "normsys", "variation": "efficiency"},
            {"name": "single", "type": "histosys", "variation": "single"},
            {"name": "theory_wz", "type": "normsys", "processes": ["wz"], "up": 1.1, "down": 0.92},
        ],
        "normalisations": [{"name": "mu_ttbar", "processes": ["ttbar"], "control": ["CR_em"]}],
        "counting": {"CC_ee": {}, "CC_mm": {"uncertainty": 0.1}},
    }
    return parse_settings(ModelSettings, settings, "settings")
