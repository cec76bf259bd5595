r"""Uncertainties of several parts: of data-taking periods, shared and each one's own, and of many members.

A process is the sum of its eras, so an uncertainty of one era moves that era's part of the templates. Here each
parameter that moves eras becomes a systematic of its own, whose variation is made of the eras' templates as if the
analysis had filled it.

An uncertainty whose parameters of any two eras are to have the correlation rho is, for each era e,

.. math:: \theta_e = \sqrt{\rho}\,\theta_\mathrm{common} + \sqrt{1 - \rho}\,\theta_{\mathrm{own}, e}

with independent parameters of unit variance. So each theta_e has unit variance, and any two have the covariance rho.

Many members of one uncertainty, such as a set of parton densities, are one variation up and down.
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

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.settings import ModelSettings, SystematicSettings

Floats = NDArray[np.float64]
NOMINAL = "nominal"


@dataclass(frozen=True, slots=True)
class EraPart:
    """What one parameter moves.

    Attributes
    ----------
    systematic : SystematicSettings
        As the model is to take it: its `variation` is the one that `era_variations` makes.
    variation : str, optional
        The variation that the analysis filled; without it the yields of eras change by factors.
    up, down : mapping of str to float
        Era -> the share of the variation that the parameter moves, or the factor on the era's yield.
    """

    systematic: SystematicSettings
    variation: str | None
    up: Mapping[str, float]
    down: Mapping[str, float]


def era_parts(settings: ModelSettings, eras: Collection[str]) -> list[EraPart]:
    """Return a part for each parameter of a model that moves eras by different amounts.

    Raises
    ------
    ConfigError
        If there are no eras, or one that is named is not declared.
    """
    parts = [part for each in settings.systematics if each.by_era for part in _correlated(each, eras)]
    for name, sizes in settings.luminosity_uncertainties.items():
        unknown = [era for era in sizes if era not in eras]
        if unknown:
            known = f"the eras are {', '.join(eras)}" if eras else "the workflow declares no eras"
            hint = nearest(unknown[0], eras)
            msg = f"luminosity_uncertainties.{name}: the era {unknown[0]!r} is unknown{hint}; {known}."
            raise ConfigError(msg)
        whole = SystematicSettings(name=name, type="histosys", variation=name, group="luminosity")
        up = {era: 1 + size for era, size in sizes.items()}
        parts.append(_part(whole, name, None, up, {era: 1 / factor for era, factor in up.items()}))
    return parts


def _correlated(systematic: SystematicSettings, eras: Collection[str]) -> Iterator[EraPart]:
    """Give the part that all eras share, and that of each."""
    if not eras:
        msg = f"The systematic {systematic.name} tells eras apart, but the workflow declares no `eras`."
        raise ConfigError(msg)
    shares = {systematic.name: dict.fromkeys(eras, sqrt(systematic.rho))} if systematic.rho else {}
    shares |= {f"{systematic.name}_{era}": {era: sqrt(1 - systematic.rho)} for era in eras}
    for name, share in shares.items():
        if systematic.up is None:
            yield _part(systematic, name, systematic.variation, share, share)
            continue
        down = systematic.down or 1 / systematic.up
        factors = ({era: factor**power for era, power in share.items()} for factor in (systematic.up, down))
        yield _part(systematic, name, None, *factors)


def _part(
    systematic: SystematicSettings, name: str, variation: str | None, up: Mapping[str, float], down: Mapping[str, float]
) -> EraPart:
    # several systematics may have one name
    key = f"{variation or (systematic.up, systematic.down)}@{name}, {systematic.rho:g}"
    changes: dict[str, Any] = {"name": name, "variation": key, "up": None, "down": None, "correlation": 1.0}
    if systematic.decorrelate == "era":
        changes["decorrelate"] = "none"
    if variation is None:  # factors on eras of different shapes change the shape of their sum
        changes["type"] = "histosys"
    return EraPart(systematic.model_copy(update=changes), variation, up, down)


def era_variations(
    parts: Iterable[EraPart], eras: Mapping[str, Mapping[str, Floats]], nominal: Floats
) -> dict[str, Floats]:
    """Return the templates of parts: the sum of all eras, of which those that a parameter moves are varied.

    Parameters
    ----------
    parts
        From `era_parts`.
    eras
        Era -> variation -> events, of any shape; of one process in one region.
    nominal
        The events of all eras; what data make of several need not be the sum of what they make of each.

    Returns
    -------
    dict
        By name of the variation, with ``_up`` and ``_down``. What is filled in no era is left out; what is filled in
        some moves those alone.
    """
    made = {}
    for part in parts:
        for side, other, shares in (("up", "down", part.up), ("down", "up", part.down)):
            if part.variation is None or any(f"{part.variation}_{side}" in each for each in eras.values()):
                moved = [_moved(part, side, other, share, eras[era]) for era, share in shares.items() if era in eras]
                made[f"{part.systematic.variation}_{side}"] = sum(moved, nominal)
    return made


def _moved(part: EraPart, side: str, other: str, share: float, templates: Mapping[str, Floats]) -> Floats:
    """Return by how much one era's events change."""
    nominal = templates[NOMINAL]
    if part.variation is None:
        return nominal * (share - 1)
    varied = templates.get(f"{part.variation}_{side}")
    if varied is None:
        mirror = templates.get(f"{part.variation}_{other}")
        varied = nominal if mirror is None else 2 * nominal - mirror
    before, after = float(nominal.sum()), float(varied.sum())
    if share == 1 or before <= 0 or after <= 0:
        return share * (varied - nominal)
    # a share of the parameter takes the yield to that power, as factors are interpolated, and the shape linearly
    ratio = after / before
    return np.asarray((nominal + share * (varied / ratio - nominal)) * ratio**share - nominal)


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
