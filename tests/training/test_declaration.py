"""Model files: what is declared, and mistakes found before any event is read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from colonnade.errors import ConfigError
from colonnade.training import (
    Collection,
    Dense,
    Feature,
    Model,
    Optimisation,
    Parameter,
    Search,
    SetNetwork,
    Trees,
    load_models,
    load_searches,
)

MET = (Feature("met", "GeV"),)
JETS = Collection("jets", (Feature("jet_pt", "GeV"),))


def test_importing_the_room_imports_neither_torch_nor_xgboost():
    code = "import sys, colonnade.training; print([m for m in ('torch', 'xgboost', 'onnx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_file_declares_models_and_searches(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "from colonnade.training import *\n"
        "model = Model(event=(Feature('met', 'GeV'),), network=Dense())\n"
        "wide = model.with_(network__hidden=(128,))\n"
        "variants = {f'rate_{r}': model.with_(optimisation__learning_rate=r) for r in (0.1, 0.01)}\n"
        "searches = {'small': Search({'network__hidden': ((1,), (10,))})}\n"
    )
    models = load_models(path)
    assert list(models) == ["model", "wide", "rate_0.1", "rate_0.01"]
    assert models["wide"].network == Dense(hidden=(128,))
    assert models["rate_0.01"].optimisation.learning_rate == 0.01
    assert list(load_searches(path)) == ["small"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle = 1", "declares no `model = Model"),
        ("import nothing_of_this_name", "can't be run: ModuleNotFoundError"),
        ("from colonnade.training import *\nmodel = Model(event=(), network=Dense())", "at least one feature"),
        ("from colonnade.training import *\nOptimisation(batch=0)", "batch = 0 must be greater than 0"),
    ],
)
def test_files_that_declare_no_model(tmp_path, text, words):
    path = tmp_path / "x.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_models(path)
    with pytest.raises(ConfigError, match="There is no model file"):
        load_models(tmp_path / "y.py")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Model(MET, Dense(), weighting="mcc"), r"weighting = 'mcc' is unknown \(did you mean mc"),
        (lambda: Model(MET, Dense(), normalisation="z-score"), r"did you mean zscore"),
        (lambda: Model(MET, Dense(), negative_weights="abs"), "known: absolute, drop, keep"),
        (lambda: Model(MET, Trees(), negative_weights="keep"), "Trees can't take negative weights"),
        (lambda: Model(MET, Dense(), collections=(JETS,)), "Dense can't take all jets of an event; use SetNetwork"),
        (lambda: Model(MET, Trees(), collections=(JETS,)), "Trees can't take all jets of an event"),
        (lambda: Model(MET, SetNetwork()), "SetNetwork needs a collection"),
        (
            lambda: Model(MET, Dense(), collections=(Collection("jets", JETS.features, leading=2),)),
            "Only Trees take missing values",
        ),
        (lambda: Model(MET, Dense(), parameters=(Parameter("met"),)), "met is listed twice"),
        (lambda: Dense(activation="rely"), r"did you mean relu"),
        (lambda: Dense(hidden=(10, 0)), "hidden = 0 must be greater than 0"),
        (lambda: SetNetwork(pools=()), "at least one layer"),
        (lambda: SetNetwork(pools=("sum", "men")), r"pools = 'men' is unknown \(did you mean mean"),
        (
            lambda: Model(MET, Trees(), collections=(Collection("jets", JETS.features, leading=2, fill=(0.0, 1.0)),)),
            "jets needs one fill value for each of its 1 features",
        ),
        (lambda: Collection("jets", ()), "Collection jets has no features"),
        (lambda: Trees(depth=0), "depth = 0 must be greater"),
        (lambda: Model(MET, Dense(), members=0), "members = 0 must be greater"),
        (lambda: Model(MET, Trees(), members=2), "members is for networks; leave it at 1 for Trees"),
        (lambda: Optimisation(schedule="cosin"), r"schedule = 'cosin' is unknown \(did you mean cosine"),
        (lambda: Search({"seed": ()}), "axis seed has no values"),
        (lambda: Model(MET, Dense()).with_(optimiser__rate=1), "no field 'optimiser__rate'"),
        (lambda: Model(MET, Dense()).with_(network__hiden=(1,)), r"no field 'network__hiden' \(did you mean hidden"),
    ],
)
def test_mistakes_are_found_when_declared(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_the_card_lists_features_in_order():
    trees = Model(
        MET,
        Trees(),
        collections=(Collection("jets", (Feature("jet_pt", "GeV"), Feature("jet_eta")), leading=3),),
        parameters=(Parameter("m", "GeV"),),
        folds=3,
    )
    card = trees.card("x", {"m": (1.0, 2.0)})
    assert [str(feature) for feature in card.features()] == ["met [GeV]", "jet_pt [GeV]", "jet_eta"]
    assert card.width() == 1 + 1 + 6
    assert card.parameter_columns() == slice(1, 2)
    assert card.collections[0].fill == (None, None)
    assert card.missing
    assert (card.folds, card.kind) == (3, "Trees")
    assert Model(MET, SetNetwork(), (JETS,)).card("x", {}).jagged()[0].index == "jet_event"
