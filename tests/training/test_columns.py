"""Training columns against the files read directly, and what stops them."""

from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest
import uproot
from rich.console import Console

from colonnade.errors import ConfigError, EventError, InputError, MissingColumnError
from colonnade.inference import fold_of
from colonnade.training import Collection, Feature, Parameter, load_models
from colonnade.training.columns import ColumnBlock, read_card
from colonnade.training.sample import read_sample
from colonnade.workflow import load_workflow
from colonnade.workflow.columns import make_columns

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def workflow(mini):
    return load_workflow(mini / "workflows" / "mini.yaml")


@pytest.fixture(scope="module")
def models(mini):
    return load_models(mini / "models" / "mini.py")


@pytest.fixture(scope="module")
def folder(workflow, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    make_columns(workflow, tuple(models.values()), folder, Console(quiet=True))
    return folder


def direct(mini, name, xsec, luminosity=10.0):
    """What the columns should hold, computed from the file without the framework."""
    with uproot.open(mini / f"{name}.root") as file:
        events = file["Events"].arrays()
        sumw = float(file["Runs"]["genEventSumw"].array()[0])
    kept = events[events.MET_pt > 20]
    scale = luminosity * 1000 * xsec / sumw
    return kept, np.asarray(kept.genWeight, dtype=np.float64) * scale


def test_rows_and_weights_are_those_of_the_files(mini, folder):
    table = pq.read_table(folder / "zll.parquet")
    parts = [direct(mini, "zll_a", 5.0), direct(mini, "zll_b", 1.0)]
    assert table["dataset"].to_pylist() == ["zll_a"] * len(parts[0][0]) + ["zll_b"] * len(parts[1][0])
    assert np.asarray(table["weight"]) == pytest.approx(np.concatenate([weight for _, weight in parts]))
    assert table["event"].to_pylist() == [event for events, _ in parts for event in events.event]
    assert table["jet_pt"].to_pylist() == [jets for events, _ in parts for jets in ak.to_list(events.Jet_pt)]
    met = np.concatenate([np.asarray(events.MET_pt) for events, _ in parts])
    assert np.array_equal(np.asarray(table["met"]), met)
    assert np.asarray(table["regions"]).tolist() == np.where(met > 60, 2, 1).tolist()
    folds = read_card(folder).folds
    assert folds == 2
    identity = {name: np.asarray(table[name]) for name in ("run", "luminosityBlock", "event")}
    assert np.array_equal(np.asarray(table["fold"]), fold_of(identity, folds))


def test_the_card_says_what_the_columns_are(folder, mini):
    card = read_card(folder)
    assert card.regions == ("low", "high")
    assert card.luminosity == 10.0
    assert card.observables == {"jet_eta": True, "jet_pt": True, "leading_pt": False, "met": False}
    assert card.units["met"] == "GeV"
    assert card.units["leading_pt"] is None
    assert set(card.processes) == {"top", "zll", "S_100", "S_300"}
    assert card.processes["S_300"].signal == {"m_Zprime": 300.0}
    assert card.processes["top"].expected == pytest.approx(direct(mini, "top", 2.0)[1].sum())
    assert card.ledger["datasets"]["top"]["events_processed"] == 900
    assert card.provenance["environment"]["packages"]["awkward"]


def test_other_chunks_give_the_same_bits(workflow, models, folder, tmp_path):
    settings = workflow.settings.model_copy(update={"chunk_size": 77})
    import dataclasses

    other = make_columns(
        dataclasses.replace(workflow, settings=settings),
        tuple(models.values()),
        tmp_path,
        Console(quiet=True),
    )
    assert other.digest() == read_card(folder).digest()


def test_what_is_there_is_not_made_again(workflow, models, folder, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    make_columns(workflow, tuple(models.values()), folder, Console())
    assert "unchanged" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_blocks_add_scale_and_travel():
    import pyarrow as pa

    block = ColumnBlock([pa.table({"weight": [1.0, 2.0], "x": [3, 4]})])
    block += ColumnBlock([pa.table({"weight": [5.0], "x": [6]})])
    scaled = pickle.loads(pickle.dumps(block)) * 2.0  # noqa: S301 - our own
    assert scaled.table().to_pydict() == {"weight": [2.0, 4.0, 10.0], "x": [3, 4, 6]}
    assert block.table()["weight"].to_pylist() == [1.0, 2.0, 5.0]


def test_a_sample_holds_the_models_events(mini, folder, models):
    sample = read_sample(folder, models["told"], "told")
    assert sample.processes == ("top", "zll", "S_100", "S_300")
    assert sample.points() == {"S_100": (100.0,), "S_300": (300.0,)}
    assert sample.card.parameters[0].values == (100.0, 300.0)
    events, weight = direct(mini, "S_300", 0.001)
    own = sample.take(np.flatnonzero(sample.process == 3))
    assert own.weight == pytest.approx(weight)
    assert own.inputs.event[:, 0].tolist() == events.MET_pt.tolist()
    assert own.inputs.event[:, 2].tolist() == [300.0] * len(events)
    assert own.inputs.objects["jets"][:, 0].tolist() == ak.flatten(events.Jet_pt).tolist()
    assert np.isnan(sample.inputs.event[~sample.target, 2]).all()
    expected = fold_of({name: np.asarray(events[name]) for name in ("run", "luminosityBlock", "event")}, 2)
    assert np.array_equal(fold_of(own.identity, 2), expected)


def test_a_sample_of_one_region_and_some_processes(folder, models):
    model = models["model"].with_(regions=("high",), signals=("S_1*",), backgrounds=("top",))
    sample = read_sample(folder, model, "part")
    assert sample.processes == ("top", "S_100")
    assert sample.in_region("high").all()
    assert (sample.inputs.event[:, 0] > 60).all()


def test_a_model_may_learn_from_events_that_it_is_not_judged_on(folder, models):
    plain = models["model"]
    wide = plain.with_(regions=("high",), learn_from=(("met", 30.0, 100.0), ("leading_pt", 15.0, None)))
    sample = read_sample(folder, wide, "wide")
    table = {name: pq.read_table(folder / f"{name}.parquet") for name in sample.processes}
    met, pt = (np.concatenate([np.asarray(each[name]) for each in table.values()]) for name in ("met", "leading_pt"))
    judged, learned = met > 60, (met >= 30) & (met <= 100) & (pt >= 15)
    kept = judged | learned
    assert np.array_equal(sample.judged, judged[kept])
    assert np.array_equal(sample.learned, learned[kept])
    assert 0 < (sample.learned & ~sample.judged).sum() < len(sample)
    split = sample.split(2, 0)
    assert sample.learned[split.train].all()
    assert sample.learned[split.validation].all()
    assert sample.judged[split.test].all()
    assert not set(split.train) & set(split.test)
    assert "leading_pt" in wide.columns()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"regions": ("hihg",)}, ConfigError, r"regions = 'hihg' is unknown \(did you mean high\?\)"),
        (
            {"parameters": (Parameter("m_Zprimo", "GeV"),)},
            ConfigError,
            r"has no number 'm_Zprimo' among its parameters \(did you mean m_Zprime",
        ),
        ({"signals": ("T_*",)}, ConfigError, "no signal process 'T_\\*'"),
        ({"backgrounds": ("zl",)}, ConfigError, r"no background process 'zl' \(did you mean zll\?\)"),
        ({"event": (Feature("mett", "GeV"),)}, MissingColumnError, r"no 'mett' \(did you mean met"),
        (
            {"event": (Feature("met", "MeV"),)},
            ConfigError,
            "'met' in 'MeV', but the processor gives it in 'GeV'",
        ),
        (
            {
                "event": (Feature("met", "GeV"),),
                "collections": (Collection("jets", (Feature("leading_pt"),)),),
            },
            ConfigError,
            "takes a list of values of 'leading_pt' an event, but the columns hold one value",
        ),
    ],
)
def test_a_model_that_does_not_fit_the_columns(folder, models, changes, error, words):
    with pytest.raises(error, match=words):
        read_sample(folder, models["model"].with_(**changes), "wrong")


