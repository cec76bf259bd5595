"""The likelihood of a model, compiled to arrays: values, gradients and expected events of a whole batch.

The formulas are HistFactory's (CERN-OPEN-2012-016): Poisson counts of bins times constraint terms. Values
agree with pyhf's `Model.logpdf`, which the tests check; what is added is the analytic gradient and the batch
axis, by which a fit takes milliseconds and a thousand pseudo-experiments are fitted together. Arrays have the
batch as last axis.
"""

from __future__ import annotations

__all__ = ["Likelihood"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammaln, xlogy

from colonnade.statistics.interpolation import Factors, even_part
from colonnade.statistics.model import Channel, Model, Modifier, Sample

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

# expected events of a bin never go below this, so that a wild trial point costs much instead of being
# undefined
FLOOR = 1e-10
# a free normalisation of exactly 0 is taken as this: changes yields by nothing, keeps its derivative defined
_ZERO = 1e-15


@dataclass(frozen=True, slots=True)
class _State:
    """What expected events at some parameters consist of; shapes (..., batch)."""

    cells: Floats
    bins: Floats
    scale: Floats  # what multiplies the additive part of a cell
    slopes: Floats  # logarithmic derivative of each row factor
    even_slopes: Floats
    stat: Floats  # derivative of the bins by Combine's bin-wise parameters
    for_rows: Floats  # the part of the cells that row factors scale


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
        start = 0
        for channel in model.channels:
            self.channels[channel.name] = slice(start, start + channel.bins)
            start += channel.bins
        self.bins = start
        self._offset = {}
        start = 0
        for each in model.parameters:
            self._offset[each.name] = start
            start += each.size
        self._compile_constraints()
        self._compile_cells()
        main = np.concatenate([model.observations[channel.name] for channel in model.channels])
        self.observed = np.concatenate([main, self.auxdata])

    # ---- compiling

    def _compile_constraints(self) -> None:
        normal: list[tuple[int, float, int]] = []
        poisson: list[tuple[int, float, int]] = []
        auxdata: list[float] = []
        for each in self.model.parameters:
            if each.constraint == "none":
                continue
            for index, (value, width) in enumerate(zip(each.auxdata, each.widths, strict=True)):
                entry = (self._offset[each.name] + index, width, len(auxdata))
                (normal if each.constraint == "normal" else poisson).append(entry)
                auxdata.append(value)
        self.auxdata = np.array(auxdata, dtype=np.float64)
        self._normal, self._sigma, self._normal_aux = _columns(normal)
        self._poisson, self._tau, self._poisson_aux = _columns(poisson)

    def _compile_cells(self) -> None:
        rows: list[tuple[Channel, Sample]] = [
            (channel, sample) for channel in self.model.channels for sample in channel.samples
        ]
        first = {channel.name: self.channels[channel.name].start for channel in self.model.channels}
        # cells ordered by bin, so that a bin is the sum of a run of cells
        cell_bin = np.concatenate([first[channel.name] + np.arange(channel.bins) for channel, _ in rows])
        cell_row = np.concatenate([np.full(channel.bins, index) for index, (channel, _) in enumerate(rows)])
        order = np.argsort(cell_bin, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self._cell_bin, self._cell_row = cell_bin[order], cell_row[order]
        self._nominal = np.concatenate([sample.yields for _, sample in rows])[order][:, None]
        self._bin_starts = np.searchsorted(self._cell_bin, np.arange(self.bins))
        self._rows = rows
        starts = np.concatenate([[0], np.cumsum([channel.bins for channel, _ in rows])])
        cells_of_row = [place[starts[index] : starts[index + 1]] for index in range(len(rows))]

        factor_row: list[int] = []
        factor_par: list[int] = []
        normsys: list[Modifier] = []
        is_normsys: list[bool] = []
        shapes: list[tuple[int, Ints, Floats, Floats]] = []
        layers: list[list[int]] = [[] for _ in range(len(order))]
        stat: list[tuple[Ints, Ints, Floats]] = []
        span = _spans(self.model)
        for index, (channel, sample) in enumerate(rows):
            cells = cells_of_row[index]
            for modifier in sample.modifiers:
                par = self._offset[modifier.parameter]
                if modifier.kind in ("normfactor", "lumi", "normsys"):
                    factor_row.append(index)
                    factor_par.append(par)
                    is_normsys.append(modifier.kind == "normsys")
                    if modifier.kind == "normsys":
                        normsys.append(modifier)
                elif modifier.kind == "histosys":
                    odd = (modifier.up - modifier.down) / 2
                    even = (modifier.up + modifier.down) / 2 - sample.yields
                    # one parameter may be smooth in one sample and linear in another: two columns
                    key = -1 - par if modifier.interpolation == "code0" else par
                    shapes.append((key, cells, odd, even))
                else:
                    components = par + span.get((modifier.parameter, channel.name), 0) + np.arange(channel.bins)
                    if modifier.kind == "mcstat":
                        stat.append((cells, components, modifier.errors))
                    else:
                        for cell, component in zip(cells, components, strict=True):
                            layers[cell].append(int(component))
        self._compile_rows(len(rows), factor_row, factor_par, is_normsys, normsys)
        self._compile_shapes(shapes)
        self._compile_layers(layers)
        self._compile_stat(stat)
        self._compile_jacobian()

    def _compile_rows(
        self,
        rows: int,
        factor_row: list[int],
        factor_par: list[int],
        is_normsys: list[bool],
        normsys: list[Modifier],
    ) -> None:
        # every row gets one factor that is the constant 1 (the component after the last), so that no row is
        # empty
        ones = len(self.labels)
        row = np.array(factor_row + list(range(rows)), dtype=np.intp)
        par = np.array(factor_par + [ones] * rows, dtype=np.intp)
        kind = np.array(is_normsys + [False] * rows, dtype=bool)
        number = np.full(len(row), -1, dtype=np.intp)
        number[np.flatnonzero(kind)] = np.arange(kind.sum())
        order = np.argsort(row, kind="stable")
        self._factor_row, self._factor_par = row[order], par[order]
        self._factor_linear = np.flatnonzero(~kind[order])
        self._factor_normsys = np.flatnonzero(kind[order])
        ordered = [normsys[index] for index in number[order] if index >= 0]
        # equal factors of one parameter are evaluated once
        keys = [
            (int(par_), float(each.up[0]), float(each.down[0]), each.interpolation)
            for par_, each in zip(self._factor_par[self._factor_normsys], ordered, strict=True)
        ]
        unique = list(dict.fromkeys(keys))
        position = {key: index for index, key in enumerate(unique)}
        self._factor_unique = np.array([position[key] for key in keys], dtype=np.intp)
        self._unique_par = np.array([key[0] for key in unique], dtype=np.intp)
        self._factors = Factors(
            np.array([key[1] for key in unique]),
            np.array([key[2] for key in unique]),
            [key[3] for key in unique],
        )
        self._row_starts = np.searchsorted(self._factor_row, np.arange(rows))
        used = self._factor_par < ones
        self._row_gradient = sparse.csr_array(
            (np.ones(used.sum()), (self._factor_par[used], np.flatnonzero(used))),
            shape=(len(self.labels), len(row)),
        )
        self._row_sum = sparse.csr_array(
            (np.ones(len(self._cell_row)), (self._cell_row, np.arange(len(self._cell_row)))),
            shape=(rows, len(self._cell_row)),
        )

    def _compile_shapes(self, shapes: list[tuple[int, Ints, Floats, Floats]]) -> None:
        keys = sorted({shape[0] for shape in shapes})
        column = {key: index for index, key in enumerate(keys)}
        # a negative key marks a piecewise linear shape of parameter -1 - key
        self._shape_par = np.array([key if key >= 0 else -1 - key for key in keys], dtype=np.intp)
        self._shape_smooth = np.array([key >= 0 for key in keys], dtype=bool)
        cell = np.concatenate([shape[1] for shape in shapes]) if shapes else np.empty(0, dtype=np.intp)
        col = np.concatenate([np.full(len(shape[1]), column[shape[0]]) for shape in shapes]) if shapes else cell
        odd = np.concatenate([shape[2] for shape in shapes]) if shapes else np.empty(0)
        even = np.concatenate([shape[3] for shape in shapes]) if shapes else np.empty(0)
        size = (len(self._nominal), len(keys))
        self._odd = sparse.csr_array((odd, (cell, col)), shape=size)
        self._even = sparse.csr_array((even, (cell, col)), shape=size)
        self._odd_t, self._even_t = self._odd.T.tocsr(), self._even.T.tocsr()
        self._shape_gradient = sparse.csr_array(
            (np.ones(len(keys)), (self._shape_par, np.arange(len(keys)))), shape=(len(self.labels), len(keys))
        )
        self._shape_cells, self._shape_columns, self._shape_odd, self._shape_even = cell, col, odd, even

    def _compile_layers(self, layers: list[list[int]]) -> None:
        depth = max((len(each) for each in layers), default=0)
        ones = len(self.labels)
        self._layers = [
            np.array([each[level] if level < len(each) else ones for each in layers], dtype=np.intp)
            for level in range(depth)
        ]
        self._layer_gradients = []
        for layer in self._layers:
            used = np.flatnonzero(layer < ones)
            self._layer_gradients.append(
                sparse.csr_array((np.ones(len(used)), (layer[used], used)), shape=(len(self.labels), len(layer)))
            )

    def _compile_stat(self, stat: list[tuple[Ints, Ints, Floats]]) -> None:
        self._stat_variance = np.zeros((len(self._nominal), 1))
        self._stat_par = np.full(self.bins, -1, dtype=np.intp)
        for cells, components, errors in stat:
            self._stat_variance[cells, 0] += errors**2
            self._stat_par[self._cell_bin[cells]] = components
        self._has_stat = bool(stat)

    def _compile_jacobian(self) -> None:
        """Lay out d(bin)/d(parameter) as one sparse matrix over all (cell, modifier) pairs."""
        parameters = len(self.labels)
        counts = np.bincount(self._factor_row, minlength=len(self._rows))
        starts = self._row_starts
        cell = np.repeat(np.arange(len(self._cell_row)), counts[self._cell_row])
        within = np.arange(len(cell)) - np.repeat(
            np.cumsum(counts[self._cell_row]) - counts[self._cell_row], counts[self._cell_row]
        )
        factor = starts[self._cell_row[cell]] + within
        used = self._factor_par[factor] < parameters
        self._jac_cell, self._jac_factor = cell[used], factor[used]
        targets = [self._cell_bin[self._jac_cell] * parameters + self._factor_par[self._jac_factor]]
        targets.append(self._cell_bin[self._shape_cells] * parameters + self._shape_par[self._shape_columns])
        self._jac_layer = [np.flatnonzero(layer < parameters) for layer in self._layers]
        targets += [
            self._cell_bin[used_cells] * parameters + layer[used_cells]
            for used_cells, layer in zip(self._jac_layer, self._layers, strict=True)
        ]
        self._stat_bins = np.flatnonzero(self._stat_par >= 0)
        targets.append(self._stat_bins * parameters + self._stat_par[self._stat_bins])
        target = np.concatenate(targets)
        self._jac_sum = sparse.csr_array(
            (np.ones(len(target)), (target, np.arange(len(target)))),
            shape=(self.bins * parameters, len(target)),
        )

    # ---- evaluating

    def _state(self, theta: Floats) -> _State:
        batch = theta.shape[1]
        extended = np.concatenate([theta, np.ones((1, batch))])
        values = extended[self._factor_par]
        slopes = np.zeros_like(values)
        linear = values[self._factor_linear]
        linear = np.where(np.abs(linear) < _ZERO, _ZERO, linear)
        values[self._factor_linear] = linear
        slopes[self._factor_linear] = 1 / linear
        if len(self._factor_unique):
            factor, slope = self._factors(theta[self._unique_par])
            values[self._factor_normsys] = factor[self._factor_unique]
            slopes[self._factor_normsys] = slope[self._factor_unique]
        rows = np.multiply.reduceat(values, self._row_starts, axis=0)
        row_scale = rows[self._cell_row]
        scale = row_scale
        for layer in self._layers:
            scale = scale * extended[layer]
        base = self._nominal
        even_slopes = np.zeros((len(self._shape_par), batch))
        if len(self._shape_par):
            alpha = theta[self._shape_par]
            even, even_slopes = even_part(alpha, self._shape_smooth)
            base = base + self._odd @ alpha + self._even @ even
        cells = base * scale
        bins = np.add.reduceat(cells, self._bin_starts, axis=0)
        for_rows, stat = cells, np.zeros((0, batch))
        if self._has_stat:
            variance = self._stat_variance * row_scale**2
            error = np.sqrt(np.add.reduceat(variance, self._bin_starts, axis=0))
            parameter = np.where((self._stat_par >= 0)[:, None], extended[self._stat_par], 0.0)
            bins = bins + parameter * error
            share = np.divide(parameter, error, out=np.zeros_like(error), where=error > 0)
            for_rows = cells + variance * share[self._cell_bin]
            stat = error
        return _State(cells, bins, scale, slopes, even_slopes, stat, for_rows)

    def expected(self, theta: Floats) -> Floats:
        """Return the expected events of each bin: (parameters[, batch]) -> (bins[, batch])."""
        bins = self._state(_two(theta)).bins
        return bins[:, 0] if theta.ndim == 1 else bins

    def expected_samples(self, theta: Floats) -> dict[str, dict[str, Floats]]:
        """Return expected events by channel and sample at one parameter point."""
        cells = self._state(_two(theta)).cells[:, 0]
        result: dict[str, dict[str, Floats]] = {}
        for index, (channel, sample) in enumerate(self._rows):
            result.setdefault(channel.name, {})[sample.name] = cells[self._cell_row == index]
        return result

    def expected_data(self, theta: Floats) -> Floats:
        """Return the Asimov data at one or many points: expected events and auxiliary measurements."""
        two = _two(theta)
        aux = np.zeros((len(self.auxdata), two.shape[1]))
        aux[self._normal_aux] = two[self._normal]
        aux[self._poisson_aux] = two[self._poisson] * self._tau[:, None]
        data = np.concatenate([self._state(two).bins, aux])
        return data[:, 0] if theta.ndim == 1 else data

    def sample_data(self, theta: Floats, count: int, rng: np.random.Generator) -> Floats:
        """Draw pseudo-experiments at a point, auxiliary measurements included: (bins + auxiliary, count)."""
        data = np.empty((self.bins + len(self.auxdata), count))
        data[: self.bins] = rng.poisson(np.maximum(self.expected(theta), 0)[:, None], (self.bins, count))
        aux = data[self.bins :]
        aux[self._normal_aux] = rng.normal(
            theta[self._normal][:, None], self._sigma[:, None], (len(self._normal), count)
        )
        aux[self._poisson_aux] = rng.poisson((theta[self._poisson] * self._tau)[:, None], (len(self._poisson), count))
        return data

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
        count, rate = data[: self.bins], np.maximum(state.bins, FLOOR)
        value = _deviance(count, rate).sum(axis=0)
        aux = data[self.bins :]
        if len(self._normal):
            pull = (aux[self._normal_aux] - theta[self._normal]) / self._sigma[:, None]
            value = value + 0.5 * (pull * pull).sum(axis=0)
        if len(self._poisson):
            rate = np.maximum(theta[self._poisson] * self._tau[:, None], FLOOR)
            value = value + _deviance(aux[self._poisson_aux], rate).sum(axis=0)
        return np.asarray(value)

    def gradient(self, theta: Floats, data: Floats) -> Floats:
        """Return the gradient of `nll`, shape (parameters, batch)."""
        return self._gradient(self._state(theta), theta, data)

    def _gradient(self, state: _State, theta: Floats, data: Floats) -> Floats:
        count, rate = data[: self.bins], np.maximum(state.bins, FLOOR)
        by_bin = 1 - count / rate
        by_cell = by_bin[self._cell_bin]
        weighted = by_cell * state.for_rows
        row = self._row_sum @ weighted
        gradient = np.asarray(self._row_gradient @ (state.slopes * row[self._factor_row]))
        if len(self._shape_par):
            scaled = by_cell * state.scale
            gradient += self._shape_gradient @ (self._odd_t @ scaled + state.even_slopes * (self._even_t @ scaled))
        plain = by_cell * state.cells
        extended = np.concatenate([theta, np.ones((1, theta.shape[1]))])
        for layer, matrix in zip(self._layers, self._layer_gradients, strict=True):
            gradient += matrix @ (plain / _safe(extended[layer]))
        if self._has_stat:
            gradient[self._stat_par[self._stat_bins]] += (by_bin * state.stat)[self._stat_bins]
        aux = data[self.bins :]
        if len(self._normal):
            gradient[self._normal] += (theta[self._normal] - aux[self._normal_aux]) / self._sigma[:, None] ** 2
        if len(self._poisson):
            gradient[self._poisson] += self._tau[:, None] - aux[self._poisson_aux] / _safe(theta[self._poisson])
        return gradient

    def jacobian(self, theta: Floats) -> Floats:
        """Return d(expected events)/d(parameter), shape (batch, bins, parameters)."""
        return self._jacobian(self._state(theta), theta)

    def _jacobian(self, state: _State, theta: Floats) -> Floats:
        extended = np.concatenate([theta, np.ones((1, theta.shape[1]))])
        entries = [state.for_rows[self._jac_cell] * state.slopes[self._jac_factor]]
        shape = self._shape_odd[:, None] + self._shape_even[:, None] * state.even_slopes[self._shape_columns]
        entries.append(state.scale[self._shape_cells] * shape)
        for used, layer in zip(self._jac_layer, self._layers, strict=True):
            entries.append(state.cells[used] / _safe(extended[layer[used]]))
        if self._has_stat:
            entries.append(state.stat[self._stat_bins])
        flat = self._jac_sum @ np.concatenate(entries)
        return np.asarray(flat.T).reshape(theta.shape[1], self.bins, len(self.labels))

    def derivatives(self, theta: Floats, data: Floats) -> tuple[Floats, Floats, Floats]:
        """Return value, gradient and an approximate Hessian of `nll` together.

        The Hessian leaves out the second derivatives of the expected events, so it is never indefinite; it is
        exact where the expectation meets the data or is linear in the parameters.

        Returns
        -------
        value, gradient, hessian : numpy.ndarray
            Shapes (batch,), (parameters, batch), (batch, parameters, parameters).
        """
        state = self._state(theta)
        value, gradient = self._value(state, theta, data), self._gradient(state, theta, data)
        rate = np.maximum(state.bins, FLOOR)
        # a bin without events has no curvature of its own; a little of Fisher's keeps the step finite
        weight = np.maximum(data[: self.bins], 0.05 * rate) / rate**2
        root = self._jacobian(state, theta) * np.sqrt(weight).T[:, :, None]
        hessian = np.swapaxes(root, 1, 2) @ root
        diagonal = np.zeros_like(theta)
        if len(self._normal):
            diagonal[self._normal] += 1 / self._sigma[:, None] ** 2
        if len(self._poisson):
            aux = data[self.bins :][self._poisson_aux]
            diagonal[self._poisson] += np.maximum(aux, 0.05) / _safe(theta[self._poisson]) ** 2
        index = np.arange(len(self.labels))
        hessian[:, index, index] += diagonal.T
        return value, gradient, hessian

    def hessian(self, theta: Floats, data: Floats) -> Floats:
        """Return the full Hessian of `nll` at one point, from differences of the analytic gradient."""
        size = len(theta)
        step = 1e-4 * np.maximum(1e-2, np.minimum(np.abs(theta), 1.0))
        points = np.concatenate([theta[:, None] + np.diag(step), theta[:, None] - np.diag(step)], axis=1)
        gradient = self.gradient(points, data[:, None])
        result = (gradient[:, :size] - gradient[:, size:]) / (2 * step)
        return np.asarray((result + result.T) / 2)

    def logpdf(self, theta: Floats, data: Floats) -> float:
        """Return the log-likelihood with all its constants, as pyhf's `Model.logpdf` does."""
        two = theta[:, None]
        state = self._state(two)
        count, rate = data[: self.bins], np.maximum(state.bins[:, 0], FLOOR)
        value = float(np.sum(xlogy(count, rate) - rate - gammaln(count + 1)))
        aux = data[self.bins :]
        pull = (aux[self._normal_aux] - theta[self._normal]) / self._sigma
        value -= float(np.sum(0.5 * pull**2 + np.log(self._sigma) + 0.5 * np.log(2 * np.pi)))
        rate, count = theta[self._poisson] * self._tau, aux[self._poisson_aux]
        return value + float(np.sum(xlogy(count, rate) - rate - gammaln(count + 1)))


def _columns(entries: list[tuple[int, float, int]]) -> tuple[Ints, Floats, Ints]:
    return (
        np.array([entry[0] for entry in entries], dtype=np.intp),
        np.array([entry[1] for entry in entries], dtype=np.float64),
        np.array([entry[2] for entry in entries], dtype=np.intp),
    )


def _spans(model: Model) -> dict[tuple[str, str], int]:
    """Where the bins of a channel begin in a vector parameter that several channels share."""
    result: dict[tuple[str, str], int] = {}
    size: dict[str, int] = {}
    for channel in model.channels:
        for sample in channel.samples:
            for modifier in sample.modifiers:
                if modifier.kind in ("staterror", "mcstat"):
                    key = (modifier.parameter, channel.name)
                    if key not in result:
                        result[key] = size.get(modifier.parameter, 0)
                        size[modifier.parameter] = result[key] + channel.bins
    return result


def _deviance(count: Floats, rate: Floats) -> Floats:
    """Return rate - count + count log(count / rate), half the Poisson deviance, without losing digits."""
    excess = (count - rate) / rate
    near = np.abs(excess) < 1e-3
    series = excess**2 * (1 / 2 - excess * (1 / 6 - excess * (1 / 12 - excess / 20)))
    return np.asarray(rate * np.where(near, series, xlogy(1 + excess, 1 + excess) - excess))


def _safe(values: Floats) -> Floats:
    return np.where(np.abs(values) < _ZERO, _ZERO, values)


def _two(theta: Floats) -> Floats:
    return theta[:, None] if theta.ndim == 1 else theta
