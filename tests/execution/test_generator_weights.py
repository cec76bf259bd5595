"""Variations of the generator's weight on real files: sums, bands, skims, and vectors that are not as declared."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.config import parse_settings
from colonnade.errors import ColonnadeError, ConfigError, InputError
from colonnade.execution import ResultCache, run_datasets
from colonnade.execution.generator_sums import _of_file
from colonnade.manifest import Dataset, Metadata
from colonnade.processor import members, up_down
from colonnade.statistics.eras import combined, member_variations
from colonnade.statistics.settings import ModelSettings, SystematicSettings

XSEC, LUMINOSITY = 800.0, 10.0


class Theory(Processor):
    """Jets, inclusive and selected, with scales and parton densities."""

    regions = {"all": Region(), "jets": Region("four jets")}
    histograms = (Histogram("n", Regular(12, 0, 12)),)
    of, missing, places = 103, "error", range(1, 101)

    def generator(self, events):
        return {
            "scale": up_down(events, "LHEScaleWeight", 8, 0, of=9),
            "seven": members(events, "LHEScaleWeight", (0, 1, 3, 5, 7, 8), of=9),
            "pdf": members(events, "LHEPdfWeight", self.places, of=self.of, missing=self.missing),
            "twice": (np.full(len(events), 2.0), np.full(len(events), 0.5)),
        }

    def skim(self, events):
        return {"a muon or none": ak.num(events.Muon) < 5}

    def objects(self, events, shift):
        return Objects(jets=events.Jet[events.Jet.pt > 30])

    def observables(self, events, objects):
        return {"n": ak.num(objects.jets)}

    def cuts(self, events, objects, observables):
        return {"four jets": observables["n"] >= 4}


def dataset(*paths, **more):
    about = Metadata(process="ttbar", kind="background", xsec_pb=XSEC, **{"sumw": "events", **more})
    return Dataset("ttbar", {str(path): "Events" for path in paths}, about, Path())


def run(processor, *datasets, **more):
    return run_datasets(processor, datasets, luminosity=LUMINOSITY, **{"chunk_size": 70, **more})


@pytest.fixture(scope="module")
def path(shared_data):
    return shared_data / "nanoaod" / "nano_tt_v12.root"


@pytest.fixture(scope="module")
def columns(path):
    """What NumPy makes of the file."""
    arrays = uproot.open(path)["Events"].arrays(["genWeight", "LHEScaleWeight", "LHEPdfWeight", "Jet_pt", "nMuon"])
    jets = ak.sum(arrays.Jet_pt > 30, axis=1).to_numpy()
    return {
        "w": arrays.genWeight.to_numpy().astype(float),
        "scale": arrays.LHEScaleWeight.to_numpy().astype(float),
        "pdf": arrays.LHEPdfWeight.to_numpy().astype(float),
        "jets": jets,
        "kept": arrays.nMuon.to_numpy() < 5,
    }


def filled(columns, ratio, region, ratio_sum):
    """Fill by NumPy: the variation's events over its own sum."""
    keep = columns["kept"] & (columns["jets"] >= (4 if region == "jets" else 0))
    weights = columns["w"] * ratio / ratio_sum * XSEC * LUMINOSITY * 1000
    return np.histogram(columns["jets"][keep], np.arange(13), weights=weights[keep])[0]


def test_each_is_normalised_to_its_own_sum(path, columns):
    result = run(Theory(), dataset(path))
    filled_here = result.histograms["n"]["ttbar"]
    ledger = result.ledger.datasets["ttbar"]
    for name, ratio in (
        ("scale_up", columns["scale"][:, 8]),
        ("scale_down", columns["scale"][:, 0]),
        ("seven_3", columns["scale"][:, 5]),
        ("pdf_0", columns["pdf"][:, 1]),
        ("pdf_99", columns["pdf"][:, 100]),
    ):
        total = (columns["w"] * ratio).sum()
        for region in ("all", "jets"):
            assert np.allclose(
                filled_here[region, name, :].values(), filled(columns, ratio, region, total), rtol=1e-12
            ), name
        assert ledger.generator[name].ratio == pytest.approx(total / columns["w"].sum(), rel=1e-12)
        assert ledger.generator[name].source == "events"
    # all events pass: the inclusive yield is the cross-section's, whatever the scale
    assert columns["kept"].all()
    expected = XSEC * LUMINOSITY * 1000
    for name in ("nominal", "scale_up", "scale_down", "seven_0", "pdf_17", "twice_up"):
        assert filled_here["all", name, :].values(flow=True).sum() == pytest.approx(expected, rel=1e-12), name
    assert filled_here["jets", "scale_up", :].values().sum() != pytest.approx(
        filled_here["jets", "nominal", :].values().sum(), rel=1e-4
    )


