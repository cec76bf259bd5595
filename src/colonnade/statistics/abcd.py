r"""The ABCD method inside the likelihood: free yields that are tied by A = B C / D.

With the nominal yields b (of each bin), c and d, and a = b c / d, the channels expect

.. math:: A_i = a_i s_i \rho, \quad B_i = b_i s_i, \quad C = c\, \mu \rho, \quad D = d\, \mu,

so that A D = B C whatever the parameters are. All of it are factors, which every format can say; where B has several
bins, s is a factor of each of them (a shapefactor).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.model import Modifier
from colonnade.statistics.settings import AbcdSettings
from colonnade.statistics.templates import NOMINAL, Inputs, Templates


def both(variation: str) -> set[str]:
    """Return the names of a variation's sides."""
    return {f"{variation}_up", f"{variation}_down"}


def abcd_modifiers(settings: Sequence[AbcdSettings], process: str, channel: str, bins: int) -> list[Modifier]:
    """Return the free factors of a process in a channel; none where it is tied to no others there."""
    for each in settings:
        if each.process == process and channel in each.channels:
            _, b, _, d = each.channels
            shape = Modifier("normfactor" if bins == 1 else "shapefactor", f"{process}_{b}")
            ratio, below = (Modifier("normfactor", f"{process}_{name}") for name in ("ratio", d))
            return [[shape, ratio], [shape], [below, ratio], [below]][each.channels.index(channel)]
    return []


def check_abcd(settings: Sequence[AbcdSettings], templates: Mapping[str, Templates], inputs: Inputs) -> None:
    """See that the four channels are there and fit together.

    Raises
    ------
    ConfigError
        If not, or if nothing is left of the process in one of B, C and D.
    """
    for each in settings:
        what = f"model.abcd of {each.process}"
        made = [name for name, process in inputs.processes.items() if process.data_driven]
        if each.process not in made:
            msg = f"{what}: `data_driven` makes no such process{nearest(each.process, made)}."
            raise ConfigError(msg)
        for channel in each.channels:
            if channel not in templates:
                msg = f"{what}: the model has no channel {channel!r}{nearest(channel, templates)}."
                raise ConfigError(msg)
        a, b = (templates[channel].edges for channel in each.channels[:2])
        if a != b:
            msg = f"{what}: the channels {each.channels[0]} and {each.channels[1]} must have the same bins."
            raise ConfigError(msg)
        for channel in each.channels[1:]:
            content = templates[channel].by_process.get(each.process)
            if content is None or content[NOMINAL][0].sum() <= 0:
                msg = f"{what}: no events of it are left in the channel {channel}, so A = B C / D says nothing."
                raise ConfigError(msg)
