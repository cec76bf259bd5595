"""A coffea processor under `colonnade run`: what it leaves, what is kept, and wrong words in one sentence."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
import uproot
import yaml
from coffea import processor

import colonnade
from colonnade.cli import main
from colonnade.errors import EventError
from colonnade.execution.coffea_processor import standard_histograms
from colonnade.workflow.compare import _compare, _compare_filled

PROCESSOR = """
import json
from pathlib import Path

import awkward as ak
import hist
from coffea import processor

FACTORS = Path(__file__).with_name("factors.json")


class Counting(processor.ProcessorABC):
    def __init__(self, threshold=10.0, read=False):
        self.threshold = threshold
        self.read = read

    def process(self, events):
        about = events.metadata
        muons = events.Muon[events.Muon.pt > self.threshold]
        factor = json.loads(FACTORS.read_text())["factor"] if self.read else 1.0
        filled = hist.Hist(
            hist.axis.StrCategory([], growth=True, name="process"),
            hist.axis.StrCategory(["one", "two"], name="channel"),
            hist.axis.StrCategory([], growth=True, name="syst"),
            hist.axis.Regular(5, 0, 100, name="pt", label="$p_T$ [GeV]"),
            storage="weight",
        )
        for name, scale in {"nominal": 1.0, "sf_up": 1.1, "sf_down": 0.9}.items():
            if about["process"] == "data" and name != "nominal":
                continue
            for channel, count in (("one", 1), ("two", 2)):
                chosen = muons[ak.num(muons) == count]
                weight = about.get("weight", 1.0) * scale * factor
                filled.fill(process=about["process"], channel=channel, syst=name, pt=chosen.pt[:, 0], weight=weight)
        columns = processor.column_accumulator(ak.to_numpy(ak.flatten(muons.pt)))
        return {"pt": filled, "counts": {about["process"]: len(events)}, "columns": {"pt": columns}}

    def postprocess(self, accumulator):
        accumulator["total"] = sum(accumulator["counts"].values())
        return accumulator


class Failing(processor.ProcessorABC):
    def __init__(self):
        raise RuntimeError("no licence")

    def process(self, events):
        return {}
