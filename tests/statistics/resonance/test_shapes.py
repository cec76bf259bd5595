"""Shapes against numerical integration and against their definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from colonnade.config import Settings, parse_settings
from colonnade.errors import ConfigError
from colonnade.statistics.resonance import (
    BackgroundTable,
    Bernstein,
    CrystalBall,
    Exponential,
    Gaussian,
    PolyLogExponential,
    Polynomial,
    QuadraticExponential,
)
from colonnade.statistics.resonance.backgrounds import AnyBackground

EDGES = np.linspace(132.0, 168.0, 37)
SHAPES = [Exponential(), QuadraticExponential(), PolyLogExponential(), Polynomial(2), Bernstein(3)]
# the forms as B. Lieberman and B. Mellado print them (docs/references.md), up to their normalisation
FORMS = {
    "exponential": (lambda x, c: np.exp(-c[0] * x), [0.03]),
    "exponential with quadratic": (lambda x, c: np.exp(-c[0] * x + c[1] * x**2), [0.06, 1e-4]),
    "poly-log-exponential": (
        lambda x, c: (1 - x / 13e3) ** c[0] * (x / 13e3) ** (c[1] + c[2] * np.log(x / 13e3)),
        [8.0, -5.0, 0.1],
    ),
}


@pytest.mark.parametrize("shape", SHAPES[:3], ids=lambda shape: shape.label)
def test_bins_hold_the_integral_of_the_printed_form(shape):
    form, values = FORMS[shape.label]
    table = BackgroundTable(shape, EDGES)
    # the internal coefficients of these parameters: solve the table's own linear map
    raw = np.array([0.0, *values])
    coefficients = (table._triangle @ raw)[None]
    content = table.content(coefficients)[0]
    expected = [quad(form, low, high, args=(values,), epsrel=1e-13)[0] for low, high in pairwise(EDGES)]
    assert content == pytest.approx(np.array(expected), rel=1e-6)
    natural, _ = table.natural(coefficients[0])
    assert natural[0] == pytest.approx(sum(expected), rel=1e-6)
    assert natural[1:] == pytest.approx(values, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.label)
def test_gradient_and_jacobian_agree_with_differences(shape):
    table = BackgroundTable(shape, EDGES)
    counts = 1000 * np.exp(-(EDGES[:-1] - 132) / 30)
    point = table.start(counts[None], np.ones(36, dtype=bool))[0]
    _, gradient, bends = table.expect(point[None])
    slope = np.linspace(-1, 2, 36)[None]
    curvature = bends(slope)
    _, jacobian = table.natural(point)
    for index in range(table.parameters):
        step = np.zeros_like(point)
        step[index] = 1e-5 * max(abs(point[index]), 1.0)
        up, down = table.expect((point + step)[None]), table.expect((point - step)[None])
        width = 2 * step[index]
        difference = (up[0] - down[0])[0] / width
        assert gradient[0, :, index] == pytest.approx(difference, rel=1e-5, abs=1e-6)
        bend = slope[0] @ (up[1] - down[1])[0] / width
        mine = curvature[0, index] if curvature.size else np.zeros_like(bend)
        assert mine == pytest.approx(bend, rel=1e-4, abs=1e-3)
        moved = (table.natural(point + step)[0] - table.natural(point - step)[0]) / width
        scale = np.abs(jacobian).max(axis=1)
        assert np.all(np.abs(jacobian[:, index] - moved) < 2e-4 * scale + 1e-12)


@given(
    st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=3),
    st.floats(1.0, 1e6),
    st.floats(-50, 500),
    st.floats(1.0, 300.0),
)
@settings(max_examples=50, deadline=None)
def test_polynomial_yield_is_its_integral(shape, total, low, width):
    edges = np.linspace(low, low + width, 13)
    table = BackgroundTable(Polynomial(3), edges)
    coefficients = total * np.array([1.0, *shape])
    natural, _ = table.natural(coefficients)
    assert table.content(coefficients[None]).sum() == pytest.approx(total, rel=1e-9)
    assert natural == pytest.approx([total, *shape], rel=1e-9, abs=1e-12)
    integral = quad(lambda x: float(table.density(coefficients, np.array([x]))[0]), low, low + width)[0]
    assert integral == pytest.approx(total, rel=1e-7)


@given(st.lists(st.floats(0.0, 10.0), min_size=4, max_size=4).filter(lambda values: sum(values) > 0.1))
@settings(max_examples=50, deadline=None)
def test_bernstein_is_never_negative_and_sums_up(values):
    table = BackgroundTable(Bernstein(3), EDGES)
    content = table.content(np.array([values]))[0]
    assert np.all(content >= -1e-12)
    assert content.sum() == pytest.approx(sum(values), rel=1e-12)


PEAKS = [
    Gaussian(150.0, 2.4),
    CrystalBall(150.0, 2.4, 1.2, 2.5, 1.8, 5.0),
    CrystalBall(141.0, 6.0, 0.7, 1.4, 2.5, 30.0),
]


@pytest.mark.parametrize("peak", PEAKS, ids=lambda peak: f"{type(peak).__name__} {peak.mean:g}")
def test_peak_integrates_to_the_definition(peak):
    def gaussian(x):
        return np.exp(-0.5 * ((x - peak.mean) / peak.sigma) ** 2)

    def crystal_ball(x):
        t = (x - peak.mean) / peak.sigma
        for alpha, n, u in ((peak.alpha_low, peak.n_low, -t), (peak.alpha_high, peak.n_high, t)):
            if u > alpha:
                return (n / alpha) ** n * np.exp(-0.5 * alpha**2) * (n / alpha - alpha + u) ** -n
        return gaussian(x)

    form = crystal_ball if isinstance(peak, CrystalBall) else gaussian
    parts = np.array([quad(form, a, b, epsabs=1e-14)[0] for a, b in pairwise(EDGES)])
    assert peak.fractions(EDGES) == pytest.approx(parts / parts.sum(), rel=1e-7, abs=1e-12)
    assert peak.fractions(EDGES).sum() == pytest.approx(1.0, rel=1e-12)


def test_crystal_ball_with_far_tails_is_a_gaussian():
    far = CrystalBall(150.0, 2.4, 6.0, 50.0, 6.0, 50.0)
    assert far.fractions(EDGES) == pytest.approx(Gaussian(150.0, 2.4).fractions(EDGES), abs=1e-8)


class _Search(Settings):
    """Settings with one background shape."""

    background: AnyBackground


def read(**background):
    return parse_settings(_Search, {"background": background}, "workflow.yaml").background


def test_shapes_by_name():
    assert read(shape="bernstein", order=4) == Bernstein(4)
    assert read(shape="poly_log_exponential", sqrt_s=8000) == PolyLogExponential(8000.0)
    with pytest.raises(ConfigError, match=r"^workflow.yaml: background .*'exponentil'.* tags: 'exponential', "):
        read(shape="exponentil")
    with pytest.raises(ConfigError, match=r"^workflow.yaml: background.exponential.order = 2: unexpected keyword"):
        read(shape="exponential", order=2)
    with pytest.raises(ConfigError, match=r'background.polynomial.order = "2": input should be a valid integer'):
        read(shape="polynomial", order="2")
    with pytest.raises(ConfigError, match="order must be 0 to 12"):
        read(shape="polynomial", order=-1)


def test_impossible_shapes_are_refused():
    with pytest.raises(ConfigError, match="width must be above 0"):
        Gaussian(150.0, 0.0)
    with pytest.raises(ConfigError, match="no integral"):
        CrystalBall(150.0, 2.0, n_low=1.0)
    with pytest.raises(ConfigError, match="outside the fit range"):
        Gaussian(500.0, 2.0).fractions(EDGES)
    with pytest.raises(ConfigError, match="set sqrt_s in the unit of the mass"):
        BackgroundTable(PolyLogExponential(13.0), EDGES)
