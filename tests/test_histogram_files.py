"""Histograms written as a ZIP archive and as a ROOT file, and read again."""

import zipfile

import hist
import numpy as np
import pytest
import uproot
from helpers.made_histograms import REGIONS, VARIATIONS, masks, some_set, weights
from hist import axis

import colonnade
from colonnade.errors import InputError, OutputError
from colonnade.histograms import Histogram, HistogramSet, load, write_root, write_zip

TWO = Histogram(
    "xy",
    axis.Regular(5, 0, 1),
    axis.Variable([0, 1, 4]),
    observables=("x", "y"),
    label=("X", "Y"),
    unit=("GeV", ""),
)


@pytest.fixture
def result():
    filled = some_set()
    two = HistogramSet([TWO], REGIONS, VARIATIONS)
    rng = np.random.default_rng(8)
    two.fill({"x": rng.normal(0.5, 1, 50), "y": rng.normal(1, 2, 50)}, masks(50), weights(50))
    return {"x": {"zll": filled["x"], "a/b ü": filled["x"] * 2}, "y": {"zll": filled["y"]}, "xy": {"zll": two["xy"]}}


class TestZip:
    def test_roundtrip(self, result, tmp_path):
        write_zip(result, tmp_path / "new" / "histograms.zip")
        again = load(tmp_path / "new")
        assert {name: list(processes) for name, processes in again.items()} == {
            name: list(processes) for name, processes in result.items()
        }
        for name, processes in result.items():
            for process, histogram in processes.items():
                read = again[name][process]
                assert isinstance(read, hist.Hist)
                assert read == histogram
                assert read.axes.name == histogram.axes.name
                assert [one.label for one in read.axes] == [one.label for one in histogram.axes]
                assert np.array_equal(read.view(flow=True), histogram.view(flow=True))
        assert load(tmp_path / "new" / "histograms.zip")["x"]["zll"] == result["x"]["zll"]
        assert colonnade.load(tmp_path / "new")["x"]["zll"] == result["x"]["zll"]

    def test_equal_bytes(self, result, tmp_path):
        write_zip(result, tmp_path / "one.zip")
        write_zip(result, tmp_path / "two.zip")
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
        with zipfile.ZipFile(tmp_path / "one.zip") as archive:  # whatever seed a process hashes texts with
            members = [name for name in archive.namelist() if name.startswith("0")]
        assert members == sorted(members)

    def test_nothing(self, tmp_path):
        write_zip({}, tmp_path / "histograms.zip")
        assert load(tmp_path) == {}

    def test_what_can_not_be_read(self, tmp_path):
        with pytest.raises(InputError, match="does not exist"):
            load(tmp_path)
        with pytest.raises(InputError, match="does not exist"):
            load(tmp_path / "nowhere")
        (tmp_path / "histograms.zip").write_text("no archive")
        with pytest.raises(InputError, match="can't be read as histograms"):
            load(tmp_path)
        with zipfile.ZipFile(tmp_path / "histograms.zip", "w") as archive:
            archive.writestr("index.json", '[{"histogram": "x", "process": "p"}]')
        with pytest.raises(InputError, match="can't be read as histograms"):
            load(tmp_path)

    def test_a_failed_write_leaves_the_old_file(self, result, tmp_path):
        write_zip(result, tmp_path / "histograms.zip")
        with pytest.raises(TypeError):
            write_zip({"x": {"p": 5, "q": None}}, tmp_path / "histograms.zip")
        assert load(tmp_path)["y"]["zll"] == result["y"]["zll"]
        assert [file.name for file in tmp_path.iterdir()] == ["histograms.zip"]
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError):
            write_zip(result, tmp_path / "file" / "histograms.zip")


class TestRoot:
    def test_every_histogram_with_flow_and_variances(self, result, tmp_path):
        del result["x"]["a/b ü"]
        write_root(result, tmp_path / "histograms.root")
        with uproot.open(tmp_path / "histograms.root") as file:
            keys = file.keys(recursive=True, filter_classname="TH*", cycle=False)
            assert len(keys) == (3 + 2 + 3) * len(VARIATIONS)
            for name, processes in result.items():
                for process, histogram in processes.items():
                    for region in histogram.axes["region"]:
                        for variation in VARIATIONS:
                            suffix = "" if variation == "nominal" else f"__{variation}"
                            read = file[f"{region}/{name}/{process}{suffix}"]
                            made = histogram[{"region": region, "variation": variation}]
                            assert np.array_equal(read.values(flow=True), made.values(flow=True))
                            assert np.array_equal(read.variances(flow=True), made.variances(flow=True))
                            assert np.allclose(read.axis(0).edges(), made.axes[0].edges)
            assert file["A/xy/zll"].classname == "TH2D"
            assert file["A/x/zll"].classname == "TH1D"
            assert file["A/x/zll"].axis().member("fTitle") == "x"

    def test_four_axes_stay_out(self, tmp_path):
        four = Histogram("four", *[axis.Regular(2, 0, 1)] * 4, observables=tuple("abcd"))
        three = Histogram("three", *[axis.Regular(2, 0, 1)] * 3, observables=tuple("abc"))
        filled = HistogramSet([four, three], ["A"], ["nominal"])
        write_root({name: {"p": filled[name]} for name in filled}, tmp_path / "histograms.root")
        with uproot.open(tmp_path / "histograms.root") as file:
            assert file.keys(recursive=True, filter_classname="TH*", cycle=False) == ["A/three/p"]

    def test_an_unwritable_folder(self, result, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="can't be written"):
            write_root(result, tmp_path / "file" / "histograms.root")
