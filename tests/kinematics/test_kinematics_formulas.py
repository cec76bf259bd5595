"""Formulas against vector, plain loops, published values and the symmetries of nature."""

import itertools
import math

import awkward as ak
import numpy as np
import pytest
import vector
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from colonnade import kinematics
from colonnade.errors import ConfigError
from colonnade.kinematics import (
    delta_phi,
    delta_r,
    ht,
    invariant_mass,
    leading,
    mt2,
    propagate,
    pt_sum,
    total_transverse_mass,
    transverse_energy,
    transverse_mass,
    vector_sum,
)

momentum = st.tuples(
    st.floats(1.0, 2000.0),
    st.floats(-4.0, 4.0),
    st.floats(-math.pi, math.pi),
    st.sampled_from([0.0, 0.000511, 5.0, 80.0]),
)
massive = momentum.filter(lambda row: row[3] > 0)
momenta = st.lists(momentum, min_size=1, max_size=5)
settings.register_profile("kinematics", max_examples=25, deadline=None)
settings.load_profile("kinematics")
near = {"rtol": 1e-9, "atol": 1e-6}


def vectors(*rows):
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    return vector.array(dict(zip(("pt", "eta", "phi", "mass"), columns, strict=True)))


def missing(*rows):
    columns = np.array(rows, dtype=float).reshape(-1, 2).T
    return vector.array(dict(zip(("pt", "phi"), columns, strict=True)))


def turned(array, angle):
    return vector.array({"pt": array.pt, "eta": array.eta, "phi": array.phi + angle, "mass": array.mass})


def boosted(array, beta):
    return array.boostZ(beta=beta)


class TestAgainstVector:
    @given(momenta, momenta)
    def test_pairs(self, rows, others):
        size = min(len(rows), len(others))
        one, other = vectors(*rows[:size]), vectors(*others[:size])
        assert np.allclose(np.cos(delta_phi(one, other)), np.cos(one.deltaphi(other)))
        assert np.all(np.abs(delta_phi(one, other)) <= math.pi)
        assert np.allclose(delta_r(one, other), one.deltaR(other), atol=1e-7)
        # vector's own mass loses digits of light, fast pairs; energies tell by how much
        scale = ((one + other).E ** 2) * 1e-13
        assert np.all(np.abs(invariant_mass(one, other) ** 2 - (one + other).mass2) <= scale + 1e-9)
        total = vector_sum(one, other)
        for name in ("px", "py", "pz"):
            assert np.allclose(getattr(total, name), getattr(one + other, name), rtol=1e-9, atol=1e-7 * (one + other).E)
        assert np.allclose(transverse_energy(one), np.hypot(one.pt, one.mass))
        assert np.allclose(transverse_energy(total), np.hypot(total.pt, total.mass))

    @given(momenta)
    def test_event_sums(self, rows):
        event = ak.Array([[dict(zip(("pt", "eta", "phi", "mass"), row, strict=True)) for row in rows], []])
        event = ak.with_name(event, "Momentum4D")
        assert np.allclose(ht(event), [sum(row[0] for row in rows), 0.0])
        px, py = (sum(row[0] * turn(row[2]) for row in rows) for turn in (math.cos, math.sin))
        assert np.allclose(pt_sum(event), [math.hypot(px, py), 0.0], atol=1e-6)

    def test_vectors_in_other_coordinates(self):
        cartesian = vector.array({"px": [3.0, 10.0], "py": [4.0, -2.0], "pz": [12.0, 1.0], "E": [14.0, 11.0]})
        other = vectors((30, 1, 2, 0.1), (20, -1, 0.5, 5))
        assert np.allclose(invariant_mass(cartesian, other), (cartesian + other).mass)
        jagged = ak.zip({name: ak.Array([cartesian[name]]) for name in ("px", "py", "pz", "E")}, with_name="Momentum4D")
        assert np.allclose(ht(jagged), [np.sum(cartesian.pt)])


