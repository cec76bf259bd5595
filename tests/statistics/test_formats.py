import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import hist
import numpy as np
import pyhf
import pytest
import uproot
import yaml
from pyhf.writexml import writexml

from colonnade.errors import ConfigError, InputError
from colonnade.statistics import Likelihood, from_workspace, to_workspace
from colonnade.statistics.build import Builder
from colonnade.statistics.closure import (
    close,
    close_pyhs3,
    export_translation,
    random_points,
    translated,
    without_statistics,
)
from colonnade.statistics.fitting import fit_at
from colonnade.statistics.formats import as_histfactory, export_model, read_model
from colonnade.statistics.formats.hs3 import from_hs3, to_hs3
from colonnade.statistics.formats.pyhs3_check import pyhs3_log_likelihoods
from colonnade.statistics.minimise import minimise
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
    (export,) = export_model(search, tmp_path, "search", (form,))
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
    (export,) = export_model(model, tmp_path, "plain", ("combine",))
    assert export.differences == ()
    closure = close(model, read_model(export.path), export_translation(model, "combine"), points=60)
    assert max(closure.within, closure.beyond, closure.limits) < 1e-9


def test_what_is_left_without_statistics_is_the_curve_of_an_asymmetric_yield(search, tmp_path):
    """Combine's line of the closure table comes from autoMCStats: without, limits are closer by far."""
    plain = without_statistics(search)
    assert not any(m.kind == "staterror" for c in plain.channels for s in c.samples for m in s.modifiers)
    assert plain.parameter("lumi") == search.parameter("lumi")
    found = []
    for model in (search, plain):
        (export,) = export_model(model, tmp_path, "search", ("combine",))
        translation = export_translation(model, "combine")
        found.append(close(model, read_model(export.path), translation, points=20, draws=1))
    with_statistics, bare = found
    assert bare.limits < 1e-3 < with_statistics.limits
    assert bare.z < 0.1 * with_statistics.z
    assert bare.mu_hat < 0.1 * with_statistics.mu_hat


def test_every_kind_of_modifier_survives_hs3(random_workspace):
    model = from_workspace(random_workspace(2))
    again = from_hs3(json.loads(json.dumps(to_hs3(model))))
    a, b = Likelihood(model), Likelihood(again)
    assert a.labels == b.labels
    np.testing.assert_array_equal(a.fixed, b.fixed)
    rng = np.random.default_rng(0)
    for _ in range(20):
        theta = np.clip(a.inits + 0.3 * rng.normal(size=len(a.inits)), a.lower + 0.01, a.upper)
        theta[a.fixed] = a.inits[a.fixed]
        assert a.logpdf(theta, a.observed) == pytest.approx(b.logpdf(theta, b.observed), rel=1e-12)


@pytest.fixture(scope="session")
def pyhs3_python():
    """A Python that has pyhs3, which can't be installed beside the rest: see docs/statistics.md."""
    named = os.environ.get("COLONNADE_PYHS3")
    python = Path(named) if named else Path(__file__).parents[2] / ".venv-hs3" / "bin" / "python"
    if not python.is_file():
        pytest.skip("pyhs3 needs an environment of its own: .venv-hs3, or COLONNADE_PYHS3=its Python")
    return python


def test_pyhs3_says_the_same(random_workspace, pyhs3_python):
    """The file as pyhs3 validates and understands it: its own expressions of every term."""
    model = from_workspace(random_workspace(3))
    ours = Likelihood(model)
    points = np.array([theta for _, theta in random_points(ours, 6, seed=0)])
    version, theirs = pyhs3_log_likelihoods(pyhs3_python, model, points)
    assert version.startswith("0.")
    np.testing.assert_allclose(theirs, [ours.logpdf(theta, ours.observed) for theta in points], rtol=1e-9)


def test_pyhs3_finds_the_same_significance(pyhs3_python):
    _, closure = close_pyhs3(from_workspace(spec_of_one_bin()), pyhs3_python, points=10)
    assert max(closure.within, closure.beyond, closure.z, closure.mu_hat) < 1e-6


