"""Events answer what coffea's NanoEvents answer: every public attribute of every collection of real files."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea import nanoevents
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory, PFNanoAODSchema
from coffea.nanoevents.methods import nanoaod
from coffea.nanoevents.schemas import BaseSchema
from hist.axis import Regular

from colonnade import Histogram, Objects, Processor, Region
from colonnade.errors import ConfigError
from colonnade.events import inspect_file, learn_columns, read_events
from colonnade.events.behaviors import UnlearnedColumnError
from colonnade.events.schemas import find_schema
from colonnade.execution import run_datasets
from colonnade.kinematics import accelerate
from colonnade.manifest import load_manifest

FILES = ("nano_dy", "nano_dimuon", "nano_tt_v12", "nano_tt_v15", "pfnano")
EVENTS = 25
# parts of vectors rather than physics, whose arrays are compared under other names
PARTS = {"azimuthal", "longitudinal", "temporal", "MomentumClass", "lib"}
#: What differs, and why.
BETTER = {
    # files have a mass of photons, rounded to about nothing; coffea writes 0 over it
    "Photon": {"mass", "M", "m", "tau", "gamma", "neg2D", "neg3D"},
    "Electron": {"matched_photon"},
}
#: Methods with arguments, for each name that some collection has.
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    **{
        name: lambda own, _, name=name: getattr(own, name)(own)
        for name in ("delta_r", "delta_phi", "delta_r2", "deltaR")
    },
    "nearest": lambda own, events: own.nearest(events.Muon),
    "metric_table": lambda own, events: own.metric_table(events.Muon),
    "hasFlags": lambda own, _: own.hasFlags("isPrompt", "isLastCopy"),
    "sum": lambda own, _: own.sum(axis=1),
}


def numbers(array: Any) -> Any:
    if isinstance(array, ak.Array) and ak.fields(array):
        names = [name for name in ("pt", "eta", "phi", "pdgId", "x", "y", "z") if name in ak.fields(array)]
        return ak.zip({name: getattr(array, name) for name in names})
    return array


def same(theirs: Any, ours: Any) -> bool:
    one, two = ak.to_list(numbers(theirs)), ak.to_list(numbers(ours))
    if one == two:
        return True
    flat = [
        np.asarray(ak.fill_none(ak.flatten(numbers(each), axis=None), -9999), dtype=float) for each in (theirs, ours)
    ]
    shapes = [ak.num(numbers(each), axis=-1) if numbers(each).ndim > 1 else len(each) for each in (theirs, ours)]
    # coffea computes in single precision where a file is
    return ak.to_list(shapes[0]) == ak.to_list(shapes[1]) and np.allclose(*flat, rtol=1e-4, atol=1e-4, equal_nan=True)


def given(events: Any) -> list[str]:
    """Return the collections that coffea can give; some of PHYSLITE it can't."""
    found = []
    for name in events.fields:
        with contextlib.suppress(ValueError):
            _ = events[name]
            found.append(name)
    return found


def expressions(events: Any) -> Iterator[tuple[str, str, Callable[[Any, Any], Any]]]:
    """Give what can be asked of collections, by introspection of coffea's class; of two of each class."""
    met: dict[type, int] = {}
    for name in sorted(given(events)):
        collection = events[name]
        kind = type(collection)
        met[kind] = met.get(kind, 0) + 1
        if not ak.fields(collection) or met[kind] > 2:
            continue
        for attribute in dir(kind):
            if attribute.startswith("_") or attribute in PARTS or hasattr(ak.Array, attribute):
                continue
            if attribute in CALLS and collection.ndim > 1:
                yield name, attribute, CALLS[attribute]
            elif not callable(getattr(kind, attribute)) or isinstance(
                inspect.getattr_static(kind, attribute), property
            ):
                yield name, attribute, lambda own, _, attribute=attribute: getattr(own, attribute)
        for field in ak.fields(collection):
            if field.endswith("G"):
                yield name, field, lambda own, _, field=field: own[field]