def test_normalised_to_the_nominal_sum(path, columns):
    result = run(Theory(), dataset(path), to_nominal={"scale", "twice"})
    filled_here = result.histograms["n"]["ttbar"]
    expected = filled(columns, columns["scale"][:, 8], "jets", columns["w"].sum())
    assert np.allclose(filled_here["jets", "scale_up", :].values(), expected, rtol=1e-12)
    nominal = filled_here["all", "nominal", :].values()
    assert np.allclose(filled_here["all", "twice_up", :].values(), 2 * nominal, rtol=1e-12)
    assert result.ledger.to_json()["datasets"]["ttbar"]["generator"]["scale_up"]["source"] == "nominal"


def test_a_kept_result_has_the_sums(path, tmp_path):
    cache = ResultCache(tmp_path)
    first = run(Theory(), dataset(path), cache=cache)
    again = run(Theory(), dataset(path), cache=cache, to_nominal={"pdf"})
    assert again.timing.processed == 0
    assert again.ledger.datasets["ttbar"].generator["pdf_3"].source == "nominal"
    same = run(Theory(), dataset(path), cache=cache)
    assert same.ledger.datasets["ttbar"].generator == first.ledger.datasets["ttbar"].generator
    name = first.histograms["n"]["ttbar"]
    assert (same.histograms["n"]["ttbar"].view(flow=True) == name.view(flow=True)).all()


def test_a_band_is_numpys(path, columns):
    made = run(Theory(), dataset(path)).histograms["n"]["ttbar"]
    templates = {name: made["jets", name, :].values() for name in made.axes["variation"]}
    weights = [filled(columns, r, "jets", (columns["w"] * r).sum()) for r in columns["pdf"][:, 1:101].T]
    nominal = filled(columns, 1.0, "jets", columns["w"].sum())
    for method, size in (
        ("hessian", np.sqrt(sum((each - nominal) ** 2 for each in weights))),
        ("replicas", np.std(weights, axis=0) * np.sqrt(100 / 99)),
    ):
        systematic = SystematicSettings(name="pdf", type="histosys", variation="pdf", combine=method)
        band = member_variations([systematic], templates, "here")
        assert np.allclose(band["pdf_up"], nominal + size, rtol=1e-9, atol=1e-9)
        assert np.allclose(band["pdf_down"], nominal - size, rtol=1e-9, atol=1e-9)
    with_coupling = systematic.model_copy(update={"alpha_s": "scale", "combine": "hessian"})
    half = (templates["scale_up"] - templates["scale_down"]) / 2
    size = np.sqrt(sum((each - nominal) ** 2 for each in weights) + half**2)
    band = member_variations([with_coupling], templates, "here")
    assert np.allclose(band["pdf_up"], nominal + size, rtol=1e-9, atol=1e-9)
    seven = SystematicSettings(name="s", type="histosys", variation="seven", combine="envelope")
    points = [filled(columns, columns["scale"][:, i], "jets", (columns["w"] * columns["scale"][:, i]).sum())
              for i in (0, 1, 3, 5, 7, 8)]  # fmt: skip
    band = member_variations([seven], templates, "here")
    assert np.allclose(band["seven_up"], np.max([*points, nominal], axis=0), rtol=1e-9, atol=1e-9)
    assert np.allclose(band["seven_down"], np.min([*points, nominal], axis=0), rtol=1e-9, atol=1e-9)


