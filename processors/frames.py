"""Rest frames and planes on bare components, for NumPy arrays and torch tensors alike.

A momentum is a tuple (px, py, pz, E) of arrays of one shape, a direction a tuple of three. Functions are taken from the
arrays' own library, so that the same formula serves an event loop on NumPy and a training on a GPU.
"""

from __future__ import annotations

__all__ = [
    "angle",
    "angle_between_planes",
    "angle_to_plane",
    "boosted",
    "cartesian",
    "library",
    "mass",
    "phi_of",
    "pseudorapidity",
    "sum_of",
    "transverse",
    "turn",
]

import math
import sys
from typing import Any

Momentum = tuple[Any, Any, Any, Any]
# below this (GeV^2, or GeV) a sum is taken as this, so that nothing is divided by zero
_LEAST = 1e-12


def library(array: Any) -> Any:
    """Return NumPy for its arrays and torch for its tensors; their functions used here have the same names."""
    return sys.modules[type(array).__module__.partition(".")[0]]


def cartesian(pt: Any, eta: Any, phi: Any, mass: Any) -> Momentum:
    """Return px, py, pz, E."""
    lib = library(pt)
    pz = pt * lib.sinh(eta)
    return pt * lib.cos(phi), pt * lib.sin(phi), pz, lib.sqrt(pt * pt + pz * pz + mass * mass)


def sum_of(*momenta: Momentum) -> Momentum:
    """Add momenta."""
    px, py, pz, energy = momenta[0]
    for x, y, z, e in momenta[1:]:
        px, py, pz, energy = px + x, py + y, pz + z, energy + e
    return px, py, pz, energy


def mass(momentum: Momentum) -> Any:
    """Return the mass; 0 where rounding leaves a negative square."""
    px, py, pz, energy = momentum
    # (E - pz) (E + pz) keeps digits of fast objects that E^2 - pz^2 loses
    square = (energy - pz) * (energy + pz) - px * px - py * py
    lib = library(square)
    return lib.sqrt(lib.clip(square, 0.0, None))


def transverse(momentum: Momentum) -> Any:
    """Return the transverse momentum."""
    return library(momentum[0]).hypot(momentum[0], momentum[1])


def phi_of(momentum: Momentum) -> Any:
    """Return the azimuth."""
    return library(momentum[0]).arctan2(momentum[1], momentum[0])


def pseudorapidity(momentum: Momentum) -> Any:
    """Return the pseudorapidity; finite along the beam."""
    lib = library(momentum[0])
    return lib.arcsinh(momentum[2] / lib.clip(transverse(momentum), _LEAST, None))


def turn(first: Any, second: Any) -> Any:
    """Return the size of a difference of azimuths, 0 to pi."""
    difference = library(first).remainder(first - second + math.pi, 2.0 * math.pi) - math.pi
    return abs(difference)


def boosted(momentum: Momentum, frame: Momentum) -> Momentum:
    """Boost a momentum to the rest frame of another.

    E' = (E_f E - p_f . p) / M and p' = p - p_f (E + E') / (E_f + M): the Lorentz transformation without a velocity,
    which would lose digits near that of light.
    """
    px, py, pz, energy = momentum
    fx, fy, fz, frame_energy = frame
    lib = library(px)
    rest = lib.clip(mass(frame), _LEAST**0.5, None)
    new = (frame_energy * energy - fx * px - fy * py - fz * pz) / rest
    scale = (energy + new) / (frame_energy + rest)
    return px - fx * scale, py - fy * scale, pz - fz * scale, new


def _dot(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Any, b: Any) -> tuple[Any, Any, Any]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _size(a: Any) -> Any:
    return library(a[0]).sqrt(_dot(a, a))


def angle(first: Any, second: Any) -> Any:
    """Return the angle between two directions, 0 to pi; from both sine and cosine, so exact at the ends too."""
    return library(first[0]).arctan2(_size(_cross(first, second)), _dot(first, second))


def angle_to_plane(direction: Any, one: Any, other: Any) -> Any:
    """Return the angle between a direction and the plane of two others, 0 to pi/2."""
    normal = _cross(one, other)
    return library(normal[0]).arctan2(abs(_dot(direction, normal)), _size(_cross(direction, normal)))


def angle_between_planes(one: Any, other: Any, third: Any, fourth: Any) -> Any:
    """Return the angle between the plane of the first two directions and that of the last two, 0 to pi/2."""
    first, second = _cross(one, other), _cross(third, fourth)
    return library(first[0]).arctan2(_size(_cross(first, second)), abs(_dot(first, second)))
