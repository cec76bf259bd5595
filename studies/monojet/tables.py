"""A study of networks on images as Markdown tables."""

from __future__ import annotations

__all__ = ["markdown", "replace_section", "thresholds_markdown"]

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colonnade.errors import ConfigError
from colonnade.output import replacing
from studies.monojet.declaration import ImageStudy

_JAGGED = "set network"
_TITLES = {
    "cell": "empty cell",
    "row_column": "empty row and column",
    "stochastic": "empty row and column, stochastic",
    "none": "none",
}
_TITLE_DOWN = {"strides": "strides", "max_pool": "max-pool"}


def markdown(study: ImageStudy, result: dict[str, Any]) -> str:
    """Write a study's result as tables.

    Parameters
    ----------
    study
        What was compared.
    result
        From `run_image_study`.
    """
    parts = (
        _intro(study, result),
        _losses(result),
        _models(result),
        _side_by_side(result),
        _inputs(result),
        _slices(study, result),
        _gain(study, result),
    )
    return "\n".join("\n".join(part) for part in parts)


def thresholds_markdown(result: dict[str, Any]) -> str:
    """Write what each of the document's 21 thresholds gives, a table for each network.

    Parameters
    ----------
    result
        From `run_image_study`.
    """
    keys = ("precision", "recall", "mean_precision_recall", "product_precision_recall", "accuracy")
    lines: list[str] = []
    for name, entry in _everything(result):
        lines += [
            f"**{name}**",
            "",
            "| threshold | P | R | (P + R)/2 | P x R | accuracy |",
            "|---|---|---|---|---|---|",
        ]
        for row in entry["thresholds"]:
            lines.append(f"| {row['threshold']:.2f} | {' | '.join(f'{row[key]:.3f}' for key in keys)} |")
        lines.append("")
    return "\n".join(lines)


def _name(result: dict[str, Any], key: str) -> str:
    """Name a network: how its image was made and halved, and what else its key says; or which inputs it takes."""
    if key == "jagged":
        return _JAGGED
    if key in result["others"]:
        return f"no image: {key.replace('_', ' ')}"
    entry = result["models"][key]
    more = key.removeprefix(f"{entry['compression']}_{entry['down']}").strip("_").replace("_", " ")
    title = f"{_TITLES.get(entry['compression'], entry['compression'])}, {_TITLE_DOWN[entry['down']]}"
    return f"{title}, {more}" if more else title


