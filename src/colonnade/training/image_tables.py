"""A study of networks on images as Markdown tables."""

from __future__ import annotations

__all__ = ["markdown", "replace_section"]

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colonnade.errors import ConfigError
from colonnade.output import replacing
from colonnade.training.image_declaration import ImageStudy

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
        _slices(study, result),
        _gain(study, result),
        _thresholds(result),
    )
    return "\n".join("\n".join(part) for part in parts)


def _intro(study: ImageStudy, result: dict[str, Any]) -> Iterator[str]:
    events = result["events"]
    model = next(iter(study.images.values()))
    training, network = model.training, model.network
    yield (
        f"{events['train']:,} events to learn from, {events['validation']:,} to stop by, {events['test']:,} to test "
        f"on, of {study.signal} and {study.background}, region {study.region}. Image networks: channels "
        f"{', '.join(map(str, network.channels))}; dense layer {network.dense}; Adam {training.learning_rate:g}; "
        f"L2 {training.l2:g}; {training.batch} images a step, at most {training.steps:,} steps, a check every "
        f"{training.every}; dropout {network.dropout:g}; weights start as `{network.initial}`; training in "
        f"{training.precision}."
    )
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
        "at the threshold where the product peaks."
    )
    yield ""
    yield (
        "| compression | network | best step | training | accuracy at 0.5 | average precision | AUC | threshold "
        "| mean of P and R | P x R |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for entry in result["models"].values():
        first = f"{_TITLES.get(entry['compression'], entry['compression'])} | {_TITLE_DOWN[entry['down']]}"
        yield f"| {first} | {entry['best']['step']:,} | {entry['seconds_training']:.0f} s | {_quality(entry)} |"
    jagged = result["jagged"]
    yield f"| no image | {_JAGGED} | - | {jagged['seconds_training']:.0f} s | {_quality(jagged)} |"
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
        f"**Is the image needed?** The set network takes the particles as they are (here {jagged['particles']:.0f} an "
        "event). Arithmetic is that of one event's evaluation, convolutions and matrix products; time is that of the "
        "event loop, one thread, images made included."
    )
    yield ""
    yield "| network | accuracy | average precision | parameters | arithmetic [MFLOP] | images / set | time [ms] |"
    yield "|---|---|---|---|---|---|---|"
    best = max(result["models"].values(), key=lambda entry: entry["accuracy"])
    for entry in (jagged, *result["models"].values()):
        name = _JAGGED if entry is jagged else f"{_TITLES[entry['compression']]}, {_TITLE_DOWN[entry['down']]}"
        mark = " (best image)" if entry is best else ""
        yield (
            f"| {name}{mark} | {entry['accuracy']:.3f} | {entry['average_precision']:.3f} | {entry['parameters']:,} "
            f"| {entry['arithmetic'] / 1e6:.3g} | {entry['arithmetic'] / jagged['arithmetic']:.0f} "
            f"| {entry['seconds_event'] * 1e3:.3g} |"
        )
    for down, size in result["full"].items():
        yield (
            f"| the document's {_TITLE_DOWN[down]}, 60 x 60 | | | {size['parameters']:,} "
            f"| {size['arithmetic'] / 1e6:,.0f} | {size['arithmetic'] / jagged['arithmetic']:,.0f} | |"
        )
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
    for name, entry in result["detailed"].items():
        for region, shares in (*entry["slices"].items(), (f"all, after {study.selection}", entry["selected"])):
            numbers = " | ".join(_share(shares[each]) for each in (study.signal, study.background, study.unseen))
            yield f"| {_name(result, name)} | {entry['threshold']:.2f} | {region} | {numbers} |"
    yield ""


def _name(result: dict[str, Any], name: str) -> str:
    if name == "jagged":
        return _JAGGED
    entry = result["models"][name]
    return f"{_TITLES.get(entry['compression'], entry['compression'])}, {_TITLE_DOWN[entry['down']]}"


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
    for name, entry in result["detailed"].items():
        yield f"| {_name(result, name)} | {entry['gain']:.4f} |"
    yield ""


def _thresholds(result: dict[str, Any]) -> Iterator[str]:
    """Show the 21 thresholds of every network."""
    yield (
        "**Thresholds**, test events: precision P, recall R, the document's accuracy (P + R)/2 and mean average "
        "precision P x R, and the true accuracy."
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in result["models"].values():
        groups.setdefault(entry["compression"], []).append(entry)
    for compression, entries in groups.items():
        yield ""
        yield from _threshold_table(
            [(f"{_TITLES.get(compression, compression)}, {_TITLE_DOWN[entry['down']]}", entry) for entry in entries]
        )
    yield ""
    yield from _threshold_table([(_JAGGED, result["jagged"])])
    yield ""


def _threshold_table(entries: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    heads = [f"{name}: P | R | (P + R)/2 | P x R | accuracy" for name, _ in entries]
    yield f"| threshold | {' | '.join(heads)} |"
    yield "|---" * (1 + 5 * len(entries)) + "|"
    keys = ("precision", "recall", "mean_precision_recall", "product_precision_recall", "accuracy")
    for rows in zip(*(entry["thresholds"] for _, entry in entries), strict=True):
        numbers = " | ".join(f"{row[key]:.3f}" for row in rows for key in keys)
        yield f"| {rows[0]['threshold']:.2f} | {numbers} |"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


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
