"""Parameters that are frozen, set and bounded from outside, and channels that are masked."""

import json

import numpy as np
import pytest

from colonnade.cli import main
from colonnade.errors import ConfigError
from colonnade.statistics import Likelihood, fit, upper_limits
from colonnade.statistics.changes import change_model
from colonnade.statistics.formats import read_model

CARD = """imax 2
jmax 1
kmax *
bin a b
observation 12 40
bin a a b b
process sig bkg sig bkg
process 0 1 0 1
rate 5 10 2 38
lumi lnN 1.02 1.02 1.02 1.02
bkg_norm lnN - 1.2 - 1.1
trigger lnN 1.05 1.05 - -
theory group = bkg_norm trigger
"""


def card(folder, text=CARD, name="card.txt"):
    path = folder / name
    path.write_text(text)
    return path


def without(text, *names):
    """Take lines out of a card."""
    return "".join(line for line in text.splitlines(keepends=True) if line.split()[0] not in names)


def limits(model):
    found = upper_limits(Likelihood(model))
    return [found.observed, *found.expected]


@pytest.mark.parametrize(
    ("freeze", "gone"),
    [
        (["bkg_norm"], ["bkg_norm", "theory"]),
        (["theory"], ["bkg_norm", "trigger", "theory"]),
        (["*"], ["lumi", "bkg_norm", "trigger", "theory"]),
        (["l*", "trig*"], ["lumi", "trigger", "theory"]),
    ],
)
def test_frozen_parameters_are_as_if_they_were_not_there(tmp_path, freeze, gone):
    frozen = change_model(read_model(card(tmp_path)), freeze=freeze)
    assert not frozen.parameter("r").fixed[0]
    other = read_model(card(tmp_path, without(CARD, *gone), "other.txt"))
    np.testing.assert_allclose(limits(frozen), limits(other), rtol=1e-6)


def test_a_parameter_is_frozen_at_the_value_that_is_set(tmp_path):
    model = change_model(read_model(card(tmp_path)), freeze=["bkg_norm"], values={"bkg_norm": 1.5})
    scaled = CARD.replace("rate 5 10 2 38", f"rate 5 {10 * 1.2**1.5!r} 2 {38 * 1.1**1.5!r}")
    other = read_model(card(tmp_path, without(scaled, "bkg_norm", "theory"), "other.txt"))
    np.testing.assert_allclose(limits(model), limits(other), rtol=1e-6)


def test_a_masked_channel_is_as_if_it_was_not_there(tmp_path):
    masked = change_model(read_model(card(tmp_path)), mask=["b*"])
    alone = """imax 1
jmax 1
kmax *
bin a
observation 12
bin a a
process sig bkg
process 0 1
rate 5 10
lumi lnN 1.02 1.02
bkg_norm lnN - 1.2
trigger lnN 1.05 1.05
"""
    np.testing.assert_allclose(limits(masked), limits(read_model(card(tmp_path, alone, "other.txt"))), rtol=1e-6)


def test_a_masked_channel_takes_its_own_bin_errors_along():
    from colonnade.statistics.workspace import from_workspace

    def channel(name, data):
        modifiers = [{"name": "stat", "type": "staterror", "data": [error * 0.1 for error in data]}]
        signal = {
            "name": "s",
            "data": [3.0] * len(data),
            "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
        }
        return {"name": name, "samples": [signal, {"name": "b", "data": data, "modifiers": modifiers}]}

    def workspace(*channels):
        return from_workspace(
            {
                "channels": list(channels),
                "observations": [
                    {"name": each["name"], "data": [20.0] * len(each["samples"][1]["data"])} for each in channels
                ],
                "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
                "version": "1.0.0",
            }
        )

    one, two = channel("one", [20.0, 15.0]), channel("two", [18.0, 22.0, 21.0])
    masked = change_model(workspace(one, two), mask=["one"])
    assert masked.parameter("stat").size == 3
    np.testing.assert_allclose(limits(masked), limits(workspace(two)), rtol=1e-8)