def test_combinations_by_hand():
    nominal, pairs = np.array([10.0]), np.array([[13.0], [9.0], [11.0], [14.0]])
    up, down = combined("asymmetric_hessian", nominal, pairs)
    assert up == pytest.approx(10 + np.hypot(3, 4))
    assert down == pytest.approx(10 - 1)
    with pytest.raises(ConfigError, match="needs an even number of members, but there are 3"):
        combined("asymmetric_hessian", nominal, pairs[:3])
    with pytest.raises(ConfigError, match="two or more members"):
        combined("replicas", nominal, pairs[:1])
    systematic = SystematicSettings(name="p", type="histosys", variation="p", combine="hessian", alpha_s="as")
    with pytest.raises(ConfigError, match=r"systematic p: alpha_s: 'as' of tt in SR was not filled"):
        member_variations([systematic], {"nominal": nominal, "p_0": nominal, "p_1": nominal}, "tt in SR")
    for wrong in (
        {"systematics": [{"name": "a", "type": "histosys", "variation": "v", "alpha_s": "x"}]},
        {"systematics": [{"name": "a", "type": "normsys", "up": 1.1, "combine": "hessian"}]},
        {
            "systematics": [
                {"name": "a", "type": "histosys", "variation": "v"},
                {"name": "b", "type": "histosys", "variation": "v", "normalise": "nominal"},
            ]
        },
    ):
        with pytest.raises(ConfigError, match=r"needs `combine`|give its name|with another combine"):
            parse_settings(ModelSettings, {"channels": {"SR": {"histogram": "n"}}, **wrong}, "here")


class Vectors(Theory):
    """Weights as some file has them."""

    def generator(self, events):
        return {"pdf": members(events, "LHEPdfWeight", (0, 2), of=3, missing=self.missing)}


@pytest.fixture
def write(tmp_path):
    """Write a small file, perhaps with a Runs tree."""

    def write(vectors, name="a.root", runs=None):
        size = len(vectors)
        jets = ak.Array([[50.0] * (i % 6) for i in range(size)])
        branches = {
            "genWeight": np.full(size, 2.0, dtype=np.float32),
            "LHEPdfWeight": ak.values_astype(ak.Array(vectors), np.float32),
            "Jet": ak.zip({"pt": jets}),
            "Muon": ak.zip({"pt": jets[:, :0]}),
        }
        with uproot.recreate(tmp_path / name) as file:
            tree = file.mktree("Events", {key: value.type if isinstance(value, ak.Array) else value.dtype
                                          for key, value in branches.items()})  # fmt: skip
            tree.extend(branches)
            if runs is not None:
                file["Runs"] = runs
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("vector", "words"), [([], "the first 0 values"), ([1.0, 1.0], "2 values"), ([0.0, 0.0, 0.0], "3 zeros")]
)
def test_events_without_members(write, vector, words):
    path = write([[1.0, 1.0, 1.5]] * 3 + [vector])
    with pytest.raises(
        ColonnadeError, match=rf"1 of 4 events have other than 3 values of LHEPdfWeight.*{words}.*a\.root"
    ):
        run(Vectors(), dataset(path))

    class Tolerant(Vectors):
        missing = "nominal"

    result = run(Tolerant(), dataset(path))
    sums = result.ledger.datasets["ttbar"].generator["pdf_1"]
    assert sums.at_nominal == 1
    assert sums.ratio == pytest.approx((3 * 1.5 + 1) / 4, rel=1e-12)


def test_a_skim_takes_the_sums_of_runs(write):
    vectors = [[1.0, 1.0, 1.5]] * 4
    runs = {
        "genEventSumw": np.array([10.0, 30.0]),
        "LHEPdfSumw": ak.Array([[1.0, 1.0, 1.2], [1.0, 1.0, 1.4]]),
    }
    result = run(Vectors(), dataset(write(vectors, runs=runs), sumw=None))
    entry = result.ledger.datasets["ttbar"]
    assert (entry.sumw, entry.sumw_processed) == (40.0, 8.0)
    assert entry.generator["pdf_1"].source == "Runs"
    assert entry.generator["pdf_1"].ratio == pytest.approx((10 * 1.2 + 30 * 1.4) / 40, rel=1e-12)
    made = result.histograms["n"]["ttbar"]
    ratio = made["all", "pdf_1", :].values().sum() / made["all", "nominal", :].values().sum()
    assert ratio == pytest.approx(1.5 / 1.35, rel=1e-12)


