"""What is wrong with a model is one sentence and a non-zero exit, from the command line."""

import json

import numpy as np
import pytest

from colonnade.cli import main
from colonnade.errors import ConfigError
from colonnade.statistics import from_workspace
from colonnade.statistics.formats.hs3 import to_hs3
from colonnade.statistics.model import Channel, Modifier, Sample, make_model

CARD = """imax 1
jmax 1
kmax *
bin a
observation 12
bin a a
process s b
process 0 1
rate 3 10
"""


def workspace(observed=(55.0,), poi="mu", **changes):
    signal = {"name": "signal", "data": [10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    scale = {"name": "scale", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    background = {"name": "background", "data": [50.0], "modifiers": [scale]}
    spec = {
        "channels": [{"name": "SR", "samples": [signal, background]}],
        "observations": [{"name": "SR", "data": list(observed)}],
        "measurements": [{"name": "m", "config": {"poi": poi, "parameters": []}}],
        "version": "1.0.0",
    }
    return spec | changes


PATCH = [{"op": "replace", "path": "/channels/3/samples/0/data", "value": [1.0]}]
OTHER = {
    "metadata": {
        "name": "points",
        "description": "",
        "labels": ["m"],
        "digests": {"md5": "0" * 32},
        "references": {"hepdata": "ins0000001"},
    },
    "patches": [{"metadata": {"name": "m1", "values": [1]}, "patch": []}],
    "version": "1.0.0",
}

# what is wrong -> files, arguments after the command, and the words that say so
CASES = {
    "poi of no modifier": ({"w.json": workspace(poi="muu")}, ["w.json"], "no modifier defines the parameter of"),
    "counts missing": (
        {"w.json": workspace(observations=[{"name": "CR", "data": [1]}])},
        ["w.json"],
        "no observed events",
    ),
    "a patch that does not apply": (
        {"w.json": workspace(), "p.json": PATCH},
        ["w.json", "--patchset", "p.json"],
        "does not apply",
    ),
    "a patch that is not there": (
        {"w.json": workspace(), "p.json": OTHER},
        ["w.json", "--patchset", "p.json", "--patch", "m2"],
        "has no patch m2",
    ),
    "a patch without its file": ({"w.json": workspace()}, ["w.json", "--patch", "m1"], "give --patchset"),
    "HS3 with a patch": (
        {"h.json": to_hs3(from_workspace(workspace())), "p.json": PATCH},
        ["h.json", "--patchset", "p.json"],
        "where --patchset says nothing",
    ),
    "a card with a measurement": ({"c.txt": CARD}, ["c.txt", "--measurement", "m"], "where --measurement says nothing"),
    "an unknown modifier in a card": ({"c.txt": CARD + "sys lnM 1.1 1.1\n"}, ["c.txt"], "unknown kind 'lnM'"),
    "an unknown modifier in a workspace": (
        {"w.json": json.loads(json.dumps(workspace()).replace("normsys", "normsyss"))},
        ["w.json"],
        "not a valid pyhf workspace",
    ),
    "no JSON": ({"w.json": "{"}, ["w.json"], "w.json"),
    "no file": ({}, ["w.json"], "does not exist"),
}


@pytest.mark.parametrize("command", ["limit", "fit"])
@pytest.mark.parametrize("case", list(CASES))
def test_one_sentence_and_a_non_zero_exit(case, command, tmp_path, monkeypatch, capsys):
    files, words, message = CASES[case]
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([command, *words])
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in told
    assert told.strip().count("\n") == 0
    assert "Traceback" not in told


def test_a_good_one_passes(tmp_path, capsys):
    (tmp_path / "w.json").write_text(json.dumps(workspace()))
    for command in ("limit", "fit"):
        with pytest.raises(SystemExit) as caught:
            main([command, str(tmp_path / "w.json")])
        assert caught.value.code == 0
    assert "observed" in capsys.readouterr().out


def test_hs3_where_a_run_is_expected(tmp_path, capsys):
    """A run's folder is not a model, and its options are not a file's."""
    (tmp_path / "run").mkdir()
    for words, message in (
        (["fit", str(tmp_path / "run")], "holds no run"),
        (["fit", str(tmp_path / "run"), "--patch", "x"], "choose its model with --signal"),
        (["export", str(tmp_path / "run")], "holds no run"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err


def test_a_parameter_of_interest_with_a_value_for_each_bin_is_named():
    factor = {"name": "mu", "type": "shapefactor", "data": None}
    spec = {
        "channels": [{"name": "c", "samples": [{"name": "s", "data": [5.0], "modifiers": [factor]}]}],
        "observations": [{"name": "c", "data": [5.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
    with pytest.raises(ConfigError, match="mu has a value for each bin"):
        from_workspace(spec)


def background(*modifiers, yields=(1.0, 2.0)):
    return Sample("b", np.array(yields), modifiers)


def factor(up, down):
    return Modifier("normsys", "n", np.array([up]), np.array([down]))


FREE = Modifier("normfactor", "k")
MODELS = {
    "two channels of one name": ([[background()], [background()]], {}, "two channels named"),
    "a yield that is none": ([[background(yields=(1.0, np.nan))]], {}, "a value is not a number"),
    "errors of too few bins": (
        [[background(Modifier("staterror", "e", errors=np.ones(1)))]],
        {},
        "1 values for 2 bins",
    ),
    "a factor of nothing": ([[background(factor(1.1, 0.0))]], {}, "a factor that is not above 0"),
    "one name for two": ([[background(factor(1.1, 0.9), Modifier("lumi", "n"))]], {}, "used as lumi and as normsys"),
    "a measurement of what is free": (
        [[background(FREE)]],
        {"k": {"auxdata": [1.0]}},
        "free, so it can't have auxdata",
    ),
    "values of too many": ([[background(FREE)]], {"k": {"inits": [1.0, 2.0]}}, "has 2 inits, not 1"),
}


@pytest.mark.parametrize("case", list(MODELS))
def test_samples_that_are_no_model(case):
    samples, overrides, words = MODELS[case]
    channels = [Channel("a", tuple(each)) for each in samples]
    with pytest.raises(ConfigError, match=words):
        make_model(channels, {"a": np.ones(2)}, "", overrides=overrides)
