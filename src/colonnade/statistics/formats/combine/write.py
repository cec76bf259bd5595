"""Combine's datacards, out: a text card and a ROOT file of shapes.

Conventions (CMS-NOTE-2011-005 and Combine's documentation): a shape row's template is split by Combine into a yield,
interpolated as an asymmetric log-normal, and the rest, interpolated as HistFactory's code 4p. The luminosity of
HistFactory is a constrained rateParam; its staterror is `autoMCStats`; the signal strength is called `r`.
"""

from __future__ import annotations

__all__ = ["to_combine"]

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uproot

from colonnade.errors import ConfigError
from colonnade.output import replacing
from colonnade.statistics.formats.convert import Difference
from colonnade.statistics.model import Channel, Floats, Model, Modifier, Sample

_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class _Effect:
    """What one parameter does to one process in one channel: factors on the yield, and shapes of unchanged yield."""

    up: float
    down: float
    shape_up: Floats | None
    shape_down: Floats | None


def to_combine(model: Model, card: Path) -> tuple[Difference, ...]:
    """Write a model as a datacard, and its shapes as a ROOT file of the same name beside it.

    Parameters
    ----------
    model
        The model.
    card
        Path of the card, `NAME.txt`; the shapes go into `NAME.root`.

    Returns
    -------
    tuple of Difference
        Where Combine's conventions differ from the model's.

    Raises
    ------
    ConfigError
        If the model holds what a card can't say: a shapefactor, or a signal strength on no process.
    OutputError
        If a file can't be written.
    """
    differences: dict[Difference, None] = {}
    columns = [(channel, sample) for channel in model.channels for sample in channel.samples if sample.yields.sum() > 0]
    signals = {sample.name for _, sample in columns if any(m.parameter == model.poi for m in sample.modifiers)}
    if not signals:
        msg = f"The signal strength {model.poi!r} scales no process with events, so there is no signal for a card."
        raise ConfigError(msg)
    effects = [_effects(model, channel, sample, differences) for channel, sample in columns]
    names = list(dict.fromkeys(name for each in effects for name in each))
    shapes = {name for name in names if any(name in e and e[name].shape_up is not None for e in effects)}
    _write_shapes(model, columns, effects, shapes, card.with_suffix(".root"))
    lines = _header(model, columns, signals, card.with_suffix(".root").name, len(names))
    lines += [_row(name, effects, shape=name in shapes) for name in names]
    lines += _rates(model, columns)
    lines += _statistics(model, differences)
    with replacing(card) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tuple(differences)


def _effects(model: Model, channel: Channel, sample: Sample, differences: dict[Difference, None]) -> dict[str, _Effect]:
    result: dict[str, _Effect] = {}
    for modifier in sample.modifiers:
        name = modifier.parameter
        known = result.get(name, _Effect(1.0, 1.0, None, None))
        if modifier.kind == "normsys":
            up, down = float(modifier.up[0]), float(modifier.down[0])
            result[name] = _Effect(known.up * up, known.down * down, known.shape_up, known.shape_down)
            if abs(up * down - 1) > _SAME or modifier.interpolation == "code4":
                _note_normsys(modifier, differences)
        elif modifier.kind == "histosys":
            result[name] = _histosys(modifier, sample, known, differences)
        elif modifier.kind == "shapesys":
            result |= _shapesys(model, channel, sample, modifier, differences)
        elif modifier.kind == "shapefactor":
            msg = f"A datacard can't say the shapefactor {name} of {sample.name} in {channel.name}."
            raise ConfigError(msg)
    return result


def _note_normsys(modifier: Modifier, differences: dict[Difference, None]) -> None:
    if modifier.interpolation != "lnN":
        differences[
            Difference(
                modifier.parameter,
                "a normsys became a lnN: the same at and beyond one standard deviation, another curve within",
            )
        ] = None


def _histosys(modifier: Modifier, sample: Sample, known: _Effect, differences: dict[Difference, None]) -> _Effect:
    total = sample.yields.sum()
    up, down = (max(side.sum() / total, 1e-6) for side in (modifier.up, modifier.down))
    if max(abs(up - 1), abs(down - 1)) > _SAME:
        differences[
            Difference(
                modifier.parameter,
                "a histosys that changes the yield became a shape: the yield goes as a log-normal, not linearly; the "
                "same at one standard deviation",
            )
        ] = None
    return _Effect(known.up * up, known.down * down, modifier.up / up, modifier.down / down)


def _shapesys(
    model: Model, channel: Channel, sample: Sample, modifier: Modifier, differences: dict[Difference, None]
) -> dict[str, _Effect]:
    differences[
        Difference(
            modifier.parameter,
            "a shapesys became one shape a bin: Gaussian instead of Poisson, the same to second order",
        )
    ] = None
    total = sample.yields.sum()
    result = {}
    fixed = model.parameter(modifier.parameter).fixed
    for index, (error, constant) in enumerate(zip(modifier.errors, fixed, strict=True)):
        if constant:
            continue
        change = np.zeros(channel.bins)
        change[index] = min(error, sample.yields[index] * (1 - 1e-6))
        up, down = (sample.yields + change).sum() / total, (sample.yields - change).sum() / total
        shape_up, shape_down = (sample.yields + change) / up, (sample.yields - change) / down
        one_bin = channel.bins == 1
        result[f"{modifier.parameter}_bin{index}"] = _Effect(
            up, down, None if one_bin else shape_up, None if one_bin else shape_down
        )
    return result


