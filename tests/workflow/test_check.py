"""What a workflow asks for by name is found missing before the first event is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from helpers.search import WORKFLOW, colonnade_does, make_search

from colonnade.errors import ConfigError
from colonnade.manifest import Dataset, Metadata, load_manifest
from colonnade.workflow import load_workflow
from colonnade.workflow.analysis import check_names, make_processor, parts_of

CHANNELS = WORKFLOW["model"]["channels"]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    make_search(folder)
    return folder


def model(**changes: Any) -> dict[str, Any]:
    return {"model": WORKFLOW["model"] | changes}


BUMPS = {
    "region": "CR",
    "histogram": "pt",
    "range": [0, 100],
    "signal": "signal",
    "background": {"shape": "exponential"},
    "signal_shape": {"shape": "gaussian", "mean": 50, "sigma": 5},
}
WRONG = [
    (model(channels={"CR": {"histogram": "ptt"}}), "'ptt'.*did you mean pt"),
    (model(channels={"CRR": {"histogram": "pt"}}), "'CRR'.*did you mean CR"),
    (model(channels={"CR": {"histogram": "pt", "edges": [0, 30, 50]}}), "30 is no bin edge .* nearest is 25"),
    (model(channels={"CR": {"histogram": "pt", "edges": [0, 50]}}), "CR: its edges, 0 to 50, are narrower"),
    (model(channels={"CR": {"histogram": "pt", "rebin": 3}}), "4 bins .* by 3"),
    (model(channels={"CR": {"histogram": "score_{mass}"}}), "can't be named"),
    (model(channels={"CR": {**CHANNELS["CR"], "processes": ["ttbar"]}}), "'ttbar' is unknown"),
    (model(signals=["sig"]), "'sig' is unknown"),
    (model(normalisations=[{"name": "n", "processes": ["background"], "control": ["VR"]}]), "'VR' is unknown"),
    (
        model(systematics=[{"name": "s", "type": "normsys", "up": 1.1, "processes": ["back"]}]),
        "'back' is unknown.*did you mean background",
    ),
    ({"bumps": {"fits": {"peak": {**BUMPS, "histogram": "mass"}}}}, "fit peak .*'mass'"),
    ({"bumps": {"fits": {"peak": {**BUMPS, "region": "C"}}}}, "fit peak .*'C'"),
    ({"plots": {"histograms": ["pT*"]}}, "plots.histograms.*pT"),
    ({"plots": {"regions": ["XR"]}}, "plots.regions.*XR"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_a_name_that_is_not_there_is_told_before_events_are_read(
    search: Path, change: dict[str, Any], words: str
) -> None:
    path = search / "workflows" / "search.yaml"
    path.write_text(json.dumps(WORKFLOW | change))
    workflow = load_workflow(path)
    datasets = load_manifest(workflow.manifest).select("*")
    with pytest.raises(ConfigError, match=words):
        check_names(workflow, make_processor(workflow), datasets)


def test_variations_are_checked_where_they_are_known(search: Path) -> None:
    path = search / "workflows" / "search.yaml"
    path.write_text(json.dumps(WORKFLOW | model(systematics=[{"name": "j", "type": "histosys", "variation": "jes"}])))
    workflow = load_workflow(path)
    datasets, processor = load_manifest(workflow.manifest).select("*"), make_processor(workflow)
    check_names(workflow, processor, datasets)  # it may be a weight's, which the analysis adds when it sees events
    check_names(
        workflow, processor, datasets, {name: ["nominal", "jes_up", "jes_down"] for name in ("background", "signal")}
    )
    with pytest.raises(ConfigError, match=r"'jes' .* was not filled"):
        check_names(workflow, processor, datasets, {"background": ["nominal", "pileup_up", "pileup_down"]})


def test_the_run_says_so_without_a_file_to_read(search: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = search / "workflows" / "search.yaml"
    path.write_text(json.dumps(WORKFLOW | model(channels={"SRR": {"histogram": "pt"}})))
    (search / "data.root").rename(search / "away.root")
    try:
        assert colonnade_does("run", path) == 2
    finally:
        (search / "away.root").rename(search / "data.root")
    assert "did you mean SR" in capsys.readouterr().err


def test_a_weight_that_is_not_varied_is_told_before_the_event_loop(
    search: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = search / "workflows" / "search.yaml"
    path.write_text(json.dumps(WORKFLOW | model(systematics=[{"name": "j", "type": "histosys", "variation": "jes"}])))

    def processed(*_: object) -> None:
        pytest.fail("events were processed")

    monkeypatch.setattr("colonnade.execution.run.drive", processed)
    assert colonnade_does("run", path) == 2
    assert "variation 'jes'" in capsys.readouterr().err


@pytest.mark.parametrize(("processes", "code"), [(["signal"], 0), (["background"], 2)])
def test_a_weight_of_one_process_is_known_to_be_filled_for_that_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], processes: list[str], code: int
) -> None:
    """Files of one structure, whichever process comes first."""
    make_search(tmp_path)
    analysis = tmp_path / "processors" / "search.py"
    weights = """
    def weights(self, events, objects, weights):
        if events.metadata["process"] == "signal":
            one = ak.ones_like(events.genWeight)
            weights.add("scale", one, 1.2 * one, 0.8 * one)
"""
    analysis.write_text(analysis.read_text() + weights)
    systematic = {"name": "scale", "type": "histosys", "variation": "scale", "processes": processes}
    settings = WORKFLOW | model(systematics=[systematic]) | {"plots": None}
    workflow = tmp_path / "workflows" / "search.yaml"
    workflow.write_text(json.dumps(settings))
    assert colonnade_does("run", workflow) == code
    said = capsys.readouterr()
    if code:
        assert "the variation 'scale' of background" in said.err
        assert "events  " not in said.out


@pytest.mark.parametrize(("name", "process"), [("ttbar_bb", "other"), ("sample", "ttbar_bb")])
def test_a_dataset_named_as_a_part_of_another_is_refused(name: str, process: str) -> None:
    class Split:
        parts: ClassVar = {"ttbar": ("bb",)}

    of = {"ttbar": "ttbar", name: process}
    datasets = [
        Dataset(each, {f"{each}.root": None}, Metadata(process=of[each], kind="background", xsec_pb=1.0)) for each in of
    ]
    assert parts_of(Split(), datasets[:1]) == {"ttbar_bb": datasets[0]}
    with pytest.raises(ConfigError, match=f"Dataset {name}: ttbar_bb is a part of the process ttbar"):
        parts_of(Split(), datasets)
