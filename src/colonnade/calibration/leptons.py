"""Energies of electrons and photons, momenta of muons: scale of data, resolution of simulation."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.calibration.evaluation import Correction, where_of
from colonnade.kinematics import assign, normal, per_object
from colonnade.kinematics.views import flat, view
from colonnade.processor import Shift

Floats = npt.NDArray[np.float64]
_NOMINAL = Shift()


class Electrons:
    """The energy of electrons or photons: data are scaled, simulated ones smeared with reproducible random numbers.

    Parameters
    ----------
    corrections
        The correctionlib file, in the form that CMS publishes for 2022.
    scale, smearing
        The corrections there. Their first input is a text that says what is asked for: ``total_correction`` and
        ``total_uncertainty``, ``rho`` and ``err_rho``.
    name
        Of the shifts, ``electron_scale`` and ``electron_smearing``, and of the random numbers.

    Raises
    ------
    ConfigError
        If the file does not have a correction; the nearest name is said.
    """

    def __init__(self, corrections: Any, *, scale: str, smearing: str, name: str = "electron") -> None:
        self._scale, self._smearing = Correction(corrections, scale), Correction(corrections, smearing)
        self._name = name

    def __call__(self, electrons: Any, events: Any, shift: Shift = _NOMINAL) -> ak.Array:
        """Return the objects with their new transverse momenta.

        Parameters
        ----------
        electrons
            All of the file, in its order: pt, eta, r9, seedGain, and superclusterEta or deltaEtaSC.
        events
            The same events.
        shift
            The shift of the analysis; the scale's uncertainty moves simulation.
        """
        inputs = _inputs(electrons, events)
        if _is_data(events):
            return assign(electrons, pt=inputs["pt"] * self._value(self._scale, "total_correction", inputs, events))
        width = self._value(self._smearing, "rho", inputs, events)
        if shift.source == f"{self._name}_smearing":
            width = width + shift.direction * self._value(self._smearing, "err_rho", inputs, events)
        factor = 1 + width * flat(normal(events, electrons, self._name))
        if shift.source == f"{self._name}_scale":
            factor = factor * (1 + shift.direction * self._value(self._scale, "total_uncertainty", inputs, events))
        return assign(electrons, pt=inputs["pt"] * factor)

    @staticmethod
    def _value(correction: Correction, word: str, inputs: dict[str, Any], events: Any) -> Floats:
        return correction.flat(where_of(events), **inputs, **{correction.inputs[0]: word})


class Muons:
    r"""The momentum of muons: curvature with a scale m and a charge-dependent shift a, resolution of simulation.

    .. math:: \frac{1}{p_T'} = \frac{m}{p_T} + q a, \qquad
        p_T'' = p_T' \left(1 + \sigma(p_T', \eta, n) \sqrt{\max(k_{data}^2 - k_{MC}^2, 0)}\; x\right)

    (the method of Bodek et al., Eur. Phys. J. C 72 (2012) 2194, in the form of CMS's files for 2022.) The random
    numbers x are normal; the tails of the resolution, which the files describe, too, are not made.

    Parameters
    ----------
    corrections
        The correctionlib file with ``a_data``, ``m_data``, ``a_mc``, ``m_mc``, ``k_data``, ``k_mc`` and
        ``poly_params``.

    Notes
    -----
    Shifts: ``muon_scale`` by the statistical errors of m and a with their correlation, ``muon_resolution`` by that of
    k.
    """

    def __init__(self, corrections: Any) -> None:
        names = ("a_data", "m_data", "a_mc", "m_mc", "k_data", "k_mc", "poly_params")
        self._parts = {name: Correction(corrections, name) for name in names}

    def __call__(self, muons: Any, events: Any, shift: Shift = _NOMINAL) -> ak.Array:
        """Return the muons with their new transverse momenta.

        Parameters
        ----------
        muons
            All of the file, in its order: pt, eta, phi, charge, nTrackerLayers.
        events
            The same events.
        shift
            The shift of the analysis.
        """
        seen, where = view(muons), where_of(events)
        charge = seen.coordinate("charge").astype(np.float64)
        pt, eta, phi = (seen.coordinate(name).astype(np.float64) for name in ("pt", "eta", "phi"))
        sample = "data" if _is_data(events) else "mc"

        def value(name: str, word: str) -> Floats:
            return self._parts[name].flat(where, **_named(self._parts[name], eta, phi, word))

        pt = 1 / (value(f"m_{sample}", "nom") / pt + charge * value(f"a_{sample}", "nom"))
        if sample == "data":
            return assign(muons, pt=pt)
        k_data, k_mc = value("k_data", "nom"), value("k_mc", "nom")
        if shift.source == "muon_resolution":
            k_data = k_data + shift.direction * value("k_data", "stat")
        layers = seen.coordinate("nTrackerLayers").astype(np.float64)
        polynomial = self._parts["poly_params"]
        terms = [
            polynomial.flat(where, **dict(zip(polynomial.inputs, (abs(eta), layers, order), strict=True)))
            for order in range(3)
        ]
        width = np.maximum(terms[0] + terms[1] * pt + terms[2] * pt**2, 0)
        factor = 1 + width * np.sqrt(np.maximum(k_data**2 - k_mc**2, 0)) * flat(normal(events, muons, "muon"))
        if shift.source == "muon_scale":
            m, a = value("m_mc", "stat") / pt, value("a_mc", "stat")
            error = np.sqrt(np.maximum(m**2 + a**2 + 2 * charge * value("m_mc", "rho_stat") * m * a, 0))
            factor = factor * (1 + shift.direction * pt * error)
        return assign(muons, pt=pt * factor)


def _named(correction: Correction, eta: Floats, phi: Floats, word: str) -> dict[str, Any]:
    """Return the inputs of a correction in eta and phi, or in absolute eta, under the names that the file gives."""
    values = (eta, phi, word) if len(correction.inputs) == 3 else (abs(eta), word)
    return dict(zip(correction.inputs, values, strict=True))


def _inputs(electrons: Any, events: Any) -> dict[str, Any]:
    """Return the inputs of electrons' corrections under every name that files give them."""
    seen = view(electrons)
    pt, eta = (seen.coordinate(name).astype(np.float64) for name in ("pt", "eta"))
    if "superclusterEta" in seen.fields:
        eta = seen.coordinate("superclusterEta").astype(np.float64)
    elif "deltaEtaSC" in seen.fields:
        eta = eta + seen.coordinate("deltaEtaSC")
    run = flat(per_object(events.run, electrons)).astype(np.float64)
    gain, r9 = seen.coordinate("seedGain").astype(np.int64), seen.coordinate("r9").astype(np.float64)
    return {"pt": pt, "et": pt, "eta": eta, "ScEta": eta, "r9": r9, "gain": gain, "seedGain": gain, "run": run}


def _is_data(events: Any) -> bool:
    kind = (getattr(events, "metadata", None) or {}).get("kind")
    return bool(kind == "data") if kind else "genWeight" not in ak.fields(events)
