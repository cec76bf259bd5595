"""Energies of jets, electrons and photons, momenta of muons, missing momentum: scale, resolution, uncertainties."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np

from colonnade.calibration.evaluation import Correction, Uncertainties
from colonnade.errors import ConfigError, EventError
from colonnade.kinematics import assign, event_sum, normal, per_object
from colonnade.kinematics.arrays import records, unwrap
from colonnade.kinematics.loops import compiled
from colonnade.kinematics.views import View, flat, view
from colonnade.processor.pieces import Chunk, Floats, Shift

_NOMINAL = Shift()


@dataclass
class _Calibrated:
    """The nominal calibration of the jets of some events; flat arrays, one value a jet."""

    jets: View
    inputs: dict[str, Any]
    raw: Floats
    factor: Floats
    random: Any = None
    generated: Any = None
    resolution: Any = None
    smearing: dict[str, Floats] = field(default_factory=dict)
    smeared: dict[str, Any] | None = None

    @property
    def corrected(self) -> Floats:
        """The transverse momenta before smearing, in GeV."""
        return self.raw * self.factor


class Jets:
    """The energy calibration of one jet collection, applied anew from the uncorrected jets.

    The correction is evaluated for the uncorrected momentum, ``(1 - rawFactor) pt``. Simulated jets are then smeared
    by the hybrid method: a jet with a generated jet within half its radius, whose momentum differs by less than three
    standard deviations of the resolution, is scaled away from it; any other jet is smeared at random, with numbers
    that only depend on the event's identity and the jet's place. Uncertainties shift the jets that result.

    Parameters
    ----------
    corrections
        The correctionlib file: ``self.corrections["jerc"]``.
    jec
        The tag of the energy corrections: ``Summer22_22Sep2023_V3_MC``.
    algorithm
        ``AK4PFPuppi``; the number in it is ten times the jets' radius.
    jer
        The tag of the resolutions; without it jets are not smeared, as is right for data.
    sources
        The uncertainties of the energy scale, as the file names them between tag and algorithm: ``Total``,
        ``Regrouped_Absolute``. A shift of the same name shifts the jets by it; the shift ``jer`` shifts the smearing.
    levels
        The compound correction to apply.

    Raises
    ------
    ConfigError
        If the file does not have one of these; the nearest name is said.

    Notes
    -----
    The recipe is that of CMS, and results are those of coffea's `CorrectedJetsFactory` for the same random numbers.
    """

    def __init__(
        self,
        corrections: Any,
        *,
        jec: str,
        algorithm: str,
        jer: str | None = None,
        sources: Sequence[str] = (),
        levels: str = "L1L2L3Res",
    ) -> None:
        digits = re.search(r"AK(\d+)", algorithm, flags=re.IGNORECASE)
        if digits is None:
            msg = f"the algorithm {algorithm!r} does not tell the jets' radius; it should begin with AK4 or AK8."
            raise ConfigError(msg)
        self.radius = int(digits[1]) / 10
        self._set, self._jec, self._algorithm = corrections, jec, algorithm
        self._correction = Correction(corrections, f"{jec}_{levels}_{algorithm}")
        self._resolution = Correction(corrections, f"{jer}_PtResolution_{algorithm}") if jer else None
        self._scale_factor = Correction(corrections, f"{jer}_ScaleFactor_{algorithm}") if jer else None
        self._uncertainties = Uncertainties(corrections, {name: f"{jec}_{name}_{algorithm}" for name in sources})
        self._offset: Correction | None = None
        self._last: _Calibrated | None = None

    def __call__(self, jets: Any, events: Any, shift: Shift = _NOMINAL) -> ak.Array:
        """Return the calibrated jets, in their order in the file.

        Parameters
        ----------
        jets
            All jets of each event, as the file has them: pt, eta, phi, mass, area and rawFactor.
        events
            The same events, with ``Rho`` and, for smearing, ``GenJet``.
        shift
            The shift of the analysis; one of no source given here leaves the nominal calibration.

        Raises
        ------
        ConfigError
            If the events lack what the calibration needs.
        EventError
            If a raw factor is 1 or above, so that a jet has no uncorrected momentum.
        """
        nominal = self._calibrate(jets, events)
        scale = nominal.factor * self._smear(nominal, self._direction(shift, events), events)
        sources = [source for source in shift.moved if source in self._uncertainties.corrections]
        if sources:
            if nominal.smeared is None:
                nominal.smeared = {**nominal.inputs, "JetPt": nominal.raw * scale}
            where = Chunk.of(events).where
            changes = [shift.direction * self._uncertainties(one, where, **nominal.smeared) for one in sources]
            scale = scale * (1 + sum(changes))
        mass = nominal.jets.coordinate("mass") * (1 - nominal.jets.coordinate("rawFactor")) * scale
        return assign(jets, pt=nominal.raw * scale, mass=mass)

    def missing(
        self, jets: Any, events: Any, shift: Shift = _NOMINAL, *, raw: str = "RawPuppiMET", smeared: bool = False
    ) -> ak.Array:
        r"""Return the missing momentum with type-1 corrections made anew, following a shift of the jets.

        .. math:: \vec p_T^{miss} = \vec p_T^{raw} - \sum_{jets} (\vec p_T^{L123} - \vec p_T^{L1})

        The sum is over jets, and over the low ones of ``CorrT1METJet`` where events have it, that without their muons
        have 15 GeV, \|eta\| below 5.2 and less than 90 % of their energy electromagnetic. So the missing momentum
        changes by minus the vector sum of the change of these jets.

        Parameters
        ----------
        jets, events, shift
            As for the calibration.
        raw
            The missing momentum without corrections, a record of the events.
        smeared
            Whether the nominal smearing of jets counts.

        Returns
        -------
        ak.Array
            Records with pt and phi, in GeV and radians.
        """
        nominal, met, where = self._calibrate(jets, events), view(events[raw]), Chunk.of(events).where
        if self._offset is None:
            self._offset = Correction(self._set, f"{self._jec}_L1FastJet_{self._algorithm}")
        scale = self._smear(nominal, self._direction(shift, events), events)
        if not smeared:
            scale = scale / self._smear(nominal, "nom", events)
        px, py = (met.coordinate("pt") * function(met.coordinate("phi")) for function in (np.cos, np.sin))
        seen = nominal.jets
        electromagnetic = seen.coordinate("chEmEF") + seen.coordinate("neEmEF")
        shares: list[Any] = [(seen, nominal.inputs, nominal.raw, electromagnetic, scale)]
        if "CorrT1METJet" in ak.fields(events):
            low = view(events.CorrT1METJet)
            inputs = self._inputs(low, events, low.coordinate("rawPt"))
            shares.append((low, inputs, inputs["JetPt"], low.coordinate("EmEF"), None))
        for one, inputs, uncorrected, electromagnetic, given in shares:
            muons = one.coordinate("muonSubtrFactor")
            full = self._correction.flat(where, **inputs) if given is None else nominal.factor
            first = self._offset.flat(where, **inputs)
            hard = uncorrected * (1 - muons) * full
            used = (hard > 15) & (abs(one.coordinate("eta")) < 5.2) & (electromagnetic < 0.9)
            muon = uncorrected * muons
            moved = np.ones_like(hard) if given is None else given
            for source in shift.moved:
                if source in self._uncertainties.corrections:
                    at = {**inputs, "JetPt": hard + muon}
                    moved = moved + shift.direction * self._uncertainties(source, where, **at)
            change = np.where(used, (hard + muon) * moved - uncorrected * (1 - muons) * first - muon, 0.0)
            phi = one.coordinate("phi") + one.coordinate("muonSubtrDeltaPhi")
            px = px - event_sum(unwrap(change * np.cos(phi), one.offsets, None))
            py = py - event_sum(unwrap(change * np.sin(phi), one.offsets, None))
        return records(met, "Momentum2D", {"pt": np.hypot(px, py), "phi": np.arctan2(py, px)}, None, None)

    def _direction(self, shift: Shift, events: Any) -> str:
        """Return the name that files give to a shift of the smearing."""
        if "jer" not in shift.moved:
            return "nom"
        if self._resolution is None:
            msg = f"the shift 'jer' needs the tag of the resolutions {Chunk.of(events).where}: give jer=."
            raise ConfigError(msg)
        return {-1: "down", 0: "nom", 1: "up"}[shift.direction]

    def _calibrate(self, jets: Any, events: Any) -> _Calibrated:
        """Return the nominal calibration, made once for all shifts of a chunk."""
        seen = view(jets)
        if self._last is not None and self._last.jets is seen:
            return self._last
        where = Chunk.of(events).where
        lost = seen.coordinate("rawFactor")
        if (lost >= 1).any():
            msg = f"{np.count_nonzero(lost >= 1)} jets have a raw factor of 1 or above, so no raw momentum, {where}."
            raise EventError(msg)
        raw = seen.coordinate("pt") * (1 - lost)
        inputs = self._inputs(seen, events, raw)
        made = _Calibrated(seen, inputs, raw, self._correction.flat(where, **inputs))
        if self._resolution is not None:
            if "GenJet" not in ak.fields(events):
                msg = f"smearing needs generated jets, but there is no collection GenJet {where}."
                raise ConfigError(msg)
            at = {**inputs, "JetPt": made.corrected}
            made.resolution = self._resolution.flat(where, **at)
            generated = view(events.GenJet)
            made.generated = _matched(
                seen.offsets,
                seen.coordinate("eta"),
                seen.coordinate("phi"),
                made.corrected,
                3 * made.resolution * made.corrected,
                generated.offsets,
                generated.coordinate("eta"),
                generated.coordinate("phi"),
                generated.coordinate("pt"),
                self.radius / 2,
            )
            made.random = flat(normal(events, jets, f"jer {self._algorithm}"))
        self._last = made
        return made

    def _inputs(self, seen: View, events: Any, pt: Floats) -> dict[str, Any]:
        """Return the inputs of corrections by the names that the files give them."""
        rho = events.Rho if "Rho" in ak.fields(events) else events
        rho = next((rho[name] for name in ("fixedGridRhoFastjetAll", "Rho") if name in ak.fields(rho)), None)
        values: dict[str, Any] = {"JetPt": pt}
        for name, column in (("JetEta", "eta"), ("JetPhi", "phi"), ("JetA", "area")):
            if column in seen.fields:
                values[name] = seen.coordinate(column)
        counts = np.diff(seen.offsets) if seen.offsets is not None else np.zeros(0, dtype=np.int64)
        if rho is not None:
            values["Rho"] = np.repeat(flat(rho).astype(np.float64), counts)
        if "run" in ak.fields(events):
            values["run"] = np.repeat(flat(events.run).astype(np.float64), counts)
        absent = [name for name in self._correction.inputs if name not in values]
        if absent:
            msg = f"the jet energy corrections need {absent[0]}, which there is no column for {Chunk.of(events).where}."
            raise ConfigError(msg)
        return values

    def _smear(self, nominal: _Calibrated, word: str, events: Any) -> Floats:
        """Return by what each jet is multiplied so that simulation is as wide as data."""
        if self._scale_factor is None:
            return np.ones_like(nominal.raw)
        if word in nominal.smearing:
            return nominal.smearing[word]
        pt = nominal.corrected
        inputs = {**nominal.inputs, "JetPt": pt, "systematic": word}
        ratio = self._scale_factor.flat(Chunk.of(events).where, **inputs)
        generated, random = nominal.generated, nominal.random
        wider = 1 + np.sqrt(np.maximum(ratio**2 - 1, 0)) * nominal.resolution * random
        smear = np.where(generated > 0, 1 + (ratio - 1) * (pt - generated) / pt, wider)
        least = 0.01 / np.cosh(nominal.jets.coordinate("eta"))  # an energy of 10 MeV, so that no jet turns around
        nominal.smearing[word] = np.where(smear * pt < least, least / pt, smear)
        return nominal.smearing[word]


@compiled
def _matched(
    offsets: Any, eta: Any, phi: Any, pt: Any, window: Any, others: Any, others_eta: Any, others_phi: Any,
    others_pt: Any, radius: float,
) -> Any:  # fmt: skip
    """Return the momentum of the nearest generated jet within a radius and a window of momentum, 0 without any."""
    matched = np.zeros(len(eta))
    for event in range(len(offsets) - 1):
        for place in range(offsets[event], offsets[event + 1]):
            least = radius * radius
            for other in range(others[event], others[event + 1]):
                deta = eta[place] - others_eta[other]
                dphi = (phi[place] - others_phi[other] + np.pi) % (2 * np.pi) - np.pi
                distance = deta * deta + dphi * dphi
                if distance < least and abs(pt[place] - others_pt[other]) < window[place]:
                    least, matched[place] = distance, others_pt[other]
    return matched


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
        if Chunk.of(events).is_data:
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
        return correction.flat(Chunk.of(events).where, **inputs, **{correction.inputs[0]: word})


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
        seen, where = view(muons), Chunk.of(events).where
        charge = seen.coordinate("charge").astype(np.float64)
        pt, eta, phi = (seen.coordinate(name).astype(np.float64) for name in ("pt", "eta", "phi"))
        sample = "data" if Chunk.of(events).is_data else "mc"

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