"""
MODEL = {
    "channels": {name: {"histogram": "pt", "flow": False} for name in ("one", "two")},
    "signals": ["signal"],
    "systematics": [{"name": "sf", "type": "histosys", "variation": "sf"}],
}


def project(folder: Path, **coffea: Any) -> Path:
    """Write a project with three datasets of 300 events."""
    rng = np.random.default_rng(5)
    fileset = {}
    for number, process in enumerate(("data", "background", "signal")):
        counts = rng.integers(1, 3, 300)
        pt = rng.exponential(20 + 20 * (process == "signal"), counts.sum()).astype(np.float32) + 10.5
        zero = np.zeros(counts.sum(), np.float32)
        columns: dict[str, Any] = {
            name: np.full(300, number, kind)
            for name, kind in (("run", np.uint32), ("luminosityBlock", np.uint32), ("event", np.uint64))
        }
        fields = {"pt": pt, "eta": zero, "phi": zero, "mass": zero, "charge": zero.astype(np.int32)}
        columns["Muon"] = ak.zip({key: ak.unflatten(values, counts) for key, values in fields.items()})
        with uproot.recreate(folder / f"{process}.root") as file:
            file.mktree("Events", columns)
        metadata = {"process": process, "kind": process, "weight": 1.0 if process == "data" else 0.5, "mine": [1]}
        fileset[process] = {"files": [f"{process}.root"], "treename": "Events", "metadata": metadata}
    (folder / "datasets.json").write_text(json.dumps(fileset))
    (folder / "processors").mkdir()
    (folder / "processors" / "counting.py").write_text(PROCESSOR)
    (folder / "processors" / "factors.json").write_text('{"factor": 1.0}')
    axes = {"region": "channel", "variation": "syst"}
    return write(folder, processor={"coffea": "processors/counting.py:Counting", "axes": axes, **coffea})


def write(folder: Path, **settings: Any) -> Path:
    path = folder / "workflows" / "counting.yaml"
    path.parent.mkdir(exist_ok=True)
    earlier = yaml.safe_load(path.read_text()) if path.exists() else {}
    more = {"executor": {"kind": "iterative"}, "chunk_size": 100, "plots": {"formats": ["png"]}}
    path.write_text(yaml.safe_dump({**more, **earlier, **settings}))
    return path


def run(path: Path, *words: str) -> Path:
    with pytest.raises(SystemExit) as caught:
        main(["run", str(path), *words])
    assert not caught.value.code
    return path.parents[1] / "results" / path.stem


def fails(capsys: pytest.CaptureFixture[str], path: Path) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["run", str(path)])
    assert caught.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert not (path.parents[1] / "results" / path.stem / "provenance.json").exists()
    return lines[0]


def test_a_run_leaves_what_coffea_returns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project(tmp_path)
    folder = run(path)
    found = colonnade.load(folder)
    fileset = {
        name: {"files": {str(tmp_path / f"{name}.root"): "Events"}, "metadata": entry["metadata"]}
        for name, entry in json.loads((tmp_path / "datasets.json").read_text()).items()
    }
    counting = sys.modules["processors.counting"].Counting()  # as the run has loaded it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = processor.Runner(processor.IterativeExecutor(status=False), chunksize=100)(fileset, counting)
    assert found["counts"] == expected["counts"] == {"data": 300, "background": 300, "signal": 300}
    assert found["total"] == expected["total"] == 900
    assert found["pt"] == expected["pt"]
    assert found["columns"]["pt"].value.tolist() == expected["columns"]["pt"].value.tolist()
    with uproot.open(folder / "histograms.root") as file:
        values = file["two/pt/signal__sf_up"].values()
    assert values == pytest.approx(expected["pt"]["signal", "two", "sf_up", :].values())
    assert (folder / "plots" / "two" / "pt.png").exists()
    capsys.readouterr()
    run(path)
    told = capsys.readouterr().out
    assert "0 events, 900 kept from earlier" in told
    assert told.count("unchanged") == 5


def test_eras_are_the_processors_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the fileset says of an era reaches it, datasets of several add, and the workflow's eras are refused."""
    project(tmp_path)
    manifest, analysis = tmp_path / "datasets.json", tmp_path / "processors" / "counting.py"
    manifest.write_text(manifest.read_text().replace('"mine": [1]', '"era": "2017"', 2))
    counted = '{about.get("era", "none"): len(events)}'
    analysis.write_text(analysis.read_text().replace('{about["process"]: len(events)}', counted))
    message = fails(capsys, write(tmp_path, eras={"2017": {"luminosity": 1.0}}))
    assert "eras: a coffea processor has none; it scales by itself" in message
    assert set(colonnade.load(run(write(tmp_path, eras={})))["counts"]) == {"2017", "none"}


def test_histograms_reach_the_likelihood(tmp_path: Path) -> None:
    path = project(tmp_path)
    write(tmp_path, luminosity=1.0, unblind=True, model=MODEL, plots=None)
    folder = run(path)
    fit = json.loads((folder / "fit.json").read_text())
    assert [point["signal"] for point in fit["points"]] == ["signal"]
    workspace = json.loads((folder / "workspace.json").read_text())
    histogram = colonnade.load(folder)["pt"]
    channel = next(each for each in workspace["channels"] if each["name"] == "two")
    background = next(each for each in channel["samples"] if each["name"] == "background")
    assert background["data"] == pytest.approx(histogram["background", "two", "nominal", :].values())
    (modifier,) = (each for each in background["modifiers"] if each["name"] == "sf")
    assert modifier["data"] == pytest.approx({"hi": 1.1, "lo": 0.9})
    observed = next(each for each in workspace["observations"] if each["name"] == "two")
    assert observed["data"] == pytest.approx(histogram["data", "two", "nominal", :].values())


def test_a_file_that_is_read_must_be_declared_to_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project(tmp_path, arguments={"read": True}, files=["processors/factors.json"])
    write(tmp_path, plots=None)
    before = colonnade.load(run(path))["pt"]
    assert "0 events, 900 kept" not in capsys.readouterr().out
    run(path)
    assert "0 events, 900 kept" in capsys.readouterr().out
    (tmp_path / "processors" / "factors.json").write_text('{"factor": 2.0}')
    after = colonnade.load(run(path))["pt"]
    assert after["signal", ...].sum(flow=True).value == 2 * before["signal", ...].sum(flow=True).value


