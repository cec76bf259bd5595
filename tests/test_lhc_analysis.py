"""docs/lhc_analysis.md: every block of Python runs, on real files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from rich.console import Console

from colonnade import load
from colonnade.cli import main
from colonnade.workflow import load_run, load_workflow, run_workflow


def blocks(project: Path, kind: str) -> list[str]:
    """Return the page's blocks of one kind."""
    text = (project / "docs" / "lhc_analysis.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(project: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the files that the page shows, each named in its first line, beside the real ones."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("nano_tt_v12.root", "nano_tt_v15.root", "nano_dy.root", "cms_singlemu_2012b_1000.root"):
        (folder / name).symlink_to(shared_data / "nanoaod" / name)
    for path in (shared_data / "corrections").iterdir():
        (folder / path.name).symlink_to(path)
    entries: dict[str, Any] = {}
    for block in blocks(project, "json"):
        entries |= json.loads(block)
    (folder / "datasets.json").write_text(json.dumps(entries))
    for kind in ("python", "yaml"):
        for block in blocks(project, kind):
            named = re.match(r"# (\w+/[\w.]+)\n", block)
            if named:
                (folder / named[1]).parent.mkdir(exist_ok=True)
                (folder / named[1]).write_text(block)
    return folder


@pytest.fixture(scope="module")
def top(page: Path) -> Path:
    """The run of the page's workflow, without its pictures."""
    workflow = load_workflow(page / "workflows" / "top.yaml", ["plots=null"])
    return run_workflow(workflow, page / "out", console=Console(quiet=True))


def whole(histograms: Any) -> float:
    """Return the yield of all parts of ttbar."""
    names = [name for name in histograms["ht"] if name.startswith("ttbar")]
    return float(sum(histograms["ht"][name]["jets", "nominal", ::sum].value for name in names))


def test_an_alternative_sample_is_a_variation(page: Path, top: Path) -> None:
    found = load(top, "2022")["ht"]
    names = [name for name in found if name.startswith("ttbar")]
    varied = sum(found[name]["jets", "hdamp_up", ::sum].value for name in names)
    with uproot.open(page / "nano_tt_v15.root") as file:
        jets = file["Events"].arrays(["Jet_pt", "genWeight"])
        sumw = float(file["Runs"]["genEventSumw"].array()[0]) if "Runs" in file else float(ak.sum(jets.genWeight))
    passed = float(ak.sum(jets.genWeight[ak.sum(jets.Jet_pt > 25, axis=1) >= 2]))
    assert varied == pytest.approx(8.0 * 923600 * passed / sumw, rel=1e-6)
    effects = {(each.parameter, each.process): each for each in load_run(top).fit.systematics}
    assert effects["hdamp", "ttbar"].sides == "mirrored"


def test_one_sample_is_three_processes(top: Path) -> None:
    run = load_run(top)
    assert run.of_kind("signal") == ["ttbar", "ttbar_bb", "ttbar_cc"]
    assert {point.signal for point in run.fit.points} == {"ttbar", "ttbar_bb", "ttbar_cc"}
    parts = [entry.parts for entry in run.result.ledger.datasets.values() if entry.parts and entry.varies is None]
    assert sum(each["ttbar_bb"][0] for each in parts) == 19
    assert "ttbar_bb" in (top / "report.html").read_text()


def test_eras(page: Path, top: Path) -> None:
    """Each half of the file at the luminosity of its era, the sum of both in the total."""
    out = top
    total = whole(load(out))
    found = {era: whole(load(out, era)) for era in ("2022", "2023")}
    assert total == pytest.approx(sum(found.values()), rel=1e-12)
    with uproot.open(page / "nano_tt_v12.root") as file:
        jets = file["Events"].arrays(["Jet_pt", "genWeight"])
    for (era, each), half, luminosity in zip(found.items(), (jets[:100], jets[100:]), (8.0, 18.0), strict=True):
        weights = half.genWeight.to_numpy().astype(float)
        passed = ak.sum(half.Jet_pt > 25, axis=1) >= 2
        assert each == pytest.approx(luminosity * 923600 * weights[passed].sum() / runs(page, weights), rel=1e-9), era
    parameters = {each.name for each in load_run(out).fit.diagnostics.pulls}
    assert {"pileup", "pileup_2022", "pileup_2023", "lumi", "lumi_2023"} <= parameters


def runs(page: Path, weights: Any) -> float:
    """The half of what the file's Runs tree says was generated, or what is in it."""
    with uproot.open(page / "nano_tt_v12.root") as file:
        return float(file["Runs"]["genEventSumw"].array()[0]) / 2 if "Runs" in file else weights.sum()


def test_the_page_runs(project: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(page)
    module: dict[str, Any] = {"__name__": "lhc_analysis"}
    for block in blocks(project, "python"):
        exec(compile(block, "docs/lhc_analysis.md", "exec"), module)  # noqa: S102 - what the page shows
    stitched = module["stitched"]
    total = stitched.histograms["ht"]["top"]["jets", "nominal", ::sum].value
    worth = [entry.sumw / 923600 for entry in stitched.ledger.datasets.values()]
    weights = []
    for name in ("v12", "v15"):
        with uproot.open(f"nano_tt_{name}.root") as file:
            jets = file["Events"].arrays(["Jet_pt", "genWeight"])
        weights.append(float(ak.sum(jets.genWeight[ak.sum(jets.Jet_pt > 25, axis=1) >= 2])))
    assert total == pytest.approx(8.0 * sum(weights) / sum(worth), rel=1e-6)
    filled = module["result"].histograms["met"]["ttbar"]["two jets", :, :].project("variation", "met")
    nominal = filled["nominal", :].values(flow=True)
    assert nominal.sum() > 0
    for source in (*module["SOURCES"], "jer"):
        for side in ("up", "down"):
            assert (filled[f"{source}_{side}", :].values(flow=True) != nominal).any(), source
    filled = module["weighted"].histograms["ht"]["ttbar"]["two jets", :, :]
    nominal, up, down = (filled[name, sum].value for name in ("nominal", "btag_up", "btag_down"))
    # 15 % for each 100 GeV of the leading jet, upwards and downwards alike
    assert 1.05 < up / nominal < 1.5
    assert up - nominal == pytest.approx(nominal - down)
    assert filled["electron_id_up", sum].value > nominal > filled["electron_id_down", sum].value > 0
    check_multijet(project, module)
    check_weights(module)
    check_theory(module)


def check_multijet(project: Path, module: dict[str, Any]) -> None:
    """The estimates by hand, from the file's branches; and the page's commands."""
    pt, factor = module["pt"], module["factor"]
    with uproot.open("cms_singlemu_2012b_1000.root") as file:
        events = file["Events"].arrays(["Muon_pt", "Muon_tightId", "Muon_pfRelIso03_all", "MET_pt"])
    good = (events.Muon_pt > 15) & events.Muon_tightId & (events.Muon_pfRelIso03_all >= 0)
    events = events[ak.any(good, axis=1)]
    good = good[ak.any(good, axis=1)]
    lead, isolation = (ak.firsts(events[name][good]).to_numpy() for name in ("Muon_pt", "Muon_pfRelIso03_all"))
    low, isolated = events.MET_pt.to_numpy() < 20, isolation < 0.15
    counts = {
        name: np.histogram(np.clip(lead[mask], 15, 199), [15, 20, 30, 200])[0]
        for name, mask in {"B": ~low & ~isolated, "C": low & isolated, "D": low & ~isolated}.items()
    }
    assert factor.values == pytest.approx(counts["C"] / counts["D"])
    assert pt["multijet"]["SR", "nominal", :].values() == pytest.approx(counts["B"] * counts["C"] / counts["D"])
    assert pt["abcd"]["SR", "nominal", sum].value == pytest.approx(
        counts["B"].sum() * counts["C"].sum() / counts["D"].sum()
    )
    assert pt["data"]["SR", "nominal", sum].value == 0
    (commands,) = blocks(project, "sh")
    for line in commands.splitlines():
        if "theirs" in line:
            shutil.copy("dumps/multijet/nominal/data.parquet", "theirs.parquet")
        with pytest.raises(SystemExit) as ended:
            main(line.split()[1:])
        assert ended.value.code == 0, line
    assert len(list(Path("skims/multijet/muons").glob("*.root"))) == 1


def check_weights(module: dict[str, Any]) -> None:
    """The trigger's weight by hand, in its region alone."""
    filled = module["placed"].histograms
    with uproot.open("nano_tt_v15.root") as file:
        events = file["Events"].arrays(["Muon_pt", "Jet_pt", "genWeight"])
    muon = ak.fill_none(ak.max(events.Muon_pt[events.Muon_pt > 25], axis=1), -1.0).to_numpy()
    jets, weights = events.Jet_pt[events.Jet_pt > 30], events.genWeight.to_numpy().astype(float)
    good, scale = ak.num(jets).to_numpy() >= 2, 8.0 * 923600 / weights.sum()
    here = good & (muon > 0)
    expected = scale * (weights * (0.95 - 0.5 / muon))[here].sum()
    ht = filled["ht"]["ttbar"]
    assert ht["muon", "nominal", ::sum].value == pytest.approx(expected, rel=1e-6)
    assert ht["muon", "muon_trigger_up", ::sum].value == pytest.approx(1.02 * expected, rel=1e-6)
    assert ht["jets", "muon_trigger_up", ::sum].value == ht["jets", "nominal", ::sum].value
    assert "top_pt_down" not in ht.axes["variation"]
    objects = float(ak.sum((weights * ak.sum(1 - jets / 5000, axis=1))[good & (muon < 0)]))
    assert filled["jet_pt"]["ttbar"]["jets", "nominal", ::sum].value == pytest.approx(scale * objects, rel=1e-5)
    assert list(filled["jet_pt"]["ttbar"].axes["variation"]) == ["nominal", "scale_up"]


def check_theory(module: dict[str, Any]) -> None:
    """The band of parton densities in the workspace, against NumPy from the members in the file."""
    out = module["theory"]
    workspace = json.loads((out / "workspace.json").read_text())
    (sample,) = [each for each in workspace["channels"][0]["samples"] if each["name"] == "ttbar_v15"]
    modifiers = {(each["name"], each["type"]): each["data"] for each in sample["modifiers"]}
    with uproot.open("nano_tt_v15.root") as file:
        events = file["Events"].arrays(["Jet_pt", "genWeight", "LHEPdfWeight", "LHEScaleWeight"])
    jets, weights = events.Jet_pt[events.Jet_pt > 30], events.genWeight.to_numpy().astype(float)
    ht, passed = ak.sum(jets, axis=1).to_numpy(), ak.num(jets).to_numpy() >= 4

    def template(ratio: Any, own: bool = True) -> Any:
        worth = 8.0 * 923600 / ((weights * ratio).sum() if own else weights.sum())
        clipped = np.clip(ht[passed], 0, 999)
        return np.histogram(clipped, 4, (0, 1000), weights=(weights * ratio)[passed] * worth)[0]

    pdf = events.LHEPdfWeight.to_numpy().astype(float).T
    nominal = template(1.0)
    half = (template(pdf[102]) - template(pdf[101])) / 2
    size = np.sqrt(sum((template(each) - nominal) ** 2 for each in pdf[1:101]) + half**2)
    filled = np.asarray(modifiers["pdf", "histosys"]["hi_data"]) * modifiers["pdf", "normsys"]["hi"]
    groups = [each for each in range(4) if nominal[each] > 0]
    assert len(groups) == len(filled)
    assert filled == pytest.approx((nominal + size)[groups], rel=1e-5)
    scale = events.LHEScaleWeight.to_numpy().astype(float).T
    top = np.max([nominal, *(template(scale[place], own=False) for place in (0, 1, 3, 5, 7, 8))], axis=0)
    ratio = modifiers["scale_ttbar_v15", "normsys"]["hi"]
    assert ratio == pytest.approx(top.sum() / nominal.sum(), rel=1e-5)
    entry = json.loads((out / "ledger.json").read_text())["datasets"]["ttbar_v15"]["generator"]
    assert entry["pdf_4"]["ratio"] == pytest.approx((weights * pdf[5]).sum() / weights.sum(), rel=1e-9)
