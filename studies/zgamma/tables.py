"""The tables of docs/resonances.md that the pseudo-experiments fill."""

from __future__ import annotations

__all__ = ["experiment_lines"]

from collections.abc import Iterator, Mapping
from typing import Any

from colonnade.report.text import fixed, measured, significant
from studies.tables import table


def experiment_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables of `pseudo_experiments.json`."""
    names = {"z": "counting, background frozen", "z_wilks": "likelihood, frozen", "z_free": "likelihood, free"}
    statistics = found["statistics"]
    toys = statistics["z"]["toys"]
    settings = found["settings"]["experiment"]
    yield f"{toys:,} pseudo-experiments of {settings['events']:,} events, drawn from {found['simulated_events']:,}"
    auc = found["auc"]
    yield f"simulated ones. Area under the ROC curve {auc['mean']:.3f} ± {auc['width']:.3f}, where there is no signal"
    yield "to learn. Normal fits (mean ± width) and the value that chance reaches at so many σ:"
    yield ""
    sigmas = list(statistics["z"]["global"]["size"])
    head = ("Z by", "without cut", "largest of the scan", *(f"largest, {sigma} σ" for sigma in sigmas), "failed")
    rows: list[tuple[object, ...]] = []
    for name, each in statistics.items():
        uncut, best = each["local"][0]["normal"], each["global"]["normal"]
        sizes = [interval(each["global"]["size"][sigma]) for sigma in sigmas]
        rows.append((names[name], spread(uncut), spread(best), *sizes, each["lost"]))
    yield from table(head, rows)
    yield "The fake signal by the cut, by counting: Z and events at so many σ, locally:"
    yield ""
    places = range(0, len(found["cuts"]), 3)
    yield from table(
        ("sidebands rejected", "events kept", "Z", *(f"Z, {s} σ" for s in sigmas), *(f"events, {s} σ" for s in sigmas)),
        [
            (
                found["cuts"][place], f"{found['kept'][place]:.0f}", spread(statistics["z"]["local"][place]["normal"]),
                *(interval(statistics["z"]["local"][place]["size"][sigma]) for sigma in sigmas),
                *(interval(found["fake_events"][sigma][place]) for sigma in sigmas),
            )
            for place in places
        ],
    )  # fmt: skip
    yield "Local and global p-values of a scan without signal, by counting, and the trials factor:"
    yield ""
    levels = [level for level in statistics["z"]["levels"] if level["z"] in (2.0, 3.0, 4.0, 5.0, 6.0)]
    yield from table(
        ("Z", "p if normal", "p local", "p global", "trials factor"),
        [
            (
                f"{level['z']:g}", significant(level["p_nominal"]), interval(level["p_local"]),
                interval(level["p_global"]), fixed(level["trials_factor"], 1),
            )
            for level in levels
        ],
    )  # fmt: skip
    yield f"The background forms on the simulation, {settings['bins']} bins:"
    yield ""
    yield from table(
        ("form", "χ²/ndf", "p"),
        [
            (
                fit["shape"],
                f"{fit['goodness']['chi2']:.1f} / {fit['goodness']['ndf']}",
                significant(fit["goodness"]["p"]),
            )
            for fit in found["shapes"]["fits"]
            if fit["failed"] is None
        ],
    )


def spread(fit: Mapping[str, float]) -> str:
    """Write a normal fit."""
    return f"{fixed(fit['mean'])} ± {fixed(fit['width'])}"


def interval(found: Mapping[str, float] | None) -> str:
    """Write a value with its larger error."""
    if found is None:
        return "–"
    return " ± ".join(measured(found["value"], max(found["high"] - found["value"], found["value"] - found["low"])))
