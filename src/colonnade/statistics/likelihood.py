"""The likelihood of a model, compiled to arrays: values, gradients and expected events of a whole batch.

The formulas are HistFactory's (CERN-OPEN-2012-016): Poisson counts of bins times constraint terms. Values agree with
pyhf's `Model.logpdf`, which the tests check; what is added is the analytic gradient and the batch axis, by which a fit
takes milliseconds and a thousand pseudo-experiments are fitted together. Arrays have the batch as last axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from colonnade.statistics.compiling import lay_out
from colonnade.statistics.counts import CORNER, FLOOR, WALL, Derivatives, deviance, deviance_bend, deviance_slope
from colonnade.statistics.interpolation import even_part
from colonnade.statistics.model import Model

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

# Asimov data have no fewer events in a bin than this, or none
_NOTHING = 1e-7
# auxiliary counts below this are given some curvature
_GIVEN = 0.05
# a free normalisation of exactly 0 is taken as this: changes yields by nothing, keeps its derivative defined
_ZERO = 1e-15


@dataclass(frozen=True, slots=True)
class _Morph:
    """What is done to templates after their shapes: shapes (cells, batch), of the rows (rows, batch).

    `lever` multiplies the change of a cell by a shape: 0 where the cell is cut off, the cell itself where shapes act on
    the logarithm. `content` are the cells as they end up, `ratio` what brought each row to its sum, `total` that sum,
    0 where a row is left as it is.
    """

    lever: Floats
    content: Floats
    ratio: Floats
    total: Floats


@dataclass(frozen=True, slots=True)
class _State:
    """What expected events at some parameters consist of; shapes (..., batch)."""

    cells: Floats
    bins: Floats
    scale: Floats  # what multiplies the additive part of a cell
    slopes: Floats  # f'/f of each row factor f
    bends: Floats  # f''/f of the same
    joint: tuple[Floats, ...]  # of each formula, its second derivatives over its value
    even_slopes: Floats
    even_bends: Floats
    error: Floats  # derivative of the bins by Combine's bin-wise parameters
    for_rows: Floats  # the part of the cells that row factors scale
    morph: _Morph | None  # where templates are cut off or brought to their sum


class Likelihood:
    """A compiled model.

    Parameters
    ----------
    model
        The model to compile.

    Attributes
    ----------
    labels : tuple of str
        Names of the parameter components.
    inits, lower, upper : numpy.ndarray
        Start values and bounds, shape (parameters,).
    fixed : numpy.ndarray
        Which parameters are constant.
    poi : int or None
        Index of the parameter of interest.
    bins : int
        Number of bins; `channels` maps each channel's name to its slice of them.
    observed : numpy.ndarray
        Observed events followed by the auxiliary measurements, shape (bins + auxiliary,).
    local : numpy.ndarray
        The parameter that is each bin's own (held by a constraint, and moving that bin alone), -1 for none.
    columns : numpy.ndarray
        All other parameters.
    loose : numpy.ndarray
        Which parameters no measurement constrains.
    spread : numpy.ndarray
        Width of the measurement that constrains each parameter, 1 for those that none does.
    folded : numpy.ndarray
        The parameters along which a fit may have several minima: it begins at several of their values.
    turning : tuple of tuple
        Free factors, shapes that can drive what these multiply below 0, to which side each of the shapes does, and the
        widths at which it takes a bin away: a fit begins at these too.
    products : numpy.ndarray
        Pairs of parameters that are factors of one bin, shape (pairs, 2).
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.labels = model.labels
        self.inits = np.array([value for each in model.parameters for value in each.inits])
        bounds = np.array([pair for each in model.parameters for pair in each.bounds]).reshape(-1, 2)
        self.lower, self.upper = bounds[:, 0].copy(), bounds[:, 1].copy()
        self.fixed = np.array([value for each in model.parameters for value in each.fixed], dtype=bool)
        self.poi = self.labels.index(model.poi) if model.poi else None
        self.channels: dict[str, slice] = {}
        self.bins = 0
        for channel in model.channels:
            self.channels[channel.name] = slice(self.bins, self.bins + channel.bins)
            self.bins += channel.bins
        self._layout = lay_out(model)
        self.local, self.columns = self._layout.jacobian.local, self._layout.jacobian.columns
        self.folded, self.turning = self._layout.folded, self._layout.turning
        layers = self._layout.gammas.layers[:2]
        pairs = np.array(layers).T if len(layers) == 2 else np.zeros((0, 2), dtype=np.intp)
        self.products = np.unique(pairs[(pairs < len(self.inits)).all(axis=1)], axis=0)
        self.spread = np.ones_like(self.inits)
        self.spread[self._layout.constraints.normal] = self._layout.constraints.sigma
        self.spread[self._layout.constraints.poisson] = 1 / np.sqrt(self._layout.constraints.tau)
        self.loose = np.array([each.constraint == "none" for each in model.parameters for _ in each.inits], dtype=bool)
        main = np.concatenate([model.observations[channel.name] for channel in model.channels])
        self.observed = np.concatenate([main, self._layout.constraints.auxdata])

    # ---- expected events

    def _state(self, theta: Floats) -> _State:
        layout = self._layout
        rows, cells, shapes = layout.rows, layout.cells, layout.shapes
        batch = theta.shape[1]
        extended = np.concatenate([theta, np.ones((1, batch))])
        values = extended[rows.parameter]
        slopes, bends = np.zeros_like(values), np.zeros_like(values)
        linear = _safe(values[rows.linear])
        values[rows.linear] = linear
        slopes[rows.linear] = 1 / linear
        if len(rows.unique):
            factor, slope, bend = rows.factors(theta[rows.unique_parameter])
            values[rows.normsys] = factor[rows.unique]
            slopes[rows.normsys] = slope[rows.unique]
            bends[rows.normsys] = bend[rows.unique]
        joint = self._formulas(theta, values, slopes, bends)
        row_scale = np.multiply.reduceat(values, rows.starts, axis=0)[cells.row]
        scale = row_scale
        for layer in layout.gammas.layers:
            scale = scale * _safe(extended[layer])
        base = cells.nominal
        even_slopes = even_bends = np.zeros((len(shapes.parameter), batch))
        if len(shapes.parameter):
            alpha = theta[shapes.parameter]
            even, even_slopes, even_bends = even_part(alpha, shapes.smooth, shapes.region)
            change = shapes.odd @ alpha + shapes.even @ even
            base = base + change
        morph = None
        if layout.templates.present:
            base, morph = self._morphed(base, change if len(shapes.parameter) else np.zeros_like(scale))
        content = base * scale
        bins = np.add.reduceat(content, cells.starts, axis=0)
        for_rows, error = content, np.zeros((0, batch))
        if layout.statistics.present:
            variance = layout.statistics.variance * row_scale**2
            error = np.sqrt(np.add.reduceat(variance, cells.starts, axis=0))
            own = layout.statistics.parameter
            parameter = np.where((own >= 0)[:, None], extended[own], 0.0)
            bins = bins + parameter * error
            share = np.divide(parameter, error, out=np.zeros_like(error), where=error > 0)
            for_rows = content + variance * share[cells.bin]
        return _State(content, bins, scale, slopes, bends, joint, even_slopes, even_bends, error, for_rows, morph)

    def _formulas(self, theta: Floats, values: Floats, slopes: Floats, bends: Floats) -> tuple[Floats, ...]:
        """Put the values and derivatives of the formulas in their places."""
        joint = []
        for each in self._layout.rows.formulas:
            value, first, second = each.formula(theta[each.parameter])
            value = _safe(value)
            for use in each.places:
                values[use] = 1.0
                values[use[0]] = value
                slopes[use] = first / value
                bends[use] = np.einsum("jjb->jb", second) / value
            joint.append(second / value)
        return tuple(joint)

    def _morphed(self, base: Floats, change: Floats) -> tuple[Floats, _Morph]:
        """Return templates as Combine takes them: cut off below, and where asked for brought to their sum."""
        templates, cells = self._layout.templates, self._layout.cells
        if templates.logarithmic.any():
            base = np.where(templates.logarithmic, cells.nominal * np.exp(change), base)
        lever = np.where(templates.logarithmic, base, 1.0) * (base > templates.floor)
        base = np.maximum(base, templates.floor)
        total = templates.total
        ratio = np.where(total > 0, total / np.where(total > 0, cells.row_sum @ base, 1.0), 1.0)
        base = base * ratio[cells.row]
        return base, _Morph(lever, base, ratio, np.broadcast_to(total, ratio.shape))

    def expected(self, theta: Floats) -> Floats:
        """Return the expected events of each bin: (parameters[, batch]) -> (bins[, batch])."""
        bins = self._state(_two(theta)).bins
        return bins[:, 0] if theta.ndim == 1 else bins

    def expected_samples(self, theta: Floats) -> dict[str, dict[str, Floats]]:
        """Return expected events by channel and sample at one or many points: (bins[, batch]) each."""
        cells = self._state(_two(theta)).cells
        cells = cells[:, 0] if theta.ndim == 1 else cells
        result: dict[str, dict[str, Floats]] = {}
        for (channel, sample), mine in zip(self._layout.cells.rows, self._layout.cells.of_row, strict=True):
            result.setdefault(channel.name, {})[sample.name] = cells[mine]
        return result

    def expected_data(self, theta: Floats) -> Floats:
        """Return the Asimov data at one or many points: expected events and auxiliary measurements."""
        two, held = _two(theta), self._layout.constraints
        aux = np.zeros((len(held.auxdata), two.shape[1]))
        aux[held.normal_aux] = two[held.normal]
        aux[held.poisson_aux] = two[held.poisson] * held.tau[:, None]
        bins = self._state(two).bins
        # what is left of a bin within its rounded corner is nothing
        data = np.concatenate([np.where(bins > _NOTHING, bins, 0.0), aux])
        return data[:, 0] if theta.ndim == 1 else data

    def sample_data(self, theta: Floats, count: int, rng: np.random.Generator) -> Floats:
        """Draw pseudo-experiments at a point, auxiliary measurements included: (bins + auxiliary, count)."""
        held = self._layout.constraints
        data = np.empty((self.bins + len(held.auxdata), count))
        data[: self.bins] = rng.poisson(np.maximum(self.expected(theta), 0)[:, None], (self.bins, count))
        aux = data[self.bins :]
        # a constraint of two widths: its sides hold their widths' share of all measurements
        size = (len(held.normal), count)
        share = (held.sigma / (held.sigma + held.below))[:, None] if len(held.normal) else np.zeros((0, 1))
        pull = rng.normal(size=size)
        if held.below is not held.sigma:
            low = rng.random(size) < share
            pull = np.where(low, -np.abs(pull), np.abs(pull))
        aux[held.normal_aux] = theta[held.normal][:, None] + pull * np.where(
            pull < 0, held.sigma[:, None], held.below[:, None]
        )
        means = (theta[held.poisson] * held.tau)[:, None]
        aux[held.poisson_aux] = rng.poisson(means, (len(held.poisson), count))
        return data

    # ---- the likelihood

    def nll(self, theta: Floats, data: Floats) -> Floats:
        """Return the negative log-likelihood, less that of a perfect model of the data: never below 0.

        Parameters
        ----------
        theta
            Shape (parameters, batch).
        data
            Shape (bins + auxiliary, batch or 1).

        Returns
        -------
        numpy.ndarray
            Shape (batch,).
        """
        return self._value(self._state(theta), theta, data)

    def _value(self, state: _State, theta: Floats, data: Floats) -> Floats:
        held = self._layout.constraints
        count = data[: self.bins]
        lifted = np.maximum(state.bins + CORNER, 0.0)
        rate = np.where((count == 0) & (state.bins < CORNER), lifted * lifted / (4 * CORNER), state.bins)
        below = WALL * count * np.maximum(FLOOR - state.bins, 0.0)
        value = np.where(count == 0, rate, deviance(count, np.maximum(rate, FLOOR)) + below).sum(axis=0)
        aux = data[self.bins :]
        if len(held.normal):
            pull = (aux[held.normal_aux] - theta[held.normal]) / self._widths(theta, aux)
            value = value + 0.5 * (pull * pull).sum(axis=0)
        if len(held.poisson):
            rate = np.maximum(theta[held.poisson] * held.tau[:, None], FLOOR)
            value = value + deviance(aux[held.poisson_aux], rate).sum(axis=0)
        return np.asarray(value)

    def _widths(self, theta: Floats, aux: Floats) -> Floats:
        """Return the widths of the normal constraints, on the side of the measured value where the parameters are."""
        held = self._layout.constraints
        if held.below is held.sigma:
            return held.sigma[:, None]
        low = theta[held.normal] < aux[held.normal_aux]
        return np.where(low, held.below[:, None], held.sigma[:, None])

    def gradient(self, theta: Floats, data: Floats) -> Floats:
        """Return the gradient of `nll`, shape (parameters, batch)."""
        return self._gradient(self._state(theta), theta, data)

    def _gradient(self, state: _State, theta: Floats, data: Floats, corner: float | Floats = CORNER) -> Floats:
        layout = self._layout
        cells, rows, shapes, held = layout.cells, layout.rows, layout.shapes, layout.constraints
        by_bin = deviance_slope(data[: self.bins], state.bins, corner)
        by_cell = by_bin[cells.bin]
        row = cells.row_sum @ (by_cell * state.for_rows)
        gradient = np.asarray(rows.gradient @ (state.slopes * row[rows.row]))
        if len(shapes.parameter):
            scaled = self._to_shapes(state, by_cell * state.scale)
            change = shapes.odd_t @ scaled + state.even_slopes * (shapes.even_t @ scaled)
            gradient += shapes.gradient @ change
        plain = by_cell * state.cells
        extended = np.concatenate([theta, np.ones((1, theta.shape[1]))])
        for layer, matrix in zip(layout.gammas.layers, layout.gammas.gradients, strict=True):
            gradient += matrix @ (plain / _safe(extended[layer]))
        if layout.statistics.present:
            used = layout.statistics.bins
            gradient[layout.statistics.parameter[used]] += (by_bin * state.error)[used]
        aux = data[self.bins :]
        if len(held.normal):
            pull = (theta[held.normal] - aux[held.normal_aux]) / self._widths(theta, aux) ** 2
            gradient[held.normal] += pull
        if len(held.poisson):
            gradient[held.poisson] += held.tau[:, None] - aux[held.poisson_aux] / _safe(theta[held.poisson])
        return gradient

    def _to_shapes(self, state: _State, scaled: Floats) -> Floats:
        """Turn derivatives by the cells of templates into those by the cells before they were cut off and scaled."""
        if state.morph is None:
            return scaled
        morph, cells = state.morph, self._layout.cells
        kept = morph.total > 0
        share = (cells.row_sum @ (scaled * morph.content)) / np.where(kept, morph.total, 1.0)
        mean = np.where(kept, share, 0.0)
        return np.asarray(morph.lever * morph.ratio[cells.row] * (scaled - mean[cells.row]))

    def _jacobian(self, state: _State, theta: Floats) -> tuple[Floats, Floats]:
        layout = self._layout
        shapes, where = layout.shapes, layout.jacobian
        extended = np.concatenate([theta, np.ones((1, theta.shape[1]))])
        entries = [state.for_rows[where.cell] * state.slopes[where.factor]]
        entries.append(state.scale[shapes.cell[where.shape]] * self._shape_slopes(state)[where.shape])
        for used, layer in zip(where.gamma, layout.gammas.layers, strict=True):
            entries.append(state.cells[used] / _safe(extended[layer[used]]))
        if layout.statistics.present:
            entries.append(state.error[where.statistic])
        flat = where.sum @ np.concatenate(entries)
        columns = np.ascontiguousarray(flat.T).reshape(theta.shape[1], self.bins, len(where.columns))
        local = np.zeros((self.bins, theta.shape[1]))
        for used, layer in zip(where.local_layer, layout.gammas.layers, strict=True):
            if len(used):
                np.add.at(local, layout.cells.bin[used], state.cells[used] / _safe(extended[layer[used]]))
        if layout.statistics.present:
            own = (layout.statistics.parameter >= 0) & (layout.statistics.parameter == where.local)
            local[own] = state.error[own]
        return columns, local

    def _shape_slopes(self, state: _State) -> Floats:
        """Return the derivative of each shape's entry before scaling."""
        shapes = self._layout.shapes
        slope = shapes.even_values[:, None] * state.even_slopes[shapes.column] + shapes.odd_values[:, None]
        if state.morph is None:
            return np.asarray(slope)
        morph, cells, second = state.morph, self._layout.cells, self._layout.second
        slope = morph.lever[shapes.cell] * slope
        together = second.row_shape @ slope
        row = cells.row[shapes.cell]
        total = morph.total[row]
        share = np.divide(morph.content[shapes.cell], total, out=np.zeros_like(slope), where=total > 0)
        return np.asarray(morph.ratio[row] * (slope - share * together[second.pair]))

    def _second(self, state: _State, theta: Floats, by_bin: Floats) -> tuple[Floats, Floats]:
        """Return second derivatives of the bins weighted by `by_bin`: among columns, and with the bins' own."""
        layout = self._layout
        cells, rows, shapes = layout.cells, layout.rows, layout.shapes
        where, second = layout.jacobian, layout.second
        batch, size = theta.shape[1], len(where.columns)
        by_cell = by_bin[cells.bin]
        weight = cells.row_sum @ (by_cell * state.for_rows)
        product = state.slopes[second.left] * state.slopes[second.right]
        factors = np.where((second.left == second.right)[:, None], state.bends[second.left], product)
        for places, derivatives in zip(second.joint, state.joint, strict=True):
            for use in places:
                seen = use >= 0
                factors[use[seen]] = derivatives[seen]
        slopes = self._shape_slopes(state)
        scaled = (by_cell * state.scale)[shapes.cell]
        own = (second.bend @ (scaled * shapes.even_values[:, None])) * state.even_bends
        flat = second.sum @ np.concatenate([weight[rows.row[second.left]] * (factors - product), own])
        among = np.ascontiguousarray(flat.T).reshape(batch, size, size)
        by_factor, by_shape = (
            np.ascontiguousarray((place @ values).T).reshape(batch, len(cells.rows), size)
            for place, values in ((second.factor_place, state.slopes), (second.shape_place, scaled * slopes))
        )
        turned = np.swapaxes(by_factor, 1, 2)
        mixed = turned @ by_shape
        among += turned @ (by_factor * weight.T[:, :, None]) + mixed + np.swapaxes(mixed, 1, 2)
        # derivatives of the cells by their bin's own parameter
        extended = np.concatenate([theta, np.ones((1, batch))])
        by_own, scale_by_own = np.zeros_like(state.cells), np.zeros_like(state.cells)
        for used, layer in zip(where.local_layer, layout.gammas.layers, strict=True):
            gamma = _safe(extended[layer[used]])
            by_own[used], scale_by_own[used] = state.cells[used] / gamma, state.scale[used] / gamma
        entries = [
            by_own[where.cell] * state.slopes[where.factor],
            scale_by_own[shapes.cell[where.shape]] * slopes[where.shape],
        ]
        rest = where.sum.shape[1] - sum(len(each) for each in entries)
        flat = where.sum @ np.concatenate([*entries, np.zeros((rest, batch))])
        cross = np.ascontiguousarray(flat.T).reshape(batch, self.bins, size)
        return among, cross * by_bin.T[:, :, None]

    def jacobian(self, theta: Floats) -> Floats:
        """Return d(expected events)/d(parameter), shape (batch, bins, parameters)."""
        columns, local = self._jacobian(self._state(theta), theta)
        result = np.zeros((theta.shape[1], self.bins, len(self.labels)))
        result[:, :, self.columns] = columns
        own = np.flatnonzero(self.local >= 0)
        result[:, own, self.local[own]] = local[own].T
        return result

    def derivatives(self, theta: Floats, data: Floats, pulls: Floats | None = None) -> Derivatives:
        """Return value, gradient and Hessian of `nll` together.

        `pulls` (bins, batch) are the slopes by which bins on their corners count in the second derivatives; not a
        number where a bin is on none.
        """
        state, held = self._state(theta), self._layout.constraints
        count = data[: self.bins]
        # a bin without events has no curvature of its own; a little of Fisher's keeps the step finite
        weight = deviance_bend(count, state.bins)
        diagonal = np.zeros_like(theta)
        if len(held.normal):
            diagonal[held.normal] += 1 / self._widths(theta, data[self.bins :]) ** 2
        if len(held.poisson):
            aux, gamma = data[self.bins :][held.poisson_aux], _safe(theta[held.poisson])
            tau = held.tau[:, None]
            # that of a measurement of nothing is straight: what it is given must not hold its parameter at 0
            given = np.where(aux < _GIVEN, _GIVEN * (tau / (1 + tau * np.abs(gamma))) ** 2, 0.0)
            diagonal[held.poisson] += np.maximum(aux / gamma**2, given)
        columns, local = self._jacobian(state, theta)
        value, gradient = self._value(state, theta, data), self._gradient(state, theta, data)
        slope = deviance_slope(count, state.bins, CORNER)
        bending = slope if pulls is None else np.where(np.isnan(pulls), slope, pulls)
        second, cross = self._second(state, theta, bending)
        empty = np.broadcast_to(count == 0, state.bins.shape).copy()
        return Derivatives(value, gradient, diagonal, columns, local, weight, second, cross, state.bins, slope, empty)

    def hessian(self, theta: Floats, data: Floats) -> Floats:
        """Return the full Hessian of `nll` at one point, from differences of the analytic gradient.

        Where the point is on a corner of the likelihood, the corner is rounded widely enough for the differences.
        """
        size = len(theta)
        at = np.abs(self.expected(theta))[:, None] <= CORNER
        corner = np.where(at & (data[: self.bins, None] == 0), 1e-2, CORNER)
        step = 1e-4 * np.maximum(1e-2, np.minimum(np.abs(theta), 1.0))
        points = np.concatenate([theta[:, None] + np.diag(step), theta[:, None] - np.diag(step)], axis=1)
        gradient = self._gradient(self._state(points), points, data[:, None], corner)
        result = (gradient[:, :size] - gradient[:, size:]) / (2 * step)
        return np.asarray((result + result.T) / 2)

    def logpdf(self, theta: Floats, data: Floats) -> float:
        """Return the log-likelihood with all its constants, as pyhf's `Model.logpdf` does."""
        held = self._layout.constraints
        count, rate = data[: self.bins], np.maximum(self.expected(theta), FLOOR)
        value = float(np.sum(xlogy(count, rate) - rate - gammaln(count + 1)))
        aux = data[self.bins :]
        pull = (aux[held.normal_aux] - theta[held.normal]) / self._widths(_two(theta), _two(aux))[:, 0]
        width = (held.sigma + held.below) / 2
        value -= float(np.sum(0.5 * pull**2 + np.log(width) + 0.5 * np.log(2 * np.pi)))
        rate, count = theta[held.poisson] * held.tau, aux[held.poisson_aux]
        return value + float(np.sum(xlogy(count, rate) - rate - gammaln(count + 1)))


def _safe(values: Floats) -> Floats:
    return np.where(np.abs(values) < _ZERO, _ZERO, values)


def _two(theta: Floats) -> Floats:
    return theta[:, None] if theta.ndim == 1 else theta