def test_a_skim_without_sums_is_refused(write):
    without = {"genEventSumw": np.array([40.0])}
    path = write([[1.0, 1.0, 1.5]] * 4, runs=without)
    with pytest.raises(
        InputError, match=r"ttbar is a skim, and the sum of pdf_0 .* \(LHEPdfSumw\[0\]\); say `normalise"
    ):
        run(Vectors(), dataset(path, sumw=None))
    run(Vectors(), dataset(path, sumw=None), to_nominal={"pdf"})
    with pytest.raises(InputError, match="ttbar is a skim"):  # as the manifest says; without a Runs tree
        run(Vectors(), dataset(write([[1.0, 1.0, 1.5]] * 4, "c.root"), sumw=40.0))
    data = Dataset("data", {str(write([[1.0, 1.0, 1.5]] * 4, "d.root")): "Events"},
                   Metadata(process="data", kind="data"), Path())  # fmt: skip
    assert run(Vectors(), data).ledger.datasets["data"].generator == {}
    absolute = {"genEventSumw": np.array([40.0]), "LHEPdfSumw": ak.Array([[40.0, 40.0, 48.0]])}
    with pytest.raises(InputError, match=r"weights of pdf_0 is 40 times the nominal one \(Runs\)"):
        run(Vectors(), dataset(write([[1.0, 1.0, 1.5]] * 4, "b.root", runs=absolute), sumw=None))


def test_what_was_generated_must_be_told(write):
    """By the Runs trees or the manifest; else a skim would be normalised by its survivors."""
    vectors, runs = [[1.0, 1.0, 1.5]] * 4, {"genEventSumw": np.array([16.0])}
    path = write(vectors)
    with pytest.raises(InputError, match=r'Dataset ttbar: neither Runs trees .* \("sumw": "events"\)'):
        run(Vectors(), dataset(path, sumw=None))
    for told, (name, has, more) in {
        16.0: ("b.root", runs, {"sumw": None}),
        24.0: ("b.root", runs, {"sumw": 24.0}),
        8.0: ("b.root", runs, {"sumw": "events"}),
    }.items():
        result = run(Vectors(), dataset(write(vectors, name, has), **more), to_nominal={"pdf"})
        assert result.ledger.datasets["ttbar"].sumw == told
    weighted = Metadata(process="ttbar", kind="background", weighted_to=1.0)
    run(Vectors(), Dataset("ttbar", {str(path): "Events"}, weighted, Path()))


def test_weights_that_the_manifest_denies(write):
    """A file with generator weights is weighted by them, so a manifest that says otherwise is wrong."""
    path = write([[1.0, 1.0, 1.5]] * 4, runs={"genEventSumw": np.array([16.0])})
    for worth in ({"xsec_pb": 1.0}, {"weighted_to": 1.0}):
        about = Metadata(process="ttbar", kind="background", weight="1", **worth)
        with pytest.raises(InputError, match=r'ttbar: .* has generator weights .* leave "weight" away'):
            run(Vectors(), Dataset("ttbar", {str(path): "Events"}, about, Path()))


def test_mistakes(path):
    class Wrong(Theory):
        made = {"x": [1.0]}

        def generator(self, events):
            return self.made

    with pytest.raises(ColonnadeError, match=r"generator\(\) returns for 'x' a list"):
        run(Wrong(), dataset(path))
    Wrong.made = {"x": (np.ones(3), np.ones(3))}
    with pytest.raises(ColonnadeError, match="generator weight x' must have one number for each of"):
        run(Wrong(), dataset(path))

    class Infinite(Theory):
        def generator(self, events):
            return {"x": (np.full(len(events), np.inf), np.ones(len(events)))}

    with pytest.raises(ColonnadeError, match=r"generator weight x' is missing, infinite or not a number in \d+ of"):
        run(Infinite(), dataset(path))

    class Place(Theory):
        places = range(100, 104)

    with pytest.raises(ColonnadeError, match="give places from 0 to 102"):
        run(Place(), dataset(path))


def test_a_runs_tree_that_can_not_be_read_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "damaged.root"
    path.write_bytes(b"no root file" + bytes(100))
    with pytest.raises(InputError, match=r"damaged\.root, tree Runs, can't be read"):
        _of_file(str(path), ["LHEPdfSumw"])