def _everything(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Go over all networks: those on images, then those without."""
    for key, entry in (*result["models"].items(), ("jagged", result["jagged"]), *result["others"].items()):
        yield _name(result, key), entry


def _intro(study: ImageStudy, result: dict[str, Any]) -> Iterator[str]:
    events = result["events"]
    yield (
        f"{events['train']:,} events to learn from, {events['validation']:,} to stop by, {events['test']:,} to test "
        f"on, of {study.signal} and {study.background}, region {study.region}."
    )
    yield ""
    ways: dict[str, list[str]] = {}
    for key, model in study.images.items():
        training, network = model.training, model.network
        way = (
            f"channels {', '.join(map(str, network.channels))}; dense layer {network.dense}; "
            f"Adam {training.learning_rate:g}; L2 {training.l2:g}; {training.batch} images a step, at most "
            f"{training.steps:,} steps, a check every {training.every}, stopped after {training.patience} without a "
            f"better one; dropout {network.dropout:g}; weights start as `{network.initial}`; "
            f"training in {training.precision}"
        )
        ways.setdefault(way, []).append(_name(result, key))
    for way, names in ways.items():
        yield f"- {'; '.join(names)}: {way}."
    yield ""


def _losses(result: dict[str, Any]) -> Iterator[str]:
    yield "**What the crop cuts off**, test events:"
    yield ""
    yield "| compression | events that lose something | cells lost | particles' pT lost, mean | most of one event |"
    yield "|---|---|---|---|---|"
    for name, lost in result["losses"].items():
        shares = " | ".join(_percent(lost[key]) for key in ("events", "cells", "pt", "pt_worst"))
        yield f"| {_TITLES.get(name, name)} | {shares} |"
    yield ""


def _models(result: dict[str, Any]) -> Iterator[str]:
    yield (
        "**All combinations**, test events. Accuracy and average precision are the usual ones; in the last columns are "
        'the document\'s "accuracy", the mean of precision and recall, and "mean average precision", their product, '
        "at the threshold where the product peaks. Training is the processor's time, all threads together."
    )
    yield ""
    yield (
        "| network | best step | training [s] | accuracy at 0.5 | average precision | AUC | threshold "
        "| mean of P and R | P x R |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, entry in _everything(result):
        step = f"{entry['best']['step']:,}" if "best" in entry else "-"
        yield f"| {name} | {step} | {entry['processor_training']:.0f} | {_quality(entry)} |"
    yield ""


def _quality(entry: dict[str, Any]) -> str:
    top = entry["peak"]
    numbers = (entry["accuracy"], entry["average_precision"], entry["auc"])
    at_peak = (top["mean_precision_recall"], top["product_precision_recall"])
    three = [f"{number:.3f}" for number in (*numbers, *at_peak)]
    return " | ".join([*three[:3], f"{top['threshold']:.2f}", *three[3:]])


def _side_by_side(result: dict[str, Any]) -> Iterator[str]:
    """Compare cost and quality of images and sets."""
    jagged = result["jagged"]
    yield (
        f"**Is the image needed?** The set network takes the particles as they are (here {jagged['objects']:.0f} an "
        "event). Arithmetic is that of one event's evaluation, convolutions and matrix products; time is the "
        "processor's in the event loop, images made included."
    )
    yield ""
    yield "| network | accuracy | AUC | parameters | arithmetic [MFLOP] | of the set network's | time [ms] |"
    yield "|---|---|---|---|---|---|---|"
    best = max(result["models"].values(), key=lambda entry: entry["accuracy"])
    for name, entry in _everything(result):
        mark = " (best image)" if entry is best else ""
        yield (
            f"| {name}{mark} | {entry['accuracy']:.3f} | {entry['auc']:.3f} | {entry['parameters']:,} "
            f"| {entry['arithmetic'] / 1e6:.3g} | {_ratio(entry['arithmetic'] / jagged['arithmetic'])} "
            f"| {entry['seconds_event'] * 1e3:.2g} |"
        )
    for down, size in result["full"].items():
        yield (
            f"| the document's {_TITLE_DOWN[down]}, 60 x 60 | | | {size['parameters']:,} "
            f"| {size['arithmetic'] / 1e6:,.0f} | {_ratio(size['arithmetic'] / jagged['arithmetic'])} | |"
        )
    yield ""


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _inputs(result: dict[str, Any]) -> Iterator[str]:
    """Show what the networks without images look at."""
    yield (
        "**What it looks at.** The area under the ROC curve that is lost when one input is shuffled among all "
        "particles (or events):"
    )
    yield ""
    yield "| network | AUC lost |"
    yield "|---|---|"
    for key, entry in (("jagged", result["jagged"]), *result["others"].items()):
        lost = ", ".join(f"{name} {value:.3f}" for name, value in entry["importance"].items())
        yield f"| {_name(result, key)} | {lost} |"
    yield ""


def _slices(study: ImageStudy, result: dict[str, Any]) -> Iterator[str]:
    """Show the share of events called what they are, by slice of the boson's pT."""
    yield (
        f"**Slices of the boson's pT**: share of events called signal ({study.signal}) or not ({study.background}, "
        f"{study.unseen}) as they should be, at the threshold of the peak. No network was trained on {study.unseen}, "
        f"nor on any slice but {study.region}."
    )
    yield ""
    yield f"| network | threshold | slice | {study.signal} | {study.background} | {study.unseen} |"
    yield "|---|---|---|---|---|---|"
    for key, entry in result["detailed"].items():
        for region, shares in (*entry["slices"].items(), (f"all, after {study.selection}", entry["selected"])):
            numbers = " | ".join(_share(shares[each]) for each in (study.signal, study.background, study.unseen))
            yield f"| {_name(result, key)} | {entry['threshold']:.2f} | {region} | {numbers} |"
    yield ""


def _share(share: dict[str, float]) -> str:
    return f"{share['right']:.3f} ± {share['error']:.3f}"


def _gain(study: ImageStudy, result: dict[str, Any]) -> Iterator[str]:
    total = sum(study.yields.values())
    yield (
        f"**Gain in sensitivity** S/√B of a search after the selection, with B the {total:,.2f} events of its table, "
        f"if dark matter passes as often as {study.signal}; shares of the rows after {study.selection} above:"
    )
    yield ""
    yield "| network | gain |"
    yield "|---|---|"
    for key, entry in result["detailed"].items():
        yield f"| {_name(result, key)} | {entry['gain']:.4f} ± {entry['gain_error']:.4f} |"
    yield ""


def _percent(share: float) -> str:
    return "100 %" if share >= 0.995 else f"{100 * share:.2g} %"


def replace_section(page: Path, name: str, text: str) -> None:
    """Put text between a page's marks `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises
    ------
    ConfigError
        If the page does not exist or has no such marks.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    content = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, found, rest = content.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        msg = f"{page} has no place for the tables; write {start} and {end} where they belong."
        raise ConfigError(msg)
    with replacing(page) as temporary:
        temporary.write_text(f"{before}{start}\n{text.rstrip()}\n{end}{after}", encoding="utf-8")
