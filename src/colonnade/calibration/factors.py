"""Weights of simulated events and vetoes: factors, efficiencies of triggers, b-tagging, maps, filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np

from colonnade.calibration.evaluation import Correction
from colonnade.errors import ConfigError, EventError, nearest
from colonnade.kinematics import product
from colonnade.kinematics.arrays import unwrap
from colonnade.kinematics.views import flat, view
from colonnade.processor.pieces import Chunk, Floats, Mask, Shift

_NOMINAL = Shift()
_CHARM = 4


class Factor:
    """A weight from one correction: scale factors of leptons and triggers, efficiencies, pile-up.

    Parameters
    ----------
    corrections
        The correctionlib file: ``self.corrections["muons"]``.
    name
        The correction.
    words
        The name of the input that tells variations apart, and its texts for nominal, up and down:
        ``("scale_factors", "nominal", "systup", "systdown")``. Without it there is no variation.
    **fixed
        Inputs that are the same for all: ``WorkingPoint="Medium"``.

    Raises
    ------
    ConfigError
        If the file does not have the correction; the nearest name is said.

    Examples
    --------
    In `weights` of a processor::

        words = ("scale_factors", "nominal", "systup", "systdown")
        factor = Factor(self.corrections["muons"], "NUM_TightID_DEN_TrackerMuons", words=words)
        weights.add("muon_id", *factor(events, eta=abs(objects.muons.eta), pt=objects.muons.pt))
    """

    def __init__(
        self, corrections: Any, name: str, *, words: Sequence[str] | None = None, **fixed: str | float
    ) -> None:
        self.correction = Correction(corrections, name)
        self._words = [{}] if words is None else [{words[0]: word} for word in words[1:]]
        self._fixed = fixed

    def each(self, events: Any, **inputs: Any) -> tuple[Any, ...]:
        """Return the factor of each object, or of each event: nominal, up and down."""
        given = {**self._fixed, **inputs}
        return tuple(self.correction(Chunk.of(events).where, **given, **word) for word in self._words)

    def __call__(self, events: Any, **inputs: Any) -> tuple[Floats, ...]:
        """Return nominal, up and down, one number an event: the product over its objects, 1 where there are none.

        Parameters
        ----------
        events
            The events, for messages.
        **inputs
            The correction's inputs by name: one value an object, or one an event.
        """
        return tuple(product(one) if ak.Array(one).ndim > 1 else np.asarray(one) for one in self.each(events, **inputs))


def any_fires(data: Any, simulation: Any) -> Floats:
    r"""Return the factor of a trigger that one of several objects may fire.

    .. math:: w = \frac{1 - \prod_i (1 - \varepsilon_i^{data})}{1 - \prod_i (1 - \varepsilon_i^{MC})}

    Parameters
    ----------
    data, simulation
        The efficiency of each object, jagged; those of several triggers or legs are joined by `ak.concatenate`.

    Returns
    -------
    ndarray
        Shape (events,); 1 where there are no objects.

    Raises
    ------
    EventError
        If no object of an event can fire in simulation, but one can in data.
    """
    in_data, simulated = (1 - product(1 - ak.Array(each)) for each in (data, simulation))
    impossible = (simulated == 0) & (in_data > 0)
    if impossible.any():
        msg = f"no object of {np.count_nonzero(impossible)} events can fire the trigger in simulation, so data can't."
        raise EventError(msg)
    return np.divide(in_data, simulated, out=np.ones(len(in_data)), where=simulated > 0)


class WorkingPoint:
    r"""The weight of b-tagging at one working point.

    .. math:: w = \prod_{tagged} s_i \prod_{not\ tagged} \frac{1 - s_i \varepsilon_i}{1 - \varepsilon_i}

    (method 1a of CMS's b-tagging recommendations; the factors s of flavours 4 and 5 and those of light jets come from
    two corrections, the efficiencies from simulation.)

    Parameters
    ----------
    corrections
        The correctionlib file of the factors.
    heavy, light
        The corrections there: ``deepJet_comb``, ``deepJet_incl``.
    point
        ``"L"``, ``"M"`` or ``"T"``.
    efficiencies
        A correction with the inputs flavor, abseta and pt.
    """

    def __init__(self, corrections: Any, *, heavy: str, light: str, point: str, efficiencies: Correction) -> None:
        self._parts = [Correction(corrections, name) for name in (heavy, light)]
        self._point, self._efficiencies = point, efficiencies

    def __call__(
        self, jets: Any, tagged: Any, events: Any, *, heavy: str = "central", light: str = "central"
    ) -> Floats:
        """Return one weight an event.

        Parameters
        ----------
        jets
            With pt, eta and hadronFlavour.
        tagged
            Whether each jet is tagged.
        events
            The events, for messages.
        heavy, light
            The variation of the factors: ``up_correlated``.

        Raises
        ------
        EventError
            If an efficiency is not between 0 and 1, so that untagged jets have no weight.
        """
        where, inputs, offsets = Chunk.of(events).where, *_tagging_inputs(jets)
        hit = flat(tagged).astype(bool)
        is_light = inputs["flavor"] == 0
        factors = np.ones(len(hit))
        for correction, word, chosen in zip(self._parts, (heavy, light), (~is_light, is_light), strict=True):
            some = {name: values[chosen] for name, values in inputs.items()}
            factors[chosen] = correction.flat(where, **some, systematic=word, working_point=self._point)
        efficiency = self._efficiencies.flat(where, **inputs)
        if not ((efficiency[~hit] >= 0) & (efficiency[~hit] < 1)).all():
            msg = f"the efficiency of b-tagging, {self._efficiencies.name}, is not between 0 and 1 {where}."
            raise EventError(msg)
        missed = np.divide(1 - factors * efficiency, 1 - efficiency, out=np.ones(len(hit)), where=~hit)
        return product(unwrap(np.where(hit, factors, missed), offsets, None))


class TagShape:
    """The weight that reshapes a b-tagging discriminant, and its sources.

    Sources of charm jets (``cferr1``, ...) are for these alone, all others for the other jets. The sources of the jet
    energy scale are no weights: under the shift of the jets of that name the factors of the shift are taken.

    Parameters
    ----------
    corrections
        The correctionlib file.
    name
        The correction there: ``deepJet_shape``.
    follows
        The analysis's shift of jets to the file's name of the source: ``{"Total": "jes"}``.
    """

    def __init__(self, corrections: Any, name: str, *, follows: Mapping[str, str] | None = None) -> None:
        self.correction = Correction(corrections, name)
        self._follows = dict(follows or {})

    def __call__(
        self, jets: Any, discriminant: Any, events: Any, shift: Shift = _NOMINAL, *, variation: str = "central"
    ) -> Floats:
        """Return one weight an event.

        Parameters
        ----------
        jets
            With pt, eta and hadronFlavour.
        discriminant
            One number a jet.
        events
            The events, for messages.
        shift
            The shift of the jets.
        variation
            ``up_hf``, ``down_cferr1``, ...
        """
        source = self._follows.get(shift.source)
        if source and variation != "central":
            msg = f"the variation {variation} of b-tagging is asked for under the shift {shift.variation}."
            raise ConfigError(msg)
        if source and shift.direction:
            variation = f"{'up' if shift.direction > 0 else 'down'}_{source}"
        inputs, offsets = _tagging_inputs(jets)
        inputs["discriminant"] = flat(discriminant).astype(np.float64)
        charm = inputs["flavor"] == _CHARM
        varied = np.zeros(len(charm), dtype=bool) if variation == "central" else charm == ("cferr" in variation)
        factors = np.ones(len(charm))
        for word, chosen in ((variation, varied), ("central", ~varied)):
            some = {name: values[chosen] for name, values in inputs.items()}
            factors[chosen] = self.correction.flat(Chunk.of(events).where, **some, systematic=word)
        return product(unwrap(factors, offsets, None))


def _tagging_inputs(jets: Any) -> tuple[dict[str, Any], Any]:
    """Return what b-tagging's corrections ask for, and where each event's jets begin."""
    seen = view(jets)
    inputs = {
        "flavor": seen.coordinate("hadronFlavour").astype(np.int64),
        "abseta": abs(seen.coordinate("eta")).astype(np.float64),
        "pt": seen.coordinate("pt").astype(np.float64),
    }
    return inputs, seen.offsets


def vetoed(correction: Correction, jets: Any, events: Any, kind: str = "jetvetomap") -> ak.Array:
    """Return whether each jet lies in a region that a map vetoes.

    Parameters
    ----------
    correction
        The map, with the inputs type, eta and phi; a value other than 0 is a veto.
    jets
        With eta and phi. Which jets count is the recommendation's to say: those of 15 GeV that pass identification,
        without muons.
    events
        The events, for messages.
    kind
        The map's type.

    Examples
    --------
    In `skim` of a processor::

        return {"veto map": event_sum(vetoed(self.veto, jets, events)) == 0}
    """
    # phi of a float32 may be beyond pi by its rounding, where maps end
    limit = np.nextafter(np.pi, 0)
    phi = ak.where(abs(jets.phi) < limit, jets.phi, np.sign(jets.phi) * limit)
    return correction(Chunk.of(events).where, type=kind, eta=jets.eta, phi=ak.values_astype(phi, np.float64)) != 0


def met_filters(events: Any, names: Sequence[str]) -> Mask:
    """Return which events pass all filters, ``Flag_NAME`` in NanoAOD.

    Raises
    ------
    ConfigError
        If the events have no filter of a name; the nearest is said.
    """
    flags: Any = events.Flag if "Flag" in ak.fields(events) else {}
    known = [] if isinstance(flags, dict) else ak.fields(flags)
    passed = np.ones(len(events), dtype=bool)
    for name in names:
        if name not in known:
            msg = f"there is no filter Flag_{name}{nearest(name, known)} {Chunk.of(events).where}."
            raise ConfigError(msg)
        passed &= np.asarray(flags[name], dtype=np.bool_)
    return passed
