"""Bump fits: peaks on smooth backgrounds, and how far they can be trusted."""

from __future__ import annotations

__all__ = ["context"]

from collections.abc import Mapping
from typing import Any

from colonnade.report.content import Content
from colonnade.report.numbers import fixed, measured, significant


def context(content: Content) -> Mapping[str, Any] | None:
    """Return the tables of bumps.json and its pictures."""
    found = content.run.bumps
    if found is None:
        return None
    fits = found["fits"]
    return {
        "luminosity": f"{found['luminosity']:g}",
        "rows": [_row(content, name, fit) for name, fit in fits.items()],
        "shapes": [row for name, fit in fits.items() for row in _shapes(name, fit)],
        "checks": [_checks(name, fit["checks"]) for name, fit in fits.items() if fit["checks"]["closure"] is not None],
        "images": [image for kind in ("fit", "closure", "wilks") for image in content.pictures(kind)],
    }


def _row(content: Content, name: str, fit: Mapping[str, Any]) -> dict[str, Any]:
    both = fit["both"]
    size = both["luminosity"]["n_signal_total"]
    return {
        "name": name,
        "region": content.region_title(fit["region"]),
        "signal": significant(fit["events"]["signal"]),
        "background": significant(fit["events"]["background"]),
        "shape": fit["background_only"]["shape"],
        "goodness": _goodness(fit["background_only"]["goodness"]),
        "fitted": " ± ".join(measured(size["value"], size["error"])),
        "z_mc": fixed(both["mc_statistics"]["z_wilks"]),
        "z": fixed(both["luminosity"]["z_wilks"]),
        "z_counting": fixed(both["luminosity"]["z_counting"]),
        "data": None if fit["data"] is None or fit["data"]["fit"] is None else fixed(fit["data"]["fit"]["z_wilks"]),
    }


def _shapes(name: str, fit: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "fit": name,
            "shape": row.get("shape"),
            "goodness": row["failed"] or _goodness(row["goodness"]),
            "p": "–" if row["failed"] else significant(row["goodness"]["p"]),
        }
        for row in fit["alternatives"]["shapes"]
    ]


def _goodness(goodness: Mapping[str, Any]) -> str:
    return f"{goodness['chi2']:.1f} / {goodness['ndf']}"


def _checks(name: str, checks: Mapping[str, Any]) -> dict[str, Any]:
    closure, wilks, spurious = checks["closure"], checks["wilks"], checks["spurious_signal"]
    return {
        "fit": name,
        "toys": closure["toys"],
        "failed": closure["failed"],
        "mean": " ± ".join(measured(closure["mean"], closure["mean_error"])),
        "width": " ± ".join(measured(closure["width"], closure["width_error"])),
        "wilks": significant(wilks["p"]),
        "spurious": " ± ".join(measured(spurious["signal"][0], spurious["error"][0])),
    }
