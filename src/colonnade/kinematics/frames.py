"""Angles in rest frames, and angles between planes."""

from __future__ import annotations

__all__ = ["boost_to_rest", "rest_frame_angle", "rest_frame_plane_angle", "rest_frame_planes_angle"]

from typing import Any

import awkward as ak

from colonnade.errors import ConfigError
from colonnade.kinematics import _frames
from colonnade.kinematics._operands import momenta
from colonnade.kinematics.arrays import records, unwrap
from colonnade.kinematics.views import view


def boost_to_rest(moving: Any, *system: Any) -> ak.Array:
    r"""Four-momentum of an object in the rest frame of a system.

    .. math:: E' = \frac{E_S E - \vec p_S \cdot \vec p}{M_S}, \qquad
        \vec p\,' = \vec p - \vec p_S \frac{E + E'}{E_S + M_S}

    (Lorentz transformation; Particle Data Group, review of kinematics, with the velocity written as
    :math:`\vec p_S / E_S`.)

    Parameters
    ----------
    moving
        Four-momenta in GeV with pt, eta, phi, mass, flat or jagged.
    *system
        Four-momenta whose sum defines the frame. Missing momentum enters as a four-momentum too: with eta = 0 and
        mass = 0.

    Returns
    -------
    ak.Array
        Records with pt, eta, phi, mass, one an entry.

    Examples
    --------
    >>> import vector
    >>> z = vector.array({"pt": [40.0], "eta": [1.0], "phi": [0.3], "mass": [91.2]})
    >>> boost_to_rest(z, z).mass.round(6).tolist()
    [91.2]
    """
    rows, offsets, missing = momenta((moving, *_some(system)))
    own, *others = (_frames.cartesian(*row) for row in rows)
    at_rest = _frames.boosted(own, _frames.sum_of(*others))
    columns = {
        "pt": _frames.transverse(at_rest),
        "eta": _frames.pseudorapidity(at_rest),
        "phi": _frames.phi_of(at_rest),
        "mass": rows[0][3],
    }
    views = [view(one) for one in (moving, *system)]
    like = next((one for one in views if one.behavior), views[0])
    return records(like, "Momentum4D", columns, offsets, missing)


def rest_frame_angle(first: Any, second: Any, *system: Any) -> Any:
    r"""Angle between two objects in the rest frame of a system, in [0, pi] radians.

    .. math:: \theta = \operatorname{atan2}(|\vec a \times \vec b|, \vec a \cdot \vec b)

    with both momenta boosted as in `boost_to_rest`. It is the same in every frame in which the input is given.

    Parameters
    ----------
    first, second
        Four-momenta in GeV, flat or jagged.
    *system
        Four-momenta whose sum defines the frame.

    Returns
    -------
    array
        One value an entry: NumPy if all are flat, awkward if jagged, or if some are missing.

    Examples
    --------
    >>> import vector
    >>> at = lambda phi: vector.array({"pt": [45.0], "eta": [0.4], "phi": [phi], "mass": [0.0]})
    >>> rest_frame_angle(at(0.0), at(1.0), at(0.0), at(1.0)).round(6).tolist()  # a pair at rest is back to back
    [3.141593]
    """
    (one, other, *others), offsets, missing = _components((first, second, *_some(system)))
    frame = _frames.sum_of(*others)
    return unwrap(_frames.angle(_frames.boosted(one, frame), _frames.boosted(other, frame)), offsets, missing)


def rest_frame_plane_angle(direction: Any, plane: tuple[Any, Any], *system: Any) -> Any:
    r"""Angle between an object and the plane of two others in the rest frame of a system, in [0, pi/2] radians.

    .. math:: \alpha = \operatorname{atan2}(|\vec d \cdot \vec n|, |\vec d \times \vec n|),
        \qquad \vec n = \vec a \times \vec b

    Parameters
    ----------
    direction
        Four-momenta in GeV, flat or jagged.
    plane
        The two objects that span the plane.
    *system
        Four-momenta whose sum defines the frame.

    Returns
    -------
    array
        As in `rest_frame_angle`.

    Examples
    --------
    >>> import vector
    >>> at = lambda eta, phi: vector.array({"pt": [9.0], "eta": [eta], "phi": [phi], "mass": [0.0]})
    >>> rest = vector.array({"pt": [0.0], "eta": [0.0], "phi": [0.0], "mass": [9.0]})
    >>> rest_frame_plane_angle(at(9.0, 0.0), (at(0.0, 0.0), at(0.0, 2.0)), rest).round(2).tolist()  # along the beam
    [1.57]
    """
    (one, *others), offsets, missing = _components((direction, *plane, *_some(system)))
    frame = _frames.sum_of(*others[2:])
    seen = [_frames.boosted(each, frame) for each in (one, *others[:2])]
    return unwrap(_frames.angle_to_plane(*seen), offsets, missing)


def rest_frame_planes_angle(first: tuple[Any, Any], second: tuple[Any, Any], *system: Any) -> Any:
    r"""Angle between two planes, of two objects each, in the rest frame of a system, in [0, pi/2] radians.

    .. math:: \Phi = \operatorname{atan2}(|\vec n_1 \times \vec n_2|, |\vec n_1 \cdot \vec n_2|),
        \qquad \vec n_1 = \vec a \times \vec b, \quad \vec n_2 = \vec c \times \vec d

    the decay-plane angle known from decays to two pairs, of which the order within a pair does not matter.

    Parameters
    ----------
    first, second
        The two objects of each plane: four-momenta in GeV, flat or jagged.
    *system
        Four-momenta whose sum defines the frame.

    Returns
    -------
    array
        As in `rest_frame_angle`.

    Examples
    --------
    >>> import vector
    >>> at = lambda eta, phi: vector.array({"pt": [9.0], "eta": [eta], "phi": [phi], "mass": [0.0]})
    >>> rest = vector.array({"pt": [0.0], "eta": [0.0], "phi": [0.0], "mass": [9.0]})
    >>> flat, upright = (at(0.0, 0.0), at(0.0, 2.0)), (at(9.0, 0.0), at(0.0, 1.0))
    >>> rest_frame_planes_angle(flat, upright, rest).round(3).tolist()
    [1.571]
    """
    parts, offsets, missing = _components((*first, *second, *_some(system)))
    frame = _frames.sum_of(*parts[4:])
    seen = [_frames.boosted(each, frame) for each in parts[:4]]
    return unwrap(_frames.angle_between_planes(*seen), offsets, missing)


def _some(system: tuple[Any, ...]) -> tuple[Any, ...]:
    if not system:
        msg = "a rest frame needs at least one four-momentum that defines it."
        raise ConfigError(msg)
    return system


def _components(objects: tuple[Any, ...]) -> tuple[list[_frames.Momentum], Any, Any]:
    rows, offsets, missing = momenta(objects)
    return [_frames.cartesian(*row) for row in rows], offsets, missing
