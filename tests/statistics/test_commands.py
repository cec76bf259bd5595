import json

import pytest
from click.testing import CliRunner
from helpers.closure_table import command as closure_command

from colonnade.cli.fit import fit as fit_command
from colonnade.cli.likelihoods import limit as limit_command
from colonnade.cli.models import export as export_command
from colonnade.errors import ConfigError, InputError
from colonnade.histograms import write_zip
from colonnade.statistics import from_workspace, upper_limits
from colonnade.statistics.likelihood import Likelihood


def run(command, *words):
    result = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def workspace(tmp_path, random_workspace):
    spec = random_workspace(2)
    for channel in spec["channels"]:
        for sample in channel["samples"]:  # which leave parameters that the data don't constrain
            sample["modifiers"] = [m for m in sample["modifiers"] if m["type"] != "shapefactor"]
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(spec))
    return path


@pytest.fixture
def folder(make_inputs, search_settings, tmp_path):
    """A run's output folder, as far as statistics read it."""
    inputs = make_inputs(points=(130, 500), data=True, bins=6)
    channels = {
        key: each.model_copy(update={"rebin": 3 if key == "SR1_ee" else 6})
        for key, each in search_settings.channels.items()
        if not key.endswith("_mm")
    }
    settings = search_settings.model_copy(update={"channels": channels})
    write_zip(inputs.histograms, tmp_path / "histograms.zip")
    datasets = {
        name: {"process": name, "kind": each.kind, "xsec_pb": 0.1, "signal": dict(each.parameters)}
        for name, each in inputs.processes.items()
    }
    provenance = {
        "config": {"model": settings.model_dump(mode="json"), "luminosity": 139.0, "unblind": False},
        "signal_regions": sorted(inputs.signal_regions),
        "inputs": {"datasets": datasets},
    }
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    return tmp_path


def test_limits_of_a_workspace(workspace):
    text = run(limit_command, workspace, "--json")
    assert text.startswith("{"), text[:300]
    found = json.loads(text)
    limits = upper_limits(Likelihood(from_workspace(json.loads(workspace.read_text()))))
    assert found["asymptotic"]["observed"] == pytest.approx(limits.observed)
    assert found["toys"] is None
    assert json.loads(run(limit_command, workspace, "--json", "--blind"))["asymptotic"]["observed"] is None
    assert "expected +1 sigma" in run(limit_command, workspace)


def test_limits_by_pseudo_experiments(tmp_path):
    path = tmp_path / "few.txt"
    text = ["imax 1", "jmax 1", "kmax *", "bin a", "observation 1", "bin a a", "process s b", "process 0 1", "rate 3 1"]
    path.write_text("\n".join([*text, "e lnN 1.1 1.1", ""]))
    words = (path, "--toys", 200, "--keep", tmp_path / "kept", "--json")
    found = json.loads(run(limit_command, *words))  # too few events for the formulas
    assert found["toys"]["expected"][2] == pytest.approx(found["asymptotic"]["expected"][2], rel=0.5)
    assert min(found["toys"]["expected_errors"]) > 0
    assert len(list((tmp_path / "kept").glob("*.npy"))) > 10
    assert "±" in run(limit_command, *words[:-1])  # from what was kept
    assert json.loads(run(limit_command, *words, "--method", "asymptotic"))["toys"] is None


def test_a_fit_of_a_workspace_from_all_sides(workspace):
    words = ("--pulls", "--ranking", "--correlations", "--goodness", "--yields", "--scan", "norm0")
    output = run(fit_command, workspace, *words)
    for part in ("Best fit", "Pulls, and errors", "Impact", "largest correlations", "goodness of fit", "Expected"):
        assert part in output
    found = json.loads(run(fit_command, workspace, "--json", "--scan", "norm0"))
    scans = {each["parameter"]: each for each in found["diagnostics"]["scans"]}
    assert set(scans) == {"mu", "norm0"}
    names = {each["name"] for each in found["diagnostics"]["pulls"]}
    assert {"norm0", "lumi"} <= names
    assert "mu" not in names
    assert min(scans["norm0"]["delta"]) == pytest.approx(0, abs=1e-3)
    assert scans["norm0"]["delta"][0] > 1
    assert found["diagnostics"]["yields"]["a"]["observed"] is not None


