"""Features and targets of three leptons against loops over vector's objects, counts, and symmetries."""

import itertools
import math

import numpy as np
import pytest
import vector
from processors.three_leptons import (
    INPUTS,
    MASS_HYPOTHESIS,
    THREE_LEPTON_FEATURES,
    THREE_LEPTON_TARGETS,
    opposite_sign_pairs,
    three_lepton_features,
    three_lepton_quantities,
    three_lepton_targets,
)

from colonnade.kinematics import total_transverse_mass

COUNT = 40


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(3)
    leptons = [
        (
            rng.exponential(40, COUNT) + 10,
            rng.uniform(-2.5, 2.5, COUNT),
            rng.uniform(-math.pi, math.pi, COUNT),
            rng.choice([0.0005, 0.1057, 1.2], COUNT),
        )
        for _ in range(3)
    ]
    return leptons, (rng.exponential(60, COUNT) + 1, rng.uniform(-math.pi, math.pi, COUNT))


def slowly(leptons, met, i):
    """Every quantity of one event, with vector's objects."""
    objects = {
        str(place + 1): vector.obj(pt=pt[i], eta=eta[i], phi=phi[i], mass=mass[i])
        for place, (pt, eta, phi, mass) in enumerate(leptons)
    }
    objects["m"] = vector.obj(pt=met[0][i], eta=0.0, phi=met[1][i], mass=0.0)
    whole = sum(objects.values(), start=vector.obj(px=0.0, py=0.0, pz=0.0, E=0.0))
    rest = {name: one.boost_beta3(-whole.to_beta3()) for name, one in objects.items()}
    found = {}

    def put(name, one, other, etas):
        turn = abs(one.deltaphi(other))
        found[f"dphi_{name}"] = turn
        found[f"mt_{name}"] = math.sqrt(2 * one.pt * other.pt * (1 - math.cos(turn)))
        if etas:
            found[f"deta_{name}"] = abs(one.eta - other.eta)
            found[f"dr_{name}"] = one.deltaR(other)

    def direction(one):
        return np.array([one.px, one.py, one.pz])

    def angle(a, b):
        return math.acos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))

    for a, b in itertools.combinations(objects, 2):
        put(a + b, objects[a], objects[b], "m" not in (a, b))
        found[f"w_angle_{a}{b}"] = angle(direction(rest[a]), direction(rest[b]))
    for a, alone in objects.items():
        for b, c in itertools.combinations([name for name in objects if name != a], 2):
            put(f"{a}_{b}{c}", alone, objects[b] + objects[c], "m" not in (a, b, c))
    three = objects["1"] + objects["2"] + objects["3"]
    found |= {"pt_123": three.pt, "mass_123": three.mass}
    found["mt_tot"] = math.sqrt(sum(found[f"mt_{a}{b}"] ** 2 for a, b in itertools.combinations(objects, 2)))
    for a, b in itertools.combinations("123", 2):
        pair, third = objects[a] + objects[b], next(name for name in "123" if name not in (a, b))
        found |= {f"{kind}_{a}{b}": pair.mass for kind in ("mass", "hnl_mass", "pair_mass")}
        found |= {f"pair_{name}_{a}{b}": getattr(pair, name) for name in ("pt", "eta", "phi", "px", "py", "pz")}
        found[f"pair_e_{a}{b}"] = pair.E
        found[f"hnl_met_mass_{a}{b}"] = (pair + objects["m"]).mass
        one, other, last, missing = (direction(rest[name]) for name in (a, b, third, "m"))
        found[f"hnl_met_angle_{a}{b}"] = angle(one + other, missing)
        normal, second = np.cross(one, other), np.cross(last, missing)
        found[f"plane_angle_{a}{b}"] = abs(math.pi / 2 - angle(last, normal))
        between = angle(normal, second)
        found[f"planes_angle_{a}{b}"] = min(between, math.pi - between)
    for name in "123":
        one = objects[name]
        found |= {f"px_{name}": one.px, f"py_{name}": one.py, f"pz_{name}": one.pz, f"e_{name}": one.E}
    found["e_tot"] = sum(one.E for one in objects.values())
    return found


def test_counts_and_names():
    """85 features, 112 targets and 14 inputs, each with a name of its own."""
    for quantities, count in ((THREE_LEPTON_FEATURES, 85), (THREE_LEPTON_TARGETS, 112), (INPUTS, 14)):
        names = [quantity.name for quantity in quantities]
        assert len(names) == len(set(names)) == count
    kinds = {
        "dphi_": 18,
        "mt_": 19,
        "deta_": 6,
        "dr_": 6,
        "mass_": 4,
        "w_angle_": 6,
        "hnl_": 6,
        "plane": 4,
        "charge_": 3,
    }
    for prefix, count in kinds.items():
        assert sum(feature.name.startswith(prefix) for feature in THREE_LEPTON_FEATURES) == count, prefix
    assert THREE_LEPTON_FEATURES[-1] == MASS_HYPOTHESIS
    raw = {quantity.name for quantity in INPUTS} | {"charge_1", "n_tauh", "m_HNL"}
    assert not raw & {target.name for target in THREE_LEPTON_TARGETS}


