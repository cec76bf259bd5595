"""Missing transverse momentum: minus the sum of what is seen, and its significance."""

from __future__ import annotations

__all__ = ["Seen", "missing_momentum"]

import numpy as np

from colonnade.samples.particles import Floats, Ints, Particles


class Seen:
    """What each event's detector measured so far: momentum sums and their covariance.

    Parameters
    ----------
    events
        The number of events.
    """

    def __init__(self, events: int) -> None:
        self.events = events
        self.x, self.y, self.scalar = np.zeros(events), np.zeros(events), np.zeros(events)
        self.soft_x, self.soft_y = np.zeros(events), np.zeros(events)
        self.xx, self.xy, self.yy = np.zeros(events), np.zeros(events), np.zeros(events)

    def add(self, event: Ints, pt: Floats, phi: Floats, error: Floats) -> None:
        """Add measured objects, in GeV; `error` is along the object's direction, across it there is none."""
        cosine, sine = np.cos(phi), np.sin(phi)
        self.x += self._sum(event, pt * cosine)
        self.y += self._sum(event, pt * sine)
        self.scalar += self._sum(event, pt)
        self.xx += self._sum(event, (error * cosine) ** 2)
        self.xy += self._sum(event, error**2 * cosine * sine)
        self.yy += self._sum(event, (error * sine) ** 2)

    def add_soft(self, particles: Particles) -> None:
        """Add particles that are measured together, as the soft term."""
        self.soft_x += self._sum(particles.event, particles.px)
        self.soft_y += self._sum(particles.event, particles.py)

    def remove_soft(self, event: Ints, px: Floats, py: Floats) -> None:
        """Take what became a jet out of the soft term again."""
        self.soft_x -= self._sum(event, px)
        self.soft_y -= self._sum(event, py)

    def _sum(self, event: Ints, values: Floats) -> Floats:
        total: Floats = np.bincount(event, weights=values, minlength=self.events).astype(np.float64)
        return total


def missing_momentum(seen: Seen, soft_resolution: float, rng: np.random.Generator) -> dict[str, Floats]:
    """Return the columns of MET.

    The significance is the object-based one of ATLAS-CONF-2018-038: S^2 = E^T V^-1 E with E the missing
    momentum and V the covariance summed over all objects and the soft term. In the frame along E that is
    |E|^2 / (sigma_L^2 (1 - rho_LT^2)), the form of R. Guevara (docs/references.md).

    Parameters
    ----------
    seen
        Everything measured.
    soft_resolution
        Of the soft term, in x and in y, in GeV.
    rng
        Draws the soft term's error.
    """
    soft_x = seen.soft_x + soft_resolution * rng.standard_normal(seen.events)
    soft_y = seen.soft_y + soft_resolution * rng.standard_normal(seen.events)
    x, y = -(seen.x + soft_x), -(seen.y + soft_y)
    xx, yy = seen.xx + soft_resolution**2, seen.yy + soft_resolution**2
    squared = (x**2 * yy - 2.0 * x * y * seen.xy + y**2 * xx) / (xx * yy - seen.xy**2)
    return {
        "pt": np.hypot(x, y),
        "phi": np.arctan2(y, x),
        "significance": np.sqrt(np.maximum(squared, 0.0)),
        "sumEt": seen.scalar + np.hypot(soft_x, soft_y),
        "covXX": xx,
        "covXY": seen.xy,
        "covYY": yy,
    }