def test_a_patched_workspace(workspace, tmp_path):
    patch = tmp_path / "patch.json"
    spec = json.loads(workspace.read_text())
    spec["observations"][0]["data"] = [2 * value for value in spec["observations"][0]["data"]]
    value = spec["observations"][0]["data"]
    patch.write_text(json.dumps([{"op": "replace", "path": "/observations/0/data", "value": value}]))
    plain = json.loads(run(limit_command, workspace, "--json"))["asymptotic"]["expected"][2]
    patched = json.loads(run(limit_command, workspace, "--json", "--patchset", patch))["asymptotic"]["expected"][2]
    assert patched != pytest.approx(plain, rel=1e-3)
    assert patched == pytest.approx(upper_limits(Likelihood(from_workspace(spec))).expected[2])


def test_a_run_is_fitted_and_exported(folder):
    output = run(fit_command, folder, "--ranking", "--goodness")
    assert "expected only" in output
    assert "Impact on the signal strength" in output
    found = json.loads(run(fit_command, folder, "--json"))
    assert found["blinded"] is True
    yields = found["diagnostics"]["yields"]
    assert yields["CR_ee"]["observed"] is not None
    assert yields["SR1_ee"]["observed"] is None
    assert found["diagnostics"]["goodness"]["degrees"] == 1  # two control regions, one free normalisation
    assert {each["name"] for each in found["diagnostics"]["ranking"]} >= {"theory_wz", "mu_ttbar"}
    output = run(export_command, folder, "--signal", "DH_mZp500", "--format", "pyhf", "--format", "combine")
    assert "autoMCStats" in output
    assert (folder / "export" / "DH_mZp500.pyhf.json").is_file()
    exported = json.loads(run(limit_command, folder / "export" / "DH_mZp500.pyhf.json", "--json"))
    limit = exported["asymptotic"]["expected"][2]
    assert limit == pytest.approx(found["points"][1]["limit"]["expected"][2], rel=1e-5)


def test_pictures_of_what_is_asked_for(folder, workspace, tmp_path):
    words = ("--pulls", "--yields", "--scan", "norm0", "--plots", tmp_path / "pictures")
    output = run(fit_command, workspace, *words)
    names = {each.name for each in (tmp_path / "pictures" / "fit").glob("*.png")}
    assert names == {
        "pulls.png",
        "scan_mu.png",
        "scan_norm0.png",
        *(f"{when}_{name}.png" for when in ("prefit", "postfit") for name in "abc"),
    }
    assert "18 pictures" in output  # each as PNG and PDF
    run(fit_command, folder, "--ranking", "--signal", "DH_mZp500")
    assert [each.name for each in (folder / "fit_plots" / "fit").glob("*.png")] == ["ranking.png"]
    assert json.loads((folder / "fit.json").read_text())["reference"] == "DH_mZp500"


def test_one_command_exports_every_format_and_the_closure_table(folder, tmp_path):
    run(export_command, folder, "--output", tmp_path / "out")
    names = {each.name for each in (tmp_path / "out").iterdir()}
    assert {f"DH_mZp130.{kind}" for kind in ("pyhf.json", "hs3.json", "combine.txt", "cabinetry.yml")} <= names
    output = run(closure_command, folder, "--table", tmp_path / "closure.md")
    page = (tmp_path / "closure.md").read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert rows == ["format", "pyhf", "combine", "combine, no stat.", "hs3", "root", "xml"]
    assert "not kept" not in page
    assert "autoMCStats" in page
    assert "Read back" in output


def test_what_can_not_be_done_is_said(folder, workspace):
    with pytest.raises(ConfigError, match=r"no signal 'DH_mZp50' \(did you mean DH_mZp500"):
        run(export_command, folder, "--signal", "DH_mZp50")
    with pytest.raises(InputError, match="does not exist"):
        run(limit_command, folder / "nothing.json")
    with pytest.raises(ConfigError, match=r"no parameter norm \(did you mean norm"):
        run(fit_command, workspace, "--scan", "norm")
