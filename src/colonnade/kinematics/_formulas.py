"""Compiled formulas, entry by entry. What they mean, and where they come from, stands with the public functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from colonnade.kinematics.compiled import compiled

_TURN = 2.0 * math.pi


@compiled
def angle(first: Any, second: Any) -> Any:
    """Difference of azimuths in [-pi, pi)."""
    out = np.empty(len(first))
    for i in range(len(first)):
        out[i] = (first[i] - second[i] + math.pi) % _TURN - math.pi
    return out


@compiled
def distance(eta1: Any, phi1: Any, eta2: Any, phi2: Any) -> Any:
    """Distance in pseudorapidity and azimuth."""
    out = np.empty(len(eta1))
    for i in range(len(eta1)):
        eta = eta1[i] - eta2[i]
        phi = (phi1[i] - phi2[i] + math.pi) % _TURN - math.pi
        out[i] = math.sqrt(eta * eta + phi * phi)
    return out


@compiled
def mass_of_sum(rows: Any, places: Any) -> Any:
    """Mass of the sum of several momenta: of each the rows px, py, pz, E at some places."""
    out = np.empty(len(places[0]))
    for i in range(len(out)):
        px, py, pz, energy = 0.0, 0.0, 0.0, 0.0
        for one in range(len(rows)):
            momentum = rows[one][places[one][i]]
            px += momentum[0]
            py += momentum[1]
            pz += momentum[2]
            energy += momentum[3]
        square = energy * energy - px * px - py * py - pz * pz
        # rounding can leave a massless sum slightly space-like
        out[i] = 0.0 if square < 0.0 else math.sqrt(square)
    return out


def momentum_of_sum(rows: Any, places: Any) -> Any:
    """Pt, eta, phi, mass of the same sum."""
    px, py, pz, energy = _sum(rows, places)
    square = px * px + py * py
    pt = np.sqrt(square)
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.where(pz == 0.0, 0.0, np.arcsinh(pz / pt))
    return pt, eta, np.arctan2(py, px), np.sqrt(np.maximum(energy * energy - square - pz * pz, 0.0))


@compiled
def _sum(rows: Any, places: Any) -> Any:
    out = np.zeros((4, len(places[0])))
    for i in range(out.shape[1]):
        for one in range(len(rows)):
            momentum = rows[one][places[one][i]]
            for axis in range(4):
                out[axis, i] += momentum[axis]
    return out


def pair_mass(pt1: Any, eta1: Any, phi1: Any, mass1: Any, pt2: Any, eta2: Any, phi2: Any, mass2: Any) -> Any:
    """Mass of two four-momenta.

    m^2 = m1^2 + m2^2 + 2 (E1 E2 - p1 p2), written so that neither fast nor nearly parallel objects lose digits: first
    the longitudinal part E1 E2 - pz1 pz2 as the quotient of its difference of squares, then the azimuth by its half.
    """
    # NumPy computes these several numbers at a time, a compiled loop does not
    pz1, pz2, turn = pt1 * np.sinh(eta1), pt2 * np.sinh(eta2), np.sin(0.5 * (phi1 - phi2))
    return _pair_mass(pt1, pz1, mass1, pt2, pz2, mass2, turn)


@compiled
def _pair_mass(pt1: Any, pz1: Any, mass1: Any, pt2: Any, pz2: Any, mass2: Any, turn: Any) -> Any:
    out = np.empty(len(pt1))
    for i in range(len(pt1)):
        a, b, z1, z2 = pt1[i], pt2[i], pz1[i], pz2[i]
        et1, et2 = a * a + mass1[i] * mass1[i], b * b + mass2[i] * mass2[i]
        e1, e2 = math.sqrt(et1 + z1 * z1), math.sqrt(et2 + z2 * z2)
        if z1 * z2 > 0.0:
            longitudinal = (et1 * et2 + et1 * z2 * z2 + et2 * z1 * z1) / (e1 * e2 + z1 * z2)
        else:
            longitudinal = e1 * e2 - z1 * z2
        bracket = longitudinal - a * b + 2.0 * a * b * turn[i] * turn[i]
        square = mass1[i] * mass1[i] + mass2[i] * mass2[i] + 2.0 * bracket
        out[i] = math.sqrt(square) if square > 0.0 else 0.0
    return out


@compiled
def transverse_mass(pt1: Any, phi1: Any, mass1: Any, pt2: Any, phi2: Any, mass2: Any) -> Any:
    """Transverse mass of two momenta; the difference of products is written so that it does not cancel."""
    out = np.empty(len(pt1))
    for i in range(len(pt1)):
        a, b, m1, m2 = pt1[i], pt2[i], mass1[i], mass2[i]
        product = a * b
        energies = math.sqrt((a * a + m1 * m1) * (b * b + m2 * m2))
        # energies - product, as the quotient of its difference of squares
        rest = m1 * m1 * b * b + m2 * m2 * a * a + m1 * m1 * m2 * m2
        light = rest / (energies + product) if rest > 0.0 else 0.0
        turn = math.sin(0.5 * (phi1[i] - phi2[i]))
        out[i] = math.sqrt(m1 * m1 + m2 * m2 + 2.0 * (light + 2.0 * product * turn * turn))
    return out


@compiled
def collins_soper(pt1: Any, eta1: Any, phi1: Any, mass1: Any, pt2: Any, eta2: Any, phi2: Any, mass2: Any) -> Any:
    """Cosine of the first's polar angle in the Collins-Soper frame of the pair."""
    out = np.empty(len(pt1))
    for i in range(len(pt1)):
        pz1, pz2 = pt1[i] * math.sinh(eta1[i]), pt2[i] * math.sinh(eta2[i])
        e1 = math.sqrt(pt1[i] ** 2 + pz1 * pz1 + mass1[i] ** 2)
        e2 = math.sqrt(pt2[i] ** 2 + pz2 * pz2 + mass2[i] ** 2)
        px = pt1[i] * math.cos(phi1[i]) + pt2[i] * math.cos(phi2[i])
        py = pt1[i] * math.sin(phi1[i]) + pt2[i] * math.sin(phi2[i])
        square = (e1 + e2) ** 2 - px * px - py * py - (pz1 + pz2) ** 2
        mass = math.sqrt(max(square, 0.0))
        # with p+- = (E +- pz) / sqrt 2, 2 (p1+ p2- - p1- p2+) = 2 (pz1 E2 - E1 pz2)
        cosine = 2.0 * (pz1 * e2 - e1 * pz2) / (mass * math.sqrt(mass * mass + px * px + py * py))
        out[i] = math.copysign(1.0, pz1 + pz2) * cosine
    return out