def test_a_python_without_pyhs3_is_said():
    model = from_workspace(spec_of_one_bin())
    points = Likelihood(model).inits[None, :]
    with pytest.raises(InputError, match="can't be started"):
        pyhs3_log_likelihoods(Path("nowhere") / "python", model, points)
    if importlib.util.find_spec("pyhs3") is None:
        with pytest.raises(InputError, match="has no pyhs3; make an environment"):
            pyhs3_log_likelihoods(Path(sys.executable), model, points)


# ---- Combine

# Combine's own scans of one bin (signal 148.8 and background 43.8 events, 237 observed), twice the difference of the
# log-likelihood, as kept at github.com/kskovpen/combine2pyhf (results/pyhf/one-bin-sys-{normsys,histosys}-corr)
STRENGTHS = [1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5]
SCANS = {
    "lnN": [
        2.417908,
        22.293098,
        16.198703,
        11.296684,
        7.448785,
        4.5275,
        1.018008,
        0.237932,
        3.2e-5,
        0.193428,
        0.728683,
    ],
    "shape": [
        2.497052,
        30.304241,
        20.648727,
        13.578553,
        8.481146,
        4.901632,
        1.005643,
        0.225594,
        6.3e-5,
        0.206334,
        0.747866,
    ],
}


def shapes_file(path, contents):
    with uproot.recreate(path) as file:
        for name, (values, errors) in contents.items():
            filled = hist.Hist(hist.axis.Regular(len(values), 0, len(values), name="x"), storage=hist.storage.Weight())
            filled.view()["value"], filled.view()["variance"] = values, numbers(*errors) ** 2
            file[name] = filled


def card(*rows, shapes="", observed="237", rates="148.8058319091797 43.84315872192383"):
    lines = ["imax 1", "jmax 1", "kmax *", shapes, "bin ch1", f"observation {observed}", "---"]
    lines += ["bin ch1 ch1", "process sig bkg", "process 0 1", f"rate {rates}", "---"]
    return "\n".join([*lines, *rows, ""])


@pytest.mark.parametrize("kind", list(SCANS))
def test_combines_own_likelihood(tmp_path, kind):
    """Asymmetric log-normals, and shapes with their yield (histogram mode 2), against Combine itself."""
    path = tmp_path / "card.txt"
    if kind == "lnN":
        path.write_text(card("sys lnN 0.9/1.1 0.8/1.2"))
    else:
        sig, bkg = 148.8058319091797, 43.84315872192383
        contents = {"data_obs": ([237.0], [0.0]), "sig": ([sig], [0.0]), "bkg": ([bkg], [0.0])}
        contents |= {"sig_sysUp": ([163.68641510009767], [0.0]), "sig_sysDown": ([133.92524871826173], [0.0])}
        contents |= {"bkg_sysUp": ([52.611790466308596], [0.0]), "bkg_sysDown": ([35.074526977539064], [0.0])}
        shapes_file(tmp_path / "shapes.root", contents)
        shapes = "shapes * * shapes.root $PROCESS $PROCESS_$SYSTEMATIC"
        rows = ("sys shape 1 1", "* autoMCStats 0 0 2")
        path.write_text(card(*rows, shapes=shapes, observed="-1", rates="-1 -1"))
    likelihood = Likelihood(read_model(path))
    data = likelihood.observed[:, None]
    best = minimise(likelihood, data)
    scan = 2 * (fit_at(likelihood, numbers(*STRENGTHS), data).nll - best.nll[0])
    assert best.values[likelihood.poi, 0] == pytest.approx((237 - 43.84315872192383) / 148.8058319091797, rel=1e-6)
    # Combine's minimum lies some 1e-5 too high, by which all its differences are too small
    np.testing.assert_allclose(scan - np.array(SCANS[kind]), 6e-5, atol=5e-5)


REALISTIC = """
# the counting card of Combine's manual
imax 1  number of channels
jmax 3  number of backgrounds
kmax 5  number of nuisance parameters
------------
bin bin1
observation 0
------------
bin          bin1     bin1     bin1     bin1
process         ggH  qqWW  ggWW  others
process          0     1     2     3
rate           1.47  0.64  0.06  0.22
------------
lumi    lnN    1.11    -   1.11    -    lumi affects both signal and gg->WW (mc-driven). lnN = lognormal
"""


