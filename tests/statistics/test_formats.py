import json
import re
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.closure import (
    close,
    export_translation,
    random_points,
    spec_of_one_bin,
    translated,
    without_statistics,
)

from colonnade.errors import ConfigError, FitError, InputError
from colonnade.statistics import Likelihood, fit, from_workspace, upper_limits
from colonnade.statistics.build import Builder
from colonnade.statistics.formats import export_model, read_model
from colonnade.statistics.formats.hs3 import to_hs3
from colonnade.statistics.formats.hs3_reading import from_hs3
from colonnade.statistics.model import Channel, Modifier, Sample, make_model


@pytest.fixture(scope="module")
def search(make_inputs, search_settings):
    """The model of a search: shapes, yields, luminosity, statistics, a free normalisation, unblinded data."""
    channels = {
        key: each.model_copy(update={"rebin": 10 if key.startswith("SR") else 30})
        for key, each in search_settings.channels.items()
        if not key.endswith("_mm")
    }
    settings = search_settings.model_copy(update={"channels": channels})
    return Builder(make_inputs(points=(500,), data=True, unblind=True), settings).build("DH_mZp500").model


def numbers(*values):
    return np.array(values, dtype=float)


# ---- closure

# form -> the largest relative difference of the log-likelihood ratio, and of the limits
TOLERANCES = {"pyhf": (1e-9, 1e-9), "hs3": (1e-9, 1e-9), "root": (2e-3, 2e-4), "combine": (5e-2, 2e-2)}


@pytest.mark.parametrize("form", list(TOLERANCES))
def test_what_is_written_is_what_is_read(search, tmp_path, form):
    export = export_model(search, tmp_path, "search", form)
    there = read_model(export.path)
    closure = close(search, there, export_translation(search, form), points=60, draws=1)
    likelihood, limits = TOLERANCES[form]
    assert closure.within < likelihood
    assert closure.limits < limits
    assert closure.mu_hat < 10 * limits
    assert closure.z < 10 * limits
    # where it is not exact, it says so
    assert bool(export.differences) is (form in ("root", "combine"))
    if form in ("root", "combine"):
        assert closure.within > 1e-9


def test_a_card_is_exact_where_conventions_agree(search, tmp_path):
    """Without asymmetric yields and bin-wise statistics a card says the same to rounding."""
    channels = []
    for channel in search.channels:
        samples = []
        for sample in channel.samples:
            kept = tuple(m for m in sample.modifiers if m.kind in ("normfactor", "lumi", "histosys"))
            samples.append(Sample(sample.name, sample.yields, kept))
        channels.append(Channel(channel.name, tuple(samples), channel.edges))
    lumi = search.parameter("lumi")
    overrides = {"lumi": {"auxdata": lumi.auxdata, "sigmas": lumi.widths, "bounds": lumi.bounds}}
    model = make_model(channels, search.observations, search.poi, overrides=overrides)
    export = export_model(model, tmp_path, "plain", "combine")
    assert export.differences == {}
    closure = close(model, read_model(export.path), export_translation(model, "combine"), points=60)
    # beyond what can be, a bin driven below zero is cut off there
    assert max(closure.within, closure.limits) < 1e-9


def test_what_is_left_without_statistics_is_the_curve_of_an_asymmetric_yield(search, tmp_path):
    """Combine's line of the closure table comes from autoMCStats: without, limits are closer by far."""
    plain = without_statistics(search)
    assert not any(m.kind == "staterror" for c in plain.channels for s in c.samples for m in s.modifiers)
    assert plain.parameter("lumi") == search.parameter("lumi")
    found = []
    for model in (search, plain):
        export = export_model(model, tmp_path, "search", "combine")
        translation = export_translation(model, "combine")
        found.append(close(model, read_model(export.path), translation, points=20, draws=1))
    with_statistics, bare = found
    assert bare.limits < 1e-3 < with_statistics.limits
    assert bare.z < 0.1 * with_statistics.z
    assert bare.mu_hat < 0.1 * with_statistics.mu_hat


# ---- HistFactory XML


