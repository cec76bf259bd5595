"""The tables of docs/resonances.md that a run of the search fills."""

from __future__ import annotations

__all__ = ["bump_lines", "sculpting_lines"]

from collections.abc import Iterator, Mapping
from typing import Any

from colonnade.report.numbers import fixed, measured, significant
from studies.heavy_higgs.sculpting import Sculpting
from studies.tables import table


def bump_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables of `bumps.json`."""
    rows, checks = [], []
    for name, fit in found["fits"].items():
        light, simulated = (fit["both"][kind] for kind in ("luminosity", "mc_statistics"))
        size, good = light["n_signal_total"], fit["background_only"]["goodness"]
        peak = fit["signal_only"]["parameters"]
        rows.append(
            (
                name, significant(fit["events"]["signal"]), significant(fit["events"]["background"]),
                " ± ".join(measured(peak[1]["value"], peak[1]["error"])),
                " ± ".join(measured(peak[2]["value"], peak[2]["error"])),
                f"{good['chi2']:.1f} / {good['ndf']}", " ± ".join(measured(size["value"], size["error"])),
                fixed(light["z_wilks"]), fixed(light["z_counting"]), fixed(simulated["z_wilks"]),
            )
        )  # fmt: skip
        closure, wilks, spurious = (fit["checks"][key] for key in ("closure", "wilks", "spurious_signal"))
        checks.append(
            (
                name, closure["toys"], closure["failed"],
                " ± ".join(measured(closure["mean"], closure["mean_error"])),
                " ± ".join(measured(closure["width"], closure["width_error"])),
                significant(wilks["p"]), " ± ".join(measured(spurious["signal"][0], spurious["error"][0])),
            )
        )  # fmt: skip
    yield f"Signal and background in the selection at {found['luminosity']:g} fb⁻¹, the peak fitted to the signal"
    yield "alone, χ² of the background alone, and the signal that the fit of both finds:"
    yield ""
    yield from table(
        ("selection", "signal", "background", "mean [GeV]", "width [GeV]", "χ²/ndf", "fitted signal",
         "Z at luminosity", "Z by counting", "Z of MC statistics"), rows,
    )  # fmt: skip
    yield "Toys with the signal injected, toys without, and the signal that a fit of the background alone finds:"
    yield ""
    yield from table(("selection", "toys", "failed", "pull mean", "pull width", "Wilks: p", "spurious signal"), checks)


def sculpting_lines(found: Mapping[str, Sculpting], window: tuple[float, float]) -> Iterator[str]:
    """Yield the table of how much selections bend the background's mass spectrum, by selection."""
    low, high = window
    yield "How much each selection bends the background's mass spectrum (1: not at all):"
    yield ""
    yield from table(
        ("selection", f"fraction in {low:g} to {high:g} GeV, after / before", "divergence [bit]", "by chance"),
        [
            (
                name, " ± ".join(measured(row.window_ratio, row.window_ratio_error)), significant(row.divergence),
                " ± ".join(measured(row.divergence_expected, row.divergence_error)),
            )
            for name, row in found.items()
        ],
    )  # fmt: skip
