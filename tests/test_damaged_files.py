"""Every reader on damaged files: what it gave before, or one sentence; never a traceback, a hang, or another number.

Where a format has no checksum another number is possible, and only that the reader ends is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml
from correctionlib import schemav2
from helpers import damage
from helpers.random_models import random_spec
from helpers.search import WORKFLOW
from hist import Hist

from colonnade import accumulators
from colonnade.config import read_json, read_yaml
from colonnade.events import inspect_file, read_events
from colonnade.histograms import load, write_zip
from colonnade.inference import Classifier
from colonnade.inference.onnx_file import read_onnx
from colonnade.manifest import load_manifest
from colonnade.processor.corrections import Corrections, luminosity_mask
from colonnade.statistics import from_workspace
from colonnade.statistics.formats.hs3 import to_hs3
from colonnade.statistics.formats.reading import read_model
from colonnade.workflow import load_workflow

PROJECT = Path(__file__).parents[1]
Make = Callable[[Path], Path]


def columns() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 4, 90)
    muons = ak.zip(
        {
            "pt": ak.unflatten(rng.exponential(30, counts.sum()).astype("f4"), counts),
            "charge": ak.unflatten(rng.choice([-1, 1], counts.sum()).astype("i4"), counts),
        }
    )
    numbers = {"run": np.ones(90, "u4"), "luminosityBlock": np.ones(90, "u4"), "event": np.arange(90, dtype="u8")}
    return {**numbers, "genWeight": rng.normal(1, 0.5, 90), "Muon": muons}


def flat_columns() -> dict[str, Any]:
    found = columns()
    muons = found.pop("Muon")
    return {**found, "nMuon": ak.num(muons).to_numpy(), "Muon_pt": muons.pt, "Muon_charge": muons.charge}


def tree(path: Path, compression: Any) -> Path:
    made = columns()
    with uproot.recreate(path, compression=compression) as file:
        out = file.mktree("Events", {name: ak.type(ak.Array(values)).content for name, values in made.items()})
        for start in range(0, 90, 30):
            out.extend({name: values[start : start + 30] for name, values in made.items()})
    return path


def rntuple(folder: Path) -> Path:
    made = flat_columns()
    del made["nMuon"]
    with uproot.recreate(folder / "n.root") as file:
        file.mkrntuple("Events", made)
    return folder / "n.root"


def rntuple_of_root(folder: Path) -> Path:
    real = PROJECT.parent / "shared" / "data" / "nanoaod" / "nano_dy_rntuple.root"
    if not real.is_file():
        pytest.skip("the real files are not here: ../shared/data is missing")
    (folder / "r.root").write_bytes(real.read_bytes())
    return folder / "r.root"


def some_events(path: Path) -> Any:
    source = inspect_file(str(path))
    return ak.to_list(read_events(source, 0, source.entries, ("Muon_pt", "Jet_pt", "MET_pt", "genWeight", "event"), {}))


def parquet(folder: Path) -> Path:
    table = pa.table(
        {name: ak.to_arrow(ak.Array(values), extensionarray=False) for name, values in flat_columns().items()}
    )
    pq.write_table(table, folder / "p.parquet", write_page_checksum=True, row_group_size=40)
    return folder / "p.parquet"


def csv(folder: Path) -> Path:
    numbers = {name: values for name, values in flat_columns().items() if not name.startswith("Muon")}
    rows = [",".join(numbers), *(",".join(str(each) for each in row) for row in zip(*numbers.values(), strict=True))]
    (folder / "t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "t.csv"


def all_events(path: Path) -> list[Any]:
    source = inspect_file(str(path))
    return list(ak.to_list(read_events(source, 0, source.entries, tuple(sorted(source.columns)), {})))


def written(name: str, content: Any) -> Make:
    def make(folder: Path) -> Path:
        words = content() if callable(content) else content
        text = (
            words if isinstance(words, str) else yaml.safe_dump(words) if name.endswith("yaml") else json.dumps(words)
        )
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    return make


def workflow(folder: Path) -> Path:
    (folder / "datasets.json").write_text("{}", encoding="utf-8")
    return written("w.yaml", WORKFLOW)(folder)


MANIFEST = {
    "a": {
        "files": {"a.root": "Events", "b/*.root": None},
        "metadata": {"process": "a", "kind": "data", "luminosity": 1.5},
    },
    "b": {
        "files": {"b.root": {"object_path": "Events", "steps": [[0, 10]], "num_entries": 10}},
        "metadata": {"process": "b", "kind": "signal", "xsec_pb": 1.0, "k_factor": 1.1, "signal": {"m": 130.0}},
    },
}
MASK = {"1": [[1, 5], [7, 9]], "2": [[1, 100]]}
CARD = """imax 1
jmax 1
kmax *
shapes * * FAKE
bin a
observation 12
bin a a
process s b
process 0 1
rate 3 10
lumi lnN 1.02 1.02
other gmN 4 - 2.5
scale rateParam a b 1 [0,5]
size param 0 1
a autoMCStats 10
"""


def correction() -> Any:
    formula = schemav2.Formula(nodetype="formula", expression="1+0.1*sin(x)", parser="TFormula", variables=["x"])
    binning = schemav2.Binning(
        nodetype="binning", input="x", edges=[0.0, 1.0, 2.0], content=[1.5, formula], flow="clamp"
    )
    inputs = [schemav2.Variable(name="x", type="real")]
    one = schemav2.Correction(name="sf", version=1, inputs=inputs, output={"name": "y", "type": "real"}, data=binning)
    return json.loads(schemav2.CorrectionSet(schema_version=2, corrections=[one]).model_dump_json(exclude_unset=True))


def corrected(path: Path) -> Any:
    found = Corrections({"sf": path})["sf"]
    return {name: [one.name for one in found[name].inputs] for name in found}


def histograms(folder: Path) -> Path:
    made = (
        Hist.new.StrCat(["a", "b"], name="region").StrCat(["nominal"], name="variation").Reg(5, 0, 1, name="x").Weight()
    )
    made.fill(["a"] * 50, ["nominal"] * 50, np.linspace(0, 1.2, 50), weight=np.linspace(0, 2, 50))
    write_zip({"x": {"zll": made, "ttbar": made * 2}}, folder / "histograms.zip")
    return folder / "histograms.zip"


def contents(path: Path) -> Any:
    return {
        (name, process): [
            each.values(flow=True).tolist(),
            each.variances(flow=True).tolist(),
            *map(list, each.axes[:2]),
        ]
        for name, processes in load(path).items()
        for process, each in processes.items()
    }


def accumulator(folder: Path) -> Path:
    made = {
        "mass": Hist.new.Reg(5, 0, 1, name="x").Double().fill([0.1, 0.7]),
        "n": 3,
        "words": ["a"],
        "x": np.arange(4.0),
    }
    accumulators.write_accumulator(made, folder / "accumulator.zip")
    return folder / "accumulator.zip"


def accumulated(path: Path) -> Any:
    found = accumulators.load(path.parent)
    return found["mass"].values().tolist(), found["n"], found["words"], found["x"].tolist()


def onnx(folder: Path) -> Path:
    (folder / "m.onnx").write_bytes((PROJECT / "models" / "monojet.onnx").read_bytes())
    return folder / "m.onnx"


def scored(path: Path) -> Any:
    model = Classifier.load(path)
    return read_onnx(path).graph_sha256, model.card


def model(path: Path) -> Any:
    found = read_model(path)
    return [[sample.yields.tolist() for sample in channel.samples] for channel in found.channels]


def sample_workspace() -> Any:
    return random_spec(2)


def values_of_yaml(rng: np.random.Generator, content: bytes) -> bytes:
    return damage.values(rng, json.dumps(yaml.safe_load(content)).encode())


@dataclass(frozen=True)
class Case:
    """A kind of file: how it is made, damaged and read, and whether every change of what it holds is noticed."""

    make: Make
    harm: Callable[[np.random.Generator, bytes], bytes]
    read: Callable[[Path], Any]
    checked: bool = False


CASES = {
    "ttree": Case(lambda folder: tree(folder / "z.root", uproot.ZLIB(1)), damage.binary, all_events),
    "ttree uncompressed": Case(lambda folder: tree(folder / "u.root", None), damage.binary, all_events),
    "rntuple without checksums": Case(rntuple, damage.binary, all_events),
    "rntuple": Case(rntuple_of_root, damage.binary, some_events, checked=True),
    "parquet": Case(parquet, damage.binary, all_events),
    "csv": Case(csv, damage.text, all_events),
    "manifest": Case(written("datasets.json", MANIFEST), damage.values, load_manifest),
    "manifest as text": Case(written("datasets.json", MANIFEST), damage.text, load_manifest),
    "workflow": Case(workflow, damage.text, load_workflow),
    "workflow's values": Case(workflow, values_of_yaml, load_workflow),
    "yaml": Case(written("x.yaml", WORKFLOW), damage.text, read_yaml),
    "json": Case(written("x.json", MANIFEST), damage.text, read_json),
    "luminosity mask": Case(written("mask.json", MASK), damage.values, lambda path: luminosity_mask(str(path))),
    "correctionlib": Case(written("sf.json", correction), damage.values, corrected),
    "correctionlib as text": Case(written("sf.json", correction), damage.text, corrected),
    "onnx": Case(onnx, damage.binary, scored),
    "histograms": Case(histograms, damage.binary, contents, checked=True),
    "accumulator": Case(accumulator, damage.binary, accumulated, checked=True),
    "workspace": Case(written("w.json", sample_workspace), damage.values, model),
    "workspace as text": Case(written("w.json", sample_workspace), damage.text, model),
    "hs3": Case(written("h.json", lambda: to_hs3(from_workspace(sample_workspace()))), damage.values, model),
    "card": Case(written("c.txt", CARD), damage.text, model),
}  # fmt: skip


def hunt(case: Case, folder: Path, seeds: range) -> None:
    original = case.make(folder)
    content = original.read_bytes()
    expected = case.read(original)
    for seed in seeds:
        original.write_bytes(case.harm(np.random.default_rng(seed), content))
        try:
            kind, found = damage.outcome(case.read, original)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        assert kind == "refused" or not case.checked or found == expected, f"seed {seed}"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_read_or_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    hunt(CASES[name], tmp_path, range(25))


@pytest.mark.cluster
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_a_thousand_damaged_files_of_each_kind(name: str, tmp_path: Path) -> None:
    hunt(CASES[name], tmp_path, range(25, 1025))


def test_a_column_whose_parts_are_of_another_type_is_refused(tmp_path: Path) -> None:
    """Where pyarrow would end the process: of the thousand files the one that once did."""
    hunt(CASES["parquet"], tmp_path, range(825, 826))
