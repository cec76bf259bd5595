"""The detector against independent numbers: the Z peak, top quarks' b jets, closure, and its own tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import pytest
import vector
from scipy import stats

from colonnade.samples import response
from colonnade.samples.detector import Seen, missing_momentum, simulate
from colonnade.samples.generator import Batch
from colonnade.samples.particles import Particles, classify, pairs_within_events
from colonnade.samples.production import join

vector.register_awkward()
See = Callable[..., dict[str, ak.Array]]
Z_MASS, TOP_TO_BOTTOM = 91.188, 2  # PDG; each top quark gives one


def within(found: float, expected: float, trials: int, sigmas: float = 5.0) -> bool:
    return abs(found - expected) < sigmas * np.sqrt(expected * (1 - expected) / trials)


@pytest.mark.parametrize("name", ["Electron", "Muon"])
def test_the_z_peak_is_where_it_belongs(zll: list[Batch], seen: See, name: str) -> None:
    leptons = seen(zll)[name]
    leptons = leptons[leptons.genPartFlav == 1]
    pairs = leptons[ak.num(leptons) == 2]
    assert ak.all(ak.sum(pairs.charge, axis=1) == 0) or name == "Electron"  # an electron's charge may flip
    mass = ak.to_numpy((pairs[:, 0] + pairs[:, 1]).mass)
    assert len(mass) > 200
    peak = mass[(mass > 81) & (mass < 101)]
    assert np.median(peak) == pytest.approx(Z_MASS, abs=0.5)
    # natural width 2.5 GeV (half of the peak within +-1.25 GeV), and about 1 to 2 GeV of resolution
    assert 1.0 < np.subtract(*np.percentile(peak, [75, 25])) / 2 < 2.5


def test_two_bottom_jets_in_top_pairs(ttbar: list[Batch], seen: See) -> None:
    jets = seen(ttbar)["Jet"]
    assert ak.all(jets.pt[:, :-1] >= jets.pt[:, 1:])
    bottom = jets[(jets.hadronFlavour == 5) & (jets.pt > 25) & (abs(jets.eta) < 2.5)]
    number = ak.to_numpy(ak.num(bottom))
    # two b quarks, most of them hard and central; more only where a gluon splits
    assert 1.4 < number.mean() < TOP_TO_BOTTOM
    assert np.mean(number > TOP_TO_BOTTOM) < 0.05


def test_tagging_follows_its_table(ttbar: list[Batch]) -> None:
    rng = np.random.default_rng(1)
    parts = [simulate(batch, (), rng)["Jet"] for batch in ttbar for _ in range(4)]
    jets = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    inside = np.abs(jets["eta"]) < 2.5
    for kind in (5, 4, 0):
        chosen = inside & (jets["hadronFlavour"] == kind)
        expected = response.btag_efficiency(jets["hadronFlavour"][chosen], jets["pt"][chosen]).mean()
        assert within(np.mean(jets["btag"][chosen] > 0.5), expected, chosen.sum())
    assert not np.any(jets["btag"][~inside] > 0.5)
    assert 0.55 < np.mean(jets["btag"][inside & (jets["hadronFlavour"] == 5)] > 0.5) < 0.8


@pytest.mark.parametrize(
    ("pdg", "name", "barrel", "forward", "limit"),
    [(11, "Electron", 0.95, 0.85, 2.5), (13, "Muon", 0.95, 0.85, 2.7), (22, "Photon", 0.95, 0.85, 2.5)],
)
def test_efficiencies_are_those_of_the_delphes_card(
    pdg: int,
    name: str,
    barrel: float,
    forward: float,
    limit: float,
    particles_of: Callable[..., Particles],
    batch_of: Callable[[Particles], Batch],
) -> None:
    number = 20_000
    rng = np.random.default_rng(2)
    eta = rng.uniform(-3.5, 3.5, number)
    particles = particles_of(
        [1] * number,
        pt=np.full(number, 50.0),
        eta=eta,
        phi=rng.uniform(-3, 3, number),
        pdg=[pdg] * number,
        status=[23] * number,
    )
    seen = simulate(batch_of(particles), (), rng)[name]
    assert seen.counts is not None
    found = seen.counts == 1
    inner, outer = np.abs(eta) < 1.5, (np.abs(eta) > 1.5) & (np.abs(eta) < limit)
    assert within(found[inner].mean(), barrel, inner.sum())
    assert within(found[outer].mean(), forward, outer.sum())
    assert not found[np.abs(eta) > limit].any()
    # 50 GeV photons and electrons to 1.4 % and better, muons to 1 to 3 %
    assert np.median(np.abs(seen.columns["pt"] / 50.0 - 1.0)) < 0.02


def test_jets_are_smeared_as_the_table_says(
    particles_of: Callable[..., Particles], batch_of: Callable[[Particles], Batch]
) -> None:
    number = 20_000
    rng = np.random.default_rng(3)
    for pt, expected in ((300.0, 0.06), (60.0, None)):
        particles = particles_of(
            [1] * number, pt=np.full(number, pt), eta=rng.uniform(-2, 2, number), phi=rng.uniform(-3, 3, number)
        )
        found = simulate(batch_of(particles), (), rng)["Jet"].columns["pt"] / pt
        assert found.mean() == pytest.approx(1.0, abs=0.005)
        assert found.std() == pytest.approx(response.jet_resolution(np.array([pt]))[0], rel=0.03)
        if expected is not None:  # ATLAS, arXiv:2007.02645
            assert found.std() == pytest.approx(expected, rel=0.05)
    assert response.jet_resolution(np.array([20.0]))[0] == pytest.approx(0.24, abs=0.01)  # same source


def test_missing_momentum_closes_without_anything_invisible(zll: list[Batch], seen: See) -> None:
    events = seen(zll)
    quiet = (ak.num(events["Jet"]) == 0) & (events["GenMET"].pt < 0.5)
    central = ak.num(events["Electron"]) + ak.num(events["Muon"]) == 2  # both leptons are in the acceptance
    met = events["MET"][quiet & central]
    x = ak.to_numpy(met.pt * np.cos(met.phi))
    # the soft term, and two leptons of 40 GeV measured to one or two per cent
    assert x.mean() == pytest.approx(0.0, abs=4 * x.std() / np.sqrt(len(x)))
    assert x.std() == pytest.approx(response.SOFT_RESOLUTION, rel=0.12)


def test_significance_squared_is_a_chi2_where_nothing_is_missing(zll: list[Batch], seen: See) -> None:
    events = seen(zll)
    closed = (events["GenMET"].pt < 0.5) & (ak.num(events["Electron"]) + ak.num(events["Muon"]) == 2)
    squared = ak.to_numpy(events["MET"].significance[closed]) ** 2
    # two degrees of freedom; the soft jets that are not smeared, and errors taken at the measured pT, spoil it little
    assert stats.kstest(squared, stats.chi2(2).cdf).statistic < 0.06


def test_significance_equals_the_form_of_the_atlas_note() -> None:
    rng = np.random.default_rng(4)
    seen = Seen(50)
    event = np.repeat(np.arange(50), 3)
    seen.add(event, rng.uniform(20, 200, 150), rng.uniform(-3, 3, 150), rng.uniform(1, 30, 150))
    found = missing_momentum(seen, 9.0, rng)
    for i in range(50):
        turn = np.array(
            [[np.cos(found["phi"][i]), np.sin(found["phi"][i])], [-np.sin(found["phi"][i]), np.cos(found["phi"][i])]]
        )
        matrix = np.array([[found["covXX"][i], found["covXY"][i]], [found["covXY"][i], found["covYY"][i]]])
        along = turn @ matrix @ turn.T
        correlation = along[0, 1] / np.sqrt(along[0, 0] * along[1, 1])
        expected = found["pt"][i] / np.sqrt(along[0, 0] * (1 - correlation**2))
        assert found["significance"][i] == pytest.approx(expected, rel=1e-9)


def test_true_missing_momentum_is_what_neutrinos_carry(ttbar: list[Batch], seen: See) -> None:
    found = seen(ttbar)["GenMET"].pt
    expected = []
    for batch in ttbar:
        particles = batch.particles
        hidden = np.isin(np.abs(particles.pdg), (12, 14, 16)) & (particles.status > 0)
        x = np.bincount(particles.event[hidden], particles.px[hidden], len(batch))
        y = np.bincount(particles.event[hidden], particles.py[hidden], len(batch))
        expected.append(np.hypot(x, y))
    np.testing.assert_allclose(ak.to_numpy(found), np.concatenate(expected), rtol=1e-9)


def test_prompt_leptons_are_isolated_and_those_of_bottom_are_not(ttbar: list[Batch], seen: See) -> None:
    events = seen(ttbar)
    leptons = ak.concatenate((events["Electron"], events["Muon"]), axis=1)
    isolated = leptons.pfRelIso03_all < 0.15
    prompt, bottom = leptons.genPartFlav == 1, leptons.genPartFlav == 5
    assert ak.mean(isolated[prompt]) > 0.9
    assert ak.sum(bottom) > 30
    assert ak.mean(isolated[bottom]) < 0.2
    # bottom hadrons fly: half a millimetre, so their leptons miss the vertex by many standard deviations
    significance = abs(leptons.dxy / leptons.dxyErr)
    assert ak.mean(significance[prompt] < 3) > 0.99
    assert ak.mean(significance[bottom] < 3) < 0.6


def test_a_tau_of_each_sort_is_found(particles_of: Callable[..., Particles], batch_of: Any) -> None:
    # W -> tau nu, tau -> pi nu in the even events, tau -> mu nu nu in the odd ones
    number = 4000
    pdg, status, mother, pt = [], [], [], []
    for event in range(number):
        child = (211, 16, 12) if event % 2 == 0 else (-13, 16, -14)
        pdg += [-15, *child]
        status += [-23, 91, 91, 91]
        mother += [-1] + [4 * event] * 3
        pt += [60.0, 40.0, 20.0, 1e-6]
    flat = np.zeros(4 * number)
    particles = particles_of(
        [4] * number,
        pt=pt,
        eta=flat,
        phi=flat,
        pdg=pdg,
        status=status,
        mother=mother,
        charge=np.sign(np.where(np.abs(pdg) == 211, pdg, 0)) + np.where(np.isin(pdg, (-13, -15)), 1.0, 0.0),
        visible=np.isin(np.abs(pdg), (211, 13, 15)),
    )
    truth = classify(particles)
    assert truth.hadronic_tau.sum() == number / 2
    assert truth.from_tau.sum() == number / 2
    seen = simulate(batch_of(particles), (), np.random.default_rng(6))
    even = np.arange(number) % 2 == 0
    taus = seen["Tau"]
    assert taus.counts is not None
    real = np.repeat(np.arange(number), taus.counts)[taus.columns["genPartFlav"] == 5]
    assert set(real) <= set(np.flatnonzero(even))
    assert within(len(real) / (number / 2), 0.70, number // 2)  # one prong, ATL-PHYS-PUB-2015-045
    assert seen["Muon"].columns["genPartFlav"].tolist() == [15] * len(seen["Muon"].columns["pt"])
    assert np.mean(taus.columns["pt"][taus.columns["genPartFlav"] == 5]) == pytest.approx(40.0, rel=0.02)


def test_radiated_photons_return_to_their_electron(particles_of: Callable[..., Particles], batch_of: Any) -> None:
    number = 500
    particles = particles_of(
        [2] * number,
        pt=[40.0, 10.0] * number,
        eta=[0.5, 0.53] * number,
        phi=[1.0, 1.04] * number,
        pdg=[11, 22] * number,
        status=[51, 51] * number,
        charge=[-1.0, 0.0] * number,
    )
    seen = simulate(batch_of(particles), (), np.random.default_rng(7))
    assert np.median(seen["Electron"].columns["pt"]) == pytest.approx(50.0, rel=0.01)
    assert len(seen["Photon"].columns["pt"]) == 0
    assert len(seen["Jet"].columns["pt"]) == 0


def test_pairs_are_the_cartesian_product_of_each_event() -> None:
    rng = np.random.default_rng(8)
    first, second = rng.integers(0, 4, 30), rng.integers(0, 5, 30)
    left, right = pairs_within_events(first, second)
    one, two = ak.unflatten(np.arange(first.sum()), first), ak.unflatten(np.arange(second.sum()), second)
    expected = ak.flatten(ak.cartesian((one, two)))
    assert left.tolist() == expected["0"].tolist()
    assert right.tolist() == expected["1"].tolist()


def test_decays_of_top_quarks_are_kept_with_their_mothers(
    particles_of: Callable[..., Particles], batch_of: Callable[[Particles], Batch]
) -> None:
    # a pion; a gluon, from which comes a top, its copy, W, b, a copy of W, two quarks, a b that radiates; another event
    pdg = [211, 21, 6, 6, 24, 5, 24, 2, -1, 5, 21, 211, -24, 11, -12]
    mother = [-1, -1, 1, 2, 3, 3, 4, 6, 6, 5, 5, -1, -1, 12, 12]
    made = particles_of(
        [11, 4], pt=np.arange(1.0, 16.0), eta=np.zeros(15), phi=np.zeros(15), pdg=np.array(pdg), mother=np.array(mother)
    )
    found = simulate(batch_of(made), ("GenPart",), np.random.default_rng(1))["GenPart"]
    assert found.counts is not None
    assert found.counts.tolist() == [7, 3]
    assert found.columns["pdgId"].tolist() == [6, 6, 24, 5, 24, 2, -1, -24, 11, -12]
    assert found.columns["genPartIdxMother"].tolist() == [-1, 0, 1, 1, 2, 4, 4, -1, 0, 0]
    np.testing.assert_allclose(found.columns["pt"], [3, 4, 5, 6, 7, 8, 9, 13, 14, 15])


def test_batches_join_in_order(zll: list[Batch]) -> None:
    rng = np.random.default_rng(9)
    parts = [simulate(batch, ("FatJet", "Particle"), rng) for batch in zll[:2]]
    whole = join(parts)
    for name, collection in whole.items():
        if collection.counts is not None:
            assert collection.counts.sum() == len(next(iter(collection.columns.values())))
            assert len(collection.counts) == 1000
        assert collection.columns.keys() == parts[0][name].columns.keys()
    particles = whole["Particle"].columns
    assert particles["pt"].min() > 0.5
    assert np.abs(particles["eta"]).max() < 2.5
    assert set(np.unique(particles["charge"])) <= {-1, 0, 1}