def test_parquet_that_lost_a_column_or_is_damaged(folder, models, tmp_path):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    table = pq.read_table(broken / "top.parquet")
    pq.write_table(table.drop_columns(["met"]), broken / "top.parquet")
    with pytest.raises(MissingColumnError, match=r"top\.parquet has no column 'met'"):
        read_sample(broken, models["model"], "wrong")
    pq.write_table(table.drop_columns(["event"]), broken / "top.parquet")
    with pytest.raises(MissingColumnError, match="has no column 'event'"):
        read_sample(broken, models["model"], "wrong")
    (broken / "top.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match=r"top\.parquet can't be read"):
        read_sample(broken, models["model"], "wrong")
    (broken / "top.parquet").unlink()
    with pytest.raises(InputError, match="are missing; write the columns again"):
        read_sample(broken, models["model"], "wrong")
    with pytest.raises(ConfigError, match="holds no training columns"):
        read_sample(tmp_path, models["model"], "wrong")


def test_a_value_that_is_no_number_names_file_and_feature(folder, models, tmp_path):
    import shutil

    import pyarrow as pa

    broken = tmp_path / "nan"
    shutil.copytree(folder, broken)
    table = pq.read_table(broken / "top.parquet")
    values = np.asarray(table["met"]).copy()
    values[3] = np.nan
    pq.write_table(
        table.set_column(table.schema.get_field_index("met"), "met", pa.array(values)), broken / "top.parquet"
    )
    with pytest.raises(EventError, match=r"top\.parquet: Feature met is not a finite number in 1 of"):
        read_sample(broken, models["model"], "wrong")


def test_no_event_passes(folder, models):
    model = models["model"].with_(regions=("high",), signals=("S_100",))
    card = read_card(folder)
    assert card.processes["S_100"].events
    import dataclasses

    from colonnade.training import sample as loading

    with pytest.MonkeyPatch.context() as patch:
        real = loading._one

        def none(path, model, features, name, process, bits):
            part = real(path, model, features, name, process, bits)
            if process.kind != "signal":
                return part
            rows = np.zeros(0, dtype=np.int64)
            return {key: value.take(rows) if key == "inputs" else value[rows] for key, value in part.items()}

        patch.setattr(loading, "_one", none)
        with pytest.raises(EventError, match="no signal events to train wrong on in the regions high"):
            read_sample(folder, model, "wrong")
    assert dataclasses.is_dataclass(model)


def test_an_unknown_observable_or_region_is_found_before_events_are_read(workflow, models, tmp_path):
    wrong = models["model"].with_(event=(Feature("leading_pT", "GeV"),))
    with pytest.raises(MissingColumnError, match=r"'leading_pT', which the processor does not give \(did you mean"):
        make_columns(workflow, (wrong,), tmp_path, Console(quiet=True))
    assert not list(tmp_path.iterdir())
