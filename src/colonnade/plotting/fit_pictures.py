"""From the diagnostics of fit.json to pictures: pulls, ranking, correlations, scans, yields before and after."""

from __future__ import annotations

__all__ = ["Names", "draw_fit", "fit_pictures", "names_of_run", "plain_names"]

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.plotting.drawing import Drawing
from colonnade.plotting.fit_plots import CorrelationPlot, ImpactPlot, PullPlot, ScanPlot
from colonnade.plotting.looks import region_title
from colonnade.plotting.palette import BACKGROUND_COLOURS, SIGNAL_COLOURS, literal
from colonnade.plotting.plot import Caption, Picture, Plot, path_part
from colonnade.plotting.save import save_picture
from colonnade.plotting.settings import PlotSettings
from colonnade.plotting.stack import Component, StackPlot

# more can't be read; the tables of the report and of `colonnade fit` have all
_MOST_PULLS, _MOST_IMPACTS, _MOST_CORRELATED = 40, 20, 14


@dataclass(frozen=True)
class Names:
    """How the pictures of a fit call and colour what they show.

    Attributes
    ----------
    caption : callable
        From lines and whether data are shown to the words in the corner.
    title, colour : callable
        Of a process.
    region : callable
        Title of a channel.
    axis : callable
        Label and unit of a channel's axis.
    order : tuple of str
        Processes from the bottom of a stack to its top; others follow.
    """

    caption: Callable[..., Caption]
    title: Callable[[str], str]
    colour: Callable[[str], str]
    region: Callable[[str], str]
    axis: Callable[[str], tuple[str, str]]
    order: tuple[str, ...] = ()


def names_of_run(run: Drawing) -> Names:
    """Return the titles and colours of a run's other pictures."""
    model: Mapping[str, Any] = run.folder.config.get("model") or {}

    def axis(channel: str) -> tuple[str, str]:
        name = str((model.get("channels", {}).get(channel) or {}).get("histogram"))
        found = next(iter(run.folder.filled.get(name, {}).values()), None)
        return (found.axes[0].label, found.axes[0].unit) if found is not None else ("", "")

    return Names(
        run.caption,
        lambda name: run.looks[name].title if name in run.looks else literal(name),
        lambda name: run.looks[name].colour if name in run.looks else BACKGROUND_COLOURS[0],
        lambda name: region_title(name, run.settings),
        axis,
        tuple(run.backgrounds),
    )


def plain_names(samples: Sequence[str]) -> Names:
    """Return names and colours for a model of which nothing else is known."""
    colours = {name: BACKGROUND_COLOURS[place % len(BACKGROUND_COLOURS)] for place, name in enumerate(samples)}
    return Names(
        lambda *lines, data: Caption(lines=lines),  # noqa: ARG005 - a model's data may be anything
        literal,
        lambda name: colours.get(name, SIGNAL_COLOURS[0]),
        literal,
        lambda _channel: ("", ""),
    )


def fit_pictures(found: Mapping[str, Any], names: Names, views: Collection[str] | None = None) -> Iterator[Picture]:
    """Yield the pictures of a fit.

    Parameters
    ----------
    found
        `diagnostics` of fit.json.
    names
        How things are called.
    views
        Some of pulls, ranking, correlations, scan and yields; without them all.
    """

    def wanted(view: str) -> bool:
        return views is None or view in views

    seen = any(each["observed"] is not None for each in found["yields"].values())
    if wanted("pulls"):
        yield from _pulls(found, names, data=seen)
    if wanted("ranking"):
        yield from _ranking(found, names)
    if wanted("correlations"):
        yield from _correlations(found, names, data=seen)
    if wanted("scan"):
        for each in found["scans"]:
            plot = ScanPlot(
                each["parameter"], each["bestfit"], each["error"], np.array(each["values"]), np.array(each["delta"]),
                caption=names.caption(*_asimov(found), data=found["strength"] is None),
            )  # fmt: skip
            yield _picture("scan", each["parameter"], f"the likelihood along {each['parameter']}", plot)
    if wanted("yields"):
        for channel, each in found["yields"].items():
            yield _yields(channel, each, names)


def draw_fit(
    found: Mapping[str, Any], target: Path, names: Names, views: Collection[str] | None, settings: PlotSettings
) -> list[Path]:
    """Draw the pictures of a fit below a folder, and return the files.

    Raises
    ------
    OutputError
        If a file can't be written.
    """
    return [path for each in fit_pictures(found, names, views) for path in save_picture(each, target, settings)]


def _picture(kind: str, name: str, alt: str, plot: Plot) -> Picture:
    stem = f"fit/{kind}" if name == kind else f"fit/{kind}_{path_part(name)}"
    return Picture(stem, f"fit_{kind}", alt, plot)


