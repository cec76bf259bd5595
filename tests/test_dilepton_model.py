"""The classifier that ships with the dilepton analysis: it fits the analysis, and does what the docs say."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from colonnade.inference import Classifier, scorers_of
from colonnade.training import load_models
from colonnade.training.results import Evaluation
from colonnade.workflow import load_workflow
from colonnade.workflow.analysis import make_processor

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "dilepton_met.onnx"
MASSES = (130.0, 400.0, 800.0, 1200.0)


@pytest.fixture(scope="module")
def classifier():
    return Classifier.load(MODEL)


def test_it_is_what_the_model_file_declares(classifier):
    declared = load_models(ROOT / "models" / "dilepton_met.py")["model"]
    card = classifier.card
    assert card == declared.card("dilepton_met", {"m_Zprime": MASSES}).model_copy(
        update={each: getattr(card, each) for each in ("training", "metrics", "graph_sha256", "opset")}
    )
    assert MODEL.stat().st_size < 300_000
    assert card.metrics["difference_onnx"] < 1e-5
    assert card.metrics["difference_padded"] < 1e-5


def test_the_workflow_scores_with_it_and_fits_its_score():
    workflow = load_workflow(ROOT / "workflows" / "dilepton_met.yaml")
    processor = make_processor(workflow)
    names = [f"score_{mass:g}" for mass in MASSES]
    assert list(processor.scorers) == names
    assert {"score_130", "score_1200"} <= {histogram.name for histogram in processor.histograms}
    fitted = [each for each in workflow.settings.model.channels.values() if each.histogram == "score_{m_Zprime}"]
    assert len(fitted) == 2
    assert all(each.bins is not None for each in fitted)


def made_observables(features, pull):
    """Three events: nothing extreme, then more and more like a heavy signal."""
    size = 3
    values = {name: np.full(size, 1.0) for name in features}
    values |= {name: np.array([60.0, 200.0, 900.0]) for name in ("mll", "mt2", "mt", "mt_ll", "et_ll", "met", "ht")}
    values |= {"lep1_pt": np.array([40.0, 120.0, 700.0]), "lep2_pt": np.array([30.0, 80.0, 500.0])}
    values |= {"met_significance": np.array([2.0, 10.0, 40.0]), "n_jets": np.array([2, 0, 1])}
    jets = ak.unflatten(np.array([60.0, 45.0, 300.0]), [2, 0, 1])
    return values | {"jet_pt": jets + pull, "jet_eta": ak.zeros_like(jets)}


def test_it_takes_any_number_of_jets_and_knows_a_heavy_signal(classifier):
    features = [feature.name for feature in classifier.card.event]
    identity = {"run": np.ones(3, int), "luminosityBlock": np.ones(3, int), "event": np.arange(3)}
    scorers = scorers_of(classifier)
    variations = [made_observables(features, pull) for pull in (0.0, 5.0)]
    for scorer in scorers.values():
        first, second = scorer.score_variations(variations, [identity, identity])
        assert ((first >= 0) & (first <= 1)).all()
        assert first[1] == second[1]  # an event without jets does not care for their energy
    heavy = scorers["score_800"].score_variations(variations[:1], [identity])[0]
    assert heavy[2] > 0.9 > heavy[1] >= heavy[0]


def test_the_table_in_the_docs_is_whole_and_shows_cut_and_count_beaten():
    lines = (ROOT / "docs" / "dilepton_met" / "comparison.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    points = [row for row in rows if row[0].partition("_mZp")[0] in ("DH", "LV", "EFT")]
    assert {(row[0], row[1]) for row in points} == {
        (f"{model}_mZp{mass:g}", flavour)
        for model in ("DH", "LV", "EFT")
        for mass in MASSES
        for flavour in ("ee", "mm")
    }
    assert all(float(row[-1]) > 1 for row in points)


def test_its_evaluation_is_beside_it(classifier):
    place = MODEL.with_suffix(".evaluation.json")
    evaluation = Evaluation.from_json(json.loads(place.read_text(encoding="utf-8")), str(place))
    assert len(evaluation.points) == 12
    for point in evaluation.points:
        assert point.auc == pytest.approx(classifier.card.metrics[f"auc_{point.signal}"], abs=1e-4)
        assert abs(point.auc - point.auc_training) < 0.02  # no overtraining to speak of
