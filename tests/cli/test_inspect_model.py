"""`colonnade inspect` of models: what they hold, and what is unusual about them."""

import gzip
import json

import numpy as np
import pytest
from click.testing import CliRunner

from colonnade.cli.inspect import inspect as command
from colonnade.errors import ConfigError
from colonnade.statistics.formats import export_model, read_model
from colonnade.statistics.model import Channel, Modifier, Sample, make_model


def numbers(*values):
    return np.array(values, dtype=float)


@pytest.fixture
def odd_model():
    """A model with one of everything that is unusual."""
    yields = numbers(20, 30, 0)
    signal = Sample("sig", numbers(2, 3, 0), (Modifier("normfactor", "mu"),))
    modifiers = (
        Modifier("histosys", "even", numbers(22, 28, 0), numbers(22, 28, 0), interpolation="code4p"),
        Modifier("normsys", "sided", numbers(1.2), numbers(1.1)),
        Modifier("normsys", "huge", numbers(2.5), numbers(0.4)),
        Modifier("normsys", "dead", numbers(1.0), numbers(1.0)),
        Modifier("normsys", "once", numbers(1.05), numbers(0.96)),
        Modifier("normsys", "twin", numbers(1.05), numbers(0.96)),
    )
    samples = (signal, Sample("bkg", yields, modifiers), Sample("none", numbers(0, 0, 0)))
    return make_model([Channel("SR", samples, (0.0, 1.0, 2.0, 3.0))], {"SR": numbers(23, 31, 2)}, "mu")


def test_what_is_unusual_is_said(odd_model, tmp_path):
    export = export_model(odd_model, tmp_path, "odd", "pyhf")
    result = CliRunner().invoke(command, [str(export.path), "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["poi"] == "mu"
    assert found["channels"] == [
        {"name": "SR", "bins": 3, "observed": 56.0, "expected": {"sig": 5.0, "bkg": 50.0, "none": 0.0}}
    ]
    by_name = {each["name"]: each for each in found["parameters"]}
    assert (by_name["mu"]["constraint"], by_name["mu"]["processes"]) == ("none", 1)
    assert (by_name["huge"]["up"], by_name["huge"]["down"]) == pytest.approx((1.5, -0.6))
    assert by_name["even"]["shape"] == pytest.approx(0.1)
    said = {
        "even does the same up and down",
        "sided moves the yield to one side only: bkg in SR",
        "huge has an effect of more than 100 %: bkg in SR",
        "dead has no effect on anything",
        "twin has the very effects of once",
        "none in SR has no events",
        "Nothing is expected in bin 2 of SR, where 2 are observed",
    }
    for words in said:
        assert sum(words in sentence for sentence in found["unusual"]) == 1, words
    assert len(found["unusual"]) == len(said)


@pytest.mark.parametrize("form", ["pyhf", "combine", "hs3", "root", "xml"])
def test_every_format_is_shown(odd_model, tmp_path, form):
    export = export_model(odd_model, tmp_path, "odd", form)
    result = CliRunner().invoke(command, [str(export.path)], catch_exceptions=False)
    assert result.exit_code == 0
    poi = read_model(export.path).poi
    assert f"of interest: {poi}" in result.stdout
    assert "huge" in result.stdout
    assert "Note:" in result.stdout


def test_parameters_are_chosen_by_globs(odd_model, tmp_path):
    export = export_model(odd_model, tmp_path, "odd", "pyhf")
    result = CliRunner().invoke(command, [str(export.path), "*e*", "--json"], catch_exceptions=False)
    names = {each["name"] for each in json.loads(result.stdout)["parameters"]}
    assert names == {"even", "sided", "huge", "dead", "once"}
    with pytest.raises(ConfigError, match=r"'hugee' is unknown \(did you mean huge"):
        CliRunner().invoke(command, [str(export.path), "hugee"], catch_exceptions=False)


def test_a_patchset_alone_and_with_its_workspace(odd_model, tmp_path):
    export = export_model(odd_model, tmp_path, "odd", "pyhf")
    patches = [
        {
            "metadata": {"name": f"m{mass}", "values": [mass]},
            "patch": [{"op": "replace", "path": "/channels/0/samples/0/data", "value": [mass / 100, 0, 0]}],
        }
        for mass in (300, 500)
    ]
    about = {"name": "points", "description": "Two points.", "labels": ["mass"], "digests": {"md5": "0" * 32}}
    about["references"] = {"hepdata": "ins0000001"}
    path = tmp_path / "patches.json"
    path.write_text(json.dumps({"metadata": about, "patches": patches, "version": "1.0.0"}))
    shown = CliRunner().invoke(command, [str(path)], catch_exceptions=False).stdout
    assert "Two points." in shown
    assert "m300" in shown
    found = json.loads(CliRunner().invoke(command, [str(path), "m5*", "--json"], catch_exceptions=False).stdout)
    assert found["patches"] == {"m500": {"mass": 500}}
    words = [str(export.path), "--patchset", str(path), "--patch", "m500", "--json"]
    model = json.loads(CliRunner().invoke(command, words, catch_exceptions=False).stdout)
    assert model["channels"][0]["expected"]["sig"] == 5.0


def test_several_cards_are_shown_as_one(odd_model, tmp_path):
    export = export_model(odd_model, tmp_path, "odd", "combine")
    words = [f"a={export.path}", f"b={export.path}", "huge", "--json"]
    found = json.loads(CliRunner().invoke(command, words, catch_exceptions=False).stdout)
    assert [each["name"] for each in found["channels"]] == ["a", "b"]
    assert [(each["name"], each["processes"]) for each in found["parameters"]] == [("huge", 2)]


def test_packed_cards_are_shown(odd_model, tmp_path):
    export = export_model(odd_model, tmp_path, "odd", "combine")
    packed = tmp_path / "odd.combine.txt.gz"
    packed.write_bytes(gzip.compress(export.path.read_bytes()))
    assert CliRunner().invoke(command, [str(packed)], catch_exceptions=False).exit_code == 0
