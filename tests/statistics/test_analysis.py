"""A search from histograms to limits, blinded and not, and fitted again."""

import json

import numpy as np
import pyhf
import pytest

from colonnade.errors import InputError
from colonnade.histograms import write_zip
from colonnade.statistics import Likelihood, from_workspace, refit, upper_limits
from colonnade.statistics.analysis import analyse
from colonnade.statistics.results import FitSummary
from colonnade.statistics.step import write_analysis
from colonnade.statistics.templates import Inputs, Process


def test_a_search_from_histograms_to_limits(make_inputs, search_settings, tmp_path):
    whole = analyse(make_inputs(), search_settings)
    result = whole.summary
    assert [point.signal for point in result.points] == ["DH_mZp130", "DH_mZp500"]
    light, heavy = result.points
    assert light.significance.expected > heavy.significance.expected > 0
    assert list(heavy.limit.expected) == sorted(heavy.limit.expected)
    assert heavy.limit.median > light.limit.median
    assert result.blinded
    assert light.significance.observed is None
    write_analysis(whole, tmp_path)
    summary = json.loads((tmp_path / "fit.json").read_text())
    assert summary["blinded"] is True
    assert summary["points"][1]["parameters"] == {"m_Zprime": 500, "model": "DH"}
    expected = {"method": "asymptotic", "expected": list(light.limit.expected), "observed": None}
    assert summary["points"][0]["limit"] == expected | {"asymptotic": None, "toys": None}
    assert FitSummary.from_json(summary, "fit.json") == result
    assert summary["points"][0]["mu_hat"] is None
    counted = {(each["region"], each["signal"]): each for each in summary["counting"]}
    # made with 30 signal events of m_Z' 130 and half the backgrounds' total of 138; 20 and 10 per cent uncertainty
    ee = counted["CC_ee", "DH_mZp130"]
    assert (ee["s"], ee["b"]) == pytest.approx((30.0, 69.0))
    assert ee["sigma_b"] == pytest.approx(np.hypot(0.2 * 69, 1.0), rel=0.05)
    assert ee["z"] > counted["CC_mm", "DH_mZp130"]["z_with_uncertainty"] > ee["z_with_uncertainty"]
    names = [each["name"] for each in summary["parameters"]]
    assert "mu_ttbar" in names
    assert "lumi" in names


def test_the_workspace_and_its_patches_are_pyhfs(make_inputs, search_settings, tmp_path):
    inputs = make_inputs(points=(130, 300, 500), bins=6)
    settings = search_settings.model_copy(
        update={"channels": {k: v.model_copy(update={"rebin": 3}) for k, v in search_settings.channels.items()}}
    )
    result = analyse(inputs, settings)
    write_analysis(result, tmp_path)
    spec = json.loads((tmp_path / "workspace.json").read_text())
    workspace = pyhf.Workspace(spec)
    patches = pyhf.PatchSet(json.loads((tmp_path / "patchset.json").read_text()))
    patches.verify(spec)
    assert {patch.name for patch in patches} == {"DH_mZp300", "DH_mZp500"}
    patched = patches.apply(spec, "DH_mZp500")
    limit = upper_limits(Likelihood(from_workspace(patched)), observed=False).expected[2]
    assert limit == pytest.approx(result.summary.points[2].limit.median, rel=1e-5)
    model = workspace.model()
    cls = pyhf.infer.hypotest(
        result.summary.points[0].limit.median, workspace.data(model), model, return_expected=True
    )[1]
    assert float(cls) == pytest.approx(0.05, rel=2e-3)


