"""What is known of three leptons and missing momentum: the features and targets of the heavy-neutral-lepton study.

The study that docs/hnl_tau.md follows gives names and numbers of its quantities; definitions are those written here.
Objects are called 1, 2, 3 for the leptons and m for the missing momentum; `1_23` is 1 against the sum of 2 and 3. The
missing momentum counts as a massless four-momentum without a component along the beam. The W candidate is the sum of
all four, an HNL candidate the sum of two leptons; the third lepton then comes from the W boson's own decay.

Every function takes NumPy arrays as well as torch tensors, on any device, and returns the same.
"""

from __future__ import annotations

__all__ = [
    "INPUTS",
    "MASS_HYPOTHESIS",
    "THREE_LEPTON_FEATURES",
    "THREE_LEPTON_TARGETS",
    "Quantity",
    "opposite_sign_pairs",
    "three_lepton_features",
    "three_lepton_quantities",
    "three_lepton_targets",
]

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from processors import frames

_LEPTONS = ("1", "2", "3")
_OBJECTS = (*_LEPTONS, "m")
_PAIRS = ("12", "13", "23")


@dataclass(frozen=True)
class Quantity:
    """A number that an event has, with its unit ('' for a pure number)."""

    name: str
    unit: str = ""


def _named(unit: str, *names: str) -> tuple[Quantity, ...]:
    return tuple(Quantity(name, unit) for name in names)


# a lepton against a pair of leptons, and any object against any pair: 3 and 12
_THREE = ("1_23", "2_13", "3_12")
_TWELVE = tuple(
    f"{one}_{first}{second}"
    for one in _OBJECTS
    for first, second in itertools.combinations([other for other in _OBJECTS if other != one], 2)
)
_SIX = ("12", "13", "23", "1m", "2m", "3m")
# of each HNL candidate
_CANDIDATE = (("hnl_met_angle", "rad"), ("plane_angle", "rad"), ("planes_angle", "rad"))
_CANDIDATE_MASSES = (("hnl_mass", "GeV"), ("hnl_met_mass", "GeV"))

_ANGLES = (
    *_named("rad", *(f"dphi_{each}" for each in (*_SIX, *_TWELVE))),
    *_named("", *(f"deta_{each}" for each in (*_PAIRS, *_THREE))),
    *_named("", *(f"dr_{each}" for each in (*_PAIRS, *_THREE))),
)
_ENERGIES = (
    Quantity("pt_123", "GeV"),
    *_named("GeV", *(f"mt_{each}" for each in (*_SIX, *_TWELVE))),
    *_named("GeV", *(f"mass_{each}" for each in (*_PAIRS, "123"))),
    Quantity("mt_tot", "GeV"),
)
_W_ANGLES = _named("rad", *(f"w_angle_{each}" for each in _SIX))


def _candidates(which: Sequence[str]) -> tuple[Quantity, ...]:
    kinds = (*_CANDIDATE, *_CANDIDATE_MASSES)
    return tuple(Quantity(f"{name}_{each}", unit) for name, unit in kinds for each in which)


MASS_HYPOTHESIS = Quantity("m_HNL", "GeV")

THREE_LEPTON_FEATURES = (
    *_named("", *(f"charge_{each}" for each in _LEPTONS)),
    *_named("GeV", *(f"pt_{each}" for each in _LEPTONS), "met"),
    *_named("", *(f"eta_{each}" for each in _LEPTONS)),
    *_named("GeV", *(f"m_{each}" for each in _LEPTONS)),
    *_ANGLES,
    *_ENERGIES,
    *_candidates(("a", "b")),
    *_W_ANGLES,
    Quantity("n_tauh"),
    MASS_HYPOTHESIS,
)
"""The 85 features of a classifier, the last of which is the mass it is asked about."""

INPUTS = (
    *(
        quantity
        for each in _LEPTONS
        for quantity in (
            Quantity(f"eta_{each}"),
            Quantity(f"m_{each}", "GeV"),
            Quantity(f"phi_{each}", "rad"),
            Quantity(f"pt_{each}", "GeV"),
        )
    ),
    Quantity("met", "GeV"),
    Quantity("met_phi", "rad"),
)
"""The 14 numbers that say all about the momenta: what the regression is given."""

THREE_LEPTON_TARGETS = (
    *_ANGLES,
    *_ENERGIES,
    *_candidates(_PAIRS),
    *_W_ANGLES,
    *_named("GeV", *(f"{component}_{each}" for each in _LEPTONS for component in ("px", "py", "pz", "e"))),
    *(
        Quantity(f"pair_{name}_{each}", unit)
        for each in _PAIRS
        for name, unit in (
            ("mass", "GeV"),
            ("pt", "GeV"),
            ("eta", ""),
            ("phi", "rad"),
            ("px", "GeV"),
            ("py", "GeV"),
            ("pz", "GeV"),
            ("e", "GeV"),
        )
    ),
    Quantity("e_tot", "GeV"),
)
"""The 112 targets of the regression, the last of which is the total energy."""


