import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.errors import FitError
from colonnade.statistics import asimov_significance, significance

# s, b, sigma_b, Z: Cowan et al. arXiv:1007.1727 and its follow-up note
ASIMOV = [
    (10, 100, 0, 0.9839916447569),
    (5, 1, 0, 3.3913291834820),
    (10, 100, 10, 0.6901960632965),
    (50, 100, 10, 3.1729728607954),
    (20, 50, 7, 1.8397484032354),
]
# R. Guevara's thesis (docs/references.md), Eq. 5.3 on the printed yields
COUNTING = [((4, 117), 0.368), ((6, 117), 0.550), ((3, 108), 0.287), ((5, 108), 0.477)]
sizes = st.floats(1e-3, 1e6)


@pytest.mark.parametrize(("s", "b", "sigma", "z"), ASIMOV)
def test_published_asimov_significances(s, b, sigma, z):
    assert asimov_significance(s, b, sigma) == pytest.approx(z, rel=1e-12)


@pytest.mark.parametrize(("yields", "z"), COUNTING)
def test_the_documents_significances(yields, z):
    assert significance(*yields) == pytest.approx(z, abs=5e-4)


def test_arrays_broadcast():
    table = np.array(ASIMOV).T
    np.testing.assert_allclose(asimov_significance(*table[:3]), table[3], rtol=1e-12)
    assert significance([[1.0], [2.0]], [3.0, 4.0, 5.0]).shape == (2, 3)


def test_no_signal_is_no_significance():
    assert significance(0, 5) == 0
    assert asimov_significance(0, 5, 1) == 0


@pytest.mark.parametrize("background", [0.0, -1.0, math.nan])
def test_no_background_is_an_error(background):
    with pytest.raises(FitError, match="background above 0"):
        significance(1, background)
    with pytest.raises(FitError, match="background above 0"):
        asimov_significance([1, 1], [5, background], 1)


def test_a_tiny_uncertainty_is_none():
    assert asimov_significance(1, 1, 5.9e-160) == asimov_significance(1, 1, 0)
    assert asimov_significance(1, 1, 1e-60) == pytest.approx(asimov_significance(1, 1, 0), rel=1e-14)


def test_negative_signal_and_uncertainty_are_errors():
    with pytest.raises(FitError, match="signal of 0 or more"):
        significance([1, -1], 5)
    with pytest.raises(FitError, match="uncertainty"):
        asimov_significance(1, 5, -1)


@given(s=sizes, b=sizes, relative=st.floats(0, 1))
def test_uncertainty_only_takes_away(s, b, relative):
    sharp, blurred = significance(s, b), asimov_significance(s, b, relative * b)
    assert blurred <= sharp * (1 + 1e-6)
    # s / sqrt(b + sigma^2) is the limit of both for a weak signal
    assert sharp <= s / math.sqrt(b) * (1 + 1e-9)


@given(ratio=st.floats(1e-12, 1e-2), b=sizes)
def test_weak_signals_keep_their_digits(ratio, b):
    assert significance(ratio * b, b) == pytest.approx(
        ratio * math.sqrt(b) * math.sqrt(1 - ratio / 3 + ratio**2 / 6), rel=1e-6
    )


@given(s=sizes, b=sizes, relative=st.floats(1e-3, 1))
def test_the_formula_is_the_notes(s, b, relative):
    """Eq. 20 as the note prints it, where it keeps its digits."""
    variance = (relative * b) ** 2
    first = (s + b) * math.log((s + b) * (b + variance) / (b**2 + (s + b) * variance))
    second = b**2 / variance * math.log1p(variance * s / (b * (b + variance)))
    lost = 1e-14 * (abs(first) + abs(second) + b)
    assert asimov_significance(s, b, relative * b) ** 2 == pytest.approx(
        2 * max(first - second, 0), rel=1e-9, abs=2 * lost
    )


@given(s=sizes, b=sizes)
def test_a_small_uncertainty_is_none(s, b):
    known = float(significance(s, b))
    tolerance = 1e-9 + 1e-12 * s / b
    assert asimov_significance(s, b, 1e-6 * math.sqrt(b)) == pytest.approx(known, rel=tolerance)