def test_histfactory_xml_is_read_as_it_was_written(random_workspace, tmp_path, monkeypatch):
    spec = random_workspace(4)
    spec["measurements"][0]["config"]["parameters"][1]["fixed"] = True
    spec["measurements"][0]["config"]["parameters"][0]["bounds"] = [[0.0, 10.0]]
    model = from_workspace(spec)
    export = export_model(model, tmp_path / "JOB", "x", "xml")
    there, here = Likelihood(read_model(export.path)), Likelihood(model)
    names = {f"stat_{channel.name}": f"staterror_{channel.name}" for channel in model.channels}
    assert set(chain(*export.differences.values())) == set(names)

    def translate(label, value):
        name, bracket, index = label.partition("[")
        return names.get(name, name) + bracket + index, value

    assert set(there.labels) == {translate(label, 0)[0] for label in here.labels}
    assert there.model.parameter("free").fixed == (True,)
    start = None
    for _, theta in random_points(here, 20, seed=1):
        moved = translated(here, there, theta, translate)
        difference = there.logpdf(moved, there.observed) - here.logpdf(theta, here.observed)
        start = difference if start is None else start
        assert difference == pytest.approx(start, abs=1e-6)
    # every path is relative, and what ROOT takes by default for statistical uncertainties is not what is meant
    texts = [file.read_text() for file in (tmp_path / "JOB").rglob("*.xml")]
    assert not any(str(tmp_path) in text for text in texts)
    assert all('RelErrorThreshold="0" ConstraintType="Gaussian"' in text for text in texts if "<Channel" in text)
    # as TRExFitter leaves it: paths from a folder above
    top = tmp_path / "JOB" / "RooStats" / "JOB.xml"
    top.parent.mkdir()
    top.write_text(export.path.read_text().replace(">x.histfactory/", ">JOB/x.histfactory/"))
    for file in (tmp_path / "JOB" / "x.histfactory").glob("*.xml"):
        file.write_text(file.read_text().replace('"x.histfactory/', '"JOB/x.histfactory/'))
    monkeypatch.chdir(tmp_path)
    assert read_model(Path("JOB/RooStats/JOB.xml")).poi == model.poi
    (tmp_path / "JOB" / "x.histfactory" / "channel_a.xml").unlink()
    with pytest.raises(InputError, match=r"names the file JOB/x\.histfactory/channel_a\.xml, which is not in"):
        read_model(top)


def test_what_is_no_histfactory_xml(tmp_path):
    (tmp_path / "bad.xml").write_text("<nothing/>")
    with pytest.raises(InputError, match="HistFactory XML"):
        read_model(tmp_path / "bad.xml")


def test_a_luminosity_of_another_name_is_no_histfactory_xml(tmp_path):
    yields = numbers(20, 30)
    signal = Sample("sig", numbers(2, 3), (Modifier("normfactor", "mu"), Modifier("lumi", "lumi_2018")))
    overrides = {"lumi_2018": {"auxdata": [1.0], "sigmas": [0.02]}}
    channels = [Channel("SR", (signal, Sample("bkg", yields)))]
    model = make_model(channels, {"SR": yields}, "mu", overrides=overrides)
    with pytest.raises(ConfigError, match="can't say the lumi lumi_2018, as its one luminosity is called lumi"):
        export_model(model, tmp_path, "x", "xml")
    assert not list(tmp_path.iterdir())


# ---- what HistFactory has no words for


def card(rows, folder):
    lines = ["imax *", "jmax *", "kmax *", "bin a", "observation 25", "bin a a", "process sig bkg", "process 0 1"]
    (folder / "card.txt").write_text("\n".join([*lines, "rate 5 20", *rows]) + "\n")
    return read_model(folder / "card.txt")


@pytest.mark.parametrize("form", ["pyhf", "hs3", "root", "xml"])
def test_a_parameter_without_a_range_is_given_one_and_told(tmp_path, form):
    model = card(["norm rateParam a bkg 2"], tmp_path)
    export = export_model(model, tmp_path, "x", form)
    assert any("norm" in names for how, names in export.differences.items() if "from -2000 to 2000" in how)
    assert read_model(export.path).parameter("norm").bounds == ((-2000.0, 2000.0),)


@pytest.mark.parametrize("form", ["pyhf", "hs3", "root", "xml"])
def test_what_is_constant_is_so_in_every_format(tmp_path, form):
    model = card(["norm rateParam a bkg 1.3 [0,5]", "eff lnN 1.1 1.1"], tmp_path)
    parameters = tuple(replace(each, fixed=(each.name == "norm",)) for each in model.parameters)
    export = export_model(replace(model, parameters=parameters), tmp_path, "x", form)
    again = read_model(export.path)
    assert (again.parameter("norm").fixed, again.parameter("norm").inits) == ((True,), (1.3,))
    assert again.parameter("eff").fixed == (False,)