def three_lepton_quantities(leptons: Sequence[tuple[Any, Any, Any, Any]], met: tuple[Any, Any]) -> dict[str, Any]:
    r"""Return every quantity that needs no charge, in GeV and radians.

    ===========================  =========================================================================
    `dphi_ij`, `dphi_i_jk`       difference of azimuths, in [0, pi], of two objects, or of one and two added
    `deta_..`, `dr_..`           size of the difference of pseudorapidities; distance
    `pt_123`                     transverse momentum of the three leptons
    `mt_ij`, `mt_i_jk`           :math:`m_T^2 = 2 p_{T1} p_{T2} (1 - \cos\Delta\phi)`
    `mass_ij`, `mass_123`        invariant masses of leptons
    `mt_tot`                     :math:`\sqrt{\sum_{pairs} m_T^2}` over the six pairs of objects
    `hnl_met_angle_ij`           of HNL candidate and missing momentum, in the W candidate's rest frame
    `plane_angle_ij`             of the third lepton and the plane of the candidate's leptons, there
    `planes_angle_ij`            of the candidate's plane and that of third lepton and missing momentum, there
    `hnl_mass_ij`                mass of the HNL candidate (`mass_ij` again)
    `hnl_met_mass_ij`            mass of the HNL candidate and the missing momentum
    `w_angle_ij`                 of two objects in the W candidate's rest frame
    `px_i`, ..., `pair_e_ij`     components of each lepton and of each pair
    `e_tot`                      sum of the leptons' energies and the missing transverse momentum
    ===========================  =========================================================================

    Parameters
    ----------
    leptons
        Of three leptons pt, eta, phi and mass, each of shape (events,).
    met
        Transverse momentum and azimuth of the missing momentum, each of shape (events,).

    Returns
    -------
    dict
        Name to array of shape (events,).
    """
    lib = frames.library(met[0])
    four = dict(zip(_LEPTONS, (frames.cartesian(*lepton) for lepton in leptons), strict=True))
    nothing = lib.zeros_like(met[0])
    four["m"] = frames.cartesian(met[0], nothing, met[1], nothing)
    pt = {name: values[0] for name, values in zip(_LEPTONS, leptons, strict=True)} | {"m": met[0]}
    phi = {name: values[2] for name, values in zip(_LEPTONS, leptons, strict=True)} | {"m": met[1]}
    eta = {name: values[1] for name, values in zip(_LEPTONS, leptons, strict=True)}
    for pair in _SIX:
        four[pair] = frames.sum_of(four[pair[0]], four[pair[1]])
        pt[pair], phi[pair] = frames.transverse(four[pair]), frames.phi_of(four[pair])
    for pair in _PAIRS:
        eta[pair] = frames.pseudorapidity(four[pair])
    found: dict[str, Any] = {}
    for both in (*_SIX, *_TWELVE):
        one, other = _sides(both)
        turn = frames.turn(phi[one], phi[other])
        found[f"dphi_{both}"] = turn
        # 2 sin^2(x / 2) is 1 - cos x without its loss of digits at small angles
        found[f"mt_{both}"] = 2.0 * lib.sqrt(pt[one] * pt[other]) * lib.sin(0.5 * turn)
    for both in (*_PAIRS, *_THREE):
        one, other = _sides(both)
        found[f"deta_{both}"] = abs(eta[one] - eta[other])
        found[f"dr_{both}"] = lib.hypot(found[f"deta_{both}"], found[f"dphi_{both}"])
    leptons_sum = frames.sum_of(four["12"], four["3"])
    found["pt_123"] = frames.transverse(leptons_sum)
    found["mass_123"] = frames.mass(leptons_sum)
    found["mt_tot"] = lib.sqrt(sum(found[f"mt_{each}"] ** 2 for each in _SIX))
    found |= _in_w_frame(four)
    for each in _LEPTONS:
        found |= dict(zip((f"px_{each}", f"py_{each}", f"pz_{each}", f"e_{each}"), four[each], strict=True))
    for pair in _PAIRS:
        mass = frames.mass(four[pair])
        found |= {f"mass_{pair}": mass, f"hnl_mass_{pair}": mass, f"pair_mass_{pair}": mass}
        found |= {f"pair_pt_{pair}": pt[pair], f"pair_eta_{pair}": eta[pair], f"pair_phi_{pair}": phi[pair]}
        names = (f"pair_{component}_{pair}" for component in ("px", "py", "pz", "e"))
        found |= dict(zip(names, four[pair], strict=True))
        found[f"hnl_met_mass_{pair}"] = frames.mass(frames.sum_of(four[pair], four["m"]))
    found["e_tot"] = four["1"][3] + four["2"][3] + four["3"][3] + met[0]
    return found