def answer(events: Any, name: str, ask: Callable[[Any, Any], Any]) -> Any:
    try:
        found = ask(getattr(events, name), events)
        if isinstance(found, ak.Array):
            ak.to_list(numbers(found))
    except Exception as error:
        return error
    return found


@pytest.fixture(scope="module", params=FILES)
def both(request: pytest.FixtureRequest, shared_data: Path) -> tuple[str, Any, Any]:
    path = str(shared_data / "nanoaod" / f"{request.param}.root")
    schema = PFNanoAODSchema if request.param == "pfnano" else NanoAODSchema
    kind = type("Nano", (schema,), {"error_missing_event_ids": False, "warn_missing_crossrefs": False})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = NanoEventsFactory.from_root({path: "Events"}, schemaclass=kind, mode="virtual", entry_stop=EVENTS)
        return request.param, events.events(), inspect_file(path)


@pytest.mark.filterwarnings("ignore")  # coffea's and vector's own, of both sides
def test_every_public_attribute(both: tuple[str, Any, Any]) -> None:
    _, coffea, source = both
    asked = list(expressions(coffea))
    assert len(asked) > 400
    assert not differences(coffea, source, asked)


def differences(coffea: Any, source: Any, asked: Any) -> list[Any]:
    """Return where events differ from coffea's, while columns are learned or in the run."""
    learned: dict[tuple[str, str], Any] = {}

    def use(events: Any) -> None:
        for name, attribute, ask in asked:
            learned[name, attribute] = answer(events, name, ask)

    columns = learn_columns(source, use, {})
    read = accelerate(read_events(source, 0, min(EVENTS, source.entries), columns, {}))
    wrong = []
    for name, attribute, ask in asked:
        theirs = answer(coffea, name, ask)
        if isinstance(theirs, Exception) or attribute in BETTER.get(name, ()):
            continue
        for when, ours in (("learning", learned[name, attribute]), ("run", answer(read, name, ask))):
            if isinstance(ours, Exception):
                wrong.append((name, attribute, when, repr(ours)[:200]))
            elif isinstance(theirs, ak.Array):
                if not same(theirs, ours[: len(theirs)]):
                    wrong.append((name, attribute, when, "differs"))
            elif repr(theirs) != repr(ours) and not callable(theirs):
                wrong.append((name, attribute, when, "differs"))
    return wrong


def fields(events: Any) -> Iterator[tuple[str, str, Callable[[Any, Any], Any]]]:
    """Give the numbers of every field."""
    for name in given(events):
        for field in ak.fields(events[name]):
            yield name, field, lambda own, _, field=field: own[field]
        if not ak.fields(events[name]):
            yield name, "", lambda own, _: own


def treemaker(path: Path) -> None:
    """Write what the schema makes collections of, and uproot can write: no branches within branches."""
    rng = np.random.default_rng(3)
    columns: dict[str, Any] = {name: np.arange(20, dtype=np.uint64) for name in ("RunNum", "LumiBlockNum", "EvtNum")}
    columns |= {name: rng.uniform(1, 9, 20).astype(np.float32) for name in ("MET", "Weight")}
    for name in ("Jets_pt", "Jets_axismajor", "Muons_pt", "Muons_charge"):
        columns[name] = ak.unflatten(rng.uniform(1, 3, 40).astype(np.float32), [0, 3, 1, 4] * 5)
    with uproot.recreate(path) as file:
        file.mktree("PreSelection", columns)


SAMPLES = Path(os.environ.get("COLONNADE_COFFEA_SAMPLES", ""))
OTHERS: dict[str, tuple[Path | Callable[[Path], None], str]] = {
    "TreeMakerSchema": (treemaker, "PreSelection"),
    "DelphesSchema": (Path("delphes.root"), "Delphes"),
    "PHYSLITESchema": (Path("physlite/PHYSLITE_example.root"), "CollectionTree"),
    "FCCSchema_edm4hep1": (Path("p8_ee_WW_ecm240_edm4hep.root"), "events"),
    "FCCSchema": (Path("test_FCC_Spring2021.root"), "events"),
}