def _write_shapes(
    model: Model,
    columns: list[tuple[Channel, Sample]],
    effects: list[dict[str, _Effect]],
    shapes: set[str],
    path: Path,
) -> None:
    with replacing(path) as temporary, uproot.recreate(temporary) as file:
        for channel in model.channels:
            seen = model.observations[channel.name]
            file[f"{channel.name}/data_obs"] = _histogram(channel, seen, np.sqrt(seen))
        for (channel, sample), found in zip(columns, effects, strict=True):
            errors = np.zeros(channel.bins)
            for modifier in sample.modifiers:
                if modifier.kind in ("staterror", "mcstat"):
                    errors = np.hypot(errors, modifier.errors)
            where = f"{channel.name}/{sample.name}"
            file[where] = _histogram(channel, sample.yields, errors)
            for name in shapes & set(found):
                effect = found[name]
                zeros = np.zeros(channel.bins)
                for side, factor, shape in (
                    ("Up", effect.up, effect.shape_up),
                    ("Down", effect.down, effect.shape_down),
                ):
                    template = factor * (sample.yields if shape is None else shape)
                    file[f"{where}_{name}{side}"] = _histogram(channel, template, zeros)


def _histogram(channel: Channel, values: Floats, errors: Floats) -> object:
    import hist

    # Combine wants the same bins in all channels' shapes to be of any width: bin numbers lose nothing
    edges = channel.edges or tuple(float(index) for index in range(channel.bins + 1))
    filled = hist.Hist(hist.axis.Variable(edges, name="x", label="x"), storage=hist.storage.Weight())
    view = filled.view()
    view["value"], view["variance"] = values, errors**2
    return filled


def _header(
    model: Model, columns: list[tuple[Channel, Sample]], signals: set[str], shapes: str, count: int
) -> list[str]:
    processes = list(dict.fromkeys(sample.name for _, sample in columns))
    backgrounds = [name for name in processes if name not in signals]
    number = {name: index + 1 for index, name in enumerate(backgrounds)}
    number |= {name: -index for index, name in enumerate(name for name in processes if name in signals)}
    observed = [f"{float(model.observations[channel.name].sum()):.12g}" for channel in model.channels]
    del count
    return [
        f"# Written by colonnade; the signal strength {model.poi} of the model is r here.",
        f"imax {len(model.channels)} number of channels",
        f"jmax {len(processes) - 1} number of processes minus 1",
        "kmax * number of nuisance parameters",
        "-" * 80,
        f"shapes * * {shapes} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        "-" * 80,
        "bin " + " ".join(channel.name for channel in model.channels),
        "observation " + " ".join(observed),
        "-" * 80,
        "bin " + " ".join(channel.name for channel, _ in columns),
        "process " + " ".join(sample.name for _, sample in columns),
        "process " + " ".join(str(number[sample.name]) for _, sample in columns),
        "rate " + " ".join(f"{float(sample.yields.sum()):.12g}" for _, sample in columns),
        "-" * 80,
    ]


def _row(name: str, effects: list[dict[str, _Effect]], *, shape: bool) -> str:
    cells = []
    for found in effects:
        if name not in found:
            cells.append("-")
        elif shape:
            cells.append("1")
        else:
            up, down = found[name].up, found[name].down
            symmetric = abs(up * down - 1) < _SAME
            cells.append(f"{up:.12g}" if symmetric else f"{down:.12g}/{up:.12g}")
    return f"{name} {'shape' if shape else 'lnN'} " + " ".join(cells)


def _rates(model: Model, columns: list[tuple[Channel, Sample]]) -> list[str]:
    """Free and measured normalisations, as rateParams."""
    lines: list[str] = []
    measured: dict[str, str] = {}
    for channel, sample in columns:
        for modifier in sample.modifiers:
            if modifier.kind not in ("normfactor", "lumi") or modifier.parameter == model.poi:
                continue
            each = model.parameter(modifier.parameter)
            low, high = each.bounds[0]
            lines.append(
                f"{each.name} rateParam {channel.name} {sample.name} {each.inits[0]:.12g} [{low:.12g},{high:.12g}]"
            )
            if each.constraint == "normal":
                measured[each.name] = f"{each.name} param {each.auxdata[0]:.12g} {each.widths[0]:.12g}"
            elif each.constraint == "poisson":
                msg = f"A datacard written here can't say the Poisson measurement of {each.name}."
                raise ConfigError(msg)
    return [*lines, *measured.values()]


def _statistics(model: Model, differences: dict[Difference, None]) -> list[str]:
    """Bin-wise uncertainties: a threshold of 0 makes one Gaussian parameter a bin, as staterror does."""
    names = [each.name for each in model.parameters if _is_staterror(model, each.name)]
    for name in names:
        differences[
            Difference(
                name,
                "a staterror became autoMCStats: the error follows the yields of the processes, but not their shapes; "
                "the same at the nominal point",
            )
        ] = None
    return [
        f"{channel.name} autoMCStats 0 0 1"
        for channel in model.channels
        if any(m.kind in ("staterror", "mcstat") for sample in channel.samples for m in sample.modifiers)
    ]


def _is_staterror(model: Model, name: str) -> bool:
    return any(
        m.kind == "staterror" and m.parameter == name
        for channel in model.channels
        for sample in channel.samples
        for m in sample.modifiers
    )