def _asimov(found: Mapping[str, Any]) -> list[str]:
    return [] if found["strength"] is None else [f"expected, signal strength {found['strength']:g}"]


def _pulls(found: Mapping[str, Any], names: Names, *, data: bool) -> Iterator[Picture]:
    rows = found["pulls"]
    if len(rows) > _MOST_PULLS:  # those that moved, or learnt, most
        chosen = sorted(rows, key=lambda each: -max(abs(each["pull"]), 1 - each["constraint"]))[:_MOST_PULLS]
        rows = [each for each in rows if each in chosen]
    if rows:
        plot = PullPlot(
            tuple(each["name"] for each in rows),
            np.array([each["pull"] for each in rows]),
            np.array([each["constraint"] for each in rows]),
            caption=names.caption(data=data),
        )
        alt = f"Pulls and constraints of {len(rows)} parameters of the fit"
        yield _picture("pulls", "pulls", alt, plot)


def _ranking(found: Mapping[str, Any], names: Names) -> Iterator[Picture]:
    rows = found["ranking"][:_MOST_IMPACTS]
    if not rows:
        return
    known = {each["name"]: each for each in found["pulls"]}
    keys = ("prefit_up", "prefit_down", "postfit_up", "postfit_down")
    plot = ImpactPlot(
        tuple(each["name"] for each in rows),
        np.array([known[each["name"]]["pull"] if each["name"] in known else np.nan for each in rows]),
        np.array([known[each["name"]]["constraint"] if each["name"] in known else np.nan for each in rows]),
        np.array([[np.nan if each[key] is None else each[key] for each in rows] for key in keys], dtype=float),
        caption=names.caption(*_asimov(found), data=found["strength"] is None),
    )
    alt = f"The {len(rows)} parameters that move the signal strength most; the first is {rows[0]['name']}"
    yield _picture("ranking", "ranking", alt, plot)


def _correlations(found: Mapping[str, Any], names: Names, *, data: bool) -> Iterator[Picture]:
    labels, matrix = found["correlations"]["parameters"], np.array(found["correlations"]["matrix"])
    if len(labels) < 2:
        return
    chosen = np.arange(len(labels))
    if len(labels) > _MOST_CORRELATED:
        strongest = np.abs(matrix - np.diag(np.diagonal(matrix))).max(axis=0)
        chosen = np.sort(np.argsort(-strongest, kind="stable")[:_MOST_CORRELATED])
    shown = tuple(labels[index] for index in chosen)
    plot = CorrelationPlot(shown, matrix[np.ix_(chosen, chosen)], caption=names.caption(data=data))
    alt = f"Correlations of the {len(chosen)} most correlated parameters of the fit"
    yield _picture("correlations", "correlations", alt, plot)


def _yields(channel: str, each: Mapping[str, Any], names: Names) -> Picture:
    after, before, signal = each["postfit"], each["prefit"], each["signal"]
    samples = [name for name in after["samples"] if signal is None or name != signal["name"]]
    rank = {name: place for place, name in enumerate(names.order)}
    samples.sort(key=lambda name: rank.get(name, len(rank)))
    errors = np.array(after["errors"])
    fitted = [after["samples"][signal["name"]]] if signal is not None and signal["name"] in after["samples"] else []
    label, unit = names.axis(channel)
    plot = StackPlot(
        edges=np.array(each["edges"] or np.arange(len(errors) + 1.0), dtype=float),
        backgrounds=tuple(
            Component(names.title(name), np.array(after["samples"][name]), names.colour(name)) for name in samples
        )
        + tuple(
            Component(f"{names.title(signal['name'])}, fitted", np.array(events), SIGNAL_COLOURS[0])
            for events in fitted
            if signal is not None and abs(sum(events)) > 1e-6 * after["total"]
        ),
        down=errors,
        up=errors,
        signals=()
        if signal is None or not np.any(signal["events"])
        else (Component(names.title(signal["name"]), np.array(signal["events"]), SIGNAL_COLOURS[0]),),
        data=None if each["observed"] is None else np.array(each["observed"]),
        before=np.sum([np.array(values) for values in before["samples"].values()], axis=0),
        before_error=np.array(before["errors"]),
        bins=() if each["edges"] else tuple(str(index + 1) for index in range(len(errors))),
        label=label or ("" if each["edges"] else "Bin"),
        unit=unit,
        panel="ratio",
        caption=names.caption(names.region(channel), "after the fit", data=each["observed"] is not None),
    )
    total = f"{after['total']:.4g} ± {after['total_error']:.2g} events after the fit"
    return Picture(f"fit/yields_{path_part(channel)}", "fit_yields", f"Region {channel}: {total}", plot, channel)