@pytest.mark.parametrize("schema", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_other_schemas_of_coffea(schema: str, tmp_path: Path, shared_data: Path) -> None:
    where, tree = OTHERS[schema]
    path = tmp_path / "made.root"
    if callable(where):
        where(path)
    else:
        path = next((folder / where for folder in (shared_data, SAMPLES) if (folder / where).is_file()), path)
        if not path.is_file():
            pytest.skip(f"COLONNADE_COFFEA_SAMPLES has no {where}")
    kind = getattr(nanoevents, schema)
    events = NanoEventsFactory.from_root(
        {str(path): tree}, schemaclass=kind, mode="virtual", entry_stop=EVENTS
    ).events()
    source = inspect_file(str(path), tree, schema)
    assert callable(where) or inspect_file(str(path)).schema in (schema, "physlite")
    asked = [*expressions(events), *fields(events)]
    assert len(asked) > 10
    assert not differences(events, source, asked)


class Jetty(Processor):
    """Sum of momenta, where one shift changes what it is given."""

    histograms = (Histogram("ht", Regular(4, 0, 40)),)
    regions: ClassVar = {"some": Region("any")}
    shifts = ("jes",)

    def objects(self, events: Any, shift: Any) -> Objects:
        jets = events.Jets
        jets["pt"] = jets.pt * 2.0 ** shift["jes"]
        with contextlib.suppress(ValueError):
            np.asarray(ak.flatten(events.MET, axis=None))[:] = 0
        return Objects(jets=jets)

    def observables(self, events: Any, objects: Any) -> dict[str, Any]:
        return {"ht": ak.sum(objects.jets.pt, axis=1), "met": events.MET}

    def cuts(self, events: Any, objects: Any, observables: Any) -> dict[str, Any]:
        return {"any": (np.asarray(observables["met"]) > 0) & (ak.num(objects.jets) >= 0) & (events.EvtNum >= 0)}


def test_an_analysis_of_a_schema_of_coffea(tmp_path: Path) -> None:
    treemaker(tmp_path / "tree.root")
    metadata = {"process": "signal", "kind": "signal", "xsec_pb": 1.0, "sumw": "events"}
    metadata |= {"weight": "Weight", "schema": "TreeMakerSchema"}
    manifest = tmp_path / "datasets.json"
    manifest.write_text(json.dumps({"tree": {"files": {"tree.root": "PreSelection"}, "metadata": metadata}}))
    result = run_datasets(Jetty(), load_manifest(manifest).select(["*"]), luminosity=1.0, chunk_size=6)
    with uproot.open(f"{tmp_path}/tree.root:PreSelection") as tree:
        ht, weight = ak.sum(tree["Jets_pt"].array(), axis=1), tree["Weight"].array(library="np")
    expected = np.histogram(ht, bins=4, range=(0, 40), weights=weight.astype(float) * 1000 / weight.sum(dtype=float))[0]
    filled = result.histograms["ht"]["signal"]["some", "nominal", :].values()
    assert filled == pytest.approx(expected)
    twice = np.histogram(2 * ht, bins=4, range=(0, 40), weights=weight.astype(float) * 1000 / weight.sum(dtype=float))[
        0
    ]
    assert result.histograms["ht"]["signal"]["some", "jes_up", :].values() == pytest.approx(twice)


def test_fields_in_full(both: tuple[str, Any, Any]) -> None:
    _, coffea, source = both
    events = read_events(source, 0, 5, ("run",) if "run" in source.columns else ("nMuon",), {})
    learned: dict[str, list[str]] = {}

    def use(events: Any) -> None:
        learned[""] = ak.fields(events)
        learned.update({name: ak.fields(getattr(events, name)) for name in coffea.fields})

    assert len(learn_columns(source, use, {})) == 0
    assert set(learned[""]) >= set(coffea.fields)
    for read in (events, accelerate(events)):
        assert read.fields == ak.fields(read) == learned[""]
        for name in coffea.fields:
            assert set(learned[name]) >= set(ak.fields(coffea[name])), name
            assert ak.fields(getattr(read, name)) == ak.fields(read[name]) == learned[name], name
            if learned[name]:
                assert getattr(read, name).fields == learned[name]


def test_columns_may_be_handed_on_unread(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "nano_tt_v12.root"))

    def use(events: Any) -> Any:
        again = ak.zip({name: events.Muon[name] for name in ak.fields(events.Muon) if not name.endswith("G")})
        everything = {name: events[name] for name in ak.fields(events)}
        assert hasattr(events.Muon, "dxy")
        assert len(everything["FatJet"]) == len(events)
        return again.pt + events.Muon.scale(2).pt

    columns = learn_columns(source, use, {})
    assert set(columns) == {"Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass"}
    events = read_events(source, 0, 50, columns, {})
    for seen in (events, accelerate(events)):
        assert np.allclose(ak.flatten(use(seen)), 3 * ak.flatten(events.Muon.pt), rtol=1e-6)
        with pytest.raises(UnlearnedColumnError, match="Muon_dxy"):
            np.asarray(ak.flatten(seen.Muon.dxy))
        with pytest.raises(UnlearnedColumnError, match="nFatJet"):
            ak.num(seen.FatJet)


