"""Unmodified coffea processors: what coffea's own Runner returns, from every executor, and kept."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter, OrderedDict, UserDict, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import boost_histogram as bh
import hist
import numpy as np
import pytest
import uproot
from coffea import nanoevents, processor
from coffea.lumi_tools import LumiList
from coffea.processor.test_items import NanoEventsProcessor, NanoTestProcessor, NanoTestProcessorPandas
from helpers import coffea_processors
from helpers.coffea_processors import ALL, Spread, Together
from hypothesis import given
from hypothesis import strategies as st

from colonnade.errors import ConfigError, EventError, InputError
from colonnade.events import inspect_file
from colonnade.events.nanoevents import find_nano_schema, learn_branches, read_nanoevents
from colonnade.execution import ExecutorSettings, ResultCache, run_datasets
from colonnade.execution.coffea_processor import standard_histograms
from colonnade.serialisation import put_together, take_apart

CHUNK = 10
Fileset = dict[str, Any]


def reduced(source: Path, target: Path) -> str:
    """Write a NanoAOD file with few of its collections, which opens in a moment."""
    with uproot.open(source) as file, uproot.recreate(target) as made:
        tree = file["Events"]
        names = {"Muon", "Jet", "GenPart"}
        columns: dict[str, Any] = {"run": tree["run"].array()}
        columns |= {name: tree[name].array() for name in ("luminosityBlock", "event", "genWeight") if name in tree}
        for name in sorted(names):
            kept = {key.partition("_")[2]: tree[key].array() for key in tree.keys() if key.startswith(f"{name}_")}  # noqa: SIM118
            if kept:
                columns[name] = ak.zip(kept)
        made.mktree("Events", columns)
    return str(target)


@pytest.fixture(scope="session")
def fileset(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Fileset:
    folder = tmp_path_factory.mktemp("nanoaod")
    dy, dimuon = (
        reduced(shared_data / "nanoaod" / name, folder / name) for name in ("nano_dy.root", "nano_dimuon.root")
    )
    return {
        "ZJets": {"files": {dy: "Events"}, "metadata": {"checkusermeta": True, "someusermeta": "hello"}},
        "Data": {"files": {dimuon: "Events"}, "metadata": {"checkusermeta": True, "someusermeta2": "world"}},
    }


def by_coffea(instance: Any, files: Fileset, schema: str = "NanoAODSchema", chunk: int = CHUNK) -> Any:
    executor = processor.IterativeExecutor(status=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return processor.Runner(executor, schema=getattr(nanoevents, schema), chunksize=chunk)(files, instance)


def here(instance: Any, fileset: Any, kind: str = "iterative", workers: int = 1, **more: Any) -> Any:
    settings = ExecutorSettings(kind=kind, workers=workers)
    return run_datasets(instance, fileset, executor=settings, **{"chunk_size": CHUNK, **more})


def assert_same(one: Any, other: Any, place: str = "") -> None:
    """Equal kinds, keys, orders and values; floating-point sums may be added in another order."""
    assert type(one) is type(other), place
    if isinstance(one, dict):
        assert list(one) == list(other), place
        for key in one:
            assert_same(one[key], other[key], f"{place}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), place
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{place}[{number}]")
    elif isinstance(one, bh.Histogram):
        assert one.axes == other.axes, place
        assert [axis.__dict__ for axis in one.axes] == [axis.__dict__ for axis in other.axes], place
        for name in one.view(flow=True).dtype.names or [...]:
            values = [np.asarray(each.view(flow=True))[name] for each in (one, other)]
            np.testing.assert_allclose(*values, rtol=1e-12, atol=1e-12, err_msg=place)
    elif isinstance(one, processor.value_accumulator | processor.column_accumulator):
        assert_same(one.value, other.value, f"{place}.value")
    elif isinstance(one, ak.Array):
        assert ak.to_list(one) == ak.to_list(other), place
    elif isinstance(one, np.ndarray | np.generic | float | complex):
        np.testing.assert_allclose(one, other, rtol=1e-6 if isinstance(one, np.float32) else 1e-12, err_msg=place)
    else:
        assert one == other, place


def bits(accumulator: Any) -> Any:
    parts = take_apart(accumulator)
    return parts.tree, [array.tobytes() for array in parts.arrays]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_accumulator_is_what_coffea_returns(kind: Any, fileset: Fileset, tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    found = here(kind(), fileset, cache=cache)
    expected = by_coffea(kind(), fileset)
    if isinstance(found.accumulator.get("random"), float):  # coffea does not seed what a chunk draws
        expected["random"] = found.accumulator["random"]
    assert_same(found.accumulator, expected)
    assert {name: entry.events_processed for name, entry in found.ledger.datasets.items()} == {"ZJets": 40, "Data": 40}
    again = here(kind(), fileset, cache=cache)
    assert (again.timing.processed, again.timing.kept) == (0, 80)
    assert bits(again.accumulator) == bits(found.accumulator)
    cache.store.drop(next(iter(sorted(cache.store.keys()))))
    assert bits(here(kind(), fileset, cache=cache).accumulator) == bits(found.accumulator)


@pytest.mark.parametrize(("executor", "workers"), [("futures", 2), ("dask", 2)])
def test_every_executor_gives_the_same_bits(executor: str, workers: int, fileset: Fileset, tmp_path: Path) -> None:
    expected, cache = here(Together(), fileset), ResultCache(tmp_path)
    found = here(Together(), fileset, executor, workers, cache=cache)
    assert here(Together(), fileset, executor, workers, cache=cache).timing.processed == 0
    assert bits(found.accumulator) == bits(expected.accumulator)
    assert found.ledger == expected.ledger


@pytest.mark.parametrize(
    ("instance", "schema"),
    [(NanoEventsProcessor(mode="virtual"), "NanoAODSchema"), (NanoTestProcessor(mode="virtual"), "BaseSchema")],
)
@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
def test_samples_of_coffea(instance: Any, schema: str, executor: str, fileset: Fileset, tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    found = here(instance, fileset, executor, 2, schema=schema, cache=cache)
    assert_same(found.accumulator, by_coffea(instance, fileset, schema))
    again = here(instance, fileset, executor, 2, schema=schema, cache=cache)
    assert (again.timing.processed, bits(again.accumulator)) == (0, bits(found.accumulator))
    assert found.accumulator["cutflow"] == {"ZJets_pt": 18, "ZJets_mass": 6, "Data_pt": 84, "Data_mass": 66}
    assert found.histograms["mass"]["Data"].sum().value == 66


def test_records_of_one_chunk(fileset: Fileset) -> None:
    one = {"Data": fileset["Data"]}
    found = here(NanoTestProcessorPandas(), one, chunk_size=100).accumulator
    with uproot.open(f"{next(iter(one['Data']['files']))}:Events") as tree:
        events = tree.arrays(["event", "Muon_pt"])
    events = events[ak.any(events.Muon_pt > 20, axis=1)]
    assert ak.to_list(found.event) == ak.to_list(events.event)
    assert ak.to_list(found.mu1_pt) == ak.to_list(ak.firsts(events.Muon_pt[events.Muon_pt > 20]))
    with pytest.raises(EventError, match="can't be added"):
        here(NanoTestProcessorPandas(), one)


class Sections(processor.ProcessorABC):
    """A sum that depends on its order: coffea's ``+`` turns luminosity sections round, ``+=`` does not."""

    def process(self, events: Any) -> Any:
        return {"sections": LumiList(events.run, events.event), "events": [*events.event]}

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