def test_a_run_can_be_fitted_again(make_inputs, search_settings, tmp_path):
    inputs = make_inputs(points=(130,), bins=6)
    channels = {key: each.model_copy(update={"rebin": 6}) for key, each in search_settings.channels.items()}
    settings = search_settings.model_copy(update={"channels": channels})
    kinds = {name: each.kind for name, each in inputs.processes.items()}
    points = {"DH_mZp130": Process("signal", {"m_Zprime": 130}, 0.3)}
    same = Inputs(inputs.histograms, inputs.processes | points, 139.0)
    first = analyse(same, settings)
    write_analysis(first, tmp_path)
    before = json.loads((tmp_path / "fit.json").read_text())
    write_zip(inputs.histograms, tmp_path / "histograms.zip")
    provenance = {
        "config": {"model": settings.model_dump(mode="json"), "luminosity": 139.0, "unblind": False},
        "signal_regions": [],
        "inputs": {
            "datasets": {
                name: {"process": name, "kind": kind}
                | ({"xsec_pb": 0.15, "k_factor": 2.0, "signal": {"m_Zprime": 130}} if kind == "signal" else {})
                for name, kind in kinds.items()
            }
        },
    }
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    again = refit(tmp_path)
    assert again.summary.points[0].limit.expected == pytest.approx(first.summary.points[0].limit.expected, rel=1e-6)
    assert json.loads((tmp_path / "fit.json").read_text())["points"][0]["cross_section_pb"] == 0.3
    assert before["points"][0]["cross_section_pb"] == 0.3


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        refit(tmp_path)


# ---- blinding


def test_blinded_data_are_replaced_by_the_fitted_background(make_inputs, search_settings):
    """Data twice the simulation in the control regions: the prediction of the signal regions follows."""
    inputs = make_inputs(data=True, bins=6)
    channels = {key: each.model_copy(update={"rebin": 6}) for key, each in search_settings.channels.items()}
    update = {"channels": channels, "luminosity_uncertainty": 0.2}
    settings = search_settings.model_copy(update=update)
    inputs.histograms["mt2"]["data"].view(flow=True)["value"] *= 2
    result = analyse(inputs, settings)
    assert result.summary.blinded
    assert result.summary.observed_channels == ("CR_ee", "CR_em", "CR_mm")
    model = result.reference.model
    control = {name: float(model.observations[name].sum()) for name in ("CR_ee", "SR1_ee")}
    nominal = {each.name: float(sum(sample.yields.sum() for sample in each.samples[1:])) for each in model.channels}
    assert control["CR_ee"] == pytest.approx(2 * nominal["CR_ee"], rel=0.05)
    assert control["SR1_ee"] == pytest.approx(2 * nominal["SR1_ee"], rel=0.15)
    summary = json.dumps(result.summary.to_json())
    assert all(point["limit"]["observed"] is None for point in json.loads(summary)["points"])


def test_nothing_of_blinded_data_reaches_a_result(make_inputs, search_settings):
    """Whatever is filled as data in a signal region, every number stays the same."""
    channels = {key: each.model_copy(update={"rebin": 6}) for key, each in search_settings.channels.items()}
    settings = search_settings.model_copy(update={"channels": channels})
    summaries = []
    for factor in (0.0, 1.0, 50.0):
        inputs = make_inputs(data=True, bins=6, points=(130,))
        regions = list(inputs.histograms["mt2"]["data"].axes["region"])
        view = inputs.histograms["mt2"]["data"].view(flow=True)
        for index, region in enumerate(regions):
            if region in inputs.signal_regions:
                view["value"][index] *= factor
        summaries.append(analyse(inputs, settings).summary)
    assert summaries[0] == summaries[1] == summaries[2]


def test_unblinded_results_are_observed(make_inputs, search_settings):
    channels = {key: each.model_copy(update={"rebin": 6}) for key, each in search_settings.channels.items()}
    settings = search_settings.model_copy(update={"channels": channels})
    result = analyse(make_inputs(data=True, unblind=True, bins=6, points=(130,)), settings).summary
    assert not result.blinded
    point = result.points[0]
    assert point.limit.observed is not None
    # the data were drawn without a signal
    assert abs(point.mu_hat.value) < 4 * point.mu_hat.error
    assert point.limit.expected[0] / 3 < point.limit.observed < point.limit.expected[4] * 3
