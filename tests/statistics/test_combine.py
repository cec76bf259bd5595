"""Combine's datacards: its conventions and its numbers, and cards that it refuses."""

import numpy as np
import pyhf
import pytest
from helpers.cards import card, numbers, shapes_file

from colonnade.errors import ConfigError, InputError
from colonnade.statistics import Likelihood, discovery, to_workspace, upper_limits
from colonnade.statistics.fitting import fit_at
from colonnade.statistics.formats import as_histfactory, read_model
from colonnade.statistics.formats.combine import read_combine
from colonnade.statistics.minimise import minimise

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
    assert differences == {}
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
    (("sys dFD 1 1.1 1.1",), "unknown kind 'dFD'"),
    (("sys lnN 1.1",), "has 1 entries for 2 columns"),
    (("sys lnN 1.1 wrong",), "can't be read"),
    (("sys lnN 1.1 -0.2",), "negative entry -0.2"),
    (("sys lnN 1.1 0.0/1.2",), "not above 0"),
    (("sys gmN 10 0.5/0.6 -",), "only lnN and lnU have two values"),
    (("sys gmN 10 - 2",), "10 events of bkg"),
    (("a gmN 88 - 0.5", "b gmN 44 - 1.0"), "two gmN"),
    (("beta rateParam ch1 bkg (@0*2) alpha",), "needs alpha"),
    (("beta rateParam ch1 bkg (@0*@1) alpha", "alpha rateParam ch1 sig 1"), "no argument @1"),
    (("a rateParam ch1 bkg (@0) b", "b rateParam ch1 sig (@0) a"), "formula of a needs b"),
    (("r rateParam ch1 bkg 1",), "r is the signal strength and a rateParam"),
    (("beta rateParam ch1 bkk 1",), "not both there"),
    (("beta rateParam c* bkg 3 [0,2]",), "outside its range"),
    (("beta rateParam ch1 bkg w.root:w",), "RooFit workspace"),
    (("sys lnN 1.1 -", "sys rateParam ch1 bkg 1"), "systematic uncertainty and a rateParam"),
    (("sys lnN 1.1 -", "sys shape - 1"), "write 'shape[?]'"),
    (("theta param 0 0",), "not above 0"),
    (("theta param 0 -1/2",), "-x/[+]y"),
    (("g group = nobody",), "names nobody"),
    (("g group nobody",), "needs = and"),
    (("ch2 autoMCStats 0",), r"ch2, which is not there \(did you mean ch1"),
    (("nuisance edit drop * ch1 sys",), "finds nothing"),
    (("nuisance edit drop * * sys", "word unknown"), "unknown kind"),
    (("nuisance edit paint * * sys",), "'paint' is unknown"),
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
    with pytest.raises(InputError, match=r"no file of shapes .*missing\.root"):
        read_model(path)
    shapes_file(tmp_path / "shapes.root", {"data_obs": ([237.0], [0.0]), "sigg": ([1.0], [0.0])})
    path.write_text(card(shapes="shapes * * shapes.root $PROCESS"))
    with pytest.raises(ConfigError, match=r"no histogram sig \(did you mean sigg"):
        read_model(path)


def test_an_asymmetric_lnn_is_told(tmp_path):
    path = tmp_path / "card.txt"
    path.write_text(card("sys lnN 0.9/1.2 1.3"))
    plain, differences = as_histfactory(read_model(path))
    assert list(differences.values()) == [["sys"]]
    codes = {s.name: s.modifiers[-1].interpolation for s in plain.channels[0].samples}
    assert codes == {"sig": "code4", "bkg": "code1"}


# ---- what Combine itself makes of cards


def tables(shared_data):
    """The cards of ../shared/data/cards with Combine's limits, best fit and significance."""
    rows = {}
    for line in (shared_data / "cards" / "README.md").read_text(encoding="utf-8").splitlines():
        words = [word.strip() for word in line.strip("|").split("|")]
        if len(words) == 10 and words[0] not in ("card", "---"):
            rows[words[0]] = words[1:]
    return rows


CARDS = [
    *("gm1", "lnnsame", "rp", "s_auto0", "s_auto10", "s_autotwice", "s_gmn", "s_kill", "s_lnn0", "s_mismatch", "s_neg"),
    *("s_plain", "s_prec", "s_rate0", "s_rateparam", "s_rateparam_param", "s_ratescale", "s_shape", "s_zero"),
    *("k_161gm", "k_abcd", "k_gmn2", "k_lnnbig", "k_negsig", "k_obsfrac"),
]


def test_the_table_of_cards_is_whole(shared_data):
    assert set(CARDS) == set(tables(shared_data))


@pytest.mark.parametrize("name", CARDS)
def test_combines_numbers(shared_data, name):
    """Limits, best fit and significance of Combine v10.6.0.

    Its expected limits are found to 5e-4 or 0.2 %, whichever is more, and its outer quantiles are others by definition.
    """
    path = shared_data / "cards" / f"{name}.txt"
    expected = tables(shared_data)[name]
    if expected[0] == "refused":
        with pytest.raises(ConfigError, match="has the rate 30, its template holds 20"):
            read_combine(path)
        return
    likelihood = Likelihood(read_combine(path))
    limits, test = upper_limits(likelihood), discovery(likelihood)
    observed, *band, strength, _, significance = (float(word) for word in (*expected[:7], "0", expected[8]))
    assert limits.observed == pytest.approx(observed, rel=1e-3)
    assert limits.expected[2] == pytest.approx(band[2], rel=2.2e-3)
    np.testing.assert_allclose(limits.expected, band, rtol=0.03)
    assert test.mu_hat == pytest.approx(strength, rel=1e-3, abs=6e-3)
    assert test.z == pytest.approx(significance, rel=1e-3, abs=1e-4)
