"""A small run's output folder, made of seeded numbers: what plots and report are tested on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import hist
import numpy as np

from colonnade.execution import Ledger, Result
from colonnade.histograms import write_zip
from colonnade.plotting import Run, draw_run
from colonnade.report import write_report
from colonnade.workflow.folder import load_run

BACKGROUNDS = {
    "zll": (3.0e6, 28),
    "ttbar": (2.0e5, 75),
    "ww": (2.2e4, 70),
    "wz": (9e3, 62),
    "zz": (4e3, 66),
    "wjets": (900, 60),
}
MODELS = {"DH": 900.0, "LV": 520.0, "EFT": 300.0}
MASSES = (130, 400, 700, 1000)
VARIATIONS = ["nominal", "jet_energy_scale_up", "jet_energy_scale_down", "muon_id_up", "muon_id_down"]


def region_names(flavours=("ee", "mm")):
    names = []
    for flavour in flavours:
        names += [f"CR_{flavour}", f"SR1_{flavour}", f"SR2_{flavour}", f"SR3_{flavour}", f"CC_{flavour}"]
    return [*names, "CR_em"]


def is_signal(region):
    return region.startswith(("SR", "CC"))


def kinds():
    return {
        **dict.fromkeys(BACKGROUNDS, "background"),
        **{f"{model}_mZp{mass}": "signal" for model in MODELS for mass in MASSES},
        "data": "data",
    }


def _axes(count):
    axes = [
        hist.axis.Regular(60, 0, 600, name="mll", label=r"$m_{\ell\ell}$ [GeV]"),
        hist.axis.Regular(40, 0, 400, name="met", label=r"$E_{T}^{miss}$ [GeV]"),
        hist.axis.Integer(0, 8, name="njets", label="Number of jets"),
        hist.axis.Regular(32, 0, 3.2, name="dphi", label=r"$\Delta\phi(\ell\ell, E_{T}^{miss})$"),
        hist.axis.Variable([25, 50, 100, 200, 500], name="lep1_pt", label=r"$p_T(\ell_1)$ [GeV]"),
    ]
    axes += [
        hist.axis.Regular(50, 0, 500, name=f"mt2_{number}", label=r"$m_{T2}$ [GeV]")
        for number in range(max(0, count - 5))
    ]
    return axes[:count]


def make_histograms(count=5, flavours=("ee", "mm"), seed=7, unblind=False, plane=True):
    """Histograms as a run leaves them, and the events behind them; in a region all hold the same events."""
    rng = np.random.default_rng(seed)
    regions = region_names(flavours)
    axes = {axis.name: axis for axis in _axes(count)}
    columns = {name: (name,) for name in axes} | ({"mll_met": ("mll", "met")} if plane else {})
    made = {
        name: {
            process: hist.Hist(
                hist.axis.StrCategory(regions, name="region", overflow=False),
                hist.axis.StrCategory(["nominal"] if kind == "data" else VARIATIONS, name="variation", overflow=False),
                *(axes[part] for part in parts),
                storage=hist.storage.Weight(),
            )
            for process, kind in kinds().items()
        }
        for name, parts in columns.items()
    }
    expected = {}
    for process, kind in kinds().items():
        for region in regions if kind != "data" else ():
            values, weights = _events(rng, process, kind, region)
            expected[process, region] = (len(weights), weights)
            for name, parts in columns.items():
                _fill(
                    made[name][process],
                    region,
                    [(part, values.get(part, values["mll"] + 20)) for part in parts],
                    weights,
                )
    for processes in made.values():
        _observe(processes, regions, unblind, seed + 1)
    return made, expected


def _events(rng, process, kind, region):
    total, slope = _yield(process, region)
    raw = int(min(max(total, 200), 4000))
    values = {
        "mll": rng.exponential(slope, raw),
        "met": rng.exponential(slope / 1.5, raw),
        "njets": rng.poisson(1.4, raw),
        "dphi": np.minimum(rng.exponential(0.8, raw), 3.19),
    }
    if process == "zll" and region.startswith("CR"):
        values["mll"] = rng.normal(91, 4, raw)
    if kind == "signal":
        values["mll"] = rng.gamma(4, slope / 2, raw)
    # ttbar has negative weights
    signs = np.where(rng.random(raw) < 0.06, -1.0, 1.0) / 0.88 if process == "ttbar" else 1.0
    return values, np.full(raw, total / raw) * signs


def _fill(histogram, region, columns, weights):
    for variation in VARIATIONS:
        factor = {"jet_energy_scale_up": 1.02, "jet_energy_scale_down": 0.98}.get(variation, 1)
        size = {"muon_id_up": 1.03, "muon_id_down": 0.97}.get(variation, 1)
        moved = [values if name == "njets" else values * factor for name, values in columns]
        histogram.fill(region, variation, *moved, weight=weights * size)


def _observe(processes, regions, unblind, seed):
    """Fill the data with Poisson numbers around the prediction, in open regions."""
    total = sum(np.asarray(processes[name].values(flow=True))[:, 0] for name in BACKGROUNDS)
    seen = np.random.default_rng(seed).poisson(np.maximum(total, 0))
    view = processes["data"].view(flow=True)
    for place, region in enumerate(regions):
        if unblind or not is_signal(region):
            view.value[place, 0] = seen[place]
            view.variance[place, 0] = seen[place]


def _yield(process, region):
    """Expected events and the slope of the spectra."""
    scale = 0.6 if "ee" in region else 1.0
    reduce = {"CR": 1, "SR1": 0.03, "SR2": 0.008, "SR3": 0.002, "CC": 0.0015}[region.split("_")[0]]
    if process in BACKGROUNDS:
        total, slope = BACKGROUNDS[process]
        if process == "zll":
            reduce **= 1.6
        if region == "CR_em":
            reduce = 1e-4 if process == "zll" else 0.9
        return total * reduce * scale, slope
    model, mass = process.split("_mZp")
    keep = {"CR": 0.1, "SR1": 0.2, "SR2": 0.3, "SR3": 0.5, "CC": 0.35}[region.split("_")[0]]
    return 0.01 if region == "CR_em" else MODELS[model] * np.exp(-float(mass) / 350) * keep * scale, 60 + float(
        mass
    ) / 12


CUTS = ("two leptons", "same flavour, opposite sign", "lepton pT", "b-jet veto", "mll > 110 GeV", "MET > 100 GeV")


def make_cutflow(expected, unblind=False):
    """Each cut of a region keeps a fixed share; the last row is what the histograms hold."""
    table = {}
    for process, kind in kinds().items():
        table[process] = {}
        for region in dict.fromkeys(region for _, region in expected):
            if kind == "data":
                table[process][region] = [
                    {"cut": "all events", "raw": 250000, "weighted": 250000.0, "error": 500.0, "n_minus_one": None}
                ]
                continue
            raw, weights = expected[process, region]
            total, error = float(weights.sum()), float(np.sqrt((weights**2).sum()))
            keep = {"background": (0.3, 0.8, 0.9, 0.6, 0.25, 0.1), "signal": (0.5, 0.97, 0.95, 0.9, 0.8, 0.7)}[kind]
            names = CUTS if is_signal(region) else CUTS[:4]
            keep = keep[: len(names)]
            rows = [_row("all events", raw, total, error, float(np.prod(keep)), None)]
            for place, cut in enumerate(names):
                left = float(np.prod(keep[place + 1 :]))
                rows.append(_row(cut, raw, total, error, left, None if place == 0 else keep[place]))
            table[process][region] = rows
    return {f"{process}_2018": regions for process, regions in table.items()}


def _row(cut, raw, total, error, left, share):
    row = {
        "cut": cut,
        "raw": int(raw / left),
        "weighted": total / left,
        "error": error / left**0.5,
        "n_minus_one": None,
    }
    if share is not None:
        row["n_minus_one"] = {"raw": int(raw / share), "weighted": total / share, "error": error / share**0.5}
    return row


def make_ledger(lost=False, allow_loss=0.0):
    datasets = {}
    for process, kind in kinds().items():
        datasets[f"{process}_2018"] = {
            "process": process,
            "kind": kind,
            "files": [f"samples/{process}_{part}.root" for part in range(2)],
            "events_expected": 20000,
            "events_processed": 20000,
            "sumw_processed": 19876.5,
            "sumw": 19876.5,
            "luminosity_lost": None,
            "lost": [],
        }
    if lost:
        datasets["ttbar_2018"]["events_processed"] = 17500
        datasets["ttbar_2018"]["lost"] = [
            {
                "file": "samples/ttbar_1.root",
                "start": 7500,
                "stop": 10000,
                "reason": "basket 12 of branch Muon_pt can't be decompressed",
            }
        ]
    expected = sum(entry["events_expected"] for entry in datasets.values())
    processed = sum(entry["events_processed"] for entry in datasets.values())
    return {"allow_loss": allow_loss, "lost_fraction": 1 - processed / expected, "datasets": datasets}


NO_DIAGNOSTICS = {
    "strength": None,
    "pulls": [],
    "ranking": [],
    "correlations": {"parameters": [], "matrix": []},
    "goodness": None,
    "scans": [],
    "yields": {},
}


def make_fit(expected, unblind=False):
    points, counting = [], []
    for model, size in MODELS.items():
        for mass in MASSES:
            name = f"{model}_mZp{mass}"
            strength = 900 / size * np.exp(mass / 350) / 22
            band = [strength * factor for factor in (0.53, 0.72, 1.0, 1.41, 1.93)]
            points.append(
                {
                    "signal": name,
                    "parameters": {"model": model, "m_Zprime": mass},
                    "significance": {"expected": 1.7 / strength, "observed": 1.2 / strength if unblind else None},
                    "limit": {"expected": band, "observed": strength * 1.1 if unblind else None},
                    "mu_hat": {"value": 0.2, "error": 0.6} if unblind else None,
                    "cross_section_pb": 0.02 * size / 900 * float(np.exp(-mass / 350)),
                }
            )
            s, b = (
                float(expected[name, "CC_mm"][1].sum()),
                sum(float(expected[each, "CC_mm"][1].sum()) for each in BACKGROUNDS),
            )
            counting.append(
                {
                    "region": "CC_mm",
                    "signal": name,
                    "s": s,
                    "b": b,
                    "sigma_b": 0.2 * b,
                    "z": s / b**0.5,
                    "z_with_uncertainty": s / (b + 0.04 * b**2) ** 0.5,
                }
            )
    return {
        "luminosity": 139.0,
        "blinded": not unblind,
        "observed_channels": [],
        "level": 0.95,
        "reference": points[0]["signal"],
        "diagnostics": NO_DIAGNOSTICS,
        "systematics": [],
        "decisions": [],
        "points": points,
        "counting": counting,
        "parameters": [
            {"name": "luminosity", "bestfit": 1.0, "error": 0.017},
            {"name": "muon_id", "bestfit": 0.02, "error": 0.98},
        ],
    }


def make_datasets():
    """Signals with their parameters, as provenance.json has them of the manifest."""
    points = {f"{model}_mZp{mass}": {"model": model, "m_Zprime": float(mass)} for model in MODELS for mass in MASSES}
    return {f"{name}_2018": {"process": name, "signal": point} for name, point in points.items()}


def make_provenance(unblind=False):
    return {
        "title": "Dark matter in events with a lepton pair and missing momentum",
        "command": "colonnade run workflows/dilepton_met.yaml --output results/dilepton_met",
        "config": {
            "title": "Dark matter in events with a lepton pair and missing momentum",
            "processor": "processors/dilepton_met.py",
            "luminosity": 139.0,
            "unblind": unblind,
            "allow_loss": 0.0,
            "plots": {
                "models": {"DH": "Dark Higgs", "LV": "Light vector", "EFT": "Effective theory"},
                "processes": {"ttbar": {"title": r"$t\bar{t}$"}},
            },
            "model": {
                "channels": {"SR3_mm": {"histogram": "mll"}},
                "luminosity_uncertainty": 0.017,
                "systematics": [{"name": "ttbar_norm", "type": "normsys", "processes": ["ttbar"], "up": 1.2}],
            },
        },
        "environment": {"python": "3.11.7", "platform": "Linux", "packages": {"coffea": "2026.9.0", "pyhf": "0.7.6"}},
        "signal_regions": [name for name in region_names() if is_signal(name)],
        "inputs": {"datasets": make_datasets()},
        "seed": 1,
    }


def make_run(folder: Path, count=3, flavours=("mm",), lost=False, unblind=False, allow_loss=0.0, plane=True):
    """Write a run's folder, without plots and report."""
    folder.mkdir(parents=True, exist_ok=True)
    histograms, expected = make_histograms(count, flavours, unblind=unblind, plane=plane)
    write_zip(histograms, folder / "histograms.zip")
    contents = {
        "cutflow": make_cutflow(expected, unblind),
        "ledger": make_ledger(lost, allow_loss),
        "fit": make_fit(expected, unblind),
        "provenance": make_provenance(unblind),
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def empty_run(kinds=(), **parts):
    """A run in memory without events: kinds of processes, and what else a test needs."""
    return Run("made", Result({}, {}, Ledger(0.0, {})), dict(kinds), **parts)


def drawn(folder, plots=None, **options):
    """Draw a run's folder into its plots."""
    run = load_run(folder)
    return draw_run(run if plots is None else replace(run, plots=plots), folder / "plots", **options)


def reported(folder):
    """Write a run's page."""
    return write_report(load_run(folder), folder / "plots", folder / "report.html")