def test_every_quantity_in_a_loop(events):
    """One event at a time with vector's objects; vector's own rounding sets the tolerance."""
    found = three_lepton_quantities(*events)
    for i in range(COUNT):
        expected = slowly(*events, i)
        assert set(expected) == set(found)
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, rel=1e-5, abs=2e-4), name
    assert {target.name for target in THREE_LEPTON_TARGETS} == set(found)


def test_the_total_transverse_mass_is_the_rooms(events):
    leptons, met = events
    arrays = [vector.array(dict(zip(("pt", "eta", "phi", "mass"), lepton, strict=True))) for lepton in leptons]
    missing = vector.array({"pt": met[0], "phi": met[1]})
    assert np.allclose(three_lepton_quantities(*events)["mt_tot"], total_transverse_mass(*arrays, missing))


def test_one_against_two_sums_the_right_two(events):
    """m_T of 1 against 2 + 3, which a public program computes with the wrong pair."""
    (one, two, three), _ = events
    px, py = (two[0] * turn(two[2]) + three[0] * turn(three[2]) for turn in (np.cos, np.sin))
    by_hand = np.sqrt(2 * one[0] * np.hypot(px, py) * (1 - np.cos(one[2] - np.arctan2(py, px))))
    assert np.allclose(three_lepton_quantities(*events)["mt_1_23"], by_hand)


def test_numbering_only_renames(events):
    """Leptons 1 and 2 exchanged: the same numbers under exchanged names."""
    leptons, met = events
    swap = str.maketrans("12", "21")
    before, after = three_lepton_quantities(leptons, met), three_lepton_quantities([leptons[i] for i in (1, 0, 2)], met)
    for name, values in before.items():
        other = name.translate(swap)
        for pair in ("21", "31", "32"):
            other = other.replace(pair, pair[::-1])
        if other not in after:  # 3_21 is 3_12
            head, _, tail = other.rpartition("_")
            other = f"{head}_{''.join(sorted(tail))}"
        assert np.allclose(values, after[other], atol=1e-6), (name, other)


def test_turned_and_mirrored(events):
    """A rotation about the beam changes azimuths and components alone; so does looking from the other side."""
    leptons, met = events
    turned = [(pt, eta, phi + 1.1, mass) for pt, eta, phi, mass in leptons]
    mirrored = [(pt, -eta, phi, mass) for pt, eta, phi, mass in leptons]
    before = three_lepton_quantities(leptons, met)
    for after, changed in (
        (three_lepton_quantities(turned, (met[0], met[1] + 1.1)), ("px", "py", "phi")),
        (three_lepton_quantities(mirrored, met), ("pz", "eta")),
    ):
        for name, values in before.items():
            if not any(part in name.split("_") for part in changed):
                assert np.allclose(values, after[name], atol=1e-6), name


def test_torch_and_numpy_agree(events):
    torch = pytest.importorskip("torch")
    (one, two, three), met = events
    columns = [column for pt, eta, phi, mass in (one, two, three) for column in (eta, mass, phi, pt)]
    inputs = np.stack([*columns, *met], axis=1)
    expected = three_lepton_quantities(*events)
    for found, tolerance in (
        (three_lepton_targets(inputs), 1e-12),
        (three_lepton_targets(torch.from_numpy(inputs)).numpy(), 1e-9),
        (three_lepton_targets(torch.from_numpy(inputs).float()).numpy(), 2e-2),
    ):
        assert found.shape == (COUNT, 112)
        for place, target in enumerate(THREE_LEPTON_TARGETS):
            assert np.allclose(found[:, place], expected[target.name], rtol=1e-3, atol=tolerance), target.name


def test_candidates_are_the_pairs_of_opposite_charge(events):
    """All six combinations of charges with total +-1."""
    signs = [each for each in itertools.product((1, -1), repeat=3) if abs(sum(each)) == 1]
    assert len(signs) == 6
    for charges in signs:
        first, second = opposite_sign_pairs([np.array([charge]) for charge in charges])
        pairs = list(itertools.combinations(range(3), 2))
        assert [int(first[0]), int(second[0])] == [
            place for place, (i, j) in enumerate(pairs) if charges[i] == -charges[j]
        ]
    leptons, met = events
    charges = [np.full(COUNT, each) for each in (1, -1, 1)]  # 12 and 23
    features = three_lepton_features(leptons, met, charges, np.ones(COUNT))
    found = three_lepton_quantities(leptons, met)
    assert np.array_equal(features["hnl_mass_a"], found["mass_12"])
    assert np.array_equal(features["planes_angle_b"], found["planes_angle_23"])
    wanted = {feature.name for feature in THREE_LEPTON_FEATURES} - {"m_HNL"}
    assert wanted | {"phi_1", "phi_2", "phi_3", "met_phi"} == set(features)