@pytest.mark.parametrize("form", ["pyhf", "hs3", "xml"])
def test_a_measured_normalisation_becomes_a_shape_that_is_linear_in_it(tmp_path, form):
    model = card(["norm rateParam a bkg 1.2 [0,5]", "norm param 1.2 0.3", "lumi lnN 1.02 1.02"], tmp_path)
    export = export_model(model, tmp_path, "x", form)
    assert any("norm" in names for how, names in export.differences.items() if "deviation" in how)
    here, there = Likelihood(model), Likelihood(read_model(export.path))
    rng = np.random.default_rng(0)
    differences = []
    for r, lumi, shift in zip(*rng.uniform(-2, 2, (3, 9)), strict=True):
        mine = {"r": 1 + r / 4, "lumi": 0.0 * lumi, "norm": 1.2 + 0.3 * shift}
        theirs = mine | {"norm": shift, "lumi_norm": mine["lumi"]}
        differences.append(
            there.logpdf(np.array([theirs[name] for name in there.labels]), there.observed)
            - here.logpdf(np.array([mine[name] for name in here.labels]), here.observed)
        )
    np.testing.assert_allclose(differences, differences[0], atol=1e-9)
    limits = [upper_limits(each).expected for each in (here, there)]
    np.testing.assert_allclose(*limits, rtol=1e-3)


def test_a_shape_of_one_bin_is_told_where_it_becomes_a_factor(tmp_path):
    model = card(["norm rateParam a bkg 1.2 [0,5]", "norm param 1.2 0.3"], tmp_path)
    export = export_model(model, tmp_path, "x", "root")
    assert any("norm" in names for how, names in export.differences.items() if "not linear" in how)


def test_a_log_normal_called_lumi_has_another_name_in_xml(tmp_path):
    model = card(["lumi lnN 1.02 1.02"], tmp_path)
    export = export_model(model, tmp_path, "x", "xml")
    assert any("lumi_norm" in how for how in export.differences)
    assert read_model(export.path).parameter("lumi_norm").constraint == "normal"


def test_a_log_normal_called_lumi_takes_no_other_ones_name(tmp_path):
    model = card(["lumi lnN 1.1 1.1", "lumi_norm lnN - 1.3"], tmp_path)
    export = export_model(model, tmp_path, "x", "xml")
    again = read_model(export.path)
    assert {each.name for each in again.parameters} == {"r", "lumi_norm", "lumi_norm_"}
    limits = [upper_limits(Likelihood(each)).expected for each in (model, again)]
    np.testing.assert_allclose(*limits, rtol=1e-3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["norm rateParam a bkg (1+@0) x", "x param 0 1"], "norm of bkg in a: it has no function of parameters"),
        (["free lnU 1.2 1.1"], "free of sig in a: it has no measurement of a deviation but a normal one at 0"),
        (
            ["eff lnN 1.1 1.1", "eff param 0 -0.5/+1.5"],
            "eff of sig in a: it has no measurement of a deviation but a normal one at 0",
        ),
        (["r param 1 0.2"], "no measurement of the parameter of interest"),
        (
            ["norm rateParam a bkg 1", "norm param 1 -0.1/+0.3"],
            "norm of bkg in a: it has no measurement with two widths",
        ),
    ],
)
def test_what_only_a_card_can_say_is_refused(tmp_path, rows, message):
    model = card(rows, tmp_path)
    for form in ("pyhf", "hs3", "root", "xml"):
        with pytest.raises(ConfigError, match=message):
            export_model(model, tmp_path, "x", form)


# ---- workspaces of others, and what is wrong with them


def changed(path, value):
    spec = spec_of_one_bin()
    *parents, last = path
    place = spec
    for each in parents:
        place = place[each]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return spec


BAD_WORKSPACES = [
    (
        changed(["measurements", 0, "config", "poi"], "muu"),
        r"no modifier defines the parameter of interest 'muu' \(did you mean mu",
    ),
    (changed(["observations"], []), "not a valid pyhf workspace"),
    (changed(["observations", 0, "name"], "other"), "has no observed events"),
    (changed(["observations", 0, "data"], [1.0, 2.0]), "2 values for 1 bins"),
    (changed(["observations", 0, "data"], [-1.0]), "negative"),
    (changed(["channels", 0, "samples", 1, "modifiers", 0, "type"], "shapesyss"), "not a valid pyhf workspace"),
    (changed(["measurements"], None), "bare pyhf model"),
    ({"patches": []}, "patchset, not a workspace"),
    ([1, 2], "not a valid pyhf workspace"),
]


@pytest.mark.parametrize(("spec", "message"), BAD_WORKSPACES)
def test_workspaces_that_are_wrong(tmp_path, spec, message):
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(spec))
    with pytest.raises(ConfigError, match=message) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


def test_a_name_with_a_slash_is_no_xml(random_workspace, tmp_path):
    model = from_workspace(random_workspace(0)).renamed({}, samples={"two": "WW/WZ"})
    with pytest.raises(ConfigError, match="name WW/WZ, as a slash"):
        export_model(model, tmp_path, "x", "xml")
    assert not list(tmp_path.iterdir())


