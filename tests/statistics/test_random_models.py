"""Random models, degenerate ones among them, against MINUIT from many starts on a likelihood written down again."""

import pytest
from helpers.random_models import Oracle, compare, random_spec

from colonnade.statistics import Likelihood, from_workspace

# the first ones once ended in a minimum that is not the lowest, or in none: one seed a kind of mistake
SEEDS = (
    26, 66, 69, 28, 10024, 10225, 10247, 30263, 30308, 30390, 30546, 30601, 30661, 33293, 33362, 38290, 39241, 41163,
    42519, 43537, 44185, 44435, 44512, 45218, 47774, 53340, 2001, 2002, 2005,
)  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_random_models(seed):
    found = compare(seed, starts=4)
    assert found.compared >= 6
    assert not found.wrong, found.wrong


def test_a_wrong_answer_would_be_seen():
    spec = random_spec(26)
    likelihood = Likelihood(from_workspace(spec))
    oracle = Oracle(spec, likelihood)
    off = likelihood.inits + 0.3
    least = oracle.minimum(likelihood.observed, off, seed=1, hold={}, starts=3)
    assert least < oracle.nll(off, likelihood.observed) - 0.01