def test_sums_of_user_classes_are_in_the_order_of_the_chunks(fileset: Fileset) -> None:
    found = here(Sections(), {"Data": fileset["Data"]}).accumulator
    in_chunks = [sorted(found["events"][first : first + CHUNK]) for first in range(0, 40, CHUNK)]
    assert found["sections"].array[:, 1].tolist() == [*itertools.chain(*in_chunks)]


def test_what_a_processor_returns_is_not_changed(fileset: Fileset) -> None:
    instance = coffea_processors.Truth()
    found = here(instance, fileset)
    assert instance.edges.tolist() == [0, 0.5, 1]
    assert found.accumulator["edges"].tolist() == [0, 4, 8]


def test_user_classes_are_restored(fileset: Fileset, tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    found = [here(coffea_processors.PlainPython(), fileset, cache=cache).accumulator["Data"] for _ in range(2)]
    assert all(isinstance(each["spread"], Spread) for each in found)
    assert found[0]["spread"] == found[1]["spread"]
    assert found[0][4][None] == 2.5 * 4


class Place(NamedTuple):
    run: int
    event: int


@pytest.mark.parametrize(
    "value",
    [Counter({"two": 2, 3: 3}), OrderedDict(b=1.0, a=2.0), UserDict(b={1}), Place(1, 2), defaultdict(int, {"a": 2})],
    ids=lambda value: type(value).__name__,
)
def test_classes_of_python_are_restored(value: Any) -> None:
    found = put_together(take_apart([value]))[0]
    assert (found, type(found)) == (value, type(value))


class Returning(processor.ProcessorABC):
    """Return what it is told for each chunk, by its first entry."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def process(self, events: Any) -> Any:
        start = events.metadata["entrystart"]
        return self.values.get(f"at{start}", self.values["other"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"other": None}, ["Returning", "returns nothing"]),
        ({"other": {"a": {"b": float("nan")}}}, ["['a']['b']", "not a number"]),
        ({"other": {"a": {"b": object()}}}, ["['a']['b']", "object", "can't be kept"]),
        ({"other": {"a": "text", "b": {"x": None}}}, ["['b']['x']", "can't be added"]),
        ({"other": {"a": 1}, "at10": {"a": [1]}}, ["['a']", "int 1", "list [1]", "can't be added"]),
        ({"other": {"a": {1: 1}}, "at10": {"a": 1}}, ["['a']", "types differ"]),
        ({"other": {"a": np.zeros(3)}, "at10": {"a": np.zeros(4)}}, ["['a']", "shape"]),
    ],
)
def test_what_can_not_be_added_or_kept_is_one_sentence(values: Any, words: list[str], fileset: Fileset) -> None:
    with pytest.raises(EventError) as caught:
        here(Returning(**values), {"Data": fileset["Data"]})
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_axes_become_processes_regions_and_variations(fileset: Fileset) -> None:
    axes = {"variation": "syst", "region": "selection"}
    histograms = here(coffea_processors.Selections(), fileset, axes=axes).histograms
    assert list(histograms["mass"]) == ["ZJets", "Data"]
    found = histograms["mass"]["ZJets"]
    assert [axis.name for axis in found.axes] == ["region", "variation", "mass"]
    assert list(found.axes["region"]) == ["os", "ss"]
    assert set(found.axes["variation"]) == {"nominal", "pileupUp", "pileupDown"}
    assert list(histograms["mass"]["Data"].axes["variation"]) == ["nominal"]
    nominal, up = (found[{"variation": name, "region": "os"}].sum(flow=True) for name in ("nominal", "pileupUp"))
    assert up.value == pytest.approx(nominal.value * 1.2 / 1.1)
    assert up.variance == pytest.approx(nominal.variance * (1.2 / 1.1) ** 2)


def test_an_axis_that_is_not_there(fileset: Fileset) -> None:
    with pytest.raises(ConfigError, match=r"axes.variation = 'sist'.*did you mean syst"):
        here(coffea_processors.Selections(), fileset, axes={"variation": "sist"})
    with pytest.raises(ConfigError, match=r"axes.region = 'mass'.*no categories"):
        here(coffea_processors.Selections(), fileset, axes={"region": "mass"})


def test_a_schema_that_is_not_there(fileset: Fileset) -> None:
    with pytest.raises(ConfigError, match="NanoAODSchema"):
        here(coffea_processors.Truth(), fileset, schema="NanoAodSchema")


def test_steps_of_a_prepared_fileset(fileset: Fileset) -> None:
    (path,) = fileset["Data"]["files"]
    about = {"object_path": "Events", "steps": [[0, 7], [20, 40]], "num_entries": 40}
    found = here(coffea_processors.PlainPython(), {"Data": {"files": {path: about}}})
    assert found.accumulator["Data"]["events"] == 27
    assert found.ledger.datasets["Data"].events_expected == 27
    assert [each for each in found.accumulator["Data"]["list"] if isinstance(each, int)] == [0, 20, 30]
    for wrong, words in [({"num_entries": 41}, "replaced"), ({"steps": [[0, 50]]}, "beyond")]:
        with pytest.raises(InputError, match=words):
            here(coffea_processors.PlainPython(), {"Data": {"files": {path: {**about, **wrong}}}})


class Picky(processor.ProcessorABC):
    """Fail on few events, as code does that finds none selected."""

    def process(self, events: Any) -> Any:
        return {"last": np.asarray(events.event)[8]}


def test_a_processor_that_fails_on_few_events_is_learned_on_a_chunk(
    fileset: Fileset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colonnade.execution.learning.LEARNING_EVENTS", 3)
    found = here(Picky(), {"Data": fileset["Data"]}, "futures", 1)
    assert found.accumulator["last"] == by_coffea(Picky(), {"Data": fileset["Data"]})["last"]
    with pytest.raises(EventError, match="IndexError"):
        here(Picky(), {"Data": fileset["Data"]}, "futures", 1, chunk_size=5)


class OneBranch(processor.ProcessorABC):
    """Sum a branch."""

    def __init__(self, name: str) -> None:
        self.name = name

    def process(self, events: Any) -> Any:
        return {"events": len(events), "sum": float(ak.sum(events[self.name]))}


def test_a_damaged_branch_loses_its_file_alone(shared_data: Path) -> None:
    damaged = str(next((shared_data / "bad").glob("*bitflip*")))
    good = str(shared_data / "nanoaod" / "nano_dimuon.root")
    files = {"d": {"files": [good, damaged], "treename": "Events"}}
    found = here(OneBranch("HLT_PFJet15"), files, schema="BaseSchema")
    assert found.accumulator["events"] == 40
    assert [(loss.file, loss.stop) for _, loss in found.ledger.lost] == [(damaged, 10 * stop) for stop in (1, 2, 3, 4)]
    assert all("HLT_PFJet15" in loss.reason for _, loss in found.ledger.lost)


def test_what_is_read_together_is_at_hand(fileset: Fileset) -> None:
    (path,) = fileset["ZJets"]["files"]
    source, schema = inspect_file(path), find_nano_schema(None)

    def use(events: Any) -> list[Any]:
        children = ak.flatten(events.GenPart.children.pdgId, axis=None)
        return [float(ak.sum(each)) for each in (events.Muon.pt, events.run, children, events.Muon.charge * 2)]

    branches = learn_branches(source, 0, 10, use, {"dataset": "d"}, schema)
    read = read_nanoevents(source, 10, 40, branches, {"dataset": "d"}, schema)
    assert isinstance(read.layout["Muon"].content["pt"].data, np.ndarray)
    assert not isinstance(read.layout["Muon"].content["eta"].data, np.ndarray)
    assert use(read) == use(read_nanoevents(source, 10, 40, (), {"dataset": "d"}, schema))
    some = [name for name in branches if not name.startswith("n")]
    assert use(read_nanoevents(source, 10, 40, some, {"dataset": "d"}, schema)) == use(read)


def test_every_column_is_what_coffea_reads(shared_data: Path) -> None:
    """PHYSLITE has objects that are split into branches within branches."""
    path = str(shared_data / "physlite" / "PHYSLITE_example.root")
    schema = find_nano_schema("PHYSLITESchema")
    source = inspect_file(path)
    ours = read_nanoevents(source, 5, 25, (), {"dataset": "d"}, schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        factory = nanoevents.NanoEventsFactory.from_root(
            {path: source.tree}, schemaclass=schema, metadata={"dataset": "d"}, entry_start=5, entry_stop=25
        )
        theirs = factory.events()
    assert sorted(ours.fields) == sorted(theirs.fields)
    for collection in ("Electrons", "Jets", "EventInfo", "xTrigDecision"):
        for field in theirs[collection].fields:
            values = [ak.to_list(each[collection][field]) for each in (ours, theirs)]
            assert str(values[0]) == str(values[1]), (collection, field)


def test_histograms_of_one_name_are_refused() -> None:
    one, other = (hist.Hist(hist.axis.Regular(2, 0, 1, name="x")) for _ in range(2))
    with pytest.raises(EventError, match=r"\[1\] and \['1'\] are both called 1; rename a key"):
        standard_histograms({1: one, "1": other}, {}, {})
    different = hist.Hist(hist.axis.Regular(3, 0, 1, name="x"))
    with pytest.raises(EventError, match="different axes"):
        standard_histograms({"a": {"h": one}, "b": {"h": different}}, {}, {"a": "p", "b": "p"})


def test_datasets_of_one_process_are_added_and_profiles_left_out() -> None:
    one = hist.Hist(hist.axis.Regular(2, 0, 1, name="x")).fill([0.1, 0.6, 0.6])
    profile = hist.Hist(hist.axis.Regular(2, 0, 1, name="x"), storage="mean")
    found, notes = standard_histograms({"a": {"h": one}, "b": {"h": one, "m": profile}}, {}, {"a": "p", "b": "p"})
    assert list(found) == ["h"]
    assert found["h"]["p"]["all", "nominal", :].values().tolist() == [2, 4]
    assert found["h"]["p"]["all", "nominal", :].variances().tolist() == [2, 4]
    assert not notes
    weighted = hist.Hist(hist.axis.Regular(2, 0, 1, name="x")).fill([0.1], weight=[0.25])
    assert "no variances" in standard_histograms({"h": weighted}, {}, {})[1][0]


@given(st.data())
def test_axes_are_taken_apart_whatever_their_order(data: st.DataObject) -> None:
    axes = {
        "process": hist.axis.StrCategory(["a", "b", "c"], name="process"),
        "region": hist.axis.StrCategory(["r", "s"], name="region"),
        "variation": hist.axis.StrCategory(["nominal", "up"], name="variation"),
        "x": hist.axis.Regular(3, 0, 1, name="x"),
        "y": hist.axis.Integer(0, 2, name="y"),
    }
    names = data.draw(st.permutations(list(axes)))
    names = names[: data.draw(st.integers(1, len(names)))]
    filled = hist.Hist(*(axes[name] for name in names), storage="weight")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    filled.view(flow=True)["value"] = rng.random(filled.axes.extent)
    filled.view(flow=True)["variance"] = rng.random(filled.axes.extent)
    found = standard_histograms({"h": filled}, {}, {})[0]["h"]
    assert list(found) == (["a", "b", "c"] if "process" in names else ["all"])
    for process, each in found.items():
        wanted = {"process": process} if "process" in names else {}
        for region in each.axes["region"]:
            for variation in each.axes["variation"]:
                place = wanted | {"region": region, "variation": variation}
                direct = filled[{name: label for name, label in place.items() if name in names}]
                one = each[{"region": region, "variation": variation}]
                if isinstance(direct, hist.Hist):
                    order = [name for name in names if name in ("x", "y")]
                    assert [axis.name for axis in one.axes] == order
                    assert (one.values(flow=True) == direct.values(flow=True)).all()
                    assert (one.variances(flow=True) == direct.variances(flow=True)).all()
                else:
                    assert (one.value, one.variance) == (direct.value, direct.variance)


def test_what_is_undeclared_and_opened_is_said(fileset: Fileset, tmp_path: Path) -> None:
    (tmp_path / "factor.json").write_text("2")
    said: list[str] = []
    instance = coffea_processors.Reading(str(tmp_path), "factor.json")
    found = here(instance, {"Data": fileset["Data"]}, cache=ResultCache(tmp_path / "kept"), progress=Notes(said))
    assert found.accumulator["factor"] == 4 * 2
    assert any("no result is kept" in each and "factor.json" in each for each in said)
    said.clear()
    more = {"cache": ResultCache(tmp_path / "kept"), "files": [tmp_path / "factor.json"], "progress": Notes(said)}
    here(instance, {"Data": fileset["Data"]}, **more)
    assert here(instance, {"Data": fileset["Data"]}, **more).timing.processed == 0
    assert not any("no result is kept" in each for each in said)


class Notes:
    """Keep what is said."""

    def __init__(self, said: list[str]) -> None:
        self.say = said.append

    def begin(self, what: str, total: int) -> None: ...

    def advance(self, count: int, lost: int = 0) -> None: ...

    def end(self) -> None: ...
