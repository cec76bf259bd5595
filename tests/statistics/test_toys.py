import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import poisson

from colonnade.statistics import Likelihood, hypothesis_test, upper_limits
from colonnade.statistics.model import Channel, Modifier, Sample, make_model
from colonnade.statistics.toys import expects_few, toy_limits, toy_test


def counting(s, b, n, error=0.0):
    """One bin: a signal of strength mu on a background known exactly, or with a log-normal error."""
    signal = Sample("signal", np.array([float(s)]), (Modifier("normfactor", "mu"),))
    modifiers = ()
    if error:
        up, down = np.array([1 + error]), np.array([1 / (1 + error)])
        modifiers = (Modifier("normsys", "background", up, down, interpolation="code1"),)
    background = Sample("background", np.array([float(b)]), modifiers)
    return Likelihood(make_model([Channel("SR", (signal, background))], {"SR": np.array([float(n)])}, "mu"))


def exact_cls(mu, s, b, n):
    return poisson.cdf(n, mu * s + b) / poisson.cdf(n, b)


def test_cls_of_a_count_is_poissons():
    """With the background known, q-tilde orders as the count does, so CLs is a ratio of Poisson sums."""
    likelihood = counting(3, 1, 1)
    test = toy_test(likelihood, 1.0, toys=4000, seed=3)
    exact = exact_cls(1.0, 3, 1, 1)
    assert abs(test.cls[5] - exact) < 4 * test.errors[5]
    assert 0.005 < test.errors[5] < 0.02
    # at +2 standard deviations of the background three events are seen, at the median one, below none
    for index, n in ((4, 3), (2, 1), (0, 0)):
        assert abs(test.cls[index] - exact_cls(1.0, 3, 1, n)) < 4 * test.errors[index]


def test_the_error_is_that_of_repeated_tests():
    likelihood = counting(3, 1, 1)
    tests = [toy_test(likelihood, 1.0, toys=500, seed=seed) for seed in range(30)]
    spread = np.std([test.cls[5] for test in tests], ddof=1)
    assert spread == pytest.approx(np.mean([test.errors[5] for test in tests]), rel=0.4)


def test_limits_of_a_few_events_are_poissons():
    likelihood = counting(3, 1, 1)
    asymptotic = upper_limits(likelihood)
    limits = toy_limits(likelihood, asymptotic, toys=3000, seed=5)
    exact = brentq(lambda mu: exact_cls(mu, 3, 1, 1) - 0.05, 0.1, 10)
    assert abs(limits.observed - exact) < 4 * limits.observed_error
    assert limits.observed_error < 0.05 * exact
    nothing = brentq(lambda mu: exact_cls(mu, 3, 1, 0) - 0.05, 0.1, 10)
    assert abs(limits.expected[0] - nothing) < 4 * limits.expected_errors[0]
    # the formulas are a third off there, as no observation is more than one event below the mean
    assert asymptotic.expected[0] < 0.6 * nothing
    assert expects_few(likelihood, asymptotic, 2.0)
    assert not expects_few(likelihood, asymptotic, 0.5)


def test_limits_of_many_events_are_the_asymptotic_ones():
    likelihood = counting(20, 200, 205, error=0.05)
    asymptotic = upper_limits(likelihood)
    limits = toy_limits(likelihood, asymptotic, toys=2000, seed=2)
    assert abs(limits.observed - asymptotic.observed) < 4 * limits.observed_error + 0.02 * asymptotic.observed
    assert limits.expected[2] == pytest.approx(asymptotic.expected[2], rel=0.06)
    assert not expects_few(likelihood, asymptotic, 5.0)


def test_a_limit_goes_on_where_it_was(tmp_path, monkeypatch):
    likelihood = counting(3, 2, 2, error=0.2)
    whole = toy_test(likelihood, 1.0, toys=2500, seed=4)
    from colonnade.statistics import toys

    drawn = []
    real = toys._q_tilde

    def interrupted(*arguments):
        drawn.append(arguments[2].shape[1])
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(toys, "_q_tilde", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toy_test(likelihood, 1.0, toys=2500, seed=4, folder=tmp_path)
    assert len(list(tmp_path.glob("toys-*.npy"))) == 2
    drawn.clear()
    drawn.append(0)  # so that the third call is not the interrupted one again
    drawn.extend([0, 0, 0])
    again = toy_test(likelihood, 1.0, toys=2500, seed=4, folder=tmp_path)
    assert again == whole
    # two of the signal's three batches were kept: the last, the background's three, and the data
    assert drawn[4:] == [500, 1000, 1000, 500, 1]
    # another model shares no batch
    toy_test(counting(3, 2.5, 2, error=0.2), 1.0, toys=1000, seed=4, folder=tmp_path, observed=False)
    assert len(list(tmp_path.glob("toys-*.npy"))) == 8


def test_blinded_toys_hold_nothing_observed():
    test = toy_test(counting(3, 2, 2), 1.0, toys=200, observed=False)
    assert len(test.cls) == len(test.errors) == 5
    likelihood = counting(3, 2, 2)
    band = toy_limits(likelihood, upper_limits(likelihood, observed=False), toys=200)
    assert (band.observed, band.observed_error) == (None, None)


def test_toys_of_a_known_significance():
    """The asymptotic CLs of many events is that of the pseudo-experiments."""
    likelihood = counting(30, 300, 310)
    asymptotic = hypothesis_test(likelihood, 1.2)
    test = toy_test(likelihood, 1.2, toys=4000, seed=1)
    assert abs(test.cls[5] - asymptotic.observed) < 4 * test.errors[5] + 0.01
    assert math.isclose(test.cls[2], asymptotic.expected[2], rel_tol=0.2)


def test_pseudo_experiments_are_reported():
    told = []
    likelihood = counting(3, 2.5, 2)
    toy_limits(likelihood, upper_limits(likelihood), toys=50, report=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == [50 * number for number in range(1, len(told) + 1)]
    # of both hypotheses
    assert told[-1][0] % 100 == 0
    assert all(done <= total for done, total in told)
