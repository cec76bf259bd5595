"""Angles and distances between objects, sums of objects; invariant, transverse and stransverse masses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak
import numpy as np

from colonnade.errors import ConfigError
from colonnade.kinematics import loops
from colonnade.kinematics.arrays import Columns, records, same_lists, unwrap
from colonnade.kinematics.layouts import Integers, Missing
from colonnade.kinematics.views import Floats, View, joined, same_column, view

_TRANSVERSE = ("pt", "phi", "mass")


def ht(*collections: Any) -> Any:
    r"""Scalar sum of transverse momenta, :math:`H_T = \sum |p_T|`, of all objects of each event, in GeV.

    Parameters
    ----------
    *collections
        Vectors in GeV: collections, of which all objects count, or one an event. A missing one counts as nothing.

    Returns
    -------
    ndarray
        Shape (events,).

    Examples
    --------
    >>> ht(ak.Array([[{"pt": 50.0}, {"pt": 20.0}], []])).tolist()
    [70.0, 0.0]
    """
    views = [view(collection) for collection in collections]
    return sum((_event_sum(one, np.abs(one.coordinate("pt"))) for one in views), start=np.float64(0.0))


def pt_sum(*objects: Any) -> Any:
    r"""Size of the vector sum of transverse momenta, :math:`|\sum \vec p_T|`, of all objects of each event, in GeV.

    Parameters
    ----------
    *objects
        Vectors in GeV: collections, of which all objects count, or one an event. A missing one counts as nothing.

    Returns
    -------
    ndarray
        Shape (events,).

    Examples
    --------
    >>> import vector
    >>> pt_sum(vector.array({"pt": [3.0], "phi": [0.0]}), vector.array({"pt": [4.0], "phi": [np.pi / 2]})).tolist()
    [5.0]
    """
    views = [view(one) for one in objects]
    sums = [[_event_sum(one, component) for component in _plane(one)] for one in views]
    return np.hypot(sum(one[0] for one in sums), sum(one[1] for one in sums))


def vector_sum(*objects: Any) -> ak.Array:
    """Sum of four-momenta, entry by entry, as four-momenta.

    Parameters
    ----------
    *objects
        Four-momenta in GeV with pt, eta, phi, mass, flat or jagged; jagged against flat goes object by object.

    Returns
    -------
    ak.Array
        Records with pt, eta, phi, mass, in vector's Momentum4D.

    Examples
    --------
    >>> import vector
    >>> one, other = (vector.array({"pt": [45.0], "eta": [0.0], "phi": [phi], "mass": [0.0]}) for phi in (0.0, 0.2))
    >>> vector_sum(one, other).pt.round(3).tolist()
    [89.55]
    """
    rows, places, offsets, missing = cartesians(objects)
    columns = dict(zip(("pt", "eta", "phi", "mass"), loops.momentum_of_sum(rows, places), strict=True))
    views = [view(one) for one in objects]
    like = next((one for one in views if one.behavior), views[0])
    return records(like, "Momentum4D", columns, offsets, missing)


def event_sum(values: Any, of: Callable[[Any], Any] | None = None) -> Floats:
    """Sum of numbers of each event's objects, from the first to the last; missing ones count as nothing.

    Parameters
    ----------
    values
        A jagged array of numbers; or a collection.
    of
        The number of each object of the collection, see `select`.

    Returns
    -------
    ndarray
        Shape (events,).

    Examples
    --------
    >>> event_sum(ak.Array([[1.0, 2.0], [], [3.0]])).tolist()
    [3.0, 0.0, 3.0]
    >>> event_sum(ak.Array([[{"pt": 3.0}, {"pt": 4.0}], []]), lambda jet: jet.pt**2).tolist()
    [25.0, 0.0]
    """
    seen = view(values)
    numbers = seen.numbers() if of is None else of(Columns(seen))
    return _event_sum(seen, np.ascontiguousarray(numbers, dtype=np.float64))


def propagate(met: Any, before: Any, after: Any) -> ak.Array:
    r"""Correct missing momentum for a new calibration of objects it was made of.

    .. math:: \vec p_T^{miss\prime} = \vec p_T^{miss} - \sum (\vec p_T^{after} - \vec p_T^{before})

    Parameters
    ----------
    met
        Missing momentum with pt and phi, one an event, in GeV.
    before, after
        The same objects, calibrated as for `met` and anew.

    Returns
    -------
    ak.Array
        Records with pt and phi, in vector's Momentum2D.

    Examples
    --------
    >>> import vector
    >>> met = vector.array({"pt": [50.0], "phi": [np.pi]})
    >>> jets = ak.Array([[{"pt": 30.0, "phi": 0.0}]])
    >>> propagate(met, jets, ak.Array([[{"pt": 40.0, "phi": 0.0}]])).to_list()
    [{'pt': 60.0, 'phi': 3.141592653589793}]
    """
    seen = view(met)
    px, py = _plane(seen)
    old, new = view(before), view(after)
    if old.offsets is not None and same_lists(old, new) and same_column(old, new, "phi"):
        cosine, sine = old.direction()
        loops.subtract_change(old.offsets, old.coordinate("pt"), new.coordinate("pt"), cosine, sine, px, py)
    else:
        for sign, objects in ((1.0, old), (-1.0, new)):
            x, y = (_event_sum(objects, component) for component in _plane(objects))
            px, py = px + sign * x, py + sign * y
    return records(seen, "Momentum2D", {"pt": np.hypot(px, py), "phi": np.arctan2(py, px)}, None, None)


def cartesians(
    arguments: Sequence[Any],
) -> tuple[tuple[Floats, ...], tuple[Integers, ...], Integers | None, Missing]:
    """Return px, py, pz, E of each argument's objects, shape (objects, 4), and the entries' places among them."""
    views = [view(argument) for argument in arguments]
    offsets, missing, repeats = joined(views)
    all_rows, all_places = [], []
    for one, repeat in zip(views, repeats, strict=True):
        rows, places = one.cartesian()
        if places is None:
            places = np.arange(one.size) if repeat is None else repeat
        elif repeat is not None:
            places = places[repeat]
        all_rows.append(rows)
        all_places.append(places)
    return tuple(all_rows), tuple(all_places), offsets, missing


def _plane(seen: View) -> tuple[Floats, Floats]:
    """Return px and py of each entry."""
    pt, (cosine, sine) = seen.coordinate("pt"), seen.direction()
    return pt * cosine, pt * sine


def _event_sum(seen: View, values: Floats) -> Floats:
    if seen.missing is not None:
        values = np.where(seen.missing, 0.0, values)
    return values if seen.offsets is None else loops.sum_lists(seen.offsets, values)


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
    (phi1, phi2), offsets, missing = _operands((first, second), ("phi",), numbers=True)
    return unwrap(loops.angle(phi1[0], phi2[0]), offsets, missing)


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
    (one, other), offsets, missing = _operands((first, second), ("eta", "phi"))
    return unwrap(loops.distance(one[0], one[1], other[0], other[1]), offsets, missing)


def invariant_mass(*objects: Any) -> Any:
    r"""Mass of the sum of two or more objects, :math:`m^2 = (\sum E)^2 - |\sum \vec p|^2`, in GeV.

    Parameters
    ----------
    *objects
        Four-momenta in GeV with pt, eta, phi, mass, flat or jagged; jagged against flat goes object by object. For
        two objects the formula is written so that it does not cancel (see ``loops.pair_mass``).

    Returns
    -------
    array
        One value an entry: NumPy if all are flat, awkward if jagged, or if some are missing.

    Examples
    --------
    >>> import vector
    >>> one, other = (vector.array({"pt": [45.0], "eta": [0.0], "phi": [phi], "mass": [0.0]}) for phi in (0, np.pi))
    >>> invariant_mass(one, other).tolist()
    [90.0]
    """
    if len(objects) < 2:
        msg = "invariant_mass needs two objects or more."
        raise ConfigError(msg)
    if len(objects) == 2:
        rows, offsets, missing = _operands(objects, ("pt", "eta", "phi", "mass"))
        return unwrap(loops.pair_mass(*rows[0], *rows[1]), offsets, missing)
    all_rows, places, offsets, missing = cartesians(objects)
    return unwrap(loops.mass_of_sum(all_rows, places), offsets, missing)


def transverse_mass(first: Any, second: Any, *, massless: bool = False) -> Any:
    r"""Transverse mass of two momenta, one of which is usually the missing one, in GeV.

    .. math:: m_T^2 = m_1^2 + m_2^2 + 2 (E_{T1} E_{T2} - \vec p_{T1} \cdot \vec p_{T2}),
        \qquad E_T = \sqrt{m^2 + p_T^2}

    (Particle Data Group, review of kinematics.) Without masses it is
    :math:`\sqrt{2 p_{T1} p_{T2} (1 - \cos\Delta\phi)}`.

    Parameters
    ----------
    first, second
        Vectors in GeV, flat or jagged; one without a mass, such as missing momentum, counts as massless.
    massless
        Whether to take all as massless.

    Examples
    --------
    >>> import vector
    >>> lepton = vector.array({"pt": [40.0], "eta": [1.0], "phi": [0.0], "mass": [0.0]})
    >>> met = vector.array({"pt": [40.0], "phi": [np.pi]})
    >>> transverse_mass(lepton, met).tolist()
    [80.0]
    """
    (one, other), offsets, missing = _operands((first, second), _TRANSVERSE, massless=massless)
    return unwrap(loops.transverse_mass(*one, *other), offsets, missing)


def total_transverse_mass(*objects: Any) -> Any:
    r"""Total transverse mass of two or more momenta, in GeV, each taken as massless.

    .. math:: m_T^{tot} = \sqrt{\sum_{i<j} 2 p_{Ti} p_{Tj} (1 - \cos\Delta\phi_{ij})}

    (Introduced in searches for heavy Higgs bosons in tau pairs, for instance ATLAS, JHEP 11 (2014) 056,
    arXiv:1409.6064; with three leptons and missing momentum there are six pairs.)

    Parameters
    ----------
    *objects
        Vectors in GeV, flat or jagged, missing momentum among them.

    Examples
    --------
    >>> import vector
    >>> at = lambda phi: vector.array({"pt": [10.0], "phi": [phi]})
    >>> total_transverse_mass(at(0.0), at(np.pi), at(0.0)).round(4).tolist()
    [28.2843]
    """
    if len(objects) < 2:
        msg = "total_transverse_mass needs two momenta or more."
        raise ConfigError(msg)
    rows, offsets, missing = _operands(objects, _TRANSVERSE, massless=True)
    squares = [loops.transverse_mass(*one, *other) ** 2 for one, other in itertools.combinations(rows, 2)]
    return unwrap(np.sqrt(np.sum(squares, axis=0)), offsets, missing)


def transverse_energy(system: Any) -> Any:
    r"""Transverse energy :math:`E_T = \sqrt{m^2 + p_T^2}` of an object or a sum of them, in GeV.

    Examples
    --------
    >>> import vector
    >>> transverse_energy(vector.array({"pt": [30.0], "eta": [0.0], "phi": [0.0], "mass": [40.0]})).tolist()
    [50.0]
    """
    (one,), offsets, missing = _operands((system,), _TRANSVERSE)
    return unwrap(np.hypot(one[0], one[2]), offsets, missing)


def mt2(
    first: Any,
    second: Any,
    missing_momentum: Any,
    *,
    invisible_mass: float | tuple[float, float] = 0.0,
    precision: float = 0.0,
) -> Any:
    r"""Stransverse mass of two visible objects and missing momentum, in GeV.

    .. math:: m_{T2} = \min_{\vec q_1 + \vec q_2 = \vec p_T^{miss}} \max(m_T(1, \vec q_1), m_T(2, \vec q_2))

    (Lester and Summers, Phys. Lett. B 463 (1999) 99, hep-ph/9906349), by the mt2 package, which implements Lester and
    Nachman, JHEP 03 (2015) 100, arXiv:1411.4312.

    Parameters
    ----------
    first, second
        The visible objects, in GeV, flat or jagged.
    missing_momentum
        Vectors with pt and phi, in GeV.
    invisible_mass
        The assumed mass of the invisible particles in GeV: of both, or of each.
    precision
        Where the mt2 package's bisection ends; 0 is as well as numbers allow. With 1e-6 it takes half the time, and the
        result was within a millionth of that with 0 for a million random events (mt2 1.3.1, which calls it GeV).

    Notes
    -----
    Where both visible objects are exactly massless and parallel to the missing momentum, the mt2 package 1.3.1 returns
    wrong values; with the mass of an electron it is right.

    Examples
    --------
    >>> import vector
    >>> lepton = lambda phi: vector.array({"pt": [50.0], "eta": [0.0], "phi": [phi], "mass": [0.0]})
    >>> mt2(lepton(0.1), lepton(-0.1), vector.array({"pt": [80.0], "phi": [np.pi]})).round(3).tolist()
    [89.219]
    """
    import mt2 as package

    invisible = invisible_mass if isinstance(invisible_mass, tuple) else (invisible_mass, invisible_mass)
    (one, other, met), offsets, missing = _operands((first, second, missing_momentum), _TRANSVERSE)
    (px1, py1), (px2, py2), (px, py) = ((row[0] * np.cos(row[1]), row[0] * np.sin(row[1])) for row in (one, other, met))
    with np.errstate(all="ignore"):  # its bisection passes through zeros
        values = package.mt2_ufunc(one[2], px1, py1, other[2], px2, py2, px, py, *invisible, precision)
    return unwrap(np.asarray(values, dtype=np.float64), offsets, missing)


def _operands(
    arguments: Sequence[Any], names: Sequence[str], *, numbers: bool = False, massless: bool = False
) -> tuple[list[list[Floats]], Integers | None, Missing]:
    """Return the named coordinates of each argument, all of one length, with common offsets and missing entries.

    Parameters
    ----------
    arguments
        Arrays of vectors, flat or jagged.
    names
        The coordinates; the mass of a vector without one is zero.
    numbers
        Whether an argument may be the numbers themselves.
    massless
        Whether all masses are taken as zero.
    """
    views = [view(argument) for argument in arguments]
    offsets, missing, repeats = joined(views)
    rows = []
    for one, repeat in zip(views, repeats, strict=True):
        columns = [_column(one, name, numbers=numbers, massless=massless) for name in names]
        rows.append([values if repeat is None else values[repeat] for values in columns])
    return rows, offsets, missing


def _column(one: View, name: str, *, numbers: bool, massless: bool) -> Floats:
    if numbers and not one.fields:
        return np.ascontiguousarray(one.numbers(), dtype=np.float64)
    if name == "mass" and (massless or not one.has_mass):
        return np.zeros(one.size)
    return one.coordinate(name)
