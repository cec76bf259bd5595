"""Detector problems: maps of regions where jets are not to be trusted, and filters of missing momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.calibration.evaluation import Correction, where_of
from colonnade.errors import ConfigError, nearest


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
    return correction(where_of(events), type=kind, eta=jets.eta, phi=ak.values_astype(phi, np.float64)) != 0


def met_filters(events: Any, names: Sequence[str]) -> npt.NDArray[np.bool_]:
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
            msg = f"there is no filter Flag_{name}{nearest(name, known)} {where_of(events)}."
            raise ConfigError(msg)
        passed &= np.asarray(flags[name], dtype=np.bool_)
    return passed
