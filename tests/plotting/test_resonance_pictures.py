"""From the bump fits of a run to their pictures."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_run import empty_run

from colonnade.plotting.fit_pictures import bump_pictures
from colonnade.statistics.resonance import (
    Bumps,
    BumpSearch,
    Exponential,
    Gaussian,
    Spectrum,
    fit_background,
    fit_signal_shape,
    fit_toys,
    significances,
    spurious_signal,
)

EDGES = np.linspace(100.0, 200.0, 41)
SHAPE, PEAK = Exponential(), Gaussian(150.0, 5.0)


@pytest.fixture(scope="module")
def bumps():
    falling = np.exp(-EDGES[:-1] / 50)
    background = Spectrum(EDGES, 4000 * falling / falling.sum())
    signal = Spectrum(EDGES, 200 * PEAK.fractions(EDGES))
    both = significances(background + signal, SHAPE, PEAK, window=(140.0, 160.0))
    alone = fit_background(background, SHAPE, cost="chi2")
    toys = {"rng": np.random.default_rng(1), "toys": 20}
    fit = BumpSearch(
        region="cuts", histogram="mass", range=(100.0, 200.0), signal="H150", backgrounds=("zjets",),
        signal_events=200.0, background_events=4000.0, signal_only=fit_signal_shape(signal.merged(), PEAK),
        background_only=alone, alternatives={}, f_test=None, both=both,
        closure=fit_toys(alone.expected, 200.0, SHAPE, PEAK, EDGES, **toys),
        wilks=fit_toys(alone.expected, 0.0, SHAPE, PEAK, EDGES, **toys),
        spurious_signal=spurious_signal(background, SHAPE, PEAK), sidebands=alone, data=None,
    )  # fmt: skip
    return Bumps(luminosity=139.0, blinded=True, fits={"cuts": fit})


def test_bump_fits_of_a_run(bumps):
    pictures = {picture.stem: picture for picture in bump_pictures(empty_run(bumps=bumps))}
    kinds = ("signal", "background", "mc_statistics", "luminosity", "data", "closure", "wilks")
    assert list(pictures) == [f"bumps/cuts_{name}" for name in kinds]
    plot, both = pictures["bumps/cuts_luminosity"].plot, bumps.fits["cuts"].both.luminosity
    assert plot.curves[0].y == pytest.approx(both.background.expected + both.expected_signal)
    assert plot.shaded == (140.0, 160.0)
    shown = {stem.removeprefix("bumps/cuts_"): each.plot for stem, each in pictures.items()}
    for name in kinds[:5]:
        of_data = name == "data"
        assert shown[name].points == ("Data" if of_data else "Simulation")
        assert (shown[name].caption.status == "Simulation") != of_data
    assert f"Z = {both.z_wilks:.3g}" in pictures["bumps/cuts_luminosity"].alt
    for picture in pictures.values():
        picture.plot.figure()


def test_a_run_without_them_has_no_pictures():
    assert not list(bump_pictures(empty_run()))
