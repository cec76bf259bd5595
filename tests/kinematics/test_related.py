"""Values and objects that go with objects, against brute force and the distributions they should follow."""

import awkward as ak
import numpy as np
import pytest
from scipy import stats

from colonnade.errors import ConfigError
from colonnade.kinematics import follow, nearest, normal, per_object, product, select


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(3)
    counts = rng.poisson(3, 2000)

    def objects(numbers):
        size = numbers.sum()
        columns = {
            "pt": rng.exponential(40, size),
            "eta": rng.normal(0, 2, size),
            "phi": rng.uniform(-np.pi, np.pi, size),
        }
        return ak.unflatten(ak.Array(columns), numbers)

    return ak.Array(
        {
            "Jet": objects(counts),
            "GenJet": objects(rng.poisson(4, 2000)),
            "run": np.full(2000, 7),
            "luminosityBlock": np.arange(2000) // 100,
            "event": np.arange(2000),
        }
    )


def test_the_nearest_one_is_that_of_brute_force(made):
    found = nearest(made.Jet, made.GenJet, 0.7)
    for jets, generated, ours in zip(made.Jet.to_list(), made.GenJet.to_list(), found.pt.tolist(), strict=True):
        for jet, one in zip(jets, ours, strict=True):
            turns = [abs((jet["phi"] - other["phi"] + np.pi) % (2 * np.pi) - np.pi) for other in generated]
            distances = [
                np.hypot(jet["eta"] - other["eta"], turn) for other, turn in zip(generated, turns, strict=True)
            ]
            near = [
                (distance, other["pt"]) for distance, other in zip(distances, generated, strict=True) if distance < 0.7
            ]
            assert one == (min(near)[1] if near else None)


def test_products_and_repeated_values(made):
    assert product(made.Jet, lambda jet: jet.pt).tolist() == pytest.approx(ak.prod(made.Jet.pt, axis=1).to_list())
    assert per_object(made.event, made.Jet).tolist() == ak.broadcast_arrays(made.event, made.Jet.pt)[0].to_list()


def test_an_index_beyond_the_list_is_refused(made):
    with pytest.raises(ConfigError, match="beyond the end"):
        follow(ak.num(made.Jet), made.Jet)


def test_numbers_are_normal_and_independent(made):
    one, two = (ak.to_numpy(ak.flatten(normal(made, made.Jet, salt))) for salt in ("a", "b"))
    assert stats.kstest(one, "norm").pvalue > 0.01
    assert abs(stats.pearsonr(one, two).statistic) < 4 / np.sqrt(len(one))
    assert abs(stats.pearsonr(one[1:], one[:-1]).statistic) < 4 / np.sqrt(len(one))


def test_numbers_belong_to_the_event(made):
    whole = normal(made, made.Jet, "a").to_list()
    order = np.random.default_rng(1).permutation(len(made))
    assert normal(made[order], made[order].Jet, "a").to_list() == [whole[place] for place in order]


def test_numbers_need_an_identity(made):
    with pytest.raises(ConfigError, match="luminosityBlock"):
        normal(made[["Jet", "run", "event"]], made.Jet)


def test_related_objects_can_be_selected_on(made):
    found = nearest(made.Jet, made.GenJet, 0.7)
    kept = select(made.Jet, ~ak.is_none(found, axis=1))
    assert ak.sum(ak.num(kept)) == ak.count(found.pt)