def test_a_counting_card(tmp_path):
    path = tmp_path / "card.txt"
    rows = [
        "lumi lnN 1.11 - 1.11 -",
        "xs_ggH lnN 1.16 - - -",
        "WW_norm gmN 4 - 0.16 - -",
        "xs_ggWW lnN - - 1.50 -",
        "bg_others lnN - - - 1.30",
    ]
    text = REALISTIC.rsplit("\nlumi", 1)[0] + "\n" + "\n".join(rows) + "\n"
    path.write_text(text.replace("observation 0", "observation 2"))
    model = read_model(path)
    likelihood = Likelihood(model)
    theta = likelihood.inits.copy()
    assert likelihood.expected(theta)[0] == pytest.approx(1.47 + 0.64 + 0.06 + 0.22)
    values = {"r": 2.0, "lumi": 0.7, "xs_ggH": -0.4, "WW_norm": 5.5, "xs_ggWW": 1.5, "bg_others": -2.0}
    theta = numbers(*(values[label] for label in likelihood.labels))
    signal = 2.0 * 1.47 * 1.11**0.7 * 1.16**-0.4
    rate = signal + 0.16 * 5.5 + 0.06 * 1.11**0.7 * 1.5**1.5 + 0.22 * 1.3**-2.0
    assert likelihood.expected(theta)[0] == pytest.approx(rate, rel=1e-12)
    pulls = sum(values[name] ** 2 for name in ("lumi", "xs_ggH", "xs_ggWW", "bg_others"))
    expected = 2 * np.log(rate) - rate - np.log(2) - pulls / 2 - 2 * np.log(2 * np.pi)
    expected += 4 * np.log(5.5) - 5.5 - np.log(24)
    assert likelihood.logpdf(theta, likelihood.observed) == pytest.approx(expected, rel=1e-12)
    # a gmN on one process in one bin is a shapesys, so pyhf says the same
    plain, differences = as_histfactory(model)
    assert differences == ()
    reference = pyhf.Workspace(to_workspace(plain)).model(
        modifier_settings={"normsys": {"interpcode": "code1"}, "histosys": {"interpcode": "code4p"}}
    )
    values["WW_norm[0]"] = values.pop("WW_norm") / 4
    point = [values[name] for name in reference.config.par_names]
    assert float(reference.expected_actualdata(point)[0]) == pytest.approx(rate, rel=1e-9)


def test_binwise_statistics_of_a_card_are_combines(tmp_path):
    """n + x e, with e the sum of the processes' errors in quadrature, each scaled with its yield."""
    contents = {
        "data_obs": ([20.0, 30.0], [0.0, 0.0]),
        "sig": ([2.0, 3.0], [0.3, 0.4]),
        "bkg": ([15.0, 25.0], [1.5, 0.0]),
    }
    shapes_file(tmp_path / "shapes.root", contents)
    path = tmp_path / "card.txt"
    shapes = "shapes * * shapes.root $PROCESS"
    path.write_text(
        card("bnorm rateParam ch1 bkg 1 [0,5]", "ch1 autoMCStats 0", shapes=shapes, observed="50", rates="5 40")
    )
    likelihood = Likelihood(read_model(path))
    values = {"r": 2.0, "bnorm": 1.2, "prop_binch1[0]": 0.8, "prop_binch1[1]": 0.0}
    theta = numbers(*(values[label] for label in likelihood.labels))
    expected = [4.0 + 18.0 + 0.8 * np.hypot(2.0 * 0.3, 1.2 * 1.5), 6.0 + 30.0]
    np.testing.assert_allclose(likelihood.expected(theta), expected)
    # the second bin has no background error, so no parameter
    assert likelihood.fixed[likelihood.labels.index("prop_binch1[1]")]
    step = 1e-6
    for index in range(len(theta)):
        high, low = theta.copy(), theta.copy()
        high[index] += step
        low[index] -= step
        slope = (likelihood.expected(high) - likelihood.expected(low)) / (2 * step)
        np.testing.assert_allclose(likelihood.jacobian(theta[:, None])[0, :, index], slope, atol=1e-6)