PACKAGED = """
import awkward as ak
import numpy as np
from coffea import processor

from . import cuts
from .cuts import those


class Listing(processor.ProcessorABC):
    histograms = {"pt": None}
    regions = ["one", "two"]
    parameters = corrections = None

    def process(self, events):
        muons = those(events.Muon)
        return {name: processor.column_accumulator(np.asarray(ak.num(muons))) for name in self.regions}

    def postprocess(self, accumulator):
        return accumulator
"""


@pytest.mark.parametrize("place", ["mine/main.py", "mine/main.py:Listing", "mine/__init__.py:Listing"])
def test_a_class_in_a_package_without_a_picture(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path)
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("from .main import Listing\n")
    (package / "main.py").write_text(PACKAGED)
    (package / "cuts.py").write_text("def those(muons):\n    return muons[muons.pt > 20]\n")
    path = write(tmp_path, processor={"coffea": place})
    folder = run(path)
    before = colonnade.load(folder)["two"].value
    assert (len(before), before.max()) == (900, 2)
    assert (folder / "report.html").exists()
    capsys.readouterr()
    run(path)
    assert "0 events, 900 kept" in capsys.readouterr().out
    (package / "cuts.py").write_text("def those(muons):\n    return muons[muons.pt > 30]\n")
    assert colonnade.load(run(path))["two"].value.sum() < before.sum()


COFFEA = {"coffea": "processors/counting.py:Counting"}
WRONG = [
    ({"coffea": "processors/counting.py"}, ["name one coffea processor", "Counting, Failing"]),
    ({"coffea": "processors/counting.py:Count"}, ["no coffea processor 'Count'", "did you mean Counting"]),
    ({"coffea": "processors/contin.py"}, ["no Python file", "did you mean processors/counting.py"]),
    ({**COFFEA, "arguments": {"treshold": 1}}, ["treshold", "threshold, read"]),
    ({"coffea": "processors/counting.py:Failing"}, ["line", "RuntimeError", "no licence"]),
    ({**COFFEA, "files": ["nothing.json"]}, ["nothing.json", "there is no file"]),
    ({**COFFEA, "axes": {"region": "chanel"}}, ["axes.region", "did you mean channel"]),
    ({**COFFEA, "axes": {"regions": "channel"}}, ["axes.regions"]),
    ({**COFFEA, "schema": "NanoSchema"}, ["no schema 'NanoSchema'", "NanoAODSchema"]),
]


@pytest.mark.parametrize(("settings", "words"), WRONG)
def test_wrong_words_are_one_sentence(
    settings: Any, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path)
    message = fails(capsys, write(tmp_path, processor=settings))
    assert all(word in message for word in words), message


def test_more_wrong_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project(tmp_path)
    fileset = json.loads((tmp_path / "datasets.json").read_text())
    assert "parameters" in fails(capsys, write(tmp_path, parameters={"threshold": 1}))
    write(tmp_path, parameters={})
    assert "luminosity" in fails(capsys, write(tmp_path, model=MODEL))
    channels = {"one": {"histogram": "ptt"}}
    assert "'ptt'" in fails(capsys, write(tmp_path, luminosity=1.0, model={**MODEL, "channels": channels}))
    write(tmp_path, model=None)
    for changes, word in [
        ({"files": ["data.root", "data.root"]}, "twice"),
        ({"metadata": {"filename": "x"}}, "rename the key"),
        ({"files": []}, "at least one"),
    ]:
        (tmp_path / "datasets.json").write_text(json.dumps({**fileset, "data": {**fileset["data"], **changes}}))
        assert word in fails(capsys, path)
    entry = json.dumps(fileset["data"])
    (tmp_path / "datasets.json").write_text(f'{{"data": {entry}, "data": {entry}}}')
    assert "written twice" in fails(capsys, path)