def _pairs(events: Any, of: Callable[[Any, Any], Any]) -> Any:
    pairs = ak.combinations(events.Muon, 2, fields=["one", "other"])
    return of(pairs.one, pairs.other)


def _leptons(events: Any) -> Any:
    leptons = ak.with_name(ak.concatenate([events.Muon, events.Electron], axis=1), "PtEtaPhiMCandidate")
    return leptons[ak.argsort(leptons.pt, ascending=False)]


PFNANO: dict[str, Callable[[Any], Any]] = {
    "constituents": lambda events: events.Jet.constituents.pf.pt,
    "their jet": lambda events: events.JetPFCands.jet.pt,
    "vertices": lambda events: events.JetSVs.sv.pt,
}


@pytest.mark.parametrize("what", PFNANO)
@pytest.mark.filterwarnings("ignore")
def test_candidates_of_pfnano(what: str, shared_data: Path) -> None:
    path = str(shared_data / "nanoaod" / "pfnano.root")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coffea = NanoEventsFactory.from_root({path: "Events"}, schemaclass=PFNanoAODSchema, mode="virtual").events()
    source = inspect_file(path)
    columns = learn_columns(source, PFNANO[what], {})
    assert len(columns) < 15
    run = PFNANO[what](accelerate(read_events(source, 0, source.entries, columns, {})))
    assert ak.to_list(run) == ak.to_list(PFNANO[what](coffea))


