"""Whole files: the layout, determinism, skipping, weights, filters, failures that leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from colonnade.errors import ConfigError, InputError, OutputError
from colonnade.manifest import Filter, Generate, Manifest, load_manifest
from colonnade.samples import generator as generator_module
from colonnade.samples import make_samples, production
from colonnade.samples.detector import Collection
from colonnade.samples.generator import Generator
from colonnade.samples.production import Block, read_provenance

ZLL = ["WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 60", "23:onMode = off", "23:onIfAny = 11 13"]
WW = ["WeakDoubleBoson:ffbar2WW = on", "24:onMode = off", "24:onIfAny = 11 13"]

# hard processes only: no showers, no hadrons
BARE = [
    *(f"PartonLevel:{part} = off" for part in ("ISR", "FSR", "FSRinResonances")),
    "BeamRemnants:primordialKT = off",
    "HadronLevel:all = off",
]
FAST = [*ZLL, *BARE]


class Schema(NanoAODSchema):
    """As coffea has it, but at ease with collections that don't point at each other."""

    warn_missing_crossrefs = False


def entry(name: str, settings: list[str] = ZLL, events: int = 60, **generate: Any) -> dict[str, Any]:
    metadata = {"process": name, "kind": "background", "xsec_pb": 2.0}
    metadata["generate"] = {"settings": settings, "events": events, "seed": 11, **generate}
    return {"files": {f"out/{name}.root": "Events"}, "metadata": metadata}


def manifest_of(folder: Path, *entries: dict[str, Any]) -> Manifest:
    content = {one["metadata"]["process"]: one for one in entries}
    (folder / "datasets.json").write_text(json.dumps(content))
    return load_manifest(folder / "datasets.json")


def content_of(path: Path) -> dict[str, bytes]:
    with uproot.open(path) as file:
        return {
            f"{tree}/{name}": ak.to_numpy(ak.flatten(branch.array(), axis=None)).tobytes()
            for tree in ("Events", "Runs")
            for name, branch in file[tree].items()
        }


