"""The columns are learned on a few events; what these do not show is found when it is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.errors import EventError, InputError
from colonnade.execution import ExecutorSettings, Progress, learning, run_datasets
from colonnade.faults import TransientInputError
from colonnade.manifest import Dataset, Metadata


def run(pairs: Any, datasets: list[Dataset], **more: Any) -> Any:
    settings = ExecutorSettings(kind="iterative", retries=2)
    return run_datasets(pairs.load()(), datasets, luminosity=10.0, executor=settings, chunk_size=500, **more)


def flip(path: Path, branch: str) -> None:
    """Damage the first basket of a branch."""
    with uproot.open(path) as file:
        key = file["Events"][branch].basket_key(0)
        place = key.data_cursor.index + key.data_compressed_bytes // 2
    blob = bytearray(path.read_bytes())
    blob[place] ^= 16
    path.write_bytes(blob)


def test_a_first_file_that_cant_be_read_is_a_loss_like_any_other(
    pairs: Any, simulated: Callable[..., Dataset], tmp_path: Path, bits: Callable[[Any], bytes]
) -> None:
    dataset = simulated(sizes=(300, 200), runs=True)
    alone = run(pairs, [Dataset("zll", {"zll_1.root": "Events"}, dataset.metadata, tmp_path)])
    flip(tmp_path / "zll_0.root", "Muon_pt")
    result = run(pairs, [dataset])
    (loss,) = result.ledger.datasets["zll"].lost
    assert (loss.file, loss.start, loss.stop) == (str(tmp_path / "zll_0.root"), 0, 300)
    assert "Muon_pt" in loss.reason
    assert bits(result.histograms) == bits(alone.histograms)


def test_files_of_which_none_can_be_read_stop_the_run(
    pairs: Any, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    dataset = simulated(sizes=(300, 200))
    for number in range(2):
        flip(tmp_path / f"zll_{number}.root", "Muon_pt")
    with pytest.raises(InputError, match=r"zll_0\.root.*Muon_pt"):
        run(pairs, [dataset])


def test_a_server_that_does_not_answer_at_once_is_asked_again(
    pairs: Any, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    learn = learning.learn_columns

    def hesitant(source: Any, *more: Any) -> Any:
        asked.append(Path(source.path).name)
        if len(asked) < 3:
            msg = "no answer."
            raise TransientInputError(msg)
        return learn(source, *more)

    monkeypatch.setattr(learning, "learn_columns", hesitant)
    monkeypatch.setattr("colonnade.faults.back_off", lambda _: 0.0)
    assert not run(pairs, [simulated()]).ledger.lost
    assert asked == ["zll_0.root"] * 3


def test_learning_on_a_server_that_stalls_goes_on_with_the_next_file(
    pairs: Any, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import Event

    over, learn = Event(), learning.learn_columns

    def stalls(source: Any, *more: Any) -> Any:
        if source.path.endswith("zll_0.root"):
            over.wait(60)
        return learn(source, *more)

    monkeypatch.setattr(learning, "learn_columns", stalls)
    settings = ExecutorSettings(kind="iterative", retries=0, patience=2.0)
    try:
        result = run_datasets(pairs.load()(), [simulated()], luminosity=1.0, executor=settings)
    finally:
        over.set()
    assert not result.ledger.lost


RARE = """pt = objects.muons.pt
        if ak.any(pt > 5000):
            pt = ak.where(objects.muons.{column} > 0.1, pt, 0 * pt)
