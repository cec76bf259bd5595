"""What uncertainties do to processes and regions, against numbers by hand and templates of the run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from colonnade.cli import main
from colonnade.statistics import Likelihood
from colonnade.statistics.build import Builder
from colonnade.statistics.diagnostics import predict, prefit
from colonnade.statistics.effects import effects_of
from colonnade.statistics.model import Channel, Modifier, Sample, make_model
from colonnade.statistics.results import Effect


def one_bin(name, up, down):
    return Modifier("normsys", name, np.array([up]), np.array([down]))


@pytest.fixture
def model():
    modifiers = (
        Modifier("normfactor", "norm"),
        one_bin("theory", 1.1, 0.8),
        Modifier("histosys", "jets", np.array([12.0, 9.0]), np.array([9.0, 11.0])),
        one_bin("jets", 1.05, 1.01),
        Modifier("lumi", "lumi"),
        Modifier("staterror", "stat", errors=np.array([3.0, 4.0])),
    )
    signal = Sample("signal", np.array([1.0, 2.0]), (Modifier("normfactor", "mu"),))
    lumi = {"lumi": {"auxdata": [1.0], "sigmas": [0.017], "inits": [1.0], "bounds": [[0.5, 1.5]]}}
    groups = {"jets": ("jets",), "theory": ("theory",), "statistics": ("stat",), "luminosity": ("lumi",)}
    channel = Channel("SR", (signal, Sample("top", np.array([10.0, 10.0]), modifiers)), (0.0, 1.0, 2.0))
    return make_model([channel], {"SR": np.array([11.0, 12.0])}, "mu", overrides=lumi, groups=groups)


def test_effects_by_hand(model):
    found = {each.parameter: each for each in effects_of(model)}
    assert set(found) == {"theory", "jets", "lumi", "stat"}  # the signal strength and a normalisation are free
    theory, jets, lumi, stat = (found[name] for name in ("theory", "jets", "lumi", "stat"))
    assert (theory.kind, theory.up, theory.down) == ("normalisation", pytest.approx(0.1), pytest.approx(-0.2))
    # templates of 21 and 20 of 20 events, times 1.05 and 1.01
    assert (jets.up, jets.down) == (pytest.approx(21 / 20 * 1.05 - 1), pytest.approx(0.01))
    assert (jets.kind, jets.sides, jets.group) == ("both", "one-sided", "jets")
    assert jets.shape == pytest.approx(12 / 10.5 - 1)
    assert (lumi.up, lumi.down, lumi.group) == (pytest.approx(0.017), pytest.approx(-0.017), "luminosity")
    assert (stat.kind, stat.up, stat.shape) == ("bins", pytest.approx(5 / 20), pytest.approx(0.4))


def test_percent_as_it_is_shown():
    assert Effect("a", "c", "p", "", "normalisation", 0.02, -0.02).yield_text == "±2 %"
    assert Effect("a", "c", "p", "", "both", 0.031, -0.029, 1.5).yield_text == "+3.1 −2.9 %"
    assert Effect("a", "c", "p", "", "both", 0.031, 1e-17, 1.5).yield_text == "+3.1 0 %"
    assert Effect("a", "c", "p", "", "both", 0.031, -0.029, 1.5).bins_text == "150 %"
    assert Effect("a", "c", "p", "").yield_text == "left out"


def test_the_groups_of_a_model_add_up_to_its_uncertainty_before_a_fit(model):
    likelihood = Likelihood(model)
    found = predict(likelihood, prefit(likelihood, poi=0.0))
    parts = {name: np.array(errors) for name, errors in found["SR"].groups.items()}
    assert set(parts) == {"jets", "theory", "statistics", "luminosity"}
    np.testing.assert_allclose(np.sqrt(sum(part**2 for part in parts.values())), found["SR"].errors)
    np.testing.assert_allclose(parts["luminosity"], 0.017 * np.array([10.0, 10.0]))
    np.testing.assert_allclose(parts["statistics"], [3.0, 4.0])


def test_effects_of_a_run_are_those_of_its_histograms(make_inputs, search_settings):
    inputs = make_inputs()
    jets = search_settings.systematics[0].model_copy(update={"group": "jets", "smooth": True})
    tiny = search_settings.systematics[3].model_copy(update={"name": "tiny", "up": 1.00001, "down": None})
    named = search_settings.model_copy(update={"systematics": (jets, *search_settings.systematics[1:], tiny)})
    built = Builder(inputs, named).build("DH_mZp130")
    found = {(each.channel, each.process, each.parameter): each for each in effects_of(built.model, built.decisions)}
    filled = inputs.histograms["mt2"]["wz"]
    for name in ("energy", "efficiency"):
        up, down, nominal = (
            filled[{"region": "SR1_ee", "variation": place}].values(flow=True).sum()
            for place in (f"{name}_up", f"{name}_down", "nominal")
        )
        effect = found["SR1_ee", "wz", {"energy": "energy_scale"}.get(name, name)]
        assert effect.up == pytest.approx(up / nominal - 1, abs=1e-9)
        assert effect.down == pytest.approx(down / nominal - 1, abs=1e-9)
    assert found["SR1_ee", "wz", "energy_scale"].group == "jets"
    assert "smoothed" in found["SR1_ee", "wz", "energy_scale"].remarks
    assert found["SR1_ee", "wz", "single"].sides == "mirrored"
    assert found["SR1_ee", "wz", "lumi"].group == "luminosity"
    assert found["SR1_ee", "wz", "staterror_SR1_ee"].group == "statistics"
    assert built.model.groups["normalisations"] == ("mu_ttbar",)
    # one bin has no shape; what was left out is told with its reason
    pruned = found["CR_ee", "wz", "energy_scale"]
    assert pruned.kind == "pruned"
    assert any(note.startswith("pruned: the normalisation effect is below") for note in pruned.notes)


CARD = """imax 1
jmax 1
kmax 2
bin SR
observation 12
bin SR SR
process sig top
process 0 1
rate 2 10
theory lnN - 1.2
jets lnN 1.1 0.9/1.3
"""


def test_the_command_reads_any_model(tmp_path, capsys):
    card = tmp_path / "card.txt"
    card.write_text(CARD)
    with pytest.raises(SystemExit) as caught:
        main(["systematics", str(card), "--process", "top", "--json"])
    assert caught.value.code == 0
    effects = {each["parameter"]: each for each in json.loads(capsys.readouterr().out)}
    assert effects["theory"]["up"] == pytest.approx(0.2)
    assert (effects["jets"]["up"], effects["jets"]["down"]) == (pytest.approx(0.3), pytest.approx(-0.1))
    with pytest.raises(SystemExit):
        main(["systematics", str(card)])
    printed = capsys.readouterr().out
    assert "+30 −10 %" in printed
    assert "sig" in printed
    with pytest.raises(SystemExit) as caught:
        main(["systematics", str(card), "--region", "SP"])
    assert caught.value.code == 2
    assert "'SP' is unknown; known: SR" in capsys.readouterr().err
