"""The bump fits of a run: from its histograms to `bumps.json`."""

from __future__ import annotations

__all__ = ["study_bumps"]

import fnmatch
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, FitError, nearest
from colonnade.output import write_json
from colonnade.statistics.bumps.backgrounds import Background, Bernstein, Polynomial
from colonnade.statistics.bumps.fits import fit_background, fit_bump, fit_signal, significances
from colonnade.statistics.bumps.results import BackgroundFit
from colonnade.statistics.bumps.settings import BumpFitSettings, BumpSettings
from colonnade.statistics.bumps.signals import Signal
from colonnade.statistics.bumps.spectrum import Spectrum
from colonnade.statistics.bumps.validation import check_wilks, closure, f_test, spurious_signal

Histograms = Mapping[str, Mapping[str, Any]]


def study_bumps(
    histograms: Histograms,
    settings: BumpSettings,
    *,
    directory: Path,
    kinds: Mapping[str, str],
    luminosity: float,
    unblind: bool = False,
) -> dict[str, Any]:
    """Fit the bumps that a workflow asks for and write `bumps.json`.

    For each fit: the peak fitted to the signal alone, the background shape and its alternatives to the background
    alone, both to their sum (the MC-statistics and the luminosity Z side by side), the checks of the fit, and, where
    there are data, the sideband fit and, unblinded, the fit to the data.

    Parameters
    ----------
    histograms
        Name -> process -> `hist.Hist` with axes region, variation and the mass, scaled to the luminosity.
    settings
        What to fit.
    directory
        The run's folder.
    kinds
        Process -> data, background or signal.
    luminosity
        fb^-1, for the record.
    unblind
        Whether data are looked at inside the window.

    Raises
    ------
    ConfigError
        If a histogram, region or process does not exist.
    FitError
        If a fit fails; the message names it.
    """
    spectra = _Spectra(histograms, kinds)
    result: dict[str, Any] = {"luminosity": luminosity, "blinded": not unblind, "fits": {}}
    for number, (name, fit) in enumerate(settings.fits.items()):
        try:
            result["fits"][name] = _one(spectra, fit, np.random.default_rng([settings.seed, number]), unblind=unblind)
        except FitError as error:
            msg = f"The bump fit {name} (region {fit.region}): {error}"
            raise FitError(msg) from error
    write_json(directory / "bumps.json", result)
    return result


class _Spectra:
    """Spectra of a run, by histogram, region and process."""

    def __init__(self, histograms: Histograms, kinds: Mapping[str, str]) -> None:
        self._histograms, self._kinds = histograms, kinds

    def of(self, histogram: str, region: str, processes: Sequence[str], rebin: int) -> Spectrum:
        """Sum of processes in a region."""
        if histogram not in self._histograms:
            msg = f"bump fits: there is no histogram {histogram!r}{nearest(histogram, self._histograms)}."
            raise ConfigError(msg)
        found = self._histograms[histogram]
        total: Spectrum | None = None
        for process in processes:
            regions = list(found[process].axes["region"])
            if region not in regions:
                msg = f"bump fits: {histogram} is not filled in a region {region!r}{nearest(region, regions)}."
                raise ConfigError(msg)
            part = found[process][{"region": region, "variation": "nominal"}]
            if part.ndim != 1:
                msg = f"bump fits: the histogram {histogram} has {part.ndim} axes; a mass spectrum has one."
                raise ConfigError(msg)
            spectrum = Spectrum.from_hist(part)
            if total is not None:
                spectrum = Spectrum(
                    spectrum.edges, spectrum.values + total.values, spectrum.variances + total.variances, total.name
                )
            total = spectrum
        if total is None:
            msg = f"bump fits: no process to take {histogram} from in {region}; name backgrounds of the workflow."
            raise ConfigError(msg)
        return total.rebinned(rebin)

    def processes(self, histogram: str, kind: str, patterns: Sequence[str] = ("*",)) -> list[str]:
        """Names of the processes of a kind that match; each pattern must match one."""
        known = [name for name in self._histograms.get(histogram, {}) if self._kinds.get(name) == kind]
        for pattern in patterns:
            if not fnmatch.filter(known, pattern):
                msg = f"bump fits: there is no {kind} process {pattern!r}{nearest(pattern, known)}."
                raise ConfigError(msg)
        chosen = patterns or ("*",)
        return [name for name in known if any(fnmatch.fnmatch(name, pattern) for pattern in chosen)]


