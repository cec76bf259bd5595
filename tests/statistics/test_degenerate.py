"""Models where something is degenerate: even effects, bins driven below zero, empty data, nothing to fit.

The numbers of saddle1 and saddle3 are from brute force and MINUIT; the others of this file are closed forms or a grid
of the likelihood written down again here.
"""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.optimize import brentq, minimize
from scipy.stats import norm

from colonnade.cli.fit import fit as fit_command
from colonnade.cli.likelihoods import limit as limit_command
from colonnade.errors import FitError
from colonnade.statistics import Likelihood, discovery, fit, from_workspace, upper_limits
from colonnade.statistics.fitting import fit_at
from colonnade.statistics.formats import read_model
from colonnade.statistics.minimise import minimise
from colonnade.statistics.settings import LimitSettings
from colonnade.statistics.toys import expects_few, find_limits


@pytest.fixture
def shared(shared_data):
    def read(name):
        return Likelihood(read_model(shared_data / "cards" / f"{name}.json"))

    return read


def sample(name, yields, *modifiers):
    return {"name": name, "data": yields, "modifiers": list(modifiers)}


def normfactor(name="mu"):
    return {"name": name, "type": "normfactor", "data": None}


def normsys(name, high, low):
    return {"name": name, "type": "normsys", "data": {"hi": high, "lo": low}}


def histosys(name, high, low):
    return {"name": name, "type": "histosys", "data": {"hi_data": high, "lo_data": low}}


def workspace(samples, observed, poi="mu", parameters=()):
    return {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": observed}],
        "measurements": [{"name": "m", "config": {"poi": poi, "parameters": list(parameters)}}],
        "version": "1.0.0",
    }


def counting_limits(signal, background):
    """The expected limits of a counting experiment: q-tilde of its Asimov data is known in closed form."""

    def excess(mu, target):
        return math.sqrt(2 * (mu * signal - background * math.log1p(mu * signal / background))) - target

    targets = [n + norm.isf(0.05 * norm.sf(-n)) for n in range(-2, 3)]
    return [brentq(excess, 1e-6, 1e3, args=(target,)) for target in targets]


# ---- published as they are


def test_an_even_effect_that_takes_the_signal_away(shared):
    limits = upper_limits(shared("saddle1"))
    assert limits.observed == pytest.approx(7.50, rel=1e-3)
    assert limits.expected[2] == pytest.approx(7.50, rel=1e-3)
    assert limits.expected[4] == math.inf
    assert [note.kind for note in limits.notes] == ["infinite"]


def test_an_even_effect_on_the_background(shared):
    likelihood = shared("saddle3")
    assert discovery(likelihood).z == pytest.approx(0.895, abs=1e-3)
    assert upper_limits(likelihood).expected[2] == pytest.approx(2.734, rel=1e-3)


def test_bins_below_zero_have_their_limits(shared):
    """A grid and a simplex on the likelihood written down here."""
    likelihood = shared("neg4")
    assert discovery(likelihood).z == 0
    data = likelihood.expected_data(fit(likelihood).values)
    np.testing.assert_allclose(data[:2], [50, 0], atol=1e-6)

    def expected(mu, shifts):  # both effects are linear
        return np.array([50 + 5 * mu, 0.6 + 0.5 * mu + 0.9 * shifts[0] + 0.8 * shifts[1]])

    def nll(shifts, mu, counts, centre):
        rate = np.maximum(expected(mu, shifts), 0)
        value = rate.sum() - counts.sum() + counts[0] * np.log(counts[0] / rate[0])
        return value + 0.5 * ((shifts - centre) ** 2).sum()

    def profiled(mu, counts, centre):
        best = [
            minimize(nll, start, args=(mu, counts, centre), method="Nelder-Mead", options={"fatol": 1e-12})
            for start in ([0.0, 0.0], centre, [-2.0, -2.0])
        ]
        return min(best, key=lambda each: each.fun)

    counts = np.array([50.0, 0.0])
    centre = profiled(0.0, counts, np.zeros(2)).x
    for sigma, limit in zip((-2, 0, 2), upper_limits(likelihood, observed=False).expected[::2], strict=True):
        target = sigma + norm.isf(0.05 * norm.sf(-sigma))
        assert math.sqrt(2 * profiled(limit, counts, centre).fun) == pytest.approx(target, rel=1e-3)