"""


def write_tree(path: Path, **columns: Any) -> None:
    kinds = {name: getattr(values, "dtype", None) or ak.type(values).content for name, values in columns.items()}
    with uproot.recreate(path) as file:
        file.mktree("Events", kinds)
        file["Events"].extend(columns)


def write_rare(path: Path) -> None:
    """Write 3,000 events, one of which has a muon above 5 TeV, after those that the columns are learned on."""
    rng = np.random.default_rng(8)
    pt = rng.exponential(30, 6000).astype("f4")
    pt[5000] = 6000.0
    one = {name: np.ones(6000, "f4") for name in ("eta", "phi")}
    mass = np.where(rng.random(6000) < 0.5, 0.2, 0.05).astype("f4")
    charge = np.resize(np.array([-1, 1], "i4"), 6000)
    columns = {"pt": pt, **one, "mass": mass, "charge": charge}
    write_tree(
        path,
        run=np.ones(3000, "u4"),
        luminosityBlock=np.ones(3000, "u4"),
        event=np.arange(3000, dtype="u8"),
        genWeight=np.ones(3000, "f4"),
        Muon=ak.zip({name: ak.unflatten(values, np.full(3000, 2)) for name, values in columns.items()}),
    )


def test_a_column_that_only_rare_events_need_is_read_for_them(
    pairs: Any, tmp_path: Path, bits: Callable[[Any], bytes]
) -> None:
    write_rare(tmp_path / "rare.root")
    dataset = Dataset(
        "zll", {"rare.root": "Events"}, Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events"), tmp_path
    )
    text = pairs.analysis.read_text()
    assert "pt = objects.muons.pt\n" in text
    rarely = text.replace("pt = objects.muons.pt\n", RARE.format(column="mass"))
    pairs.analysis.write_text(rarely)
    found = run(pairs, [dataset])
    always = rarely.replace("if ak.any(pt > 5000):", "touched = objects.muons.mass\n        if ak.any(pt > 5000):")
    pairs.analysis.write_text(always)
    expected = run(pairs, [dataset])
    assert bits(found.histograms) == bits(expected.histograms)
    pairs.analysis.write_text(text)
    assert bits(run(pairs, [dataset]).histograms) != bits(expected.histograms)


def test_an_analysis_that_fails_on_a_rare_event_is_not_run_again(pairs: Any, tmp_path: Path) -> None:
    """Where no column can be to blame, once is enough."""
    write_rare(tmp_path / "rare.root")
    dataset = Dataset(
        "zll", {"rare.root": "Events"}, Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events"), tmp_path
    )
    calls = tmp_path / "calls"
    failing = (
        "pt = objects.muons.pt\n        if ak.any(pt > 5000):\n"
        f"            __import__('os').mkdir({str(calls)!r})\n            raise ValueError('not so hard')\n"
    )
    pairs.analysis.write_text(pairs.analysis.read_text().replace("pt = objects.muons.pt\n", failing))
    with pytest.raises(EventError, match="ValueError: not so hard"):
        run(pairs, [dataset])
    assert calls.is_dir()


def test_a_column_that_is_missing_where_a_rare_event_needs_it_stops_the_run(pairs: Any, tmp_path: Path) -> None:
    write_rare(tmp_path / "rare.root")
    dataset = Dataset(
        "zll", {"rare.root": "Events"}, Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events"), tmp_path
    )
    pairs.analysis.write_text(pairs.analysis.read_text().replace("pt = objects.muons.pt\n", RARE.format(column="dxy")))
    with pytest.raises(EventError, match=r"rare\.root.*no column Muon_dxy"):
        run(pairs, [dataset])


class Lines(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def begin(self, what: str, total: int) -> None: ...
    def advance(self, count: int, lost: int = 0) -> None: ...
    def end(self) -> None: ...


def test_what_is_noticed_of_many_files_is_said_once(pairs: Any, tmp_path: Path) -> None:
    files = {}
    for number in range(3):
        muons = ak.zip({"pt": ak.Array([[50.0, 40.0], [30.0]]), "charge": ak.Array([[1, -1], [1]])})
        write_tree(tmp_path / f"{number}.root", genWeight=np.ones(2, "f4"), Muon=muons)
        files[f"{number}.root"] = "Events"
    lines = Lines()
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0, schema="nanoaod", sumw=6.0)
    run(pairs, [Dataset("zll", files, metadata, tmp_path)], progress=lines)
    notes = [line for line in lines.lines if line.startswith("Note: dataset zll")]
    assert len(notes) == 1, lines.lines
    assert "0.root has no run" in notes[0]
    assert "2 more of its files" in notes[0]


WEIGHTED = """
    def preselection(self, objects):
        return {{"energetic": ak.any(objects.muons.pt > 100, axis=1)}}

    def weights(self, events, objects, weights):
        if len(events):
            weights.add("pileup", self.pileup(events))

    @staticmethod
    def pileup(events):
        {how}
