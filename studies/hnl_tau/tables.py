"""The tables of a mass scan, as Markdown."""

from __future__ import annotations

__all__ = ["markdown"]

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def markdown(result: Mapping[str, Any]) -> str:
    """Show what a scan found.

    Parameters
    ----------
    result
        As `scan.json` holds it.
    """
    parts = [
        _means(result),
        _beaten(result),
        _joined(result),
        _channels(result),
        _regression(result),
        _events(result),
        _times(result),
    ]
    return "\n\n".join("\n".join(lines) for lines in (list(part) for part in parts) if lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _means(result: Mapping[str, Any]) -> Iterator[str]:
    """Give one row a mass, one column an estimator."""
    entries = result["estimators"]
    yield f"**Significance**, mean over the channels of sqrt(sum s^2/b), size `{result['size']}`:"
    yield ""
    by = [{row["mass"]: row for row in entry["masses"]} for entry in entries]
    rows = []
    for mass in result["masses"]:
        models = [each[mass]["mean"] for each, entry in zip(by, entries, strict=True) if mass in each and _real(entry)]
        best = max(models)
        cells = []
        for each, entry in zip(by, entries, strict=True):
            if mass not in each:
                cells.append("")
                continue
            row = each[mass]
            text = f"{row['mean']:.3g} ± {row['error']:.1g}"
            cells.append(f"**{text}**" if row["mean"] == best and _real(entry) else text)
        rows.append([f"{mass:g}", *cells])
    yield from _table(["mass [GeV]", *(entry["title"] for entry in entries)], rows)


def _real(entry: Mapping[str, Any]) -> bool:
    return bool(entry["kind"] != "held out")


def _beaten(result: Mapping[str, Any]) -> Iterator[str]:
    """Give each model's ratio to the reference."""
    models = [entry for entry in result["estimators"] if entry["kind"] in ("model", "held out")]
    yield f"**Ratio to {result['reference']}**, errors from {result['replicas']} replicas of the same events:"
    yield ""
    by = [{row["mass"]: row for row in entry["masses"]} for entry in models]
    rows = [
        [
            f"{mass:g}",
            *(f"{each[mass]['ratio']:.3f} ± {each[mass]['ratio_error']:.3f}" if mass in each else "" for each in by),
        ]
        for mass in result["masses"]
    ]
    beats = [f"{sum(row['ratio'] > 1 for row in entry['masses'])} of {len(entry['masses'])}" for entry in models]
    clear = [sum(row["ratio"] - row["ratio_error"] > 1 for row in entry["masses"]) for entry in models]
    rows.append(["above 1", *beats])
    shown = [f"{number} of {len(entry['masses'])}" for number, entry in zip(clear, models, strict=True)]
    rows.append(["above 1 by its error", *shown])
    yield from _table(["mass [GeV]", *(entry["title"] for entry in models)], rows)


def _joined(result: Mapping[str, Any]) -> Iterator[str]:
    """Give the same ratios where the low end joins the lowest bin."""
    models = [entry for entry in result["estimators"] if entry["kind"] in ("reference", "model")]
    name = result["reference"]
    yield f"**As the study bins**, what is left at the low end joining the lowest bin: {name}, and ratios to it:"
    yield ""
    rows = []
    for place, mass in enumerate(result["masses"]):
        here = [entry["masses"][place] for entry in models]
        rows.append([f"{mass:g}", f"{here[0]['joined']:.3g}", *(f"{row['joined_ratio']:.3f}" for row in here[1:])])
    beats = [f"{sum(row['joined_ratio'] > 1 for row in entry['masses'])} of {len(rows)}" for entry in models[1:]]
    yield from _table(["mass [GeV]", *(entry["title"] for entry in models)], [*rows, ["above 1", "", *beats]])


def _channels(result: Mapping[str, Any]) -> Iterator[str]:
    """Give the reference and the best model channel by channel."""
    models = [entry for entry in result["estimators"] if entry["kind"] == "model"]
    if not models:
        return
    best = max(models, key=lambda entry: sum(row["ratio"] for row in entry["masses"]))
    chosen = [result["estimators"][0], best]
    names = f"{chosen[0]['title']} and {best['title']}"
    yield f"**By channel**, {names} (number of bins in brackets, 0: one bin of too few events):"
    yield ""
    rows = []
    for place, mass in enumerate(result["masses"]):
        cells = []
        for number in range(len(result["channels"])):
            both = [entry["masses"][place]["channels"][number] for entry in chosen]
            cells.append(", ".join(f"{each['z']:.3g} ± {each['error']:.1g} ({each['bins']})" for each in both))
        rows.append([f"{mass:g}", *cells])
    yield from _table(["mass [GeV]", *result["channels"]], rows)


def _regression(result: Mapping[str, Any]) -> Iterator[str]:
    found = result["regression"]
    if not found:
        return
    size = found["parameters"]
    yield (
        f"**Regression** with {size['here']:,} parameters ({size['full']:,} at full size), "
        f"{found['made_events']:,} made events drawn, of which {found['kept']:.1%} lie within the percentiles "
        f"({1 - found['kept']:.1%} left out). Central 68 % half-width of residuals, energies in units of the total:"
    )
    yield ""
    rows = [
        [name, *(f"{value:.4f}" for value in values), f"{values[1] / values[0]:.2f}"]
        for name, values in found["spread"].items()
    ]
    rms = list(found["rms"].values())
    better = sum(one < other for one, other in rms)
    yield from _table(["target", "with drop-in", "without", "without / with"], rows)
    yield ""
    losses = ", ".join(
        f"{words} {found['loss'][key][-1]:.4f}" for key, words in (("True", "with"), ("False", "without"))
    )
    yield f"Drop-in has the smaller RMS residual in {better} of {len(rms)} targets. Loss of the last epoch: {losses}."


def _events(result: Mapping[str, Any]) -> Iterator[str]:
    yield "**Events** that were simulated and selected, and expected by channel (signals for full mixing):"
    yield ""
    channels = result["channels"]
    rows = [
        [name, f"{counts['events']:,}", *(f"{counts[channel]:.3g}" for channel in channels)]
        for name, counts in result["events"].items()
    ]
    yield from _table(["process", "simulated", *channels], rows)


def _times(result: Mapping[str, Any]) -> Iterator[str]:
    times = [f"{name} {each['seconds']:g} s" for name, each in result["models"].items() if each["seconds"] is not None]
    yield f"Training and scoring on `{result['device']}`: {', '.join(times)}; all {result['seconds']:g} s."
