"""A background shape on given bins: contents and derivatives, for one fit or thousands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colonnade.statistics.resonance.backgrounds import Background

Array = NDArray[np.float64]

# Gauss-Legendre points in a bin: four integrate a polynomial of degree 7 exactly; for exp(-x / 100) in bins
# of 20 the relative error is 1e-14
_NODES = 4


@dataclass(frozen=True, eq=False)
class Expectation:
    """Expected bin contents of `rows` fits, and what their derivatives are made of.

    Attributes
    ----------
    content : array of shape (rows, bins)
        Expected events in each bin.
    gradient : array of shape (rows, bins, parameters)
        Derivatives of the content.
    density : array of shape (rows, bins * nodes), or None
        Weighted density at the nodes, where the content is not linear in the parameters.
    """

    content: Array
    gradient: Array
    density: Array | None


class BackgroundTable:
    """A shape tabulated on bins.

    Parameters
    ----------
    shape
        The background shape.
    edges : array of shape (bins + 1,)
        The bins; their ends are the range on which the shape is normalised.

    Attributes
    ----------
    parameters : int
        Number of internal coefficients: the yield and the shape's parameters in a form fit for minimising.
    """

    def __init__(self, shape: Background, edges: Array) -> None:
        self.shape = shape
        self.edges = edges
        self.low, self.high = float(edges[0]), float(edges[-1])
        points, point_weights = np.polynomial.legendre.leggauss(_NODES)
        half = 0.5 * np.diff(edges)[:, None]
        nodes = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * points
        self._weights = half * point_weights
        values = shape.functions(nodes, self.low, self.high)
        self.bins, _, self.parameters = values.shape
        if shape.kind == "log":
            flat = values.reshape(-1, self.parameters)
            orthonormal, triangle = np.linalg.qr(flat)
            # scaled so that coefficients are of order one whatever the number of bins
            scale = np.sqrt(len(flat)) * np.sign(np.diag(triangle))
            self._functions = orthonormal * scale
            self._triangle = triangle / scale[:, None]
            self._pairs = np.einsum("xi,xj->xij", self._functions, self._functions).reshape(len(flat), -1)
        else:
            self._triangle = np.eye(self.parameters)
            self._functions = np.einsum("kq,kqp->kp", self._weights, values)

    def expect(self, coefficients: Array) -> Expectation:
        """Return expected contents and gradients for coefficients of shape (rows, parameters)."""
        if self.shape.kind == "linear":
            content = coefficients @ self._functions.T
            gradient = np.broadcast_to(self._functions, (len(coefficients), *self._functions.shape))
            return Expectation(content, gradient, None)
        with np.errstate(over="ignore"):
            density = np.exp(coefficients @ self._functions.T) * self._weights.ravel()
        nodes = density.reshape(len(coefficients), self.bins, -1)
        functions = self._functions.reshape(self.bins, -1, self.parameters)
        # one small matrix product a bin
        with np.errstate(invalid="ignore", over="ignore"):
            gradient = np.matmul(nodes.transpose(1, 0, 2), functions).transpose(1, 0, 2)
        return Expectation(nodes.sum(axis=2), gradient, density)

    def content(self, coefficients: Array) -> Array:
        """Return expected contents, shape (rows, bins)."""
        if self.shape.kind == "linear":
            return np.asarray(coefficients @ self._functions.T)
        density = np.exp(coefficients @ self._functions.T) * self._weights.ravel()
        return np.asarray(density.reshape(len(coefficients), self.bins, -1).sum(axis=2))

    def curvature(self, expectation: Expectation, slope: Array) -> Array | float:
        """Sum over bins of slope, shape (rows, bins), times the content's second derivatives."""
        if expectation.density is None:
            return 0.0
        weighted = expectation.density * np.repeat(slope, self._weights.shape[1], axis=1)
        return np.asarray((weighted @ self._pairs).reshape(len(slope), self.parameters, self.parameters))

    def start(self, counts: Array, used: NDArray[np.bool_]) -> Array:
        """Guess coefficients from contents of shape (rows, bins), by weighted least squares.

        For `log` the logarithm of the contents is fitted, each bin weighted by its content; for `linear` the
        contents, each bin weighted by the inverse of the mean content.
        """
        counts = counts[:, used]
        if self.shape.kind == "linear":
            design = self._functions[used]
            coefficients = counts @ np.linalg.pinv(design).T
            if self.shape.bounded:
                floor = 1e-3 * np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
                coefficients = np.maximum(coefficients, floor)
            content = coefficients @ self._functions.T
            bad = (content <= 0).any(axis=1)
            flat = np.zeros_like(coefficients)
            flat[:, 0] = 1.0
            if self.shape.bounded:
                flat[:] = 1.0
            flat *= (counts.sum(axis=1) / (flat @ design.T).sum(axis=1))[:, None]
            return np.where(bad[:, None], flat, coefficients)
        # a bin's functions at its weighted mean node; the floor keeps empty bins in, with little say
        mean = np.einsum("kq,kqp->kp", self._weights, self._functions.reshape(self.bins, -1, self.parameters))
        width = self._weights.sum(axis=1)
        design = (mean / width[:, None])[used]
        floor = np.maximum(0.5 * counts.sum(axis=1, keepdims=True) / counts.shape[1], 1e-12)
        floor = np.minimum(floor, 0.5) if counts.max(initial=0) >= 1 else floor
        content = np.maximum(counts, floor)
        target = np.log(content / width[used])
        weight = content
        normal = np.einsum("tk,ki,kj->tij", weight, design, design)
        ridge = 1e-9 * np.einsum("tii->t", normal)[:, None, None] * np.eye(self.parameters)
        moment = np.einsum("tk,ki->ti", weight * target, design)
        return np.asarray(np.linalg.solve(normal + ridge, moment[..., None])[..., 0])

    def natural(self, coefficients: Array) -> tuple[Array, Array]:
        """Return the reported parameters (yield, then the shape's) of one fit, and their derivatives."""
        raw = np.linalg.solve(self._triangle, coefficients)
        if self.shape.kind == "log":
            # gradient of the yield with respect to the raw coefficients, whose first function is 1
            content = self.expect(coefficients[None]).gradient[0].sum(axis=0) @ self._triangle
        else:
            content = self._functions.sum(axis=0)
        values, jacobian = self.shape.natural(raw, content)
        return values, jacobian @ np.linalg.inv(self._triangle)

    def density(self, coefficients: Array, x: Array) -> Array:
        """Events per unit of the observable at x, for the coefficients of one fit."""
        values = self.shape.functions(np.asarray(x, dtype=np.float64), self.low, self.high)
        raw = values @ np.linalg.solve(self._triangle, coefficients)
        return np.asarray(np.exp(raw) if self.shape.kind == "log" else raw)