SELECTIONS: dict[str, Callable[[Any], Any]] = {
    "objects": lambda events: events.Muon[events.Muon.pt > 5].matched_gen.pdgId,
    "events": lambda events: events[ak.num(events.Electron) > 0].Electron.matched_gen.pt,
    "both": lambda events: events[ak.num(events.Jet) > 3].Jet[:, 1:3].matched_muons.pt,
    "first": lambda events: ak.firsts(events.Electron).matched_jet.pt,
    "sorted": lambda events: events.Jet[ak.argsort(events.Jet.eta)].matched_gen.pt,
    "chain": lambda events: events.GenPart[abs(events.GenPart.pdgId) == 24].distinctParent.distinctParent.pdgId,
    "children": lambda events: events.GenPart[events.GenPart.hasFlags(["isLastCopy"])].distinctChildrenDeep.pdgId,
    "children of children": lambda events: ak.flatten(events.GenPart.children.children.pdgId, axis=3),
    "subjets": lambda events: events.FatJet.subjets.pt,
    "through the muon": lambda events: events.Muon.matched_jet.matched_gen.pt,
    "sum": lambda events: events.Jet[events.Jet.pt > 30].sum(axis=1).pt,
    "nearest": lambda events: events.Jet.nearest(events.Electron[events.Electron.pt > 10]).pt,
    "nearest within": lambda events: events.Jet.nearest(events.GenJet, threshold=0.4).pt,
    "table": lambda events: events.Muon.metric_table(events.Jet),
    "constant": lambda events: events.Electron.cutBased >= events.Electron.LOOSE,
    "charge of a sum": lambda events: _pairs(events, lambda one, other: (one + other).charge),
    "pairs of two collections": lambda events: _pairs(events, lambda one, other: one.delta_r(other)),
    "boost": lambda events: _pairs(events, lambda one, other: (one + other).boostvec.z),
    "charge with a jet": lambda events: (ak.firsts(events.Muon) + ak.firsts(events.Jet)).charge,
    "candidates": lambda events: _leptons(events).charge,
    "pair of candidates": lambda events: (ak.firsts(_leptons(events)) + ak.firsts(_leptons(events)[:, 1:])).mass,
    "named vectors": lambda events: (
        ak.zip({name: events.Jet[name] for name in ("pt", "eta", "phi", "mass")}, with_name="PtEtaPhiMLorentzVector").pz
    ),
    "cleaned": lambda events: events.Jet[ak.all(events.Jet.metric_table(events.Muon) > 0.4, axis=2)].pt,
    "truth": lambda events: (
        events.GenPart[(abs(events.GenPart.pdgId) == 5) & (abs(events.GenPart.distinctParent.pdgId) == 6)]
        .nearest(events.Jet, threshold=0.4)
        .pt
    ),
    "flat": lambda events: events.Muon_pt,
    "flat item": lambda events: events["Jet_eta"],
    "trigger": lambda events: events.HLT[min(events.HLT.fields)],
}


@pytest.mark.parametrize("what", SELECTIONS)
@pytest.mark.filterwarnings("ignore")
def test_of_what_was_selected(what: str, shared_data: Path) -> None:
    path = shared_data / "nanoaod" / ("nano_tt_v15.root" if what == "subjets" else "nano_tt_v12.root")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coffea = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema, mode="virtual").events()
    ask = SELECTIONS[what]
    if what.startswith("flat"):
        name, field = {"flat": ("Muon", "pt"), "flat item": ("Jet", "eta")}[what]
        expected = coffea[name][field]
    else:
        expected = ask(coffea)
    source = inspect_file(str(path))
    columns = learn_columns(source, ask, {})
    run = ask(accelerate(read_events(source, 0, source.entries, columns, {})))
    plain = ask(read_events(source, 0, source.entries, columns, {}))
    assert len(run) == len(expected)
    assert same(expected, run)
    assert same(expected, plain)


def test_systematics_are_kept_by_the_array_that_has_them(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "nano_tt_v12.root"))
    columns = tuple(name for name in source.columns if name.startswith("Muon_"))
    events = accelerate(read_events(source, 0, 50, columns, {}))
    muons = events.Muon
    muons.add_systematic("scale", "UpDownSystematic", "pt", lambda pt: pt[:, None] * np.array([1.01, 0.99])[None, :])
    assert ak.fields(muons.systematics) == ["scale"]
    assert np.allclose(ak.flatten(muons.systematics.scale.up.pt), ak.flatten(muons.pt) * 1.01)
    assert "__systematics__" not in ak.fields(events.Muon)