def test_hs3_where_pyhf_is_expected(random_workspace, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(to_hs3(from_workspace(random_workspace(0)))))
    with pytest.raises(ConfigError, match="is not a valid pyhf workspace"):
        from_workspace(json.loads(path.read_text()))
    assert read_model(path).poi == "mu"  # and found out where no format is stated
    with pytest.raises(ConfigError, match="is not an HS3 file"):
        from_hs3(random_workspace(0))


def test_models_without_a_parameter_of_interest_are_read(tmp_path):
    spec = changed(["measurements", 0, "config", "poi"], "")
    model = from_workspace(spec)
    assert model.poi == ""
    assert from_hs3(to_hs3(model)).poi == ""
    result = fit(Likelihood(model))
    assert result.labels == model.labels
    with pytest.raises(FitError, match="names no parameter of interest"):
        upper_limits(Likelihood(model))


def test_patches(tmp_path):
    path, patches = tmp_path / "workspace.json", tmp_path / "patch.json"
    path.write_text(json.dumps(spec_of_one_bin()))
    operations = [{"op": "replace", "path": "/channels/0/samples/0/data", "value": [20.0]}]
    patches.write_text(json.dumps(operations))
    assert read_model(path, patchset=patches).channels[0].samples[0].yields.tolist() == [20.0]
    patches.write_text(json.dumps([{"op": "remove", "path": "/nothing/0"}]))
    with pytest.raises(ConfigError, match="does not apply"):
        read_model(path, patchset=patches)
    patches.write_text(json.dumps({"patches": 1}))
    with pytest.raises(ConfigError, match="not a pyhf patchset"):
        read_model(path, patchset=patches)
    with pytest.raises(ConfigError, match="--patchset"):
        read_model(path, patch="x")


def test_a_cabinetry_configuration_that_is_wrong(search, tmp_path):
    export = export_model(search, tmp_path, "search", "root")
    spec = yaml.safe_load(export.path.read_text())
    del spec["General"]["InputPath"]
    bad = tmp_path / "bad.yml"
    bad.write_text(yaml.safe_dump(spec))
    with pytest.raises(ConfigError, match="no cabinetry configuration that can be built"):
        read_model(bad)
    spec["General"]["InputPath"] = "missing.root:{RegionPath}/{SamplePath}/{VariationPath}"
    bad.write_text(yaml.safe_dump(spec))
    with pytest.raises(InputError, match="histograms can't be read"):
        read_model(bad)


def test_what_a_format_can_not_say_is_refused(random_workspace, tmp_path):
    model = from_workspace(random_workspace(0))  # it has a shapefactor
    with pytest.raises(ConfigError, match="can't say the shapefactor"):
        export_model(model, tmp_path, "x", "combine")
    with pytest.raises(ConfigError, match="can't say the shape"):
        export_model(model, tmp_path, "x", "root")
    with pytest.raises(ConfigError, match=r"'combin' is unknown \(did you mean combine"):
        export_model(model, tmp_path, "x", "combin")
    assert not re.search(r"\.(txt|root|yml)", " ".join(each.name for each in tmp_path.iterdir()))


@pytest.mark.parametrize("form", ["pyhf", "hs3", "xml"])
def test_a_linear_shape_becomes_smooth_and_is_told(search, tmp_path, form):
    linear = {"interpolation": "code0"}

    def changed_sample(sample):
        modifiers = tuple(replace(m, **linear) if m.kind == "histosys" else m for m in sample.modifiers)
        return replace(sample, modifiers=modifiers)

    channels = tuple(replace(each, samples=tuple(map(changed_sample, each.samples))) for each in search.channels)
    shapes = {modifier.parameter for _, _, modifier in search.uses() if modifier.kind == "histosys"}
    export = export_model(replace(search, channels=channels), tmp_path, "x", form)
    (told,) = (names for how, names in export.differences.items() if how.startswith("a shape became code 4p"))
    assert set(told) == shapes
    assert shapes


def test_shapesys_and_unsplit_shapes_are_told(tmp_path):
    yields = numbers(20, 30)
    signal = Sample("sig", numbers(2, 3), (Modifier("normfactor", "mu"),))
    modifiers = (
        Modifier("shapesys", "gamma", errors=numbers(1, 2)),
        Modifier("histosys", "shape", 1.1 * yields, 0.9 * yields, interpolation="code4p"),
    )
    model = make_model([Channel("SR", (signal, Sample("bkg", yields, modifiers)))], {"SR": numbers(23, 31)}, "mu")
    export = export_model(model, tmp_path, "x", "combine")
    assert set(chain(*export.differences.values())) == {"gamma", "shape"}
    closure = close(model, read_model(export.path), export_translation(model, "combine"), points=20)
    assert closure.limits < 0.02
