"""Several models as one likelihood."""

import json
import math

import numpy as np
import pyhf
import pytest

from colonnade.cli import main
from colonnade.errors import ConfigError
from colonnade.statistics import Likelihood, fit, from_workspace, upper_limits
from colonnade.statistics.changes import combine_models
from colonnade.statistics.formats import read_model


def workspace(background=50.0, observed=(55.0, 22.0), **others):
    """Two bins, a signal, and uncertainties of the names that both searches use."""
    modifiers = [
        {
            "name": "jes",
            "type": "histosys",
            "data": {"hi_data": [background * 1.1, 21.0], "lo_data": [background, 19.0]},
        },
        {"name": "norm", "type": "normsys", "data": {"hi": 1.2, "lo": 0.85}},
        {"name": "stat", "type": "staterror", "data": [3.0, 2.0]},
    ]
    signal = {"name": "sig", "data": [8.0, 4.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    return {
        "channels": [
            {"name": "SR", "samples": [signal, {"name": "bkg", "data": [background, 20.0], "modifiers": modifiers}]}
        ],
        "observations": [{"name": "SR", "data": list(observed)}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [], **others}}],
        "version": "1.0.0",
    }


def nll(likelihood, values):
    """Minus the logarithm of the likelihood at one point, less that of a perfect model of the data."""
    return float(likelihood.nll(np.array(values)[:, None], likelihood.observed[:, None])[0])


@pytest.fixture
def models():
    return {"a": from_workspace(workspace()), "b": from_workspace(workspace(70.0, (66.0, 25.0)))}


def test_channels_keep_apart_and_the_likelihood_is_the_product(models):
    joint = combine_models(models)
    assert [each.name for each in joint.channels] == ["a_SR", "b_SR"]
    assert {each.name for each in joint.parameters} == {
        "mu", "a_jes", "b_jes", "a_norm", "b_norm", "a_stat", "b_stat",
    }  # fmt: skip
    together, parts = Likelihood(joint), {label: Likelihood(model) for label, model in models.items()}
    rng = np.random.default_rng(4)
    for _ in range(20):
        values = {name: rng.normal(0, 0.5) + (1 if "stat" in name or name == "mu" else 0) for name in joint.labels}
        apart = 0.0
        for label, part in parts.items():
            mine = [values.get(name, values.get(f"{label}_{name}")) for name in models[label].labels]
            apart += nll(part, mine)
        whole = nll(together, [values[name] for name in joint.labels])
        assert whole == pytest.approx(apart, rel=1e-12)


def test_correlated_it_is_what_pyhf_makes_of_both(models):
    """pyhf joins parameters by their names; renamed as here, its likelihood is the same but for a constant."""
    joint = combine_models(models, ["jes", "nor*"])
    content = []
    for label, made in (("a", workspace()), ("b", workspace(70.0, (66.0, 25.0)))):
        text = json.dumps(made).replace('"SR"', f'"{label}_SR"').replace('"stat"', f'"{label}_stat"')
        content.append(pyhf.Workspace(json.loads(text)))
    other = pyhf.Workspace.combine(*content, join="outer")
    model, data = other.model(), other.data(other.model())
    mine = Likelihood(joint)
    rng = np.random.default_rng(5)
    differences = []
    for _ in range(10):
        values = {name: rng.normal(0, 0.5) + (1 if "stat" in name or name == "mu" else 0) for name in joint.labels}
        theirs = -model.logpdf([values[name] for name in model.config.par_names], data)[0]
        differences.append(nll(mine, [values[name] for name in joint.labels]) - theirs)
    assert np.ptp(differences) < 1e-9


def test_two_equal_searches_are_one_with_twice_the_data():
    """Counting experiments without uncertainties: errors shrink by the square root of two."""
    plain = workspace()
    plain["channels"][0]["samples"][1]["modifiers"] = []
    model = from_workspace(plain)
    one, both = fit(Likelihood(model)), fit(Likelihood(combine_models({"a": model, "b": model})))
    assert both.values == pytest.approx(one.values, abs=1e-6)
    assert both.errors == pytest.approx(one.errors / math.sqrt(2), rel=1e-4)


def test_what_can_not_be_one(models):
    with pytest.raises(ConfigError, match=r"--correlate: 'jas' is unknown \(did you mean jes\?\); known: "):
        combine_models(models, ["jas"])
    with pytest.raises(ConfigError, match="stat: it is a parameter for each bin"):
        combine_models(models, ["stat"])
    wider = {"parameters": [{"name": "jes", "sigmas": [2.0], "auxdata": [0.0]}]}
    other = from_workspace(workspace(**wider))
    with pytest.raises(ConfigError, match="jes of b is another one"):
        combine_models({"a": models["a"], "b": other}, ["jes"])
    combine_models({"a": models["a"], "b": other})
    text = json.dumps(workspace()).replace('"mu"', '"strength"')
    with pytest.raises(ConfigError, match="different parameters of interest: mu in a, strength in b"):
        combine_models({"a": models["a"], "b": from_workspace(json.loads(text))})


def test_a_label_that_makes_a_name_which_is_taken(models):
    text = json.dumps(workspace()).replace('"norm"', '"a_jes"')
    with pytest.raises(ConfigError, match="jes of a would become a_jes"):
        combine_models({"a": models["a"], "b": from_workspace(json.loads(text))})


def test_formulas_follow_their_parameters(tmp_path):
    card = tmp_path / "c.txt"
    card.write_text(
        "imax 1\njmax 1\nkmax *\nbin x\nobservation 12\nbin x x\nprocess s b\nprocess 0 1\nrate 5 10\n"
        "k param 1 0.1\nscale rateParam x b (@0*@0) k\n"
    )
    model = read_model(card)
    joint = combine_models({"a": model, "b": model})
    assert {"a_k", "b_k"} <= {each.name for each in joint.parameters}
    single = nll(Likelihood(model), np.full(len(model.labels), 1.1))
    assert nll(Likelihood(joint), np.full(len(joint.labels), 1.1)) == pytest.approx(2 * single)


def test_the_command(tmp_path, capsys):
    for name, made in (("one", workspace()), ("two", workspace(70.0, (66.0, 25.0)))):
        (tmp_path / f"{name}.json").write_text(json.dumps(made))
    output = tmp_path / "both.json"
    words = ["combine", str(tmp_path / "one.json"), f"b={tmp_path / 'two.json'}", "--correlate", "jes"]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--output", str(output)])
    assert "2 channels, 6 parameters" in capsys.readouterr().out
    models = {"one": from_workspace(workspace()), "b": from_workspace(workspace(70.0, (66.0, 25.0)))}
    expected = upper_limits(Likelihood(combine_models(models, ["jes"])))
    assert upper_limits(Likelihood(read_model(output))).observed == pytest.approx(expected.observed, rel=1e-6)
    with pytest.raises(SystemExit, match="2"):
        main(["combine", str(tmp_path / "one.json")])
    assert "at least two" in capsys.readouterr().err