def _one(spectra: _Spectra, fit: BumpFitSettings, rng: np.random.Generator, *, unblind: bool) -> dict[str, Any]:
    backgrounds = spectra.processes(fit.histogram, "background", fit.backgrounds)
    signals = spectra.processes(fit.histogram, "signal", (fit.signal,))
    whole_signal = spectra.of(fit.histogram, fit.region, signals, fit.rebin)
    whole_background = spectra.of(fit.histogram, fit.region, backgrounds, fit.rebin)
    signal_spectrum, background = whole_signal.between(*fit.range), whole_background.between(*fit.range)
    peak = fit.peak.make()
    report: dict[str, Any] = {
        "region": fit.region,
        "histogram": fit.histogram,
        "range": list(fit.range),
        "signal": fit.signal,
        "backgrounds": backgrounds,
        "events": {"signal": float(whole_signal.values.sum()), "background": float(whole_background.values.sum())},
        "signal_only": None,
    }
    if fit.peak.fit:
        # by the weighted chi-squared, as the background; the few events far out would outweigh the peak in a likelihood
        alone = fit_signal(signal_spectrum, peak, cost="chi2")
        peak = alone.signal
        report["signal_only"] = alone.to_dict()
    window = fit.window or (
        max(peak.mean - 2 * peak.sigma, background.low),
        min(peak.mean + 2 * peak.sigma, background.high),
    )
    shape = fit.background.make()
    report["background_only"] = fit_background(background.merged(), shape, cost="chi2").to_dict()
    report["alternatives"] = _alternatives(background, [shape, *(each.make() for each in fit.alternatives)])
    total = Spectrum(
        background.edges,
        background.values + signal_spectrum.values,
        background.variances + signal_spectrum.variances,
        background.name,
    )
    both = significances(total, shape, peak, window=window)
    report["both"] = both.to_dict()
    report["checks"] = _checks(fit, both.luminosity.background, float(signal_spectrum.values.sum()), peak, rng)
    report["checks"]["spurious_signal"] = spurious_signal(background, shape, peak, [peak.mean]).to_dict()
    report["data"] = _data(spectra, fit, shape, peak, window, unblind=unblind)
    return report


def _alternatives(background: Spectrum, shapes: Sequence[Background]) -> dict[str, Any]:
    """Goodness of each shape on the background alone, and F-tests of rising orders."""
    merged = background.merged()
    rows: list[dict[str, Any]] = []
    for shape in shapes:
        try:
            found = fit_background(merged, shape, cost="chi2")
        except FitError as error:
            rows.append({"shape": shape.label, "failed": str(error)})
        else:
            rows.append({**found.to_dict(), "failed": None})
    polynomials = sorted(
        {shape for shape in shapes if isinstance(shape, Polynomial | Bernstein)},
        key=lambda shape: (shape.label.split()[0], shape.order),
    )
    ladders = [list(group) for _, group in groupby(polynomials, key=type)]
    ladder = max(ladders, key=len, default=[])
    test = f_test(merged, ladder, cost="chi2").to_dict() if len(ladder) > 1 else None
    return {"shapes": rows, "f_test": test}


def _checks(
    fit: BumpFitSettings, alone: BackgroundFit, injected: float, peak: Signal, rng: np.random.Generator
) -> dict[str, Any]:
    """Toys at the luminosity: does an injected signal come back, and does Wilks' theorem hold."""
    if fit.toys == 0:
        return {"closure": None, "wilks": None}
    shape, edges, expected = alone.table.shape, alone.spectrum.edges, alone.expected
    recovered = closure(expected, injected, shape, peak, edges, rng=rng, toys=fit.toys)
    wilks = check_wilks(expected, shape, peak, edges, rng=rng, toys=fit.toys)
    return {
        "closure": {**recovered.to_dict(), "pulls": np.round(recovered.pulls, 4).tolist()},
        "wilks": {**wilks.to_dict(), "q": np.round(wilks.q, 4).tolist()},
    }


def _data(
    spectra: _Spectra,
    fit: BumpFitSettings,
    shape: Background,
    peak: Signal,
    window: tuple[float, float],
    *,
    unblind: bool,
) -> dict[str, Any] | None:
    """Fit the data's sidebands, and unblinded all of them; None without data."""
    names = spectra.processes(fit.histogram, "data", ())
    if not names:
        return None
    data = spectra.of(fit.histogram, fit.region, names, fit.rebin).between(*fit.range)
    if not data.values.any():
        return None  # a blinded signal region holds none
    sidebands = fit_background(data, shape, blind=window)
    return {
        "sidebands": sidebands.to_dict(),
        "fit": fit_bump(data, shape, peak, window=window).to_dict() if unblind else None,
    }
