"""Rest frames and planes against vector's boosts, boosts written out by hand, and the symmetries of nature."""

import math

import awkward as ak
import numpy as np
import pytest
import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.errors import ConfigError
from colonnade.kinematics.frames import (
    boost_to_rest,
    rest_frame_angle,
    rest_frame_plane_angle,
    rest_frame_planes_angle,
)

momentum = st.tuples(
    st.floats(5.0, 500.0), st.floats(-2.5, 2.5), st.floats(-math.pi, math.pi), st.sampled_from([0.0, 0.106, 1.8])
)
four = st.tuples(momentum, momentum, momentum, momentum)
few = settings(max_examples=30, deadline=None)


def vectors(*rows):
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    return vector.array(dict(zip(("pt", "eta", "phi", "mass"), columns, strict=True)))


def drawn(count=200, seed=1):
    rng = np.random.default_rng(seed)

    def one():
        return vector.array(
            {
                "pt": rng.exponential(40, count) + 5,
                "eta": rng.uniform(-2.5, 2.5, count),
                "phi": rng.uniform(-math.pi, math.pi, count),
                "mass": rng.choice([0.0, 0.106, 1.8], count),
            }
        )

    return [one() for _ in range(4)]


def by_hand(row, frame):
    """A boost along an axis: turn the frame's momentum onto z, boost with gamma and beta, turn back."""
    p = np.array([row.px, row.py, row.pz])
    total = np.array([frame.px, frame.py, frame.pz])
    size = np.linalg.norm(total)
    axis = total / size
    beta = size / frame.E
    gamma = 1 / math.sqrt(1 - beta**2)
    along = p @ axis
    return p - along * axis + gamma * (along - beta * row.E) * axis


def angle_by_hand(a, b):
    return math.acos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))


class TestAgainstOthers:
    def test_boost_is_vectors(self):
        one, two, three, _ = drawn()
        moved = boost_to_rest(one, one, two, three)
        total = one + two + three
        other = one.boost_beta3(-total.to_beta3())
        for name in ("px", "py", "pz"):
            assert np.allclose(getattr(moved, name), getattr(other, name), rtol=1e-6, atol=1e-6)
        assert np.allclose(moved.mass, one.mass)

    def test_a_system_at_rest_has_no_momentum(self):
        parts = drawn()
        moved = [boost_to_rest(part, *parts) for part in parts]
        for name in ("px", "py", "pz"):
            assert np.allclose(sum(getattr(part, name) for part in moved), 0, atol=1e-6)

    def test_angles_event_by_event(self):
        one, two, three, fourth = drawn(60)
        total = one + two + three + fourth
        angle = rest_frame_angle(one, two, one, two, three, fourth)
        plane = rest_frame_plane_angle(three, (one, two), one, two, three, fourth)
        planes = rest_frame_planes_angle((one, two), (three, fourth), one, two, three, fourth)
        for i in range(60):
            a, b, c, d = (by_hand(part[i], total[i]) for part in (one, two, three, fourth))
            assert angle[i] == pytest.approx(angle_by_hand(a, b), abs=1e-6)
            normal, other = np.cross(a, b), np.cross(c, d)
            assert plane[i] == pytest.approx(abs(math.pi / 2 - angle_by_hand(c, normal)), abs=1e-6)
            between = angle_by_hand(normal, other)
            assert planes[i] == pytest.approx(min(between, math.pi - between), abs=1e-5)

    def test_jagged_and_flat(self):
        one, two, three, _ = drawn(3)
        flat = rest_frame_angle(one, two, one, two, three)
        columns = [{name: part[name] for name in ("pt", "eta", "phi", "mass")} for part in (one, two, three)]
        lists = [ak.zip({name: [values] for name, values in each.items()}, with_name="Momentum4D") for each in columns]
        jagged = rest_frame_angle(*lists[:2], *lists)
        assert jagged.to_list()[0] == pytest.approx(flat.tolist())

    def test_a_frame_needs_a_system(self):
        one, two, _, _ = drawn(3)
        with pytest.raises(ConfigError, match="at least one four-momentum"):
            rest_frame_angle(one, two)


class TestSymmetries:
    @few
    @given(four, st.floats(-math.pi, math.pi), st.floats(-0.9, 0.9))
    def test_the_frame_of_the_input_does_not_matter(self, rows, angle, beta):
        parts = [vectors(row) for row in rows]
        system = vector.array({name: sum(getattr(p, name) for p in parts) for name in ("px", "py", "pz", "E")})
        if system.mass[0] < 1.0:
            return
        turned = [
            vector.array({"pt": p.pt, "eta": p.eta, "phi": p.phi + angle, "mass": p.mass}).boostZ(beta=beta)
            for p in parts
        ]

        def all_three(one, two, three, fourth):
            everything = (one, two, three, fourth)
            return np.array(
                [
                    rest_frame_angle(one, two, *everything),
                    rest_frame_plane_angle(three, (one, two), *everything),
                    rest_frame_planes_angle((one, two), (three, fourth), *everything),
                ]
            )

        # nearly parallel objects have no well-defined plane
        before = all_three(*parts)
        if min(np.sin(rest_frame_angle(parts[0], parts[1], *parts))[0], np.sin(before[0])[0]) < 1e-2:
            return
        assert np.allclose(all_three(*turned)[:2], before[:2], atol=2e-3)

    @few
    @given(four)
    def test_order_within_a_pair_does_not_matter(self, rows):
        one, two, three, fourth = (vectors(row) for row in rows)
        everything = (one, two, three, fourth)
        plane = rest_frame_plane_angle(three, (one, two), *everything)
        assert np.allclose(plane, rest_frame_plane_angle(three, (two, one), *everything), atol=1e-6)
        assert 0 <= plane[0] <= math.pi / 2 + 1e-9
        planes = rest_frame_planes_angle((one, two), (three, fourth), *everything)
        assert np.allclose(planes, rest_frame_planes_angle((fourth, three), (two, one), *everything), atol=1e-5)
        assert np.allclose(
            rest_frame_angle(one, two, *everything), rest_frame_angle(two, one, *everything[::-1]), atol=1e-6
        )
