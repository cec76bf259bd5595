"""After each export: what was trained against what will score, and jagged against padded and masked."""

from __future__ import annotations

__all__ = ["TOLERANCE", "network_scores", "padded_scores", "require_equal", "tree_scores"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import FitError
from colonnade.inference import Inputs
from colonnade.training.trees import TREE_FEATURE

# scores lie in 0..1; single precision leaves about 1e-7
TOLERANCE = 1e-5
_BATCH = 65536


def network_scores(network: Any, inputs: Inputs) -> NDArray[np.float32]:
    """Score events with torch, on the processor, in the form that training uses.

    Parameters
    ----------
    network
        A `Network`, in evaluation mode.
    inputs
        N events.
    """
    import torch

    offsets = {name: np.concatenate([[0], np.cumsum(count)]) for name, count in inputs.counts.items()}
    scores = np.empty(len(inputs), dtype=np.float32)
    with torch.no_grad():
        for low in range(0, len(inputs), _BATCH):
            high = min(low + _BATCH, len(inputs))
            parts = [torch.from_numpy(np.ascontiguousarray(inputs.event[low:high]))]
            for name in network.names:
                start, stop = offsets[name][[low, high]]
                index = np.repeat(np.arange(high - low), inputs.counts[name][low:high])
                parts += [torch.from_numpy(inputs.objects[name][start:stop]), torch.from_numpy(index)]
            scores[low:high] = network.score(*parts).numpy()
    return scores


def padded_scores(network: Any, inputs: Inputs) -> NDArray[np.float32]:
    """Score events the way others do, [N, most, G] with a mask: an independent check of the jagged way."""
    import torch

    members = getattr(network, "networks", [network])
    logits = sum(_padded_logits(member, inputs) for member in members) / len(members)
    scores: NDArray[np.float32] = torch.sigmoid(logits - network.log_odds).numpy()
    return scores


def _padded_logits(network: Any, inputs: Inputs) -> Any:
    import torch

    parts = [network.event_norm(torch.from_numpy(np.ascontiguousarray(inputs.event)))]
    with torch.no_grad():
        for name in network.names:
            counts, flat = inputs.counts[name], inputs.objects[name]
            most = max(int(counts.max(initial=0)), 1)
            mask = np.arange(most) < counts[:, np.newaxis]
            padded = np.zeros((len(counts), most, flat.shape[1]), dtype=np.float32)
            padded[mask] = flat
            pool = network.pools[name]
            normed = network.object_norms[name](torch.from_numpy(padded).reshape(-1, flat.shape[1]))
            each = pool.each(normed).reshape(len(counts), most, -1) * torch.from_numpy(mask)[:, :, None]
            total, number = (
                each.sum(dim=1),
                torch.from_numpy(mask.sum(axis=1, keepdims=True).astype(np.float32)),
            )
            pooled = {"sum": total, "mean": total / number.clamp(min=1.0)}
            parts += [*(pooled[kind] for kind in pool.pools), number]
        return network.head(torch.cat(parts, dim=1))[:, 0]


def tree_scores(booster: Any, inputs: Inputs) -> NDArray[np.float32]:
    """Score events with xgboost."""
    import xgboost

    names = [TREE_FEATURE.format(place) for place in range(inputs.event.shape[1])]
    matrix = xgboost.DMatrix(inputs.event, missing=np.nan, feature_names=names)
    return np.asarray(booster.predict(matrix), dtype=np.float32)


def require_equal(what: str, first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the largest difference of two arrays of scores, refused above the tolerance.

    Raises
    ------
    FitError
        If scores differ by more than `TOLERANCE`, or one is not a number.
    """
    difference = float(np.abs(first - second).max(initial=0.0))
    if not difference <= TOLERANCE:
        msg = f"{what} differ by {difference:.2g} on held-out events, above {TOLERANCE:g}; nothing is written."
        raise FitError(msg)
    return difference
