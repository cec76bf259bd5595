"""What is kept of the diagnosis of a fit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from colonnade.statistics.diagnostics import Diagnosis
from colonnade.statistics.model import Model
from colonnade.statistics.prediction import Prediction
from colonnade.statistics.results import (
    ChannelYields,
    Correlations,
    DiagnosisSummary,
    Numbers,
    ScanCurve,
    SignalYields,
    Yields,
)

# a correlation below this is not worth a line in the table
_CORRELATED = 0.1


def diagnosis_summary(found: Diagnosis, model: Model) -> DiagnosisSummary:
    """Return what is kept of a diagnosis; docs/statistics.md describes it."""
    fitted = found.fit
    # only parameters that some other parameter goes with make the matrix worth reading
    strength = np.abs(fitted.correlation - np.diag(np.diagonal(fitted.correlation)))
    chosen = np.flatnonzero(strength.max(axis=0, initial=0.0) > _CORRELATED)
    matrix = np.round(fitted.correlation[np.ix_(chosen, chosen)], 6)
    signals = _signals(model)
    return DiagnosisSummary(
        strength=found.strength,
        pulls=found.pulls,
        ranking=found.ranking,
        correlations=Correlations(
            tuple(fitted.labels[index] for index in chosen), tuple(numbers(row) for row in matrix)
        ),
        goodness=found.goodness if found.goodness is not None and found.goodness.degrees > 0 else None,
        scans=tuple(
            ScanCurve(each.name, each.best, each.error, numbers(each.values), numbers(each.delta))
            for each in found.scans
        ),
        yields={
            channel.name: ChannelYields(
                edges=None if channel.edges is None else numbers(channel.edges),
                observed=numbers(model.observations[channel.name]) if channel.name in found.observed else None,
                signal=signals.get(channel.name),
                prefit=_yields(found.before, channel.name),
                postfit=_yields(found.after, channel.name),
            )
            for channel in model.channels
        },
    )


def _signals(model: Model) -> dict[str, SignalYields]:
    """Return what each channel expects of signal with strength 1, before any fit."""
    return {
        channel.name: SignalYields(sample.name, numbers(sample.yields))
        for channel in model.channels
        for sample in channel.samples
        if any(modifier.parameter == model.poi for modifier in sample.modifiers)
    }


def _yields(prediction: Prediction, channel: str) -> Yields:
    total, error = prediction.totals[channel]
    # a signal of strength 0 is no sample of the channel
    yields = prediction.yields[channel].items()
    shown = {name: values for name, values in yields if abs(values.sum()) > 1e-12 * abs(total)}
    return Yields(
        samples={name: numbers(values) for name, values in shown.items()},
        sample_totals={name: prediction.sample_totals[channel].get(name, (0.0, 0.0)) for name in shown},
        errors=numbers(prediction.errors[channel]),
        groups={name: numbers(errors) for name, errors in prediction.group_errors[channel].items()},
        total=total,
        total_error=error,
    )


def numbers(values: Iterable[float]) -> Numbers:
    """Return numbers of any kind as they are kept."""
    return tuple(float(each) for each in values)
