"""What a network looks at: Shapley values of its features."""

from __future__ import annotations

__all__ = ["Ranking", "rank_features"]

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
# exact values need 2^features mixtures of each event
_MOST = 14
# rows scored at once
_ROWS = 1 << 18


@dataclass(frozen=True, eq=False)
class Ranking:
    """Shapley values of some events.

    Attributes
    ----------
    names : tuple of str
        The features.
    values : array of shape (events, features)
        How much each feature moves each event's response from the mean; a row sums to the response minus the mean.
    features : array of shape (events, features)
        The features of these events, as the network takes them.
    mean : float
        Mean response.
    """

    names: tuple[str, ...]
    values: Array
    features: Floats
    mean: float

    @property
    def importance(self) -> Array:
        """Mean absolute value of each feature."""
        return np.asarray(np.abs(self.values).mean(axis=0))

    @property
    def order(self) -> list[str]:
        """Names, the most important first."""
        return [self.names[index] for index in np.argsort(-self.importance, kind="stable")]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {
            "names": list(self.names),
            "order": self.order,
            "importance": self.importance.tolist(),
            "values": self.values.round(6).tolist(),
            "features": self.features.astype(np.float64).round(6).tolist(),
            "mean": self.mean,
        }


def rank_features(
    score: Callable[[Floats], NDArray[Any]],
    features: Floats,
    names: tuple[str, ...],
    rng: np.random.Generator,
    *,
    events: int = 200,
    references: int = 50,
) -> Ranking:
    r"""Shapley values of a network's response (S. Lundberg and S.-I. Lee, NeurIPS 2017, arXiv:1705.07874).

    The value of a set of features is the mean response to the event with all other features taken from reference
    events. All sets are evaluated, so the values are exact for these references:
    :math:`\phi_i = \sum_{S \not\ni i} \frac{|S|! (F - |S| - 1)!}{F!} [v(S \cup i) - v(S)]`.

    Parameters
    ----------
    score
        Features of shape (rows, features) to responses of shape (rows,).
    features : array of shape (rows, features)
        Where events and references are drawn from.
    names
        Names of the features.
    rng
        Draws them.
    events, references
        How many of each.

    Raises
    ------
    ConfigError
        If there are more features than all sets of which can be evaluated.
    """
    count = len(names)
    if count > _MOST:
        msg = f"{count} features have too many combinations to rank; give at most {_MOST}."
        raise ConfigError(msg)
    drawn = rng.permutation(len(features))
    chosen = features[drawn[:events]]
    others = features[drawn[-references:]]
    sets = 1 << count
    member = (np.arange(sets)[:, None] >> np.arange(count)) & 1 == 1
    worth = np.empty((len(chosen), sets))
    step = max(1, _ROWS // (sets * len(others)))
    for first in range(0, len(chosen), step):
        part = chosen[first : first + step]
        mixed = np.where(member[None, :, None, :], part[:, None, None, :], others[None, None, :, :])
        responses = np.asarray(score(mixed.reshape(-1, count).astype(np.float32)), dtype=np.float64)
        worth[first : first + step] = responses.reshape(len(part), sets, len(others)).mean(axis=2)
    size = member.sum(axis=1)
    factorial = [math.factorial(number) for number in range(count + 1)]
    values = np.zeros((len(chosen), count))
    for index in range(count):
        without = np.flatnonzero(~member[:, index])
        weight = np.array([factorial[n] * factorial[count - n - 1] / factorial[count] for n in size[without]])
        values[:, index] = (worth[:, without | (1 << index)] - worth[:, without]) @ weight
    return Ranking(names, values, chosen, float(worth[0, 0]))
