"""Angles and distances between objects."""

from __future__ import annotations

__all__ = ["cos_theta_collins_soper", "cos_theta_eta", "delta_eta", "delta_phi", "delta_r"]

from typing import Any

import numpy as np

from colonnade.kinematics import _formulas
from colonnade.kinematics._operands import momenta, operands
from colonnade.kinematics.arrays import unwrap


def delta_phi(first: Any, second: Any) -> Any:
    """Difference of azimuths, first minus second, in [-pi, pi) radians.

    Parameters
    ----------
    first, second
        Vectors (of any dimension), or azimuths in radians; flat or jagged. Jagged against flat goes object by object.

    Returns
    -------
    array
        One value an entry: NumPy if both are flat, awkward if jagged, or if some are missing.

    Examples
    --------
    >>> delta_phi(np.array([3.0]), np.array([-3.0])).round(4).tolist()
    [-0.2832]
    """
    (phi1, phi2), offsets, missing = operands((first, second), ("phi",), numbers=True)
    return unwrap(_formulas.angle(phi1[0], phi2[0]), offsets, missing)


def delta_eta(first: Any, second: Any) -> Any:
    """Difference of pseudorapidities, first minus second.

    Parameters
    ----------
    first, second
        Vectors, or pseudorapidities; flat or jagged, as in `delta_phi`.

    Examples
    --------
    >>> delta_eta(np.array([1.5]), np.array([-0.5])).tolist()
    [2.0]
    """
    (eta1, eta2), offsets, missing = operands((first, second), ("eta",), numbers=True)
    return unwrap(eta1[0] - eta2[0], offsets, missing)


def delta_r(first: Any, second: Any) -> Any:
    r"""Distance :math:`\Delta R = \sqrt{\Delta\eta^2 + \Delta\phi^2}`, with pseudorapidities.

    Parameters
    ----------
    first, second
        Vectors with eta and phi, flat or jagged, as in `delta_phi`.

    Examples
    --------
    >>> import vector
    >>> one, other = (vector.array({"pt": [1.0], "eta": [eta], "phi": [0.0], "mass": [0.0]}) for eta in (0.0, 0.3))
    >>> delta_r(one, other).tolist()
    [0.3]
    """
    (one, other), offsets, missing = operands((first, second), ("eta", "phi"))
    return unwrap(_formulas.distance(one[0], one[1], other[0], other[1]), offsets, missing)


def cos_theta_eta(first: Any, second: Any) -> Any:
    r"""Cosine of a pair's decay angle from pseudorapidities alone, :math:`\tanh(\Delta\eta / 2)`.

    It is invariant under boosts along the beam, and that of the first object in the frame where the two are back to
    back in pseudorapidity (Melia, JHEP 01 (2012) 143, arXiv:1110.6185; Barr, hep-ph/0511115, for sleptons).

    Examples
    --------
    >>> float(cos_theta_eta(np.array([1.0]), np.array([-1.0]))[0]).__round__(4)
    0.7616
    """
    (eta1, eta2), offsets, missing = operands((first, second), ("eta",), numbers=True)
    return unwrap(np.tanh(0.5 * (eta1[0] - eta2[0])), offsets, missing)


def cos_theta_collins_soper(minus: Any, plus: Any) -> Any:
    r"""Cosine of the polar decay angle of a pair in the Collins-Soper frame.

    .. math:: \cos\theta^* = \frac{p_z^{\ell\ell}}{|p_z^{\ell\ell}|}\,
        \frac{2 (p_1^+ p_2^- - p_1^- p_2^+)}{m \sqrt{m^2 + p_T^2}}, \qquad p^\pm = (E \pm p_z) / \sqrt 2

    (Collins and Soper, Phys. Rev. D 16 (1977) 2219; with the sign of a symmetric collider.)

    Parameters
    ----------
    minus, plus
        The negatively and the positively charged object: four-momenta in GeV, flat or jagged.
    """
    (one, other), offsets, missing = momenta((minus, plus))
    return unwrap(_formulas.collins_soper(*one, *other), offsets, missing)