@pytest.fixture
def fake_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of numbers without Pythia, where only what happens to them matters."""

    def make_block(generate: Generate, name: str, number: int, size: int) -> Block:
        rng = np.random.default_rng((generate.seed, number))
        jets = Collection(np.full(size, 2), {"pt": rng.random(2 * size)})
        met = Collection(None, {"pt": rng.random(size)})
        first = number * production.BLOCK + 1
        return Block(number, first, np.ones(size), {"Jet": jets, "MET": met}, 1.0, 0, 0)

    monkeypatch.setattr(production, "make_block", make_block)


@pytest.mark.filterwarnings("ignore:Branch Photon_mass already exists")  # coffea sets what we write: 0
def test_a_file_is_nanoaod_that_coffea_reads(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, entry("zll", events=120, content=["FatJet", "Particle"]))
    (made,) = make_samples(manifest)
    events = NanoEventsFactory.from_root(
        {str(made.path): "Events"}, schemaclass=Schema, mode="eager", metadata={"dataset": "zll"}
    ).events()
    assert len(events) == 120
    both = events[ak.num(events.Muon) == 2]
    assert len(both) > 20
    assert np.median(ak.to_numpy((both.Muon[:, 0] + both.Muon[:, 1]).mass)) == pytest.approx(91, abs=3)
    for name in ("Electron", "Tau", "Jet", "FatJet", "Photon", "Particle"):
        assert {"pt", "eta", "phi", "mass"} <= set(events[name].fields)
    assert {"pt", "phi", "significance"} <= set(events.MET.fields)
    assert ak.to_numpy(events.event).tolist() == list(range(1, 121))
    assert ak.all(events.genWeight == 1)
    with uproot.open(made.path) as file:
        assert file["Runs/genEventSumw"].array().tolist() == [120.0]
        assert file["Runs/genEventCount"].array().tolist() == [120]


def test_content_is_the_same_for_one_and_two_processes(tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    contents = []
    for folder, workers in ((alone, 1), (shared, 2)):
        folder.mkdir()
        seen: list[int] = []
        manifest = manifest_of(folder, entry("zll", events=40), entry("ww", [*WW, *BARE], events=30))
        made = make_samples(manifest, workers=workers, progress=lambda _name, n, seen=seen: seen.append(n))
        assert [one.dataset.name for one in made] == ["zll", "ww"]
        assert sum(seen) == 70
        contents.append([content_of(one.path) for one in made])
    assert contents[0] == contents[1]


def test_blocks_make_distinct_events_with_unique_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(production, "BLOCK", 40)
    monkeypatch.setattr(generator_module, "BATCH", 25)
    (made,) = make_samples(manifest_of(tmp_path, entry("zll", events=100)))
    with uproot.open(made.path) as file:
        tree = file["Events"]
        assert tree["event"].array().tolist() == list(range(1, 101))
        assert sorted(set(tree["luminosityBlock"].array())) == [1, 2, 3]
        assert len(set(tree["MET_pt"].array())) == 100


@pytest.mark.usefixtures("fake_blocks")
def test_what_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, entry("zll", events=20), entry("ww", WW, events=20))
    make_samples(manifest, ["zll"])
    path = tmp_path / "out/zll.root"
    before = path.read_bytes()
    made = {one.dataset.name: one.skipped for one in make_samples(manifest)}
    assert made == {"zll": True, "ww": False}
    assert path.read_bytes() == before
    changed = manifest_of(tmp_path, entry("zll", events=20, seed=12))
    assert not make_samples(changed)[0].skipped
    assert make_samples(changed)[0].skipped
    assert not make_samples(changed, force=True)[0].skipped
    assert make_samples(changed, events=10)[0].provenance.events == 10


@pytest.mark.usefixtures("fake_blocks")
def test_a_file_made_elsewhere_is_not_overwritten(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, entry("zll", events=10))
    path = tmp_path / "out/zll.root"
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(InputError, match="was not made by colonnade samples"):
        make_samples(manifest)
    assert path.read_text() == "precious"
    make_samples(manifest, force=True)
    note = read_provenance(path)
    assert note is not None
    assert note.events == 10


def test_negative_weights_lower_the_sum_and_the_effective_number(tmp_path: Path) -> None:
    share, number = 0.2, 1500
    made = make_samples(manifest_of(tmp_path, entry("zll", FAST, events=number, negative_weights=share)))[0]
    with uproot.open(made.path) as file:
        weights = file["Events/genWeight"].array(library="np")
        total = file["Runs/genEventSumw"].array(library="np")[0]
        squares = file["Runs/genEventSumw2"].array(library="np")[0]
    assert set(weights) == {-1.0, 1.0}
    negative = np.mean(weights < 0)
    assert abs(negative - share) < 5 * np.sqrt(share * (1 - share) / number)
    assert total == weights.sum() == made.provenance.sumw
    # the effective number of events falls by (1 - 2 f)^2
    assert total**2 / squares == pytest.approx(number * (1 - 2 * share) ** 2, rel=0.15)


def test_a_filter_and_its_inverse_share_the_cross_section() -> None:
    settings = (*WW, *BARE)
    wanted = Filter(mll=(80.0, None), met=(30.0, None))
    found = []
    for cut in (wanted, wanted.model_copy(update={"invert": True}), Filter()):
        generate = Generate(settings=settings, events=800, seed=1, filter=cut)
        generator = Generator(generate, 99, "ww")
        batches = list(generator.batches(800))
        found.append((generator.cross_section, generator.filtered))
        if cut == wanted:
            for batch in batches:
                check_filtered(batch)
    (kept, (inside, seen)), (dropped, _), (whole, unfiltered) = found
    assert kept + dropped == pytest.approx(whole, rel=0.08)
    assert inside / seen == pytest.approx(kept / whole, rel=0.1)
    assert inside == 800
    assert unfiltered == (0, 0)


def check_filtered(batch: Any) -> None:
    """Recompute mass and missing momentum from the events themselves."""
    particles = batch.particles
    stable, code = particles.status > 0, np.abs(particles.pdg)
    lepton, hidden = stable & np.isin(code, (11, 13)), stable & np.isin(code, (12, 14))
    total = {
        name: np.bincount(particles.event[lepton], getattr(particles, name)[lepton], len(batch))
        for name in ("px", "py", "pz", "energy")
    }
    mass = np.sqrt(total["energy"] ** 2 - total["px"] ** 2 - total["py"] ** 2 - total["pz"] ** 2)
    x, y = (np.bincount(particles.event[hidden], p[hidden], len(batch)) for p in (particles.px, particles.py))
    assert mass.min() > 80 - 1e-6
    assert np.hypot(x, y).min() > 30 - 1e-6


def test_a_wrong_filter_efficiency_is_said(tmp_path: Path) -> None:
    one = entry("ww", [*WW, *BARE], events=50, filter={"met": [30, None]})
    one["metadata"]["filter_efficiency"] = 0.01
    (made,) = make_samples(manifest_of(tmp_path, one))
    assert "filter_efficiency 0.01" in made.warning
    assert 0.2 < made.provenance.filter_efficiency < 0.9


def test_matrix_element_weight_equals_reweighting() -> None:
    settings = (*ZLL, *BARE, "PhaseSpace:mHatMin = 100", "PhaseSpace:mHatMax = 300")
    edges, number = np.array([100.0, 130.0, 180.0, 300.0]) ** 2, 2000
    counts = {}
    for weight in ("unit", "shat_squared"):
        generate = Generate.model_validate({"settings": settings, "events": number, "seed": 1, "weight": weight})
        made = list(Generator(generate, 5, "zll").batches(number))
        # a few events may lie above the maximum that sampling assumed; Pythia gives them more weight
        assert np.mean(np.concatenate([batch.weights for batch in made]) == 1) > 0.99
        energy = np.concatenate([batch.s_hat for batch in made])
        reweight = energy**2 if weight == "unit" else np.ones(number)
        content, _ = np.histogram(energy, edges, weights=reweight)
        squares, _ = np.histogram(energy, edges, weights=reweight**2)
        counts[weight] = content / content.sum(), np.sqrt(squares) / content.sum()
        plain, _ = np.histogram(energy, edges)
        if weight == "unit":
            untouched = plain / number
    (expected, error), (found, spread) = counts["unit"], counts["shat_squared"]
    assert np.all(np.abs(found - expected) < 4 * np.hypot(error, spread))
    assert found[-1] > 2 * untouched[-1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["Foo:bar = on"], "Dataset zll: Pythia refuses the setting 'Foo:bar = on'"),
        (["Beams:eCM = 13000."], "Dataset zll: Pythia can't start.*no process switched on"),
    ],
)
def test_what_pythia_refuses_is_one_sentence(tmp_path: Path, settings: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        make_samples(manifest_of(tmp_path, entry("zll", settings)))
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("fake_blocks")
def test_an_interruption_leaves_nothing_half_written(tmp_path: Path) -> None:
    def interrupt(_name: str, _events: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_samples(manifest_of(tmp_path, entry("zll", events=30)), progress=interrupt)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("fake_blocks")
def test_an_unwritable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file in the way")
    with pytest.raises(OutputError, match="can't be written"):
        make_samples(manifest_of(tmp_path, entry("zll", events=10)))


def test_without_the_extra_the_install_command_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(ConfigError, match=r"pip install 'colonnade\[samples\]'"):
        make_samples(manifest_of(tmp_path, entry("zll")))


def test_nothing_of_pythia_is_imported_for_the_rest() -> None:
    code = "import colonnade.manifest, colonnade.samples, sys; print(sorted(sys.modules))"
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"pythia8mc", "fastjet", "awkward"} & set(known.replace("'", "").strip("[]\n").split(", "))


def test_the_projects_manifest_is_valid_and_its_samples_distinct(project: Path) -> None:
    manifest = load_manifest(project / "datasets.json")
    made = [one.metadata.generate for one in manifest.datasets.values() if one.metadata.generate]
    assert len({one.seed for one in made}) == len(made)
    signals = [one.metadata for one in manifest.datasets.values() if one.name.startswith(("DH_", "LV_", "EFT_"))]
    assert len(signals) >= 9
    assert all("m_Zprime" in one.signal for one in signals)
    assert any(one.negative_weights > 0 for one in made)
    # the slices of a process add up to all of it
    for process in ("ttbar", "ww"):
        slices = [one.metadata for one in manifest.datasets.values() if one.metadata.process == process]
        assert sum(one.filter_efficiency for one in slices) == pytest.approx(1.0, abs=0.002)
        assert len({(one.xsec_pb, one.k_factor) for one in slices}) == 1


@pytest.mark.parametrize("process", ["ttbar", "ww"])
def test_every_hard_process_is_in_one_slice_of_its_kind(project: Path, process: str) -> None:
    """Cuts of the slices, written down a second time: an event in none or in two would spoil the normalisation."""
    named = load_manifest(project / "datasets.json").datasets
    slices = {name: one.metadata.generate.filter for name, one in named.items() if name.startswith(f"{process}_")}
    rng = np.random.default_rng(1)
    drawn = [rng.uniform(0, top, 2000) for top in (600.0, 120.0, 200.0)]
    edges = [(mll, met, mt2) for mll in (105.0, 300.0) for met in (40.0,) for mt2 in (0.0, 70.0, 75.0)]
    for mll, met, mt2 in [*zip(*drawn, strict=True), *edges]:
        found = []
        for name, wanted in slices.items():
            bounds = ((mll, wanted.mll), (met, wanted.met), (mt2, wanted.mt2))
            inside = all(pair is None or (pair[0] <= x and (pair[1] is None or x < pair[1])) for x, pair in bounds)
            if inside != wanted.invert:
                found.append(name)
        assert len(found) == 1, (mll, met, mt2)
