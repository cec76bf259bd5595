"""Writing a model in any format; what a format can't say is said as nearly as it can, and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from colonnade.errors import ConfigError, nearest
from colonnade.output import write_json
from colonnade.statistics.model import Kind, Model, Modifier, Parameter, Sample, make_model
from colonnade.statistics.workspace import to_workspace

# how the likelihood of a conversion differs, and where it is the same -> of which parameters or processes
Differences = dict[str, list[str]]

_ENDINGS = {
    "pyhf": "pyhf.json",
    "combine": "combine.txt",
    "hs3": "hs3.json",
    "root": "cabinetry.yml",
    "xml": "histfactory.xml",
}
FORMATS = tuple(_ENDINGS)
# relative size below which a factor and its inverse are taken as one log-normal
_SAME = 1e-9
# how far from 0, in initial values, a parameter without a range may go
_FAR = 1000.0


def tell(differences: Differences, what: str, how: str) -> None:
    """Note a difference of a parameter or process, once."""
    names = differences.setdefault(how, [])
    if what not in names:
        names.append(what)


def refuse(form: str, what: str) -> NoReturn:
    """Raise the error of a format that has no words for something, and none that are near."""
    msg = f"{form} can't say {what}."
    raise ConfigError(msg)


def unused(name: str, taken: Container[str]) -> str:
    """Return a name, with underscores behind it until it is not taken."""
    while name in taken:
        name += "_"
    return name


def names_of(model: Model) -> list[str]:
    """Return the names of channels, parameters and samples."""
    samples = [sample.name for channel in model.channels for sample in channel.samples]
    return [*(each.name for each in model.channels), *(each.name for each in model.parameters), *samples]


def kinds_of(model: Model) -> dict[str, set[Kind]]:
    """Return the kinds of modifiers that each parameter drives."""
    found: dict[str, set[Kind]] = {}
    for _, _, modifier in model.uses():
        for name in modifier.parameters:
            found.setdefault(name, set()).add(modifier.kind)
    return found


def as_histfactory(model: Model) -> tuple[Model, Differences]:
    """Express a Combine model in HistFactory's words.

    A symmetric lnN is exactly HistFactory's code 1; an asymmetric one becomes code 4, which has the same values at
    and beyond one standard deviation. Combine's bin-wise uncertainties become staterror, the same at the nominal
    point. A gmN on one bin of one process is exactly a shapesys. A normalisation with a normal measurement (rateParam
    and param) becomes a shape that is linear in it. Templates are no longer cut off at zero.

    Raises
    ------
    ConfigError
        If a measured normalisation (gmN, param) has no counterpart.
    """
    differences: Differences = {}
    parameters = {each.name: each for each in model.parameters}
    times = Counter(modifier.parameter for _, _, modifier in model.uses())
    for channel, sample, modifier in model.uses():
        parameter = parameters.get(modifier.parameter)
        alone = times[modifier.parameter] == channel.bins == 1
        lacking = _lacking(modifier.kind, parameter, is_poi=modifier.parameter == model.poi, alone=alone)
        if lacking:
            where = f"{modifier.parameter} of {sample.name} in {channel.name}"
            refuse("HistFactory", f"{where}: it has no {lacking}")
    kinds = kinds_of(model)
    overrides = {
        each.name: _settings(each, kinds[each.name], differences)
        for each in model.parameters
        # others are of another kind there, with settings of their own
        if "mcstat" not in kinds[each.name] and (each.constraint, kinds[each.name]) != ("poisson", {"normfactor"})
    }
    channels = [
        replace(channel, samples=tuple(_sample(sample, parameters, differences) for sample in channel.samples))
        for channel in model.channels
    ]
    result = make_model(channels, model.observations, model.poi, overrides=overrides, measurement=model.measurement)
    return result, differences


def _lacking(kind: Kind, parameter: Parameter | None, *, is_poi: bool, alone: bool) -> str:
    """Return what HistFactory lacks for a modifier where it has nothing near either.

    Parameters
    ----------
    kind
        Of the modifier.
    parameter
        Its parameter; None of a formula.
    is_poi
        Whether that is the one of interest.
    alone
        Whether the modifier is the only one of its parameter, in a channel of one bin.
    """
    if parameter is None or kind == "formula":
        return "function of parameters"
    normal, poisson = parameter.constraint == "normal", parameter.constraint == "poisson"
    at_zero = normal and parameter.auxdata == (0.0,)
    unequal = parameter.below not in ((), parameter.widths)
    reasons = {
        "measurement of the parameter of interest": is_poi and (normal or poisson),
        "measurement of a deviation but a normal one at 0, of width 1": kind in ("normsys", "histosys")
        and (not at_zero or bool(parameter.below) or parameter.widths != (1.0,)),
        "measurement with two widths": kind in ("normfactor", "lumi") and unequal,
        "normalisation that was measured to be 0": kind == "normfactor" and at_zero,
        "gmN but of one process in one bin, whose control region has events": kind == "normfactor"
        and poisson
        and not (alone and parameter.auxdata[0] > 0),
    }
    return next((what for what, holds in reasons.items() if holds), "")


def _sample(sample: Sample, parameters: Mapping[str, Parameter], differences: Differences) -> Sample:
    yields, modifiers = sample.yields, []
    measured: list[Parameter] = []
    for modifier in sample.modifiers:
        each = parameters[modifier.parameter]
        if modifier.kind != "normfactor" or each.constraint == "none":
            modifiers.append(_modifier(modifier, differences))
        elif each.constraint == "poisson":
            # Poisson(count | count gamma): a shapesys of relative error 1/sqrt(count)
            count = each.auxdata[0]
            yields = yields * count
            modifiers.append(Modifier("shapesys", modifier.parameter, errors=yields / np.sqrt(count)))
        else:
            measured.append(each)
    result = Sample(sample.name, yields, tuple(modifiers))
    if measured:
        result = _with_measured(result, measured, differences)
    if sample.template != "plain" and any(each.kind == "histosys" for each in result.modifiers):
        how = (
            "bins that shapes drive below zero are no longer cut off there, nor is the template brought back to its "
            "sum, as Combine does; the same where no bin gets there"
        )
        tell(differences, sample.name, how)
    return result


def _with_measured(sample: Sample, measured: list[Parameter], differences: Differences) -> Sample:
    """Multiply a sample by what normalisations were measured to be, and let shapes change it by their deviations."""
    how = (
        "a measured normalisation became a shape, linear in it, whose parameter is its deviation in standard "
        "deviations; the product with other shapes of its process is lost"
    )
    sample = scaled(sample, float(np.prod([each.auxdata[0] for each in measured])))
    shapes = []
    for each in measured:
        tell(differences, each.name, how)
        change = sample.yields * each.widths[0] / each.auxdata[0]
        up, down = sample.yields + change, sample.yields - change
        shapes.append(Modifier("histosys", each.name, up, down, interpolation="code4p"))
    return replace(sample, modifiers=(*sample.modifiers, *shapes))


def scaled(sample: Sample, factor: float) -> Sample:
    """Return a sample of so many times the events."""
    modifiers = tuple(
        replace(m, up=m.up * factor, down=m.down * factor)
        if m.kind == "histosys"
        else replace(m, errors=m.errors * factor)
        for m in sample.modifiers
    )
    return replace(sample, yields=sample.yields * factor, modifiers=modifiers)


def _settings(parameter: Parameter, kinds: set[Kind], differences: Differences) -> dict[str, object]:
    measured = kinds == {"normfactor"} and parameter.constraint == "normal"
    if measured:
        mean, width = parameter.auxdata[0], parameter.widths[0]
        parameter = replace(
            parameter,
            inits=tuple((value - mean) / width for value in parameter.inits),
            bounds=tuple(((low - mean) / width, (high - mean) / width) for low, high in parameter.bounds),
        )
    bounds = parameter.bounds
    if not np.all(np.isfinite(bounds)):
        reach = _FAR * max(1.0, *map(abs, parameter.inits))
        bounds = tuple((max(low, -reach), min(high, reach)) for low, high in bounds)
        how = f"has no range, which the format needs: it is given one from {bounds[0][0]:g} to {bounds[0][1]:g}"
        tell(differences, parameter.name, how)
    settings: dict[str, object] = {"inits": parameter.inits, "bounds": bounds, "fixed": parameter.fixed}
    if parameter.constraint == "normal" and parameter.scalar and not measured:
        settings |= {"auxdata": parameter.auxdata, "sigmas": parameter.widths}
    return settings


def _modifier(modifier: Modifier, differences: Differences) -> Modifier:
    """Return the modifier that is nearest in HistFactory."""
    name = modifier.parameter
    if modifier.kind == "mcstat":
        how = (
            "autoMCStats became a staterror: the error scales with the yield, not with each process's normalisation; "
            "the same at the nominal point"
        )
        tell(differences, name, how)
        return Modifier("staterror", name, errors=modifier.errors)
    if modifier.interpolation == "lnN":
        if abs(modifier.up[0] * modifier.down[0] - 1) < _SAME:
            return replace(modifier, interpolation="code1")
        how = (
            "an asymmetric lnN became code 4: the same at and beyond one standard deviation, another polynomial within"
        )
        tell(differences, name, how)
        return replace(modifier, interpolation="code4")
    if modifier.kind == "histosys" and (modifier.interpolation != "code4p" or modifier.region != 1):
        how = "a shape became code 4p: the same at and beyond one standard deviation, another curve within"
        tell(differences, name, how)
        return replace(modifier, interpolation="code4p", region=1.0)
    return modifier


@dataclass(frozen=True, slots=True)
class Export:
    """One format of a model.

    Attributes
    ----------
    form : str
        Its name.
    path : Path
        The file to begin with.
    differences : dict
        Where the format's conventions differ from the model's: how, and of which parameters or processes.
    """

    form: str
    path: Path
    differences: Differences


def export_model(model: Model, folder: Path, name: str, form: str) -> Export:
    """Write a model in one format.

    Parameters
    ----------
    model
        The model.
    folder
        Where.
    name
        Stem of the files: NAME.pyhf.json, NAME.combine.txt and NAME.combine.root, NAME.hs3.json, NAME.cabinetry.yml
        and NAME.cabinetry.root, NAME.histfactory.xml and its folder.
    form
        One of `FORMATS`.

    Raises
    ------
    ConfigError
        If the format is unknown, or can't say what the model holds.
    OutputError
        If a file can't be written.
    """
    if form not in FORMATS:
        msg = f"The format {form!r} is unknown{nearest(form, FORMATS)}; known: {', '.join(FORMATS)}."
        raise ConfigError(msg)
    return write_model(model, folder / f"{name}.{_ENDINGS[form]}", form)


def write_model(model: Model, path: Path, form: str) -> Export:
    """Write a model in one of `FORMATS`; raises what `export_model` raises."""
    if form == "combine":
        from colonnade.statistics.formats.combine.write import to_combine

        return Export(form, path, to_combine(model, path))
    plain, differences = as_histfactory(model)
    if form == "hs3":
        from colonnade.statistics.formats.hs3 import root_names, to_hs3

        write_json(path, to_hs3(root_names(plain, differences)))
    elif form == "root":
        from colonnade.statistics.formats.root import to_cabinetry

        to_cabinetry(plain, path, differences)
    elif form == "xml":
        from colonnade.statistics.formats.root import to_xml

        kinds = kinds_of(plain)
        if kinds.get("lumi", {"lumi"}) != {"lumi"}:
            name = unused("lumi_norm", kinds)
            tell(differences, "lumi", f"is called {name}, as HistFactory XML calls its one luminosity lumi")
            plain = plain.renamed({"lumi": name})
        to_xml(plain, path, differences)
    else:
        write_json(path, to_workspace(plain))
    if form in ("pyhf", "xml"):  # a workspace can't mark log-normals: pyhf takes code 4 unless it is told code 1
        how = "a log-normal, which pyhf evaluates exactly with modifier_settings normsys code1, and nearly with code4"
        for _, _, modifier in plain.uses():
            if modifier.kind == "normsys" and modifier.interpolation == "code1":
                tell(differences, modifier.parameter, how)
    return Export(form, path, differences)