"""
ASKED = {
    "ak.fields": 'return events.puWeight if "puWeight" in ak.fields(events) else np.ones(len(events))',
    "fields": 'return events.puWeight if "puWeight" in events.fields else np.ones(len(events))',
    "ak.fields of a collection": (
        'return events.puWeight if "tightId" in ak.fields(events.Muon) else np.ones(len(events))'
    ),
    "hasattr": 'return events.puWeight if hasattr(events, "puWeight") else np.ones(len(events))',
    "getattr": 'return getattr(events, "puWeight", np.ones(len(events)))',
    "any exception": """try:
            return events.puWeight
        except Exception:
            return np.ones(len(events))""",
}


@pytest.mark.parametrize("how", ASKED)
def test_a_column_that_an_analysis_looks_for_is_found_by_the_events_that_need_it(
    pairs: Any, tmp_path: Path, how: str
) -> None:
    """The events that columns are learned on all fail the preselection, so nothing asks for the weight there."""
    passes = np.arange(3000) >= 2000
    muons = {"pt": np.where(passes, 150, 20)[:, None] * np.ones((1, 2)), "charge": np.ones((3000, 2), "i4")}
    columns = {name: ak.from_regular(ak.Array(values)) for name, values in (*muons.items(), ("tightId", muons["pt"]))}
    write_tree(
        tmp_path / "late.root",
        run=np.ones(3000, "u4"),
        luminosityBlock=np.ones(3000, "u4"),
        event=np.arange(3000, dtype="u8"),
        genWeight=np.ones(3000, "f4"),
        puWeight=np.full(3000, 3.0, "f4"),
        Muon=ak.zip(columns),
    )
    text = pairs.analysis.read_text().replace("import awkward as ak", "import awkward as ak\nimport numpy as np")
    pairs.analysis.write_text(text + WEIGHTED.format(how=ASKED[how]))
    metadata = Metadata(process="zll", kind="background", xsec_pb=1.0, sumw="events")
    result = run(pairs, [Dataset("zll", {"late.root": "Events"}, metadata, tmp_path)])
    scale = 1.0 * 10.0 * 1000 / 3000  # cross-section (pb), luminosity (1/fb), events
    filled = result.histograms["leading"]["zll"]["pair", "nominal", :].values(flow=True).sum()
    assert filled == pytest.approx(1000 * 3.0 * scale)


WEIGHTS = """

    def weights(self, events, objects, weights):
        weights.add("sf", *Factor(self.corrections["sf"], "sf")(events, pt=objects.muons.pt))
"""


def test_what_is_outside_a_correction_is_said_once(
    pairs: Any, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    """The chunks of all workers together; the file's outermost bin counts."""
    table = {"nodetype": "binning", "input": "pt", "edges": [0.0, 20.0], "content": [1.0], "flow": "clamp"}
    correction = {"name": "sf", "version": 1, "inputs": [{"name": "pt", "type": "real"}], "data": table}
    correction["output"] = {"name": "weight", "type": "real"}
    (tmp_path / "sf.json").write_text(json.dumps({"schema_version": 2, "corrections": [correction]}))
    text = pairs.analysis.read_text().rstrip() + WEIGHTS
    text = text.replace(
        "from colonnade.processor", "from colonnade.calibration import Factor\nfrom colonnade.processor"
    )
    pairs.analysis.write_text(text)
    dataset, lines = simulated(), Lines()
    processor = pairs.load()(corrections={"sf": tmp_path / "sf.json"})
    run_datasets(processor, [dataset], luminosity=1.0, chunk_size=100, progress=lines)
    pt = [uproot.open(tmp_path / name)["Events"]["Muon_pt"].array() for name in dataset.files]
    outside = sum(int(ak.sum(each >= 20)) for each in pt)
    said = [line for line in lines.lines if "outside the range" in line]
    assert len(said) == 1
    assert f"sf ({outside:,} values)" in said[0]