BAD_CARDS = [
    (("sys lnU 1.1 1.1",), "sys is a lnU"),
    (("sys shapeN2 1 1",), r"sys is a shapeN2 \(did you mean shape"),
    (("sys lnN 1.1",), "has 1 entries for 2 columns"),
    (("sys lnN 1.1 wrong",), "can't be read"),
    (("beta rateParam ch1 bkg (@0*2) alpha",), "formula|can't be read"),
    (("theta param 0 1",), "constrains no rateParam"),
    (("sys shape 1 1",), "no shapes line"),
    (("word",), "word is a word alone"),
]


@pytest.mark.parametrize(("rows", "message"), BAD_CARDS)
def test_a_card_that_can_not_be_read(tmp_path, rows, message):
    path = tmp_path / "card.txt"
    path.write_text(card(*rows))
    with pytest.raises(ConfigError, match=message):
        Likelihood(read_model(path))


def test_a_card_without_its_shapes(tmp_path):
    path = tmp_path / "card.txt"
    path.write_text(card(shapes="shapes * * missing.root $PROCESS"))
    with pytest.raises(InputError, match=r"missing\.root can't be read"):
        read_model(path)
    shapes_file(tmp_path / "shapes.root", {"data_obs": ([237.0], [0.0]), "sigg": ([1.0], [0.0])})
    path.write_text(card(shapes="shapes * * shapes.root $PROCESS"))
    with pytest.raises(ConfigError, match=r"no histogram sig \(did you mean sigg"):
        read_model(path)


def test_few_effective_events_are_refused(tmp_path):
    contents = {"data_obs": ([3.0], [0.0]), "sig": ([1.0], [0.1]), "bkg": ([2.0], [1.0])}
    shapes_file(tmp_path / "shapes.root", contents)
    path = tmp_path / "card.txt"
    path.write_text(card("* autoMCStats 10", shapes="shapes * * shapes.root $PROCESS", observed="3", rates="-1 -1"))
    with pytest.raises(ConfigError, match="one parameter a process"):
        read_model(path)


# ---- HistFactory XML


def test_histfactory_xml(random_workspace, tmp_path):
    spec = random_workspace(4)
    for channel in spec["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"] = [m for m in sample["modifiers"] if m["type"] in ("normfactor", "normsys", "lumi")]
            sample["modifiers"] += [
                {
                    "name": "s",
                    "type": "histosys",
                    "data": {
                        "hi_data": [1.1 * v for v in sample["data"]],
                        "lo_data": [0.9 * v for v in sample["data"]],
                    },
                }
            ]
    (tmp_path / "config").mkdir()
    (tmp_path / "data").mkdir()
    top = writexml(spec, str(tmp_path / "config"), str(tmp_path / "data"), "FitConfig")
    (tmp_path / "FitConfig.xml").write_bytes(top)
    text = (tmp_path / "FitConfig.xml").read_text()
    (tmp_path / "FitConfig.xml").write_text(text.replace(str(tmp_path) + "/", ""))
    for file in (tmp_path / "config").glob("*.xml"):
        file.write_text(file.read_text().replace(str(tmp_path) + "/", ""))
    there = Likelihood(read_model(tmp_path / "FitConfig.xml"))
    here = Likelihood(from_workspace(spec))
    theta = here.inits + 0.3
    moved = translated(here, there, theta, lambda label, value: (label, value))
    names = [channel.name for channel in here.model.channels]
    for name in names:
        np.testing.assert_allclose(
            there.expected(moved)[there.channels[name]], here.expected(theta)[here.channels[name]], rtol=1e-6
        )
    (tmp_path / "bad.xml").write_text("<nothing/>")
    with pytest.raises(InputError, match="HistFactory XML"):
        read_model(tmp_path / "bad.xml")


# ---- workspaces of others, and what is wrong with them