class TestShapes:
    """Jagged, flat and missing arguments mix; the result says so."""

    def test_jagged_against_flat(self, jets):
        met = ak.zip({"pt": np.arange(8.0) + 1, "phi": np.linspace(-3, 3, 8)}, with_name="Momentum2D")
        assert np.allclose(
            ak.flatten(delta_phi(jets, met)), ak.flatten((jets.phi - met.phi + math.pi) % (2 * math.pi) - math.pi)
        )
        first = leading(jets)
        assert ak.to_list(ak.is_none(delta_phi(first, met))) == [count == 0 for count in ak.num(jets)]
        assert ak.num(delta_r(jets, jets)).to_list() == ak.num(jets).to_list()
        assert isinstance(transverse_mass(met, met), np.ndarray)

    def test_in_every_layout(self, jets, variant):
        other = variant(jets)
        assert np.allclose(ht(other), ak.sum(jets.pt, axis=1))
        assert np.allclose(pt_sum(other), ak.sum(jets, axis=1).pt)
        pair = ak.pad_none(jets, 2)
        expected = ak.fill_none((pair[:, 0] + pair[:, 1]).mass, -1)
        assert np.allclose(ak.fill_none(invariant_mass(leading(other), leading(other, 1)), -1), expected)

    def test_plain_angles(self):
        assert delta_phi(np.array([3.0]), np.array([-3.0])) == pytest.approx(6 - 2 * math.pi)
        assert ak.to_list(delta_phi(ak.Array([[3.0], []]), np.array([1.0, 2.0]))) == [[2.0], []]

    def test_what_does_not_fit(self, jets):
        with pytest.raises(ConfigError, match="8 and 7 events"):
            delta_r(leading(jets), leading(jets)[1:])
        with pytest.raises(ConfigError, match="different numbers of objects"):
            delta_r(jets, jets[:, :1])
        with pytest.raises(ConfigError, match="not a object"):
            ht(object())
        with pytest.raises(ConfigError, match="nested deeper"):
            ht(ak.Array([[[1.0]]]))
        with pytest.raises(ConfigError, match="no column 'pt'"):
            ht(ak.Array([[{"p": 1.0}]]))
        with pytest.raises(ConfigError, match="two objects or more"):
            invariant_mass(jets)
        with pytest.raises(ConfigError, match="two momenta or more"):
            total_transverse_mass(jets)

    def test_no_events(self):
        none = vectors()
        assert invariant_mass(none, none).shape == (0,)
        assert mt2(none, none, missing()).shape == (0,)
        assert vector_sum(none, none).pt.shape == (0,)
        assert ht(ak.Array([])).shape == (0,)


class TestSymmetries:
    @given(momenta, momenta, st.floats(-math.pi, math.pi), st.floats(-0.99, 0.99), st.floats(0.1, 10.0))
    def test_pair_mass(self, rows, others, angle, beta, scale):
        size = min(len(rows), len(others))
        one, other = vectors(*rows[:size]), vectors(*others[:size])
        mass = invariant_mass(one, other)
        assert np.allclose(invariant_mass(other, one), mass, **near)
        assert np.allclose(invariant_mass(turned(one, angle), turned(other, angle)), mass, rtol=1e-7, atol=1e-4)
        assert np.allclose(invariant_mass(boosted(one, beta), boosted(other, beta)), mass, rtol=1e-6, atol=1e-3)
        scaled = [
            vector.array({"pt": v.pt * scale, "eta": v.eta, "phi": v.phi, "mass": v.mass * scale}) for v in (one, other)
        ]
        # rounding of squared energies: the root of 1e-16 of them, which grows with the scale
        assert np.allclose(invariant_mass(*scaled), mass * scale, rtol=1e-7, atol=1e-4 * max(scale, 1))
        assert np.all(mass >= one.mass + other.mass - 1e-3)

    @given(momentum, momentum, momentum, st.floats(-math.pi, math.pi))
    def test_masses_of_three(self, first, second, third, angle):
        parts = [vectors(row) for row in (first, second, third)]
        mass = invariant_mass(*parts)
        for order in itertools.permutations(parts):
            assert np.allclose(invariant_mass(*order), mass, rtol=1e-6, atol=1e-2)
            assert np.allclose(total_transverse_mass(*order), total_transverse_mass(*parts), **near)
        assert np.allclose(
            total_transverse_mass(*(turned(part, angle) for part in parts)),
            total_transverse_mass(*parts),
            rtol=1e-7,
            atol=1e-4,
        )

    @given(momentum, momentum, st.floats(-math.pi, math.pi), st.floats(-0.99, 0.99))
    def test_transverse_mass(self, first, second, angle, beta):
        one, other = vectors(first), vectors(second)
        mass = transverse_mass(one, other)
        energies = math.hypot(first[0], first[3]) + math.hypot(second[0], second[3])
        total = one + other
        assert np.allclose(mass**2, energies**2 - total.pt**2, rtol=1e-9, atol=1e-8 * energies**2)
        assert np.allclose(transverse_mass(other, one), mass, **near)
        assert np.allclose(transverse_mass(turned(one, angle), turned(other, angle)), mass, rtol=1e-7, atol=1e-4)
        assert np.allclose(transverse_mass(boosted(one, beta), boosted(other, beta)), mass, rtol=1e-6, atol=1e-3)
        assert np.all(mass <= invariant_mass(one, other) + 1e-3)  # a bound that defines it
        light = transverse_mass(one, other, massless=True)
        expected = math.sqrt(max(2 * first[0] * second[0] * (1 - math.cos(first[2] - second[2])), 0))
        assert light[0] == pytest.approx(expected, rel=1e-6, abs=1e-3)

    @given(massive, massive, st.floats(0, 500), st.floats(-math.pi, math.pi), st.floats(-math.pi, math.pi))
    def test_mt2(self, first, second, size, phi, angle):
        one, other, met = vectors(first), vectors(second), missing((size, phi))
        value = mt2(one, other, met)
        # The calculation is of mT2 squared, from differences of squared momenta, and asks when two conics touch, which
        # for nearly massless or collinear particles are nearly degenerate: Lester's algorithm then keeps five digits.
        # Where both are massless and collinear each conic is a line, and it keeps three or fewer: no digits are
        # promised there (such a pair has no mass, so no selection of an analysis keeps it).
        opening = abs(math.remainder(first[2] - second[2], math.tau))
        assume(opening > 1e-3 or min(first[3] / first[0], second[3] / second[0]) > 1e-3)
        scale = first[0] + second[0] + size + first[3] + second[3]
        squares = {"rtol": 5e-5, "atol": 1e-7 * scale**2}
        assert np.allclose(mt2(other, one, met) ** 2, value**2, **squares)
        turned_met = missing((size, phi + angle))
        assert np.allclose(mt2(turned(one, angle), turned(other, angle), turned_met) ** 2, value**2, **squares)
        doubled = [vectors((2 * row[0], row[1], row[2], 2 * row[3])) for row in (first, second)]
        assert np.allclose(mt2(*doubled, missing((2 * size, phi))) ** 2 / 4, value**2, **squares)
        assert value[0] >= max(first[3], second[3]) - 1e-6
        # any split of the missing momentum gives an upper bound
        for share in (0.0, 0.5, 1.0):
            bound = max(
                transverse_mass(one, missing((share * size, phi)))[0],
                transverse_mass(other, missing(((1 - share) * size, phi)))[0],
            )
            assert value[0] ** 2 <= bound**2 * (1 + squares["rtol"]) + squares["atol"]