def test_the_range_bounds_the_fit_and_that_is_said(tmp_path):
    likelihood = Likelihood(change_model(read_model(card(tmp_path)), ranges={"r": (0, 0.1), "lumi": (-1, 1)}))
    found = fit(likelihood)
    assert found.value("r") == pytest.approx(0.1)
    (note,) = found.notes
    assert (note.kind, note.subject) == ("bound", "r")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"freeze": ["bkg_nrm"]}, "no parameter and no group.*bkg_nrm.*did you mean bkg_norm"),
        ({"values": {"lum": 1.0}}, "no parameter lum.*did you mean lumi"),
        ({"values": {"lumi": 99.0}}, "lumi = 99 is outside of its range"),
        ({"ranges": {"r": (3.0, 1.0)}}, "range of r"),
        ({"ranges": {"r": (2.0, 3.0)}, "values": {"r": 1.0}}, "r = 1 is outside of its range"),
        ({"mask": ["c"]}, "--mask: 'c' is unknown; known: a, b"),
        ({"mask": ["*"]}, "leaves no channel"),
    ],
)
def test_what_can_not_be_changed_is_a_sentence(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        change_model(read_model(card(tmp_path)), **changes)


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert ended.value.code == (2 if err else 0), err
    return err or out


def test_several_cards_on_the_command_line(tmp_path, capsys):
    one = card(tmp_path, without(CARD, "theory"))
    joint = json.loads(run(capsys, "limit", f"x={one}", f"y={one}", "--json", "--method", "asymptotic"))
    plain = json.loads(run(capsys, "limit", one, "--json", "--method", "asymptotic"))
    assert joint["asymptotic"]["expected"][2] < plain["asymptotic"]["expected"][2]
    single = json.loads(run(capsys, "limit", f"x={one}", "--json", "--mask", "x_b", "--method", "asymptotic"))
    masked = json.loads(run(capsys, "limit", one, "--json", "--mask", "b", "--method", "asymptotic"))
    assert single["asymptotic"] == masked["asymptotic"]
    found = json.loads(run(capsys, "fit", one, "--json", "--freeze", "lumi", "--freeze", "trigger", "--set", "lumi=1"))
    values = {each["name"]: (each["bestfit"], each["error"]) for each in found["parameters"]}
    assert values["lumi"] == (1.0, 0.0)
    assert values["trigger"] == (0.0, 0.0)
    assert "is at an end of its range" in run(capsys, "fit", one, "--range", "r=0,0.1", "--range", "lumi=-1,1")
    run(capsys, "export", f"x={one}", f"y={one}", "--format", "combine", "--output", tmp_path / "out")
    again = json.loads(
        run(capsys, "limit", tmp_path / "out" / "combined.combine.txt", "--json", "--method", "asymptotic")
    )
    np.testing.assert_allclose(again["asymptotic"]["expected"], joint["asymptotic"]["expected"], rtol=1e-4)


def test_mass_chooses_the_templates(tmp_path, capsys, shared_data):
    path = shared_data / "cards" / "s_plain.txt"
    assert "$MASS" not in path.read_text()
    assert "where --mass says nothing" in run(capsys, "limit", shared_data / "cards" / "neg4.json", "--mass", "120")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["limit", "x=CARD", "x=CARD"], "Two models have the label x"),
        (["limit", "CARD", "--set", "r"], "--set r: write NAME=VALUE"),
        (["limit", "CARD", "--set", "r=a"], "--set r=a: could not convert string to float: 'a'"),
        (["limit", "CARD", "--range", "r=1"], "write NAME=LOW,HIGH"),
        (["limit", "CARD", "--signal", "s"], "leave --signal away"),
        (["limit", "FOLDER", "CARD"], "run's folder"),
        (["fit", "FOLDER", "--patch", "p"], "run's folder, where --patch says nothing"),
        (["limit", "y=nowhere.txt"], "nowhere.txt does not exist"),
    ],
)
def test_bad_words_are_a_sentence(tmp_path, capsys, words, said):
    path = card(tmp_path)
    replaced = [word.replace("CARD", str(path)).replace("FOLDER", str(tmp_path)) for word in words]
    err = run(capsys, *replaced)
    assert said in err
    assert len(err.strip().splitlines()) == 1
