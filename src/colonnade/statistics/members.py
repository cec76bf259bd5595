r"""Many members of one uncertainty, such as a set of parton densities, as one variation up and down.

With the nominal template s_0 and those of N members s_k, bin by bin:

``hessian``
    :math:`\delta = \sqrt{\sum_k (s_k - s_0)^2}`, of symmetric eigenvectors: PDF4LHC15, arXiv:1510.03865, eq. 20.
``asymmetric_hessian``
    The members are pairs, plus and minus of each eigenvector:
    :math:`\delta_\pm = \sqrt{\sum_i \max(\pm(s_i^+ - s_0), \pm(s_i^- - s_0), 0)^2}`: P. Nadolsky and Z. Sullivan,
    hep-ph/0110378, eq. 3.
``replicas``
    :math:`\delta = \sqrt{\sum_k (s_k - \langle s \rangle)^2 / (N - 1)}`: PDF4LHC15, eq. 21.
``envelope``
    The largest and the least of all members and the nominal one, such as of seven points of the scales:
    M. Cacciari et al., hep-ph/0303085.

The strong coupling adds :math:`\delta_{\alpha_s} = (s_{up} - s_{down}) / 2` in quadrature: PDF4LHC15, eqs. 27 and 28.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError
from colonnade.statistics.settings import SystematicSettings

Floats = NDArray[np.float64]


def combined(method: str, nominal: Floats, members: Floats) -> tuple[Floats, Floats]:
    """Return the templates up and down.

    Parameters
    ----------
    method
        See the module.
    nominal
        Shape (bins,).
    members
        Shape (members, bins).

    Raises
    ------
    ConfigError
        If the members are too few, or not in pairs.
    """
    if method == "envelope":
        return np.maximum(members.max(axis=0), nominal), np.minimum(members.min(axis=0), nominal)
    if len(members) < 2 or (method == "asymmetric_hessian" and len(members) % 2):
        need = "an even number of" if method == "asymmetric_hessian" else "two or more"
        msg = f"`combine: {method}` needs {need} members, but there are {len(members)}."
        raise ConfigError(msg)
    if method == "asymmetric_hessian":
        plus, minus = members[::2] - nominal, members[1::2] - nominal
        up = np.maximum(np.maximum(plus, minus), 0.0)
        down = np.maximum(np.maximum(-plus, -minus), 0.0)
        return nominal + np.sqrt((up**2).sum(axis=0)), nominal - np.sqrt((down**2).sum(axis=0))
    size = np.sqrt(((members - nominal) ** 2).sum(axis=0)) if method == "hessian" else members.std(axis=0, ddof=1)
    return nominal + size, nominal - size


def member_variations(
    systematics: Iterable[SystematicSettings], templates: Mapping[str, Floats], where: str
) -> dict[str, Floats]:
    """Return the variations up and down that members are combined to, of one process in one channel.

    Parameters
    ----------
    systematics
        Those of the model; what does not combine members is passed over.
    templates
        Variation -> events, shape (bins,), among them the nominal ones.
    where
        Process and channel, for messages.

    Raises
    ------
    ConfigError
        If the variation of the strong coupling is not filled, or the members don't suit the way of combining.
    """
    made: dict[str, Floats] = {}
    for systematic in systematics:
        names: list[str] = []
        while systematic.combine and f"{systematic.variation}_{len(names)}" in templates:
            names.append(f"{systematic.variation}_{len(names)}")
        if not names:
            continue
        nominal = templates["nominal"]
        try:
            sides = combined(str(systematic.combine), nominal, np.stack([templates[name] for name in names]))
        except ConfigError as error:
            msg = f"The systematic {systematic.name}, {where}: {error}"
            raise ConfigError(msg) from error
        if systematic.alpha_s is not None:
            coupling = [templates.get(f"{systematic.alpha_s}_{side}") for side in ("up", "down")]
            if coupling[0] is None or coupling[1] is None:
                msg = f"The systematic {systematic.name}: alpha_s: {systematic.alpha_s!r} of {where} was not filled."
                raise ConfigError(msg)
            half = (coupling[0] - coupling[1]) / 2
            up, down = (np.sqrt((side - nominal) ** 2 + half**2) for side in sides)
            sides = nominal + up, nominal - down
        made |= dict(zip((f"{systematic.variation}_up", f"{systematic.variation}_down"), sides, strict=True))
    return made