def test_only_the_strength_is_free(shared):
    likelihood = shared("pyhf1123")
    found = fit(likelihood)
    assert found.values[0] == pytest.approx(1.5)
    assert found.errors[0] == pytest.approx(math.sqrt(65) / 10, rel=1e-5)
    assert discovery(likelihood).z == pytest.approx(math.sqrt(2 * (65 * math.log(65 / 50) - 15)))
    assert upper_limits(likelihood).expected == pytest.approx(counting_limits(10, 50), rel=1e-5)


def test_no_events_in_the_signal_region(shared):
    likelihood = shared("pyhf1161_cr")
    found = fit(likelihood)
    assert found.value("mu") == 0
    # along 1.5 mu events the likelihood rises by a half at a third of a signal
    assert found.error("mu") == pytest.approx(1 / 3, rel=1e-3)
    assert [note.subject for note in found.notes if note.kind == "bound"] == ["mu"]
    assert all(np.isfinite(upper_limits(likelihood).expected))


def test_events_that_only_signal_explains(shared):
    assert discovery(shared("pyhf1944")).z == math.inf


@pytest.mark.parametrize("name", ["saddle1", "saddle3", "neg4", "pyhf1123", "pyhf1161_cr", "pyhf1944"])
def test_commands_take_them_all(name, shared_data):
    path = str(shared_data / "cards" / f"{name}.json")
    for command, words in ((limit_command, ["--method", "asymptotic", "--json"]), (fit_command, ["--json"])):
        result = CliRunner().invoke(command, [path, *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["notes"] is not None


# ---- one difficulty each


def test_a_bin_that_expects_nothing_but_has_events():
    plain = workspace([sample("s", [5.0], normfactor()), sample("b", [20.0], normsys("n", 1.1, 0.9))], [22.0])
    more = workspace([sample("s", [5.0, 0.0], normfactor()), sample("b", [20.0, 0.0], normsys("n", 1.1, 0.9))], [22, 2])
    limits = upper_limits(Likelihood(from_workspace(more)))
    assert limits.expected == pytest.approx(upper_limits(Likelihood(from_workspace(plain))).expected, rel=1e-6)
    assert [(note.kind, note.subject) for note in limits.notes] == [("unexpected", "SR bin 2")]
    assert "2 events" in limits.notes[0].text


def test_a_direction_that_data_do_not_constrain():
    """Two factors of one background: their product is measured, and each of them is not."""
    samples = [sample("s", [5.0, 0.0], normfactor()), sample("b", [20.0, 50.0], normfactor("k"), normfactor("l"))]
    found = fit(Likelihood(from_workspace(workspace(samples, [25.0, 50.0]))))
    assert found.value("mu") == pytest.approx(1.0, abs=1e-5)
    assert found.value("k") * found.value("l") == pytest.approx(1.0, abs=1e-5)
    # the variance of n1 - 0.4 n2
    assert found.error("mu") == pytest.approx(math.sqrt(25 + 0.16 * 50) / 5, rel=1e-3)
    assert found.error("k") == found.error("l") == 0
    assert {note.subject for note in found.notes if note.kind == "flat"} == {"k", "l"}


def test_an_effect_of_nothing_changes_nothing():
    samples = [sample("s", [5.0], normfactor()), sample("b", [20.0], normsys("n", 1.0, 1.0))]
    likelihood = Likelihood(from_workspace(workspace(samples, [22.0])))
    assert upper_limits(likelihood).expected == pytest.approx(counting_limits(5, 20), rel=1e-5)
    assert fit(likelihood).error("n") == pytest.approx(1.0)


def test_no_events_at_all():
    samples = [sample("s", [3.0, 2.0], normfactor()), sample("b", [1.0, 0.5], normsys("n", 1.2, 0.8))]
    likelihood = Likelihood(from_workspace(workspace(samples, [0.0, 0.0])))
    found = fit(likelihood)
    assert found.value("mu") == 0
    assert found.error("mu") == pytest.approx(0.1, rel=1e-3)
    assert discovery(likelihood).z == 0
    assert 0 < upper_limits(likelihood).observed < 2


def test_without_a_strength_a_model_can_be_fitted():
    samples = [sample("b", [20.0], normfactor("k"))]
    model = from_workspace(workspace(samples, [30.0], poi="k"))
    likelihood = Likelihood(type(model)(model.channels, model.parameters, "", model.observations))
    assert fit(likelihood).value("k") == pytest.approx(1.5)
    for function in (upper_limits, discovery):
        with pytest.raises(FitError, match="no parameter of interest"):
            function(likelihood)


def test_a_modifier_listed_twice_counts_once_as_in_pyhf():
    twice = [normsys("n", 1.5, 0.5), normsys("n", 1.1, 0.9)]
    samples = [sample("s", [5.0], normfactor()), sample("b", [20.0], *twice)]
    model = from_workspace(workspace(samples, [22.0]))
    assert len(model.channels[0].samples[1].modifiers) == 1
    likelihood = Likelihood(model)
    assert likelihood.expected(np.array([0.0, 1.0])) == pytest.approx([22.0])
    assert "twice" in model.notes[0]


def test_few_background_events_are_few_however_large_the_limit():
    samples = [sample("s", [1.0], normfactor()), sample("b", [3.0])]
    likelihood = Likelihood(from_workspace(workspace(samples, [3.0])))
    limits = upper_limits(likelihood)
    assert limits.expected[2] + 3 > 5
    assert expects_few(likelihood, limits, 5.0)
    assert not expects_few(likelihood, limits, 2.0)
    limit, notes = find_limits(likelihood, LimitSettings(toys=100))
    assert limit.method == "toys"
    assert limit.asymptotic.expected == limits.expected
    assert [note.kind for note in notes] == ["toys"]


def test_many_bins_have_limits_and_errors_are_refused():
    """Four thousand bins, each with a statistical uncertainty: only the bins' own parameters are many."""
    bins = 4000
    stat = {"name": "stat", "type": "staterror", "data": [1.0] * bins}
    samples = [sample("s", [0.1] * bins, normfactor()), sample("b", [20.0] * bins, stat, normsys("n", 1.1, 0.9))]
    likelihood = Likelihood(from_workspace(workspace(samples, [20.0] * bins)))
    # all bins are alike, and fully correlated with the background's yield: 10 % of b or 0.1 mu of a bin
    assert upper_limits(likelihood, observed=False).expected[2] == pytest.approx(1.96 * 2.0 / 0.1, rel=0.1)
    with pytest.raises(FitError, match="free parameters"):
        fit(likelihood)


def test_a_free_factor_times_less_than_nothing():
    # no events: a large factor times a sample that a shape has driven below 0 takes the signal away
    other = sample("b", [0.245], normsys("n", 0.2, 0.2), normfactor("k"), histosys("h", [-0.037], [0.358]))
    likelihood = Likelihood(from_workspace(workspace([sample("s", [3.562], normfactor()), other], [0.0])))
    data = np.array([0.0, 1.127, 0.01])
    found = fit_at(likelihood, np.array([0.5]), data[:, None])
    n, h = (each.ravel() for each in np.meshgrid(np.linspace(-2, 2, 201), np.linspace(-3, 3, 301)))
    at = {"mu": np.full_like(n, 0.5), "n": n, "k": np.full_like(n, 10.0), "h": h}
    grid = likelihood.nll(np.array([at[label] for label in likelihood.labels]), data[:, None])
    assert found.nll[0] < grid.min() + 1e-6
    assert found.values[likelihood.labels.index("k"), 0] == pytest.approx(10)


def test_a_strength_held_beyond_its_range_stays_there():
    # n is even, so that the fit begins on a saddle point
    signal = sample("s", [0.6], normfactor())
    background = sample("b", [69.0], normsys("n", 0.9, 0.9), normfactor("k"))
    likelihood = Likelihood(from_workspace(workspace([signal, background], [60.0])))
    found = fit_at(likelihood, np.array([5000.0]), likelihood.observed[:, None])
    assert found.values[likelihood.poi, 0] == 5000
    assert found.nll[0] > 2000


def test_the_best_fit_is_where_a_bin_without_events_just_vanishes():
    # what is fitted is a corner: nothing pulls on the bin there, as less than nothing costs nothing
    parameters = [{"name": "mu", "bounds": [[-5.0, 10.0]], "inits": [1.0]}]
    samples = [sample("s", [1.09], normfactor()), sample("b", [0.51])]
    likelihood = Likelihood(from_workspace(workspace(samples, [0.0], parameters=parameters)))
    data = likelihood.observed[:, None]
    assert minimise(likelihood, data).nll[0] == pytest.approx(0.0, abs=1e-9)


def turned_by_a_shape():
    """A bin whose own factor multiplies less than nothing where the shape is beyond one width."""
    stat = {"name": "stat", "type": "staterror"}
    samples = [
        sample("s", [5.0], normfactor()),
        sample("n", [-8.0], {**stat, "data": [2.6]}),
        sample("b", [13.0], {**stat, "data": [13.0]}, histosys("h", [6.0], [20.0])),
    ]
    return Likelihood(from_workspace(workspace(samples, [1.0])))


def test_a_large_error_of_one_bin_turns_with_a_shape():
    """With the shape beyond one width, the bin's own factor multiplies less than nothing, and takes signal away."""
    likelihood = turned_by_a_shape()
    found = fit_at(likelihood, np.array([1.0]), likelihood.observed[:, None])
    h, factor = (each.ravel() for each in np.meshgrid(np.linspace(-4, 4, 401), np.linspace(0, 10, 501)))
    at = {"mu": np.ones_like(h), "h": h, "stat[0]": factor}
    grid = likelihood.nll(np.array([at[label] for label in likelihood.labels]), likelihood.observed[:, None])
    assert found.nll[0] < grid.min() + 1e-6


def test_a_factor_leaves_the_end_of_its_range():
    """A free factor and the error of its bin have one product: the fit slid to a factor at its end, and stayed."""
    stat = {"name": "stat", "type": "staterror", "data": [2.5]}
    samples = [sample("s", [8.3], normfactor("k"), stat), sample("b", [0.77])]
    likelihood = Likelihood(from_workspace(workspace(samples, [1.0], poi="")))
    index = {label: place for place, label in enumerate(likelihood.labels)}

    def rest(error):  # where the bin's own parameter is best for a factor of 10
        start = likelihood.inits.copy()
        start[index["k"]], start[index["stat[0]"]] = 10.0, error
        return likelihood.gradient(start[:, None], likelihood.observed[:, None])[index["stat[0]"], 0], start

    start = rest(brentq(lambda error: rest(error)[0], 1e-4, 0.1))[1]
    # the factor alone describes the data
    assert minimise(likelihood, likelihood.observed[:, None], start=start[:, None]).nll[0] == pytest.approx(0, abs=1e-6)


def test_a_signal_without_end_that_a_shape_turns_to_nothing():
    """No events: a signal of any size costs nothing where a shape makes it less than nothing in each bin."""
    high, low = np.array([4.656, 0.199]), np.array([8.323, 0.307])
    samples = [
        sample("s", low.tolist(), normfactor(), histosys("h", high.tolist(), low.tolist())),
        sample("b", [18.0, 29.0]),
    ]
    likelihood = Likelihood(from_workspace(workspace(samples, [0.0, 0.0])))
    # as the signal grows, both bins are empty from where the shape takes all of the second one's away
    shape = low[1] / (low[1] - high[1])
    assert discovery(likelihood).q0 == pytest.approx(2 * (18 + 29) - shape**2, abs=1e-2)


def test_many_fits_at_once_find_what_each_finds_alone():
    """The first fits of a batch begin at all starting points, further ones at those that were of use."""
    likelihood = turned_by_a_shape()
    data = likelihood.sample_data(likelihood.inits, 120, np.random.default_rng(3))
    together = fit_at(likelihood, np.full(120, 4.0), data).nll
    alone = [fit_at(likelihood, np.full(1, 4.0), each[:, None]).nll[0] for each in data.T]
    once = fit_at(likelihood, np.full(120, 4.0), data, several=False).nll
    assert np.sum(once > np.array(alone) + 1e-4) > 5
    np.testing.assert_allclose(together, alone, atol=1e-6)