def spec_of_one_bin():
    signal = {"name": "signal", "data": [10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    shapesys = {"name": "uncorrelated", "type": "shapesys", "data": [7.0]}
    background = {"name": "background", "data": [50.0], "modifiers": [shapesys]}
    return {
        "channels": [{"name": "singlechannel", "samples": [signal, background]}],
        "observations": [{"name": "singlechannel", "data": [55.0]}],
        "measurements": [{"name": "measurement", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


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
    (changed(["measurements", 0, "config", "poi"], ""), "names no parameter of interest"),
    (changed(["observations"], []), "not a valid pyhf workspace"),
    (changed(["observations", 0, "name"], "other"), "has no observed events"),
    (changed(["observations", 0, "data"], [0.0]), "every observed count is zero"),
    (changed(["observations", 0, "data"], [1.0, 2.0]), "1 bins but 2 observed"),
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


def test_hs3_where_pyhf_is_expected(random_workspace, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(to_hs3(from_workspace(random_workspace(0)))))
    with pytest.raises(ConfigError, match="is a HS3 file"):
        read_model(path, form="pyhf")
    assert read_model(path).poi == "mu"  # and found out where no format is stated
    with pytest.raises(ConfigError, match="is not an HS3 file"):
        from_hs3(random_workspace(0))
    spec = to_hs3(from_workspace(random_workspace(0)))
    spec["analyses"][0]["parameters_of_interest"] = []
    with pytest.raises(ConfigError, match="names no parameter of interest"):
        from_hs3(spec)


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
    (export,) = export_model(search, tmp_path, "search", ("root",))
    spec = yaml.safe_load(export.path.read_text())
    del spec["General"]["InputPath"]
    bad = tmp_path / "bad.yml"
    bad.write_text(yaml.safe_dump(spec))
    with pytest.raises(ConfigError, match="no valid cabinetry configuration"):
        read_model(bad)
    spec["General"]["InputPath"] = "missing.root:{RegionPath}/{SamplePath}/{VariationPath}"
    bad.write_text(yaml.safe_dump(spec))
    with pytest.raises(InputError, match="histograms can't be read"):
        read_model(bad)


def test_what_a_format_can_not_say_is_refused(random_workspace, tmp_path):
    model = from_workspace(random_workspace(0))  # it has a shapefactor
    with pytest.raises(ConfigError, match="can't say the shapefactor"):
        export_model(model, tmp_path, "x", ("combine",))
    with pytest.raises(ConfigError, match="can't say the shape"):
        export_model(model, tmp_path, "x", ("root",))
    with pytest.raises(ConfigError, match=r"'combin' is unknown \(did you mean combine"):
        export_model(model, tmp_path, "x", ("combin",))
    assert not re.search(r"\.(txt|root|yml)", " ".join(each.name for each in tmp_path.iterdir()))


def test_an_asymmetric_lnn_is_told(tmp_path):
    path = tmp_path / "card.txt"
    path.write_text(card("sys lnN 0.9/1.2 1.3"))
    plain, differences = as_histfactory(read_model(path))
    assert [each.what for each in differences] == ["sys"]
    codes = {s.name: s.modifiers[-1].interpolation for s in plain.channels[0].samples}
    assert codes == {"sig": "code4", "bkg": "code1"}


def test_shapesys_and_unsplit_shapes_are_told(tmp_path):
    yields = numbers(20, 30)
    signal = Sample("sig", numbers(2, 3), (Modifier("normfactor", "mu"),))
    modifiers = (
        Modifier("shapesys", "gamma", errors=numbers(1, 2)),
        Modifier("histosys", "shape", 1.1 * yields, 0.9 * yields, interpolation="code4p"),
    )
    model = make_model([Channel("SR", (signal, Sample("bkg", yields, modifiers)))], {"SR": numbers(23, 31)}, "mu")
    (export,) = export_model(model, tmp_path, "x", ("combine",))
    assert {each.what for each in export.differences} == {"gamma", "shape"}
    closure = close(model, read_model(export.path), export_translation(model, "combine"), points=20)
    assert closure.limits < 0.02