def _sides(both: str) -> tuple[str, str]:
    """Return the two sides of a name: `12` is 1 and 2, `1_23` is 1 and 23."""
    one, _, other = both.partition("_")
    return (one, other) if other else (one[0], one[1])


def _in_w_frame(four: Mapping[str, frames.Momentum]) -> dict[str, Any]:
    """Return the angles in the rest frame of all four objects."""
    frame = frames.sum_of(*(four[name] for name in _OBJECTS))
    rest = {name: frames.boosted(four[name], frame) for name in _OBJECTS}
    found = {f"w_angle_{both}": frames.angle(rest[both[0]], rest[both[1]]) for both in _SIX}
    for pair in _PAIRS:
        one, other = _sides(pair)
        third = next(name for name in _LEPTONS if name not in pair)
        candidate = frames.sum_of(rest[one], rest[other])
        found[f"hnl_met_angle_{pair}"] = frames.angle(candidate, rest["m"])
        found[f"plane_angle_{pair}"] = frames.angle_to_plane(rest[third], rest[one], rest[other])
        found[f"planes_angle_{pair}"] = frames.angle_between_planes(rest[one], rest[other], rest[third], rest["m"])
    return found


def opposite_sign_pairs(charges: Sequence[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return which two pairs of leptons have opposite charges, as places in 12, 13, 23, in this order.

    Parameters
    ----------
    charges
        Of three leptons, each of shape (events,); their sum must be +1 or -1, so that there are exactly two.

    Examples
    --------
    >>> [place.tolist() for place in opposite_sign_pairs([np.array([1]), np.array([1]), np.array([-1])])]
    [[1], [2]]
    """
    one, two, three = (np.asarray(charge) for charge in charges)
    opposite = np.stack([one != two, one != three, two != three], axis=1)
    return np.argmax(opposite, axis=1), 2 - np.argmax(opposite[:, ::-1], axis=1)


def three_lepton_features(
    leptons: Sequence[tuple[Any, Any, Any, Any]],
    met: tuple[Any, Any],
    charges: Sequence[Any],
    n_tauh: Any,
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the features of `THREE_LEPTON_FEATURES` but the mass hypothesis, and `phi_1`, `phi_2`, `phi_3`, `met_phi`.

    Candidate `a` is the first, `b` the second of the two pairs of opposite charge in the order 12, 13, 23.

    Parameters
    ----------
    leptons, met
        As in `three_lepton_quantities`; NumPy arrays.
    charges
        Of the three leptons, whose sum must be +1 or -1.
    n_tauh
        Number of hadronic taus.
    """
    found = three_lepton_quantities(leptons, met)
    columns = {f"charge_{name}": np.asarray(charge, float) for name, charge in zip(_LEPTONS, charges, strict=True)}
    for name, lepton in zip(_LEPTONS, leptons, strict=True):
        columns |= {f"{what}_{name}": values for what, values in zip(("pt", "eta", "phi", "m"), lepton, strict=True)}
    columns |= {"met": met[0], "met_phi": met[1], "n_tauh": np.asarray(n_tauh, dtype=np.float64)}
    rows = np.arange(len(met[0]))
    for letter, places in zip("ab", opposite_sign_pairs(charges), strict=True):
        for what, _ in (*_CANDIDATE, *_CANDIDATE_MASSES):
            three = np.stack([found[f"{what}_{pair}"] for pair in _PAIRS], axis=1)
            columns[f"{what}_{letter}"] = three[rows, places]
    wanted = (feature.name for feature in THREE_LEPTON_FEATURES if feature != MASS_HYPOTHESIS)
    extra = ("phi_1", "phi_2", "phi_3", "met_phi")
    return {name: columns[name] if name in columns else found[name] for name in (*wanted, *extra)}


def three_lepton_targets(inputs: Any) -> Any:
    """Return the regression's targets.

    Parameters
    ----------
    inputs
        Shape (events, 14), columns as in `INPUTS`; NumPy or torch.

    Returns
    -------
    array
        Shape (events, 112), columns as in `THREE_LEPTON_TARGETS`, in GeV and radians.
    """
    columns = [inputs[:, place] for place in range(len(INPUTS))]
    leptons = []
    for place in range(0, 12, 4):
        eta, mass, phi, pt = columns[place : place + 4]
        leptons.append((pt, eta, phi, mass))
    found = three_lepton_quantities(leptons, (columns[12], columns[13]))
    return frames.library(inputs).stack([found[target.name] for target in THREE_LEPTON_TARGETS], 1)
