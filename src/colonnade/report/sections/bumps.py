"""Bump fits: resonances on smooth backgrounds, and how far their fits can be trusted."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping
from typing import Any

from colonnade.report.content import Content
from colonnade.report.numbers import fixed, measured, significant
from colonnade.statistics.resonance import BumpSearch
from colonnade.statistics.resonance.results import Goodness


def context(content: Content) -> Mapping[str, Any] | None:
    """Return the tables of the bump fits and their pictures."""
    found = content.run.bumps
    if found is None:
        return None
    return {
        "luminosity": f"{found.luminosity:g}",
        "rows": [_row(content, name, fit) for name, fit in found.fits.items()],
        "shapes": [row for name, fit in found.fits.items() for row in _shapes(name, fit)],
        "checks": [row for name, fit in found.fits.items() for row in _checks(name, fit)],
        "images": [image for kind in ("fit", "closure", "wilks") for image in content.pictures(kind)],
    }


def _row(content: Content, name: str, fit: BumpSearch) -> dict[str, Any]:
    both = fit.both.luminosity
    return {
        "name": name,
        "region": content.region_title(fit.region),
        "signal": significant(fit.signal_events),
        "background": significant(fit.background_events),
        "shape": fit.background_only.label,
        "goodness": _goodness(fit.background_only.goodness),
        "fitted": " ± ".join(measured(both.n_signal_total.value, both.n_signal_total.error)),
        "z_mc": fixed(fit.both.mc_statistics.z_wilks),
        "z": fixed(both.z_wilks),
        "z_counting": fixed(both.z_counting),
        "data": None if fit.data is None else fixed(fit.data.z_wilks),
    }


def _shapes(name: str, fit: BumpSearch) -> list[dict[str, Any]]:
    return [
        {
            "fit": name,
            "shape": each.shape,
            "goodness": each.failed if each.goodness is None else _goodness(each.goodness),
            "p": "–" if each.goodness is None else significant(each.goodness.p),
        }
        for each in fit.alternatives
    ]


def _goodness(goodness: Goodness) -> str:
    return f"{goodness.chi2:.1f} / {goodness.ndf}"


def _checks(name: str, fit: BumpSearch) -> list[dict[str, Any]]:
    closure, wilks, spurious = fit.closure, fit.wilks, fit.spurious_signal
    if closure is None or wilks is None:
        return []
    return [
        {
            "fit": name,
            "toys": closure.toys,
            "failed": closure.failed,
            "mean": " ± ".join(measured(closure.mean, closure.mean_error)),
            "width": " ± ".join(measured(closure.width, closure.width_error)),
            "wilks": significant(wilks.p),
            "spurious": " ± ".join(measured(spurious.signal[0], spurious.error[0])),
        }
    ]