class TestPublished:
    def test_mt2_of_lester_and_nachman(self):
        """The value in the tests of the mt2 package."""
        one, other = (
            vector.array({"px": [px], "py": [py], "pz": [0.0], "mass": [mass]})
            for px, py, mass in ((410.0, 20.0, 100.0), (-210.0, -300.0, 150.0))
        )
        met = vector.array({"px": [-200.0], "py": [280.0]})
        assert mt2(one, other, met, invisible_mass=100.0)[0] == pytest.approx(412.627668458219, rel=1e-9)
        assert mt2(one, other, met, invisible_mass=(100.0, 100.0))[0] == pytest.approx(412.627668458219, rel=1e-9)
        assert mt2(one, other, met, invisible_mass=50.0)[0] < 412

    def test_mt2_to_a_precision(self):
        one, other, met = vectors((80, 0, 0.3, 0)), vectors((50, 0, 2.5, 0)), missing((120, -1.5))
        assert mt2(one, other, met, precision=1e-6)[0] == pytest.approx(mt2(one, other, met)[0], abs=1e-3)

    def test_z_boson_at_rest(self):
        muon, antimuon = vectors((45.594, 0.0, 0.3, 0.10566)), vectors((45.594, 0.0, 0.3 - math.pi, 0.10566))
        assert invariant_mass(muon, antimuon)[0] == pytest.approx(2 * math.hypot(45.594, 0.10566), rel=1e-12)
        assert total_transverse_mass(muon, antimuon)[0] == pytest.approx(91.188, rel=1e-12)

    def test_light_collimated_and_fast_pairs_keep_their_digits(self):
        """The exact mass of two massless particles: m^2 = 2 pT1 pT2 (cosh(deta) - cos(dphi))."""
        for eta, opening in ((0.0, 1e-4), (4.5, 1e-3), (-4.9, 1e-3)):
            mass = invariant_mass(vectors((1000.0, eta, 0.0, 0.0)), vectors((1000.0, eta, opening, 0.0)))[0]
            assert mass == pytest.approx(2 * 1000 * math.sin(opening / 2), rel=1e-6)


class TestPropagation:
    @given(momenta, st.floats(0, 300), st.floats(-math.pi, math.pi), st.floats(0.5, 1.5))
    def test_what_jets_gain_the_missing_momentum_loses(self, rows, size, phi, scale):
        jets = vectors(*rows)
        before = ak.Array([ak.zip({"pt": jets.pt, "phi": jets.phi})])
        after = ak.Array([ak.zip({"pt": jets.pt * scale, "phi": jets.phi})])
        met = missing((size, phi))
        moved = propagate(met, before, after)
        px = met.px - (scale - 1) * np.sum(jets.px)
        py = met.py - (scale - 1) * np.sum(jets.py)
        assert np.allclose(moved.pt * np.cos(moved.phi), px, atol=1e-6)
        assert np.allclose(moved.pt * np.sin(moved.phi), py, atol=1e-6)
        back = propagate(moved, after, before)
        assert np.allclose(back.pt, size, atol=1e-6)


def test_public_names_are_functions_with_docstrings():
    for name in kinematics.__all__:
        assert getattr(kinematics, name).__doc__, name
