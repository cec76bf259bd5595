"""The notebook of the heavy Higgs search, executed on a small made sample."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colonnade.training.columns import ColumnsCard, ProcessCard

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("onnxscript", reason="needs the extra `train`")

PROJECT = Path(__file__).parents[3]


def made_columns(folder):
    """Columns of a signal that is hard and two-pronged, on backgrounds that are softer and are not."""
    rng = np.random.default_rng(4)
    cards = {}
    sizes = {"heavy_higgs": (3000, 0.1), "zjets": (6000, 3.0), "top": (1500, 2.0), "diboson": (1500, 0.2)}
    for name, (count, weight) in sizes.items():
        is_signal = name == "heavy_higgs"
        pt = rng.normal(450, 60, count) if is_signal else 200 + rng.exponential(130, count)
        mass = rng.normal(1000, 45, count) if is_signal else 2 * pt * rng.uniform(1.0, 1.3, count) + 60
        table = {
            "reco_zv_mass": mass,
            "lep1_pt": pt * rng.uniform(0.5, 0.9, count),
            "lep2_pt": pt * rng.uniform(0.1, 0.5, count),
            "fatjet_pt": pt * rng.normal(1, 0.1, count),
            "fatjet_eta": rng.uniform(-2, 2, count),
            "fatjet_D2": rng.gamma(6, 0.2 if is_signal else 0.35, count),
            "Zll_mass": rng.normal(91, 3, count),
            "Zll_pt": pt,
            "MET": rng.exponential(60 if name == "top" else 20, count),
        }
        cuts = (pt > 250) & (table["fatjet_pt"] > 250) & (table["fatjet_D2"] < 1.5) & (table["MET"] < 100)
        columns = {key: values.astype(np.float32) for key, values in table.items()}
        columns["weight"] = np.full(count, weight)
        columns["regions"] = 1 + 2 * cuts.astype(np.uint64)
        for key in ("run", "luminosityBlock", "event"):
            columns[key] = np.arange(count) + (hash(name) % 7 if key == "run" else 0)
        columns["dataset"] = pa.array([name] * count).dictionary_encode()
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
        cards[name] = ProcessCard(
            kind="signal" if is_signal else "background",
            file=f"{name}.parquet",
            sha256=name,
            events=count,
            expected=count * weight,
            signal={"m_H": 1000.0} if is_signal else {},
        )
    card = ColumnsCard(
        luminosity=139.0,
        regions=("all", "cuts", "network", "network_mass"),
        observables=dict.fromkeys(table, False),
        units={key: "" if key in ("fatjet_eta", "fatjet_D2") else "GeV" for key in table},
        processes=cards,
    )
    (folder / "columns.json").write_text(card.model_dump_json())


def test_the_notebook_runs_from_end_to_end(tmp_path, monkeypatch, capsys):
    made_columns(tmp_path)
    monkeypatch.chdir(PROJECT / "docs")
    monkeypatch.syspath_prepend(str(PROJECT))
    notebook = json.loads((PROJECT / "docs" / "heavy_higgs.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names = {}
    for number, source in enumerate(cells):
        exec(compile(source, f"heavy_higgs.ipynb, code cell {number}", "exec"), names)  # noqa: S102 - the project's own
        if number == 0:
            names.update(COLUMNS=tmp_path, EPOCHS=4, FOLDS=2, TOYS=200)
    # a signal of 300 events on this background is seen either way, and the network sees it better
    assert names["with_cuts"].luminosity.z_wilks > 1
    assert names["with_network"].mc_statistics.z_wilks > names["with_cuts"].mc_statistics.z_wilks
    assert abs(names["recovered"].mean) < 0.3
    printed = capsys.readouterr().out
    assert "network with mass  window fraction" in printed
    assert "heavy_higgs " in printed
