"""What is shown of a run's JSON files, checked when read."""

from __future__ import annotations

__all__ = [
    "Counting",
    "Decision",
    "FitSummary",
    "Interval",
    "Limit",
    "Parameter",
    "Point",
    "Toys",
    "median",
]

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from colonnade.statistics.systematics import Effect


class _View(BaseModel):
    """What is shown of a result; a later version of the file may hold more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Interval(_View):
    """An expected value with its bands (-2 to +2 standard deviations), or alone; and the observed one."""

    expected: tuple[float, ...] | float | None = None
    observed: float | None = None


class Toys(Interval):
    """Limits by pseudo-experiments, with their Monte Carlo errors."""

    expected_errors: tuple[float, ...] = ()
    observed_error: float | None = None
    toys: int = 0


class Limit(Interval):
    """The limits that hold, and, where there are both, those of the formulas and of pseudo-experiments."""

    method: str = "asymptotic"
    asymptotic: Interval | None = None
    toys: Toys | None = None


class Point(_View):
    """The result for one signal point."""

    signal: str
    parameters: Mapping[str, Any] = {}
    significance: Interval | None = None
    limit: Limit | None = None
    mu_hat: Any = None
    cross_section_pb: float | None = None


class Counting(_View):
    """One region's total yields compared with a signal."""

    region: str
    signal: str
    s: float
    b: float
    sigma_b: float = 0.0
    z: float | None = None
    z_with_uncertainty: float | None = None


class Parameter(_View):
    """A fitted parameter."""

    name: str
    bestfit: float
    error: float | None = None


class Decision(_View):
    """What building the model changed, such as a bin that was merged, and where."""

    kind: str = ""
    subject: str = ""
    what: str = ""
    where: tuple[str, ...] = ()


class FitSummary(_View):
    """fit.json."""

    luminosity: float | None = None
    blinded: bool = True
    reference: str = ""
    observed_channels: tuple[str, ...] = ()
    level: float = 0.95
    points: tuple[Point, ...] = ()
    counting: tuple[Counting, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    decisions: tuple[Decision, ...] = ()
    systematics: tuple[Effect, ...] = ()


def median(interval: Interval | None) -> float | None:
    """Return the middle of an expected value's band, or the value."""
    if interval is None or interval.expected is None:
        return None
    if isinstance(interval.expected, tuple):
        return interval.expected[len(interval.expected) // 2]
    return interval.expected