def test_sums_have_the_mass_of_double_precision(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "cms_dimuon_100k.root"))
    muons = tuple(f"Muon_{name}" for name in ("pt", "eta", "phi", "mass"))
    events = read_events(source, 0, 20000, muons, {})
    total = ak.flatten(_pairs(events, lambda one, other: one + other))
    wide = ak.Array({name: ak.values_astype(events.Muon[name], np.float64) for name in ("pt", "eta", "phi", "mass")})
    one, other = ak.unzip(ak.flatten(ak.combinations(ak.zip({name: wide[name] for name in wide.fields}), 2)))
    x, y, z = (
        sum(each.pt * axis(each) for each in (one, other))
        for axis in (lambda p: np.cos(p.phi), lambda p: np.sin(p.phi), lambda p: np.sinh(p.eta))
    )
    energy = sum(np.hypot(each.pt * np.cosh(each.eta), each.mass) for each in (one, other))
    assert np.allclose(total.mass, np.sqrt(energy**2 - x**2 - y**2 - z**2), rtol=1e-7, atol=0)
    for seen in (accelerate(events), events[10:]):
        assert ak.type(_pairs(seen, lambda one, other: one + other).mass).content.content.primitive == "float64"


def test_a_charge_is_read_where_a_sum_is_asked_for_it(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "nano_tt_v12.root"))
    masses = learn_columns(source, lambda events: _pairs(events, lambda one, other: (one + other).mass), {})
    charges = learn_columns(source, lambda events: _pairs(events, lambda one, other: (one + other).charge), {})
    assert set(charges) - set(masses) == {"Muon_charge"}


def test_asking_changes_no_array(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "nano_tt_v12.root"))
    muons = read_events(source, 0, 50, ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass"), {}).Muon
    held = muons.layout.fields
    muons.nearest(muons)
    assert muons.layout.fields == held


def test_the_fields_of_what_was_not_read_are_known(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "nano_tt_v12.root"))
    events = read_events(source, 0, 5, ("run",), {})
    assert "PFHT1050" in events.HLT.fields
    assert "PFHT1050" in ak.fields(events["HLT"])
    for fires in (events, accelerate(events)):
        with pytest.raises(UnlearnedColumnError, match="HLT_PFHT1050"):
            np.asarray(fires.HLT.PFHT1050)


def test_what_coffea_can_not_do_either_blames_nothing_else(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "nano_dimuon.root"))
    events = read_events(source, 0, 5, None, {})
    with pytest.raises(AttributeError, match=r"Muon\.matched_gen can't be worked out as coffea does"):
        _ = events.Muon.matched_gen
    assert not hasattr(events.Muon, "matched_gen")
    with pytest.raises(AttributeError, match="there is no column Muon_nearset"):
        _ = events.Muon.nearset


def test_what_the_file_says_of_a_collection(shared_data: Path) -> None:
    source = inspect_file(str(shared_data / "nanoaod" / "nano_dy.root"))
    events = read_events(source, 0, 5, ("Muon_pt", "MET_pt"), {})
    for seen in (events, accelerate(events)):
        assert seen.Muon.__doc__.startswith("slimmedMuons after basic selection")
        assert seen.MET.__doc__ is None


def test_coffea_names_of_schemas() -> None:
    assert find_schema("PFNanoAODSchema") is find_schema("nanoaod")
    ours = {"NanoAODSchema", "PFNanoAODSchema", "ScoutingNanoAODSchema", "BaseSchema"}
    theirs = {
        name for name, kind in vars(nanoevents).items() if isinstance(kind, type) and issubclass(kind, BaseSchema)
    }
    assert {name for name in theirs if find_schema(name).coffea} == theirs - ours
    with pytest.raises(ConfigError, match=r"DelfesSchema.*did you mean DelphesSchema"):
        find_schema("DelfesSchema")


def test_new_versions_of_coffea_are_covered() -> None:
    known = {name for kind in vars(nanoaod).values() if isinstance(kind, type) for name in vars(kind)}
    assert {"matched_gen", "distinctChildrenDeep", "hasFlags", "isTight", "subjets"} <= known
