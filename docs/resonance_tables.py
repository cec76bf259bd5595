"""Write the tables of docs/resonances.md from runs of the two resonance workflows.

python docs/resonance_tables.py results/heavy_higgs results/zgamma
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from colonnade.output import replacing
from colonnade.report.numbers import fixed, measured, significant

PAGE = Path(__file__).with_name("resonances.md")
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> Iterator[str]:
    """Yield the lines of a table, numbers to the right."""
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(str(each) for each in row) + " |"
    yield ""


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
    if found["sculpting"]:
        yield "How much each selection bends the background's mass spectrum (1: not at all):"
        yield ""
        yield from table(
            ("selection", "fraction in 900 to 1100 GeV, after / before", "divergence [bit]", "by chance"),
            [
                (
                    row["after"], " ± ".join(measured(row["window_ratio"], row["window_ratio_error"])),
                    significant(row["divergence"]),
                    " ± ".join(measured(row["divergence_expected"], row["divergence_error"])),
                )
                for row in found["sculpting"]
            ],
        )  # fmt: skip


def experiment_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables of `pseudo_experiments.json`."""
    names = {"z": "counting, background frozen (S2's)", "z_wilks": "likelihood, frozen", "z_free": "likelihood, free"}
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


def main(folders: list[str]) -> None:
    """Rewrite the part of the page between the marks."""
    lines = [BEGIN, ""]
    for folder in map(Path, folders):
        for name, writer in (("bumps.json", bump_lines), ("pseudo_experiments.json", experiment_lines)):
            if (folder / name).is_file():
                lines += [f"### `{folder.name}`", ""]
                lines += writer(json.loads((folder / name).read_text(encoding="utf-8")))
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[: page.index(BEGIN)], page[page.index(END) :]
    with replacing(PAGE) as temporary:
        temporary.write_text(before + "\n".join(lines) + after, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
