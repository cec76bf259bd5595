"""Between conventions: what pyhf and HS3 can't say, said as nearly as they can, and told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from colonnade.errors import ConfigError
from colonnade.statistics.model import Channel, Floats, Model, Modifier, Parameter, Sample, make_model

# relative size below which a factor and its inverse are taken as one log-normal
_SAME = 1e-9
# how far from 0, in initial values, a parameter without a range may go
_FAR = 1000.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A convention that a conversion changed.

    Attributes
    ----------
    what : str
        The parameter.
    how : str
        How the likelihood differs, and where it is the same.
    """

    what: str
    how: str


def as_histfactory(model: Model) -> tuple[Model, tuple[Difference, ...]]:
    """Express a Combine model in HistFactory's words.

    A symmetric lnN is exactly HistFactory's code 1; an asymmetric one becomes code 4, which has the same values at
    and beyond one standard deviation. Combine's bin-wise uncertainties become staterror, the same at the nominal
    point. A gmN on one bin of one process is exactly a shapesys.

    Raises
    ------
    ConfigError
        If a measured normalisation (gmN, param) has no counterpart.
    """
    differences: dict[Difference, None] = {}
    _refuse(model)
    uses = _uses(model)
    changed = []
    overrides = {each.name: _settings(each, differences) for each in model.parameters}
    for channel in model.channels:
        samples = []
        for sample in channel.samples:
            modifiers: list[Modifier] = []
            yields = sample.yields
            for modifier in sample.modifiers:
                parameter = model.parameter(modifier.parameter)
                if modifier.interpolation == "lnN":
                    modifiers.append(_normsys(modifier, differences))
                elif modifier.interpolation == "log4p" or modifier.region != 1:
                    how = "a shape became code 4p: the same at and beyond one standard deviation, another curve within"
                    differences[Difference(modifier.parameter, how)] = None
                    modifiers.append(replace(modifier, interpolation="code4p", region=1.0))
                elif modifier.kind == "mcstat":
                    differences[
                        Difference(
                            modifier.parameter,
                            "autoMCStats became a staterror: the error scales with the yield, not with each process's "
                            "normalisation; the same at the nominal point",
                        )
                    ] = None
                    overrides.pop(modifier.parameter, None)
                    modifiers.append(Modifier("staterror", modifier.parameter, errors=modifier.errors))
                elif modifier.kind == "normfactor" and parameter.constraint == "poisson":
                    yields, gamma = _shapesys(channel, sample, parameter, uses[modifier.parameter])
                    overrides.pop(modifier.parameter, None)
                    modifiers.append(gamma)
                else:
                    modifiers.append(modifier)
            samples.append(Sample(sample.name, yields, tuple(modifiers)))
        changed.append(Channel(channel.name, tuple(samples), channel.edges))
    result = make_model(changed, model.observations, model.poi, overrides=overrides, measurement=model.measurement)
    return result, tuple(differences)


def _refuse(model: Model) -> None:
    """Refuse what HistFactory has no words for, and no words that are near."""
    for channel in model.channels:
        for sample in channel.samples:
            for modifier in sample.modifiers:
                where = f"{modifier.parameter} of {sample.name} in {channel.name}"
                if modifier.kind == "formula":
                    msg = f"The function of parameters {where} can't be said in HistFactory."
                    raise ConfigError(msg)
                each = model.parameter(modifier.parameter)
                standard = each.constraint == "normal" and each.widths == (1.0,) and not each.below
                if modifier.kind in ("normsys", "histosys") and not (standard and each.auxdata == (0.0,)):
                    msg = f"HistFactory has no other measurement of {where} than a normal one at 0, of width 1."
                    raise ConfigError(msg)
                if modifier.kind in ("normfactor", "lumi") and each.below and each.below != each.widths:
                    msg = f"The two widths of the measurement of {where} can't be said in HistFactory."
                    raise ConfigError(msg)


def _uses(model: Model) -> dict[str, int]:
    uses: dict[str, int] = {}
    for channel in model.channels:
        for sample in channel.samples:
            for modifier in sample.modifiers:
                uses[modifier.parameter] = uses.get(modifier.parameter, 0) + 1
    return uses


def _settings(parameter: Parameter, differences: dict[Difference, None]) -> dict[str, object]:
    bounds = parameter.bounds
    if not np.all(np.isfinite(bounds)):
        reach = _FAR * max(1.0, *map(abs, parameter.inits))
        bounds = tuple((max(low, -reach), min(high, reach)) for low, high in bounds)
        how = f"has no range, which the format needs: it is given one from {bounds[0][0]:g} to {bounds[0][1]:g}"
        differences[Difference(parameter.name, how)] = None
    settings: dict[str, object] = {
        "inits": list(parameter.inits),
        "bounds": list(bounds),
        "fixed": list(parameter.fixed),
    }
    if parameter.constraint == "normal" and parameter.scalar:
        settings |= {"auxdata": list(parameter.auxdata), "sigmas": list(parameter.widths)}
    return settings


def _normsys(modifier: Modifier, differences: dict[Difference, None]) -> Modifier:
    up, down = float(modifier.up[0]), float(modifier.down[0])
    if abs(up * down - 1) < _SAME:
        return replace(modifier, interpolation="code1")
    differences[
        Difference(
            modifier.parameter,
            "an asymmetric lnN became code 4: the same at and beyond one standard deviation, another polynomial within",
        )
    ] = None
    return replace(modifier, interpolation="code4")


def _shapesys(channel: Channel, sample: Sample, parameter: Parameter, uses: int) -> tuple[Floats, Modifier]:
    count = parameter.auxdata[0]
    if uses > 1 or channel.bins > 1 or count <= 0:
        msg = (
            f"The gmN {parameter.name} can't be said in HistFactory: it must be on one process in one bin, and its "
            "control region must have events."
        )
        raise ConfigError(msg)
    # Poisson(count | count gamma): a shapesys of relative error 1/sqrt(count)
    yields = sample.yields * count
    return yields, Modifier("shapesys", parameter.name, errors=yields / np.sqrt(count))
