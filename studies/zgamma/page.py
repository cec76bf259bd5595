"""The page of the study: what the search finds where there is nothing."""

from __future__ import annotations

__all__ = ["write_page"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from colonnade import report
from colonnade.report import PageSection, read_images
from colonnade.report.text import fixed, grouped, measured, significant

_NAMES = {
    "z": "Z by counting",
    "z_wilks": "Z by likelihood, background frozen",
    "z_free": "Z by likelihood, background free",
}


def write_page(found: Mapping[str, Any], pictures: Path, path: Path) -> Path:
    """Write the page.

    Parameters
    ----------
    found
        What `pseudo_experiments.json` holds.
    pictures
        The folder of the pictures.
    path
        The page.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    context = {**_tables(found), "images": read_images(pictures)}
    return report.write_page("Pseudo-experiments", [PageSection("Results", template, context)], path)


def _tables(found: Mapping[str, Any]) -> dict[str, Any]:
    statistics = found["statistics"]
    first = next(iter(statistics.values()))
    sigmas = list(first["global"]["size"])
    return {
        "experiments": grouped(first["toys"]),
        "events": grouped(found["settings"]["experiment"]["events"]),
        "simulated": grouped(found["simulated_events"]),
        "auc": " ± ".join(measured(found["auc"]["mean"], found["auc"]["width"])),
        "sigmas": sigmas,
        "statistics": [_statistic(name, each, sigmas) for name, each in statistics.items()],
        "cuts": [
            _cut(label, kept, first["local"][place], {s: found["fake_events"][s][place] for s in sigmas})
            for place, (label, kept) in enumerate(zip(found["cuts"], found["kept"], strict=True))
        ],
        "shapes": [
            {
                "shape": fit["shape"],
                "goodness": fit["failed"] or f"{fit['goodness']['chi2']:.1f} / {fit['goodness']['ndf']}",
                "p": "–" if fit["failed"] else significant(fit["goodness"]["p"]),
            }
            for fit in found["shapes"]["fits"]
        ],
    }


def _statistic(name: str, found: Mapping[str, Any], sigmas: list[str]) -> dict[str, Any]:
    uncut, best = found["local"][0]["normal"], found["global"]["normal"]
    return {
        "name": _NAMES[name],
        "lost": found["lost"],
        "uncut": f"{fixed(uncut['mean'])} ± {fixed(uncut['width'])}",
        "best": f"{fixed(best['mean'])} ± {fixed(best['width'])}",
        "sizes": [_interval(found["global"]["size"][sigma]) for sigma in sigmas],
    }


def _cut(label: str, kept: float, local: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": label,
        "kept": significant(kept),
        "normal": f"{fixed(local['normal']['mean'])} ± {fixed(local['normal']['width'])}",
        "z": [_interval(each) for each in local["size"].values()],
        "events": [_interval(each) for each in sizes.values()],
    }


def _interval(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    error = max(found["high"] - found["value"], found["value"] - found["low"])
    return " ± ".join(measured(found["value"], error))