def test_compared_with_coffea(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["compare-coffea", str(path)])
    assert not caught.value.code
    assert "numbers agree" in capsys.readouterr().out
    # a result that depends on who runs it
    reader = 'len(type(events.attrs["@events_factory"]._mapping).__name__)'
    text = PROCESSOR.replace('"counts": {', f'"counts": {{"reader": {reader}, ')
    (tmp_path / "processors" / "counting.py").write_text(text)
    with pytest.raises(SystemExit) as caught:
        main(["compare-coffea", str(path)])
    assert caught.value.code == 2
    assert "['counts']['reader']: 81 here, 171 by coffea" in capsys.readouterr().err


RETURNED = {
    # coffea reads it when the file is closed already
    "unread columns": ("processor.column_accumulator(events.Muon.eta)", 0, "numbers agree"),
    # coffea's + turns their order round, and its += does not
    "luminosity sections": (
        'LumiList(events.run, ak.local_index(events.run) + about["entrystart"])',
        0,
        "numbers agree",
    ),
    "what coffea can't add": (
        "processor.dict_accumulator(it=processor.list_accumulator([1]))",
        2,
        "coffea's own Runner fails on processors/counting.py:Counting",
    ),
}


@pytest.mark.parametrize("what", RETURNED)
def test_what_coffea_treats_in_its_own_way(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, code, words = RETURNED[what]
    text = PROCESSOR.replace('"counts": {', f'"more": {made}, "counts": {{')
    text = text.replace("import hist\n", "import hist\nfrom coffea.lumi_tools import LumiList\n")
    path = project(tmp_path)
    (tmp_path / "processors" / "counting.py").write_text(text)
    with pytest.raises(SystemExit) as caught:
        main(["compare-coffea", str(path)])
    assert (caught.value.code or 0) == code
    told = capsys.readouterr()
    assert words in (told.err if code else told.out)
    assert len(told.err.splitlines()) <= 1


def filled(values: Any) -> hist.Hist:
    axes = hist.axis.StrCategory(["a", "b"], name="channel"), hist.axis.Regular(2, 0, 10, name="pt")
    made = hist.Hist(*axes, storage="weight")
    made.view()["value"] = values
    return made


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"a": {"b": 1}}, {"a": {"c": 1}}, "['a']['b']: present here, missing by coffea"),
        ({"a": [1, 2.0]}, {"a": [1, 2.5]}, "['a'][1]: 2.0 here, 2.5 by coffea"),
        ({"a": {1}}, {"a": {2}}, "['a']"),
        ({"a": 1}, {"a": 1.0}, "['a']"),
        ({"a": "x"}, {"a": "y"}, "x here, y by coffea"),
        ({"a": np.arange(4)}, {"a": np.array([0, 1, 7, 3])}, "['a'][2]: 2 here, 7"),
        ({"h": filled([[1, 2], [3, 4]])}, {"h": filled([[1, 2], [3, 5]])}, "['value']['channel=b']['pt=[5, 10)']: 4.0"),
        ({"h": ak.Array([[1], [2, 3]])}, {"h": ak.Array([[1], [2, 4]])}, "['h'][1][1]: 3 here, 4"),
    ],
)
def test_the_first_difference_is_named(one: Any, other: Any, words: str) -> None:
    with pytest.raises(EventError) as caught:
        _compare(one, other)
    assert words in str(caught.value)
    assert _compare(one, one) == _compare(other, other) > 0 or isinstance(one["a"], set | str)


def test_a_constant_factor_is_named() -> None:
    def standard(values: Any) -> hist.Hist:
        found, _ = standard_histograms({"h": filled(values)}, {}, {})
        return found["h"]["all"]

    one, other = standard([[1, 2], [3, 4]]), standard([[2, 4], [6, 8]])
    assert _compare_filled({"x": one}, {"x": one}, "h") > 0
    with pytest.raises(EventError, match=r"\['h'\]\['x'\]\['a'\]\['nominal'\] differs by the factor 0.5 alone"):
        _compare_filled({"x": one}, {"x": other}, "h")
    with pytest.raises(EventError, match="missing here, present by coffea"):
        _compare_filled({"y": one}, {"x": one}, "h")
