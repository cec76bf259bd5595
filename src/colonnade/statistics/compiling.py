"""Laying a model out in memory: its samples and modifiers become the arrays of `layout`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from colonnade.statistics.formula import Formula
from colonnade.statistics.interpolation import Factors
from colonnade.statistics.layout import (
    Cells,
    Constraints,
    Floats,
    FormulaFactor,
    Gammas,
    Ints,
    Jacobian,
    Layout,
    Matrix,
    RowFactors,
    Second,
    Shapes,
    Statistics,
    Templates,
)
from colonnade.statistics.model import Channel, Model, Modifier, Sample

# Combine's least content of a bin of a template
_CUT = 1e-9
# widths that a shape is followed to see whether it drives a sample below 0
_DRIVEN = 5.0
# by this part of the yield, or of its logarithm, is an effect larger to one side
_UNEVEN = 0.25
# errors of single bins above this part of the yield, and above this many events, can take most of a bin away
_LOOSE, _LOST = 0.4, 0.3


def lay_out(model: Model) -> Layout:
    """Lay a model out in memory."""
    offset, size = {}, 0
    for each in model.parameters:
        offset[each.name] = size
        size += each.size
    constraints = _constraints(model, offset)
    cells = _cells(model)
    factors: list[tuple[int, tuple[int, ...], Modifier]] = []
    shapes: list[tuple[int, Ints, Modifier, Sample]] = []
    layers: list[list[int]] = [[] for _ in range(len(cells.bin))]
    variance = np.zeros((len(cells.bin), 1))
    statistic = np.full(len(cells.starts), -1, dtype=np.intp)
    span = _spans(model)
    for index, (channel, sample) in enumerate(cells.rows):
        mine = cells.of_row[index]
        for modifier in sample.modifiers:
            if modifier.kind in ("normfactor", "lumi", "normsys", "formula"):
                factors.append((index, tuple(offset[name] for name in modifier.parameters), modifier))
            elif modifier.kind == "histosys":
                shapes.append((offset[modifier.parameter], mine, modifier, sample))
            else:
                first = offset[modifier.parameter] + span.get((modifier.parameter, channel.name), 0)
                if modifier.kind == "mcstat":
                    variance[mine, 0] += modifier.errors**2
                    statistic[cells.bin[mine]] = first + np.arange(channel.bins)
                else:
                    for number, cell in enumerate(mine):
                        layers[cell].append(first + number)
    rows = _row_factors(factors, len(cells.rows), size)
    laid = _shapes(shapes, len(cells.bin), size)
    gammas = _gammas(layers, size)
    statistics = Statistics(variance, statistic, np.flatnonzero(statistic >= 0))
    jacobian = _jacobian(model, cells, rows, laid, gammas, statistics)
    second = _second(cells, rows, laid, jacobian)
    folded = np.unique(list(_folded(model, offset, span))).astype(np.intp)
    turning = tuple(_turning(model, offset, span))
    templates = _templates(cells)
    return Layout(constraints, cells, templates, rows, laid, gammas, statistics, jacobian, second, folded, turning)


def _folded(model: Model, offset: dict[str, int], span: dict[tuple[str, str], int]) -> Iterator[int]:
    """Yield the parameters along which a fit may have several minima.

    Those whose effect on some sample is the same upwards and downwards, to one side only by more than a tenth, or to
    one side larger by more than a quarter; shapes that can take a bin away within their range, and factors of less than
    a half; free factors that stand beside another one; and errors of single bins that can take most of the bin away,
    beside a free factor or another such error.
    """
    size = {each.name: each.size for each in model.parameters}
    free = {each.name for each in model.parameters if each.constraint == "none"}
    for channel in model.channels:
        for sample in channel.samples:
            factors = [name for each in sample.modifiers for name in each.parameters if name in free]
            if len(factors) > 1:
                for name in factors:
                    yield from range(offset[name], offset[name] + size[name])
            loose = [parameter for parameter, _ in _loose_bins(channel, sample, offset, span)]
            if factors or sum(each.kind in ("staterror", "shapesys") for each in sample.modifiers) > 1:
                yield from loose
            for each in sample.modifiers:
                if each.kind not in ("normsys", "histosys"):
                    continue
                nominal = sample.yields if each.kind == "histosys" else np.ones(1)
                up, down = each.up - nominal, each.down - nominal
                total = np.abs(up) + np.abs(down)
                even = total.any() and np.all(np.abs(up - down) <= 1e-3 * total.max())
                one_side = (up * down >= 0) & (np.maximum(np.abs(up), np.abs(down)) > 0.1 * np.abs(nominal))
                uneven = up + down if each.kind == "histosys" else np.log(np.maximum(np.abs(each.up * each.down), _CUT))
                larger = np.abs(uneven) > _UNEVEN * np.abs(nominal)
                least = 1 - 1 / _DRIVEN if each.kind == "histosys" else 0.5
                large = np.any(np.minimum(each.up, each.down) < least * nominal)
                if even or one_side.any() or larger.any() or large:
                    yield offset[each.parameter]


def _turning(
    model: Model, offset: dict[str, int], span: dict[tuple[str, str], int]
) -> Iterator[tuple[Ints, Ints, Floats, Floats]]:
    """Yield factors that can grow with the shapes, and their sides, that drive a sample which these multiply below 0.

    With the sides are the widths to that side at which the first bin of the sample vanishes. The factors are free ones,
    and those of single bins that fall below 0 and whose errors are large. Once with every shape to the side where it
    takes away most, once to the other side where that also does.
    """
    size = {each.name: each.size for each in model.parameters}
    free = {each.name for each in model.parameters if each.constraint == "none"}
    found: dict[tuple[tuple[int, int], ...], dict[int, tuple[Floats, Floats]]] = {}
    for channel in model.channels:
        for sample in channel.samples:
            names = dict.fromkeys(name for each in sample.modifiers for name in each.parameters if name in free)
            factors = [(offset[name] + index, -1) for name in names for index in range(size[name])]
            factors += _loose_bins(channel, sample, offset, span)
            for each in sample.modifiers:
                if each.kind == "histosys" and factors:
                    taken = np.minimum(np.array([each.up, each.down]) - sample.yields, 0.0)
                    ends = np.where(taken < 0, sample.yields + _DRIVEN * taken, 0.0)
                    if ends.min() < 0:
                        shapes = found.setdefault(tuple(factors), {})
                        shapes[offset[each.parameter]] = (ends, _vanishing(sample.yields, taken))
    for places, by_shape in found.items():
        least = np.array([ends.min(axis=1) for ends, _ in by_shape.values()])
        lowest, both = np.argmin(least, axis=1), np.all(least < 0, axis=1)
        for sides in (lowest, np.where(both, 1 - lowest, lowest)) if both.any() else (lowest,):
            chosen = list(zip(sides, by_shape.values(), strict=True))
            falling = {int(place) for side, (ends, _) in chosen for place in np.flatnonzero(ends[side] < 0)}
            yield (
                np.array([factor for factor, place in places if place < 0 or place in falling], dtype=np.intp),
                np.array(list(by_shape), dtype=np.intp),
                1.0 - 2.0 * sides,
                np.array([widths[side] for side, (_, widths) in chosen]),
            )


def _vanishing(yields: Floats, taken: Floats) -> Floats:
    """Return how many widths to either side take the first bin of a sample away, no more than a shape is followed."""
    widths = np.divide(yields, -taken, out=np.full_like(taken, _DRIVEN), where=(taken < 0) & (yields > 0))
    return np.asarray(np.min(widths, axis=1, initial=_DRIVEN))


def _loose_bins(
    channel: Channel, sample: Sample, offset: dict[str, int], span: dict[tuple[str, str], int]
) -> Iterator[tuple[int, int]]:
    """Yield the parameters of single bins whose errors can take most of the bin away, with the bins."""
    for each in sample.modifiers:
        if each.kind in ("staterror", "shapesys"):
            loose = each.errors > np.maximum(_LOOSE * np.abs(sample.yields), _LOST)
            first = offset[each.parameter] + span.get((each.parameter, channel.name), 0)
            yield from ((first + int(place), int(place)) for place in np.flatnonzero(loose))


def _constraints(model: Model, offset: dict[str, int]) -> Constraints:
    entries: dict[str, list[tuple[int, float, int]]] = {"normal": [], "poisson": []}
    auxdata: list[float] = []
    below: list[float] = []
    for each in model.parameters:
        if each.constraint == "none":
            continue
        for index, (value, width) in enumerate(zip(each.auxdata, each.widths, strict=True)):
            entries[each.constraint].append((offset[each.name] + index, width, len(auxdata)))
            auxdata.append(value)
        if each.constraint == "normal":
            below += each.below or each.widths

    def columns(kind: str) -> tuple[Ints, Floats, Ints]:
        return (
            np.array([entry[0] for entry in entries[kind]], dtype=np.intp),
            np.array([entry[1] for entry in entries[kind]], dtype=np.float64),
            np.array([entry[2] for entry in entries[kind]], dtype=np.intp),
        )

    normal, sigma, normal_aux = columns("normal")
    lower = np.array(below, dtype=np.float64)
    return Constraints(
        np.array(auxdata, dtype=np.float64),
        normal,
        sigma,
        sigma if np.array_equal(lower, sigma) else lower,
        normal_aux,
        *columns("poisson"),
    )


def _spans(model: Model) -> dict[tuple[str, str], int]:
    """Where the bins of a channel begin in a vector parameter that several channels share."""
    result: dict[tuple[str, str], int] = {}
    size: dict[str, int] = {}
    for channel in model.channels:
        for sample in channel.samples:
            for modifier in sample.modifiers:
                key = (modifier.parameter, channel.name)
                if modifier.kind in ("staterror", "mcstat") and key not in result:
                    result[key] = size.get(modifier.parameter, 0)
                    size[modifier.parameter] = result[key] + channel.bins
    return result


def _cells(model: Model) -> Cells:
    rows = tuple((channel, sample) for channel in model.channels for sample in channel.samples)
    first, total = {}, 0
    for channel in model.channels:
        first[channel.name] = total
        total += channel.bins
    bins = np.concatenate([first[channel.name] + np.arange(channel.bins) for channel, _ in rows])
    row = np.concatenate([np.full(channel.bins, index) for index, (channel, _) in enumerate(rows)])
    order = np.argsort(bins, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    starts = np.concatenate([[0], np.cumsum([channel.bins for channel, _ in rows])])
    nominal = np.concatenate([sample.yields for _, sample in rows])[order][:, None]
    bins, row = bins[order], row[order]
    of_row = tuple(place[starts[index] : starts[index + 1]] for index in range(len(rows)))
    row_sum = _ones(row, np.arange(len(row)), (len(rows), len(row)))
    return Cells(rows, nominal, bins, row, np.searchsorted(bins, np.arange(total)), of_row, row_sum)


def _templates(cells: Cells) -> Templates:
    floor, total = np.full_like(cells.nominal, -np.inf), np.zeros((len(cells.rows), 1))
    logarithmic = np.zeros(cells.nominal.shape, dtype=bool)
    for index, (_, sample) in enumerate(cells.rows):
        mine = cells.of_row[index]
        if sample.template == "normalised":
            total[index] = sample.yields.sum()
            floor[mine] = _CUT * total[index]
        elif sample.template == "cropped":
            floor[mine] = _CUT
        logarithmic[mine] = any(modifier.interpolation == "log4p" for modifier in sample.modifiers)
    return Templates(floor, total, logarithmic, present=bool(np.isfinite(floor).any() or logarithmic.any()))


def _ones(row: Ints, column: Ints, shape: tuple[int, int]) -> Matrix:
    return sparse.csr_array((np.ones(len(row)), (row, column)), shape=shape)


def _row_factors(factors: list[tuple[int, tuple[int, ...], Modifier]], rows: int, parameters: int) -> RowFactors:
    # every row gets one factor that is the constant 1, so that no row is empty; a formula has a place a parameter
    flat: list[tuple[int, int, Modifier | None, int]] = [
        (row, parameter, modifier, use) for use, (row, places, modifier) in enumerate(factors) for parameter in places
    ] + [(row, parameters, None, -1) for row in range(rows)]
    order = np.argsort([each[0] for each in flat], kind="stable")
    ordered = [flat[index] for index in order]
    row, parameter = (np.array([each[side] for each in ordered], dtype=np.intp) for side in (0, 1))
    kinds = np.array(["" if each[2] is None else each[2].kind for each in ordered])
    normsys = np.flatnonzero(kinds == "normsys")
    linear = np.flatnonzero((kinds != "normsys") & (kinds != "formula"))
    # equal factors of one parameter are evaluated once
    keys = [
        (int(parameter[index]), float(each.up[0]), float(each.down[0]), each.interpolation)
        for index in normsys
        if (each := ordered[index][2]) is not None
    ]
    unique = list(dict.fromkeys(keys))
    position = {key: index for index, key in enumerate(unique)}
    used = np.flatnonzero(parameter < parameters)
    return RowFactors(
        row,
        parameter,
        linear,
        normsys,
        np.array([position[key] for key in keys], dtype=np.intp),
        np.array([key[0] for key in unique], dtype=np.intp),
        Factors(
            np.array([key[1] for key in unique]),
            np.array([key[2] for key in unique]),
            [key[3] for key in unique],
        ),
        np.searchsorted(row, np.arange(rows)),
        _ones(parameter[used], used, (parameters, len(row))),
        _formulas(ordered),
    )


def _formulas(ordered: list[tuple[int, int, Modifier | None, int]]) -> tuple[FormulaFactor, ...]:
    """Find where each formula stands; one that multiplies several rows is evaluated once."""
    uses: dict[int, list[int]] = {}
    formulas: dict[int, Formula] = {}
    for place, (_, _, modifier, use) in enumerate(ordered):
        if modifier is not None and modifier.formula is not None:
            uses.setdefault(use, []).append(place)
            formulas[use] = modifier.formula
    same: dict[Formula, list[list[int]]] = {}
    for use, formula in formulas.items():
        same.setdefault(formula, []).append(uses[use])
    return tuple(
        FormulaFactor(
            formula,
            np.array([ordered[place][1] for place in places[0]], dtype=np.intp),
            np.array(places, dtype=np.intp).reshape(len(places), len(formula.parameters)),
        )
        for formula, places in same.items()
    )


def _shapes(entries: list[tuple[int, Ints, Modifier, Sample]], cells: int, parameters: int) -> Shapes:
    # a parameter that is smooth here and linear there, or over other distances, takes several columns
    own = [(parameter, modifier.interpolation != "code0", modifier.region) for parameter, _, modifier, _ in entries]
    keys = sorted(set(own))
    position = {key: index for index, key in enumerate(keys)}
    none: list[Ints] = [np.empty(0, dtype=np.intp)]
    cell = np.concatenate(none + [mine for _, mine, _, _ in entries])
    column = np.concatenate(
        none + [np.full(len(mine), position[key]) for key, (_, mine, _, _) in zip(own, entries, strict=True)]
    )
    empty: list[Floats] = [np.empty(0)]
    sides = [_sides(modifier, sample) for _, _, modifier, sample in entries]
    odd = np.concatenate(empty + [(up - down) / 2 for up, down in sides])
    even = np.concatenate(empty + [(up + down) / 2 for up, down in sides])
    shape = (cells, len(keys))
    odds, evens = (sparse.csr_array((values, (cell, column)), shape=shape) for values in (odd, even))
    parameter = np.array([key[0] for key in keys], dtype=np.intp)
    return Shapes(
        parameter,
        np.array([key[1] for key in keys], dtype=bool),
        np.array([key[2] for key in keys], dtype=np.float64),
        odds,
        evens,
        odds.T.tocsr(),
        evens.T.tocsr(),
        _ones(parameter, np.arange(len(keys)), (parameters, len(keys))),
        cell,
        column,
        odd,
        even,
    )


def _sides(modifier: Modifier, sample: Sample) -> tuple[Floats, Floats]:
    """Return how far the varied templates are from the nominal one, or their logarithms."""
    if modifier.interpolation != "log4p":
        return modifier.up - sample.yields, modifier.down - sample.yields
    up, down = (
        np.log(np.divide(side, sample.yields, out=np.ones_like(side), where=(side > 0) & (sample.yields > 0)))
        for side in (modifier.up, modifier.down)
    )
    return up, down


def _gammas(layers: list[list[int]], parameters: int) -> Gammas:
    depth = max((len(each) for each in layers), default=0)
    stacked = tuple(
        np.array([each[level] if level < len(each) else parameters for each in layers], dtype=np.intp)
        for level in range(depth)
    )
    used = tuple(np.flatnonzero(layer < parameters) for layer in stacked)
    gradients = tuple(
        _ones(layer[cells], cells, (parameters, len(layer))) for layer, cells in zip(stacked, used, strict=True)
    )
    return Gammas(stacked, used, gradients)


def _jacobian(
    model: Model, cells: Cells, rows: RowFactors, shapes: Shapes, gammas: Gammas, statistics: Statistics
) -> Jacobian:
    parameters = sum(each.size for each in model.parameters)
    bins = len(cells.starts)
    local = _local(model, cells, gammas, statistics, bins)
    columns = np.setdiff1d(np.arange(parameters), local[local >= 0])
    column = np.full(parameters + 1, -1, dtype=np.intp)
    column[columns] = np.arange(len(columns))

    counts = np.bincount(rows.row, minlength=len(cells.rows))[cells.row]
    cell = np.repeat(np.arange(len(cells.row)), counts)
    within = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    factor = rows.starts[cells.row[cell]] + within
    kept = column[rows.parameter[factor]] >= 0
    cell, factor = cell[kept], factor[kept]
    shape = np.flatnonzero(column[shapes.parameter[shapes.column]] >= 0)
    gamma = tuple(np.flatnonzero(column[layer] >= 0) for layer in gammas.layers)
    statistic = statistics.bins[column[statistics.parameter[statistics.bins]] >= 0]
    targets = [
        cells.bin[cell] * len(columns) + column[rows.parameter[factor]],
        cells.bin[shapes.cell[shape]] * len(columns) + column[shapes.parameter[shapes.column[shape]]],
        *(
            cells.bin[used] * len(columns) + column[layer[used]]
            for used, layer in zip(gamma, gammas.layers, strict=True)
        ),
        statistic * len(columns) + column[statistics.parameter[statistic]],
    ]
    target = np.concatenate(targets)
    local_layer = tuple(
        np.flatnonzero((layer == local[cells.bin]) & (local[cells.bin] >= 0)) for layer in gammas.layers
    )
    return Jacobian(
        local,
        columns,
        cell,
        factor,
        shape,
        gamma,
        statistic,
        local_layer,
        _ones(target, np.arange(len(target)), (bins * len(columns), len(target))),
    )


def _second(cells: Cells, rows: RowFactors, shapes: Shapes, jacobian: Jacobian) -> Second:
    size = len(jacobian.columns)
    column = np.full(int(max(rows.parameter.max(), *jacobian.columns, 0)) + 1, -1, dtype=np.intp)
    column[jacobian.columns] = np.arange(size)
    active = np.flatnonzero(column[rows.parameter] >= 0)
    pairs = dict.fromkeys((int(place), int(place)) for place in active)
    for each in rows.formulas:
        for use in each.places.tolist():
            pairs |= dict.fromkeys((one, other) for one in use for other in use if {one, other} <= set(active.tolist()))
    pair_of = {pair: index for index, pair in enumerate(pairs)}
    left, right = (np.array([pair[side] for pair in pairs], dtype=np.intp) for side in (0, 1))
    joint = tuple(
        np.array(
            [[[pair_of.get((one, other), -1) for other in use] for one in use] for use in each.places.tolist()],
            dtype=np.intp,
        )
        for each in rows.formulas
    )
    # the (row, shape column) pairs, and which entries of the shapes add to each
    keys = cells.row[shapes.cell] * max(1, len(shapes.parameter)) + shapes.column
    shaped, member = np.unique(keys, return_inverse=True)
    entries = np.arange(len(keys))
    own = column[shapes.parameter] if len(shapes.parameter) else shapes.parameter
    by_shape = cells.row[shapes.cell] * size + (own[shapes.column] if len(own) else shapes.column)
    by_factor = rows.row[active] * size + column[rows.parameter[active]]
    target = np.concatenate([column[rows.parameter[left]] * size + column[rows.parameter[right]], own * (size + 1)])
    whole = len(cells.rows) * size
    return Second(
        left,
        right,
        joint,
        _ones(by_factor, active, (whole, len(rows.row))),
        _ones(by_shape, entries, (whole, len(keys))),
        _ones(member, entries, (len(shaped), len(keys))),
        member,
        _ones(shapes.column, entries, (len(shapes.parameter), len(keys))),
        _ones(target, np.arange(len(target)), (size * size, len(target))),
    )


def _local(model: Model, cells: Cells, gammas: Gammas, statistics: Statistics, bins: int) -> Ints:
    """Find the parameter that is each bin's own."""
    constrained = np.array([each.constraint != "none" for each in model.parameters for _ in range(each.size)])
    count = np.zeros(len(constrained), dtype=np.intp)
    where: dict[int, set[int]] = {}
    for layer, used in zip(gammas.layers, gammas.used, strict=True):
        for cell in used:
            where.setdefault(int(layer[cell]), set()).add(int(cells.bin[cell]))
    for bin_ in statistics.bins:
        where.setdefault(int(statistics.parameter[bin_]), set()).add(int(bin_))
    for parameter, places in where.items():
        count[parameter] = len(places)
    local = np.full(bins, -1, dtype=np.intp)
    for parameter in sorted(where):
        (place, *others) = where[parameter]
        if constrained[parameter] and not others and local[place] < 0:
            local[place] = parameter
    return local
