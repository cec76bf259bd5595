"""Combine's datacards, out: a text card and a ROOT file of shapes.

Conventions (CMS-NOTE-2011-005 and Combine's documentation): a shape row's template is split by Combine into a yield,
interpolated as an asymmetric log-normal, and the rest, interpolated as HistFactory's code 4p. The luminosity of
HistFactory is a constrained rateParam; its staterror is `autoMCStats`; the signal strength is called `r`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import uproot

from colonnade.output import replacing
from colonnade.statistics.formats.combine.build import moved
from colonnade.statistics.formats.exporting import Differences, kinds_of, names_of, refuse, scaled, tell
from colonnade.statistics.formats.root import histogram
from colonnade.statistics.model import Channel, Floats, Model, Modifier, Parameter, Sample

Columns = list[tuple[Channel, Sample]]
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class _Effect:
    """What one parameter does to one process in one channel: factors on the yield, and shapes of unchanged yield."""

    up: float = 1.0
    down: float = 1.0
    shape_up: Floats | None = None
    shape_down: Floats | None = None
    scale: float = 1.0


def to_combine(model: Model, card: Path) -> Differences:
    """Write a model as a datacard, and its shapes as a ROOT file of the same name beside it.

    Parameters
    ----------
    model
        The model.
    card
        Path of the card, `NAME.txt`; the shapes go into `NAME.root`.

    Returns
    -------
    dict
        Where Combine's conventions differ from the model's: how, and of which parameters.

    Raises
    ------
    ConfigError
        If the model holds what a card can't say: a shapefactor, or a signal strength on no process.
    OutputError
        If a file can't be written.
    """
    differences: Differences = {}
    columns = [(channel, sample) for channel in model.channels for sample in channel.samples if np.any(sample.yields)]
    signals = _signals(model, columns)
    _check(model, columns)
    columns, counts = _with_sidebands(model, columns)
    effects = [_effects(model, channel, sample, differences) for channel, sample in columns]
    names = list(dict.fromkeys(name for each in effects for name in each))
    shapes = {name for found in effects for name, each in found.items() if each.shape_up is not None}
    shaped = {channel.name for (channel, _), found in zip(columns, effects, strict=True) if shapes & set(found)}
    counted = {channel.name for channel in model.channels if _is_counted(channel)} - shaped
    root = card.with_suffix(".root")
    lines = _header(model, columns, signals, root.name, counted)
    kinds = _kinds(model, names, shapes)
    lines += [_row(name, kinds[name], effects, shape=name in shapes) for name in names]
    lines += counts
    lines += _rates(model, columns, set(names))
    lines += _statistics(model, differences)
    lines += _settings(model, names)
    if len(counted) < len(model.channels):
        _write_shapes(model, list(zip(columns, effects, strict=True)), shapes, counted, root)
    with replacing(card) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return differences


def _signals(model: Model, columns: Columns) -> set[str]:
    """Return the names of the processes that the signal strength scales, in every channel."""
    scaled: dict[str, set[bool]] = {}
    for _, sample in columns:
        strength = any(m.kind == "normfactor" and m.parameter == model.poi for m in sample.modifiers)
        scaled.setdefault(sample.name, set()).add(strength)
    both = [name for name, found in scaled.items() if len(found) > 1]
    if both:
        refuse("A datacard", f"that {model.poi} scales {both[0]} in some channels only; give it two names")
    signals = {name for name, found in scaled.items() if True in found}
    if model.poi and not signals:
        refuse("A datacard", f"the signal strength {model.poi!r}, which scales no process with events")
    return signals


def _check(model: Model, columns: Columns) -> None:
    """Refuse what would make a card that nobody can read, or another model."""
    for name in names_of(model):
        if not name or name.split() != [name]:
            refuse("A datacard", f"the name {name!r}, as blanks part its words")
    for channel, sample in columns:
        if sample.yields.sum() <= 0 and not _is_counted(channel):
            where = f"{sample.name} in {channel.name}"
            refuse("A datacard", f"a template whose sum is not above 0, as that of {where}")
    kinds = kinds_of(model)
    for each in model.parameters:
        deviates = bool(kinds[each.name] & {"normsys", "histosys"})
        if each.scalar and each.fixed[0] and (each.name == model.poi or (deviates and each.inits[0])):
            refuse("A datacard", f"that {each.name} is held at {each.inits[0]:g}")


def _is_counted(channel: Channel) -> bool:
    """Tell whether a channel is one count, without templates."""
    kinds = {m.kind for sample in channel.samples for m in sample.modifiers}
    return channel.bins == 1 and channel.edges is None and not kinds & {"staterror", "mcstat", "shapesys", "histosys"}


def _with_sidebands(model: Model, columns: Columns) -> tuple[Columns, list[str]]:
    """Return the columns with the yields that a card states, and the rows of gmN and gmM."""
    cells: dict[str, list[str]] = {}
    changed = []
    for index, (channel, sample) in enumerate(columns):
        for modifier in sample.modifiers:
            each = model.parameter(modifier.parameter) if modifier.kind == "normfactor" else None
            if each is None or each.constraint != "poisson":
                continue
            count, factor = each.auxdata[0], each.widths[0]
            gamma = abs(count - (factor - 1)) < 1e-6 * factor and factor != 1
            if not gamma and (factor != 1 or count != round(count)):
                refuse("A datacard", f"the Poisson measurement of {each.name}: {count:g} of {factor:g} events")
            head = f"{each.name} gmM" if gamma else f"{each.name} gmN {count:.0f}"
            row = cells.setdefault(head, ["-"] * len(columns))
            row[index] = f"{factor**-0.5:.12g}" if gamma else f"{float(sample.yields.sum()):.12g}"
            sample = sample if gamma else scaled(sample, count or 1.0)  # noqa: PLW2901 - at most one is no gamma
        changed.append((channel, sample))
    return changed, [f"{head} {' '.join(row)}" for head, row in cells.items()]


def _kinds(model: Model, names: Sequence[str], shapes: set[str]) -> dict[str, str]:
    """Return the kind of each row: of a shape or a factor, with a constraint or without."""
    free = {each.name for each in model.parameters if each.constraint == "none"}
    ways: dict[str, set[bool]] = {}
    for _, _, modifier in model.uses():
        if modifier.kind == "histosys":
            ways.setdefault(modifier.parameter, set()).add(modifier.interpolation == "log4p")
    kinds = {}
    for name in names:
        logarithmic = ways.get(name, set())
        if len(logarithmic) > 1 or (name in free and True in logarithmic):
            refuse("A datacard", f"the shapes of {name}, interpolated in several ways or without a constraint")
        stem = "shape" if name in shapes else "ln"
        ending = "U" if name in free else "N" if stem == "ln" or True in logarithmic else ""
        kinds[name] = stem + ending
    return kinds


def _effects(model: Model, channel: Channel, sample: Sample, differences: Differences) -> dict[str, _Effect]:
    result: dict[str, _Effect] = {}
    for modifier in sample.modifiers:
        name = modifier.parameter
        known = result.get(name, _Effect())
        if modifier.kind == "normsys":
            up, down = float(modifier.up[0]), float(modifier.down[0])
            result[name] = replace(known, up=known.up * up, down=known.down * down)
            exact = modifier.interpolation == "lnN" or (
                modifier.interpolation == "code1" and abs(up * down - 1) < _SAME
            )
            if not exact:
                how = "a normsys became a lnN: the same at and beyond one standard deviation, another curve within"
                tell(differences, name, how)
        elif modifier.kind == "histosys":
            result[name] = _histosys(modifier, sample, known, differences)
        elif modifier.kind == "shapesys":
            how = "a shapesys became one shape a bin: Gaussian instead of Poisson, the same to second order"
            tell(differences, name, how)
            for one in _by_bin(modifier, sample, model.parameter(name).fixed):
                effect = _histosys(one, sample, _Effect(), {})
                result[one.parameter] = replace(effect, shape_up=None, shape_down=None) if channel.bins == 1 else effect
        elif modifier.kind == "shapefactor":
            refuse("A datacard", f"the shapefactor {name} of {sample.name} in {channel.name}")
    return result


def _histosys(modifier: Modifier, sample: Sample, known: _Effect, differences: Differences) -> _Effect:
    total = sample.yields.sum()
    if min(modifier.up.sum(), modifier.down.sum()) <= 0 or modifier.region > 1:
        refuse("A datacard", f"the shape {modifier.parameter} of {sample.name}, of which a template has no events")
    up, down = (side.sum() / total for side in (modifier.up, modifier.down))
    if sample.template == "normalised":  # whatever the sum of its template, the yield stays
        up = down = 1.0
    if max(abs(up - 1), abs(down - 1)) > _SAME:
        how = (
            "a histosys that changes the yield became a shape: the yield goes as a log-normal, not linearly; the same "
            "at one standard deviation"
        )
        tell(differences, modifier.parameter, how)
    scale = 1 / modifier.region
    shape_up, shape_down = (
        moved(side / side.sum() * total, sample.yields, 1 / scale, modifier.interpolation)
        for side in (modifier.up, modifier.down)
    )
    # a row with this number takes these templates as far as those that are meant
    return _Effect(known.up * up, known.down * down, shape_up, shape_down, scale)


def _by_bin(modifier: Modifier, sample: Sample, fixed: Sequence[bool]) -> Iterator[Modifier]:
    """Yield a shape for each bin of a shapesys that is not constant."""
    for index, (error, constant) in enumerate(zip(modifier.errors, fixed, strict=True)):
        if not constant:
            change = np.zeros_like(sample.yields)
            change[index] = min(error, sample.yields[index] * (1 - 1e-6))
            up, down = sample.yields + change, sample.yields - change
            yield Modifier("histosys", f"{modifier.parameter}_bin{index}", up, down, interpolation="code4p")


def _write_shapes(
    model: Model,
    columns: Sequence[tuple[tuple[Channel, Sample], dict[str, _Effect]]],
    shapes: set[str],
    counted: set[str],
    path: Path,
) -> None:
    with replacing(path) as temporary, uproot.recreate(temporary) as file:
        for channel in model.channels:
            if channel.name not in counted:
                seen = model.observations[channel.name]
                file[f"{channel.name}/data_obs"] = histogram(channel, seen, np.sqrt(seen))
        for (channel, sample), found in columns:
            if channel.name in counted:
                continue
            errors = np.zeros(channel.bins)
            for modifier in sample.modifiers:
                if modifier.kind in ("staterror", "mcstat"):
                    errors = np.hypot(errors, modifier.errors)
            where = f"{channel.name}/{sample.name}"
            file[where] = histogram(channel, sample.yields, errors)
            for name in sorted(shapes & set(found)):
                each = found[name]
                sides = (("Up", each.up, each.shape_up), ("Down", each.down, each.shape_down))
                for side, factor, shape in sides:
                    template = factor ** (1 / each.scale) * (sample.yields if shape is None else shape)
                    file[f"{where}_{name}{side}"] = histogram(channel, template, np.zeros(channel.bins))


def _header(model: Model, columns: Columns, signals: set[str], shapes: str, counted: set[str]) -> list[str]:
    processes = list(dict.fromkeys(sample.name for _, sample in columns))
    backgrounds = [name for name in processes if name not in signals]
    number = {name: index + 1 for index, name in enumerate(backgrounds)}
    number |= {name: -index for index, name in enumerate(name for name in processes if name in signals)}
    observed = [f"{float(model.observations[channel.name].sum()):.12g}" for channel in model.channels]
    places = [
        f"shapes * {channel.name} {shapes} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC"
        for channel in model.channels
        if channel.name not in counted
    ]
    if places:
        places += [f"shapes * {channel.name} FAKE" for channel in model.channels if channel.name in counted]
    return [
        f"# Written by colonnade; the signal strength {model.poi} of the model is r here.",
        f"imax {len(model.channels)} number of channels",
        f"jmax {len(processes) - 1} number of processes minus 1",
        "kmax * number of nuisance parameters",
        "-" * 80,
        *places,
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


def _row(name: str, kind: str, effects: list[dict[str, _Effect]], *, shape: bool) -> str:
    cells = []
    for found in effects:
        if name not in found:
            cells.append("-")
        elif shape:
            cells.append(f"{found[name].scale:.12g}")
        else:
            up, down = found[name].up, found[name].down
            symmetric = abs(up * down - 1) < _SAME
            cells.append(f"{up:.12g}" if symmetric else f"{down:.12g}/{up:.12g}")
    return f"{name} {kind} " + " ".join(cells)


def _rates(model: Model, columns: Columns, rows: set[str]) -> list[str]:
    """Return the free and measured normalisations, and functions of parameters, as rateParams."""
    lines: list[str] = []
    functions: dict[str, str] = {}
    arguments: dict[str, None] = {}
    for channel, sample in columns:
        where = f"rateParam {channel.name} {sample.name}"
        for modifier in sample.modifiers:
            if modifier.formula is not None:
                text = f"({modifier.formula.text}) {','.join(modifier.formula.parameters)}"
                name = modifier.parameter
                if name in modifier.formula.parameters or functions.setdefault(name, text) != text:
                    name = f"{name}_{channel.name}_{sample.name}"
                lines.append(f"{name} {where} {text}")
                arguments |= dict.fromkeys(modifier.formula.parameters)
            elif modifier.kind in ("normfactor", "lumi") and modifier.parameter != model.poi:
                each = model.parameter(modifier.parameter)
                if each.constraint != "poisson":
                    lines.append(f"{each.name} {where} {each.inits[0]:.12g}{_range(each)}")
    declared = {model.poi, *rows, *(line.split()[0] for line in lines)}
    free = [model.parameter(name) for name in arguments if name not in declared]
    lines += [f"{each.name} extArg {each.inits[0]:.12g}{_range(each)}" for each in free if each.constraint == "none"]
    return [*lines, *_measurements(model, rows)]


def _measurements(model: Model, rows: set[str]) -> list[str]:
    """Return the lines of parameters whose measurement is not that of a row: at 0, of width 1."""
    lines = []
    for each in model.parameters:
        moved = each.auxdata != (0.0,) or each.widths != (1.0,) or each.below
        if each.scalar and each.constraint == "normal" and (moved or each.name not in rows):
            mean, above = each.auxdata[0], each.widths[0]
            width = f"-{each.below[0]:.12g}/+{above:.12g}" if each.below and each.below[0] != above else f"{above:.12g}"
            lines.append(f"{each.name} param {mean:.12g} {width}{_range(each)}")
    return lines


def _range(parameter: Parameter) -> str:
    low, high = parameter.bounds[0]
    return f" [{low:.12g},{high:.12g}]" if np.isfinite(low) and np.isfinite(high) else ""


def _settings(model: Model, rows: Sequence[str]) -> list[str]:
    """Return the groups of parameters, and what is constant."""
    known = {*rows, *(each.name for each in model.parameters if each.scalar)} - {model.poi}
    groups = {name: [one for one in members if one in known] for name, members in model.groups.items()}
    lines = [f"{name} group = {' '.join(members)}" for name, members in groups.items() if members]
    frozen = [each.name for each in model.parameters if each.scalar and all(each.fixed)]
    return lines + [f"nuisance edit freeze {name}" for name in frozen]


def _statistics(model: Model, differences: Differences) -> list[str]:
    """Bin-wise uncertainties: a threshold of 0 makes one Gaussian parameter a bin, as staterror does."""
    how = (
        "a staterror became autoMCStats: the error follows the yields of the processes, but not their shapes; the same "
        "at the nominal point"
    )
    for name, kinds in kinds_of(model).items():
        if "staterror" in kinds:
            tell(differences, name, how)
    lines = []
    for channel in model.channels:
        if any(m.kind in ("staterror", "mcstat") for sample in channel.samples for m in sample.modifiers):
            lines.append(f"{channel.name} autoMCStats 0 0 1")
        elif any(sample.template == "cropped" for sample in channel.samples):
            # without a parameter; but templates are not brought back to their sum
            lines.append(f"{channel.name} autoMCStats -1")
    return lines
