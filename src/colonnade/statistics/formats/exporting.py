"""Writing a model in one format or all; what a format can't say is said as nearly as it can, and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from colonnade.errors import ConfigError, nearest
from colonnade.output import write_json
from colonnade.statistics.model import Channel, Floats, Kind, Model, Modifier, Parameter, Sample, make_model
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


def unused(name: str, taken: Container[str]) -> str:
    """Return a name, with underscores behind it until it is not taken."""
    while name in taken:
        name += "_"
    return name


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
    other: set[str] = set()  # parameters of another kind there, with settings of their own
    for channel, sample, modifier in model.uses():
        where = f"{modifier.parameter} of {sample.name} in {channel.name}"
        _refuse(modifier, parameters, where)
        if modifier.parameter == model.poi and parameters[model.poi].constraint != "none":
            msg = f"HistFactory has no measurement of the parameter of interest, as {model.poi} has one."
            raise ConfigError(msg)
        if _is_gamma(modifier, parameters):
            _check_gamma(parameters[modifier.parameter], channel, times[modifier.parameter])
        if modifier.kind == "mcstat" or _is_gamma(modifier, parameters):
            other.add(modifier.parameter)
    kinds = kinds_of(model)
    overrides = {
        each.name: _settings(each, kinds[each.name], differences) for each in model.parameters if each.name not in other
    }
    channels = [
        Channel(
            channel.name,
            tuple(_sample(sample, parameters, differences) for sample in channel.samples),
            channel.edges,
        )
        for channel in model.channels
    ]
    result = make_model(channels, model.observations, model.poi, overrides=overrides, measurement=model.measurement)
    return result, differences


def _sample(sample: Sample, parameters: Mapping[str, Parameter], differences: Differences) -> Sample:
    yields, modifiers = sample.yields, []
    measured: list[Parameter] = []
    for modifier in sample.modifiers:
        if _is_gamma(modifier, parameters):
            # Poisson(count | count gamma): a shapesys of relative error 1/sqrt(count)
            count = parameters[modifier.parameter].auxdata[0]
            yields = yields * count
            modifiers.append(Modifier("shapesys", modifier.parameter, errors=yields / np.sqrt(count)))
        elif _is_measured(parameters[modifier.parameter]) and modifier.kind == "normfactor":
            measured.append(parameters[modifier.parameter])
        else:
            modifiers.append(_modifier(modifier, differences))
    if measured:
        yields, modifiers = _with_measured(yields, modifiers, measured, differences)
    if sample.template != "plain" and any(each.kind == "histosys" for each in modifiers):
        how = (
            "bins that shapes drive below zero are no longer cut off there, nor is the template brought back to its "
            "sum, as Combine does; the same where no bin gets there"
        )
        tell(differences, sample.name, how)
    return Sample(sample.name, yields, tuple(modifiers))


def _is_measured(parameter: Parameter) -> bool:
    """Tell whether a parameter has a normal measurement elsewhere than at 0, as that of a rateParam has."""
    return parameter.scalar and parameter.constraint == "normal" and parameter.auxdata != (0.0,)


def _with_measured(
    yields: Floats, modifiers: list[Modifier], measured: list[Parameter], differences: Differences
) -> tuple[Floats, list[Modifier]]:
    """Multiply a sample by what normalisations were measured to be, and let shapes change it by their deviations."""
    how = (
        "a measured normalisation became a shape, linear in it, whose parameter is its deviation in standard "
        "deviations; the product with other shapes of its process is lost"
    )
    scale = float(np.prod([each.auxdata[0] for each in measured]))
    yields = yields * scale
    scaled = [
        replace(each, up=each.up * scale, down=each.down * scale, errors=each.errors * scale)
        if each.kind != "normsys"
        else each
        for each in modifiers
    ]
    for each in measured:
        tell(differences, each.name, how)
        change = yields * each.widths[0] / each.auxdata[0]
        scaled.append(Modifier("histosys", each.name, yields + change, yields - change, interpolation="code4p"))
    return yields, scaled


def _is_gamma(modifier: Modifier, parameters: Mapping[str, Parameter]) -> bool:
    """Tell whether a modifier is a gmN or gmM: a normalisation held by a Poisson measurement."""
    return modifier.kind == "normfactor" and parameters[modifier.parameter].constraint == "poisson"


def _refuse(modifier: Modifier, parameters: Mapping[str, Parameter], where: str) -> None:
    """Refuse what HistFactory has no words for, and no words that are near."""
    if modifier.kind == "formula":
        msg = f"The function of parameters {where} can't be said in HistFactory."
        raise ConfigError(msg)
    each = parameters[modifier.parameter]
    standard = each.constraint == "normal" and each.widths == (1.0,) and not each.below
    if modifier.kind in ("normsys", "histosys") and not (standard and each.auxdata == (0.0,)):
        msg = f"HistFactory has no other measurement of {where} than a normal one at 0, of width 1."
        raise ConfigError(msg)
    if modifier.kind in ("normfactor", "lumi") and each.below and each.below != each.widths:
        msg = f"The two widths of the measurement of {where} can't be said in HistFactory."
        raise ConfigError(msg)
    if modifier.kind == "normfactor" and each.constraint == "normal" and each.auxdata == (0.0,):
        msg = f"HistFactory has no normalisation that was measured to be 0, as that of {where} was."
        raise ConfigError(msg)


def _settings(parameter: Parameter, kinds: set[Kind], differences: Differences) -> dict[str, object]:
    measured = kinds == {"normfactor"} and _is_measured(parameter)
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
    settings: dict[str, object] = {
        "inits": list(parameter.inits),
        "bounds": list(bounds),
        "fixed": list(parameter.fixed),
    }
    if parameter.constraint == "normal" and parameter.scalar and not measured:
        settings |= {"auxdata": list(parameter.auxdata), "sigmas": list(parameter.widths)}
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
    if modifier.interpolation == "log4p" or modifier.region != 1:
        how = "a shape became code 4p: the same at and beyond one standard deviation, another curve within"
        tell(differences, name, how)
        return replace(modifier, interpolation="code4p", region=1.0)
    return modifier


def _check_gamma(parameter: Parameter, channel: Channel, times: int) -> None:
    if times > 1 or channel.bins > 1 or parameter.auxdata[0] <= 0:
        msg = (
            f"The gmN {parameter.name} can't be said in HistFactory: it must be on one process in one bin, and its "
            "control region must have events."
        )
        raise ConfigError(msg)


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


def export_model(model: Model, folder: Path, name: str, forms: tuple[str, ...] = FORMATS) -> list[Export]:
    """Write a model in several formats.

    Parameters
    ----------
    model
        The model.
    folder
        Where.
    name
        Stem of the files: NAME.pyhf.json, NAME.combine.txt and NAME.combine.root, NAME.hs3.json, NAME.cabinetry.yml
        and NAME.cabinetry.root, NAME.histfactory.xml and its folder.
    forms
        Some of `FORMATS`.

    Raises
    ------
    ConfigError
        If a format is unknown, or can't say what the model holds.
    OutputError
        If a file can't be written.
    """
    exports = []
    for form in forms:
        if form not in FORMATS:
            msg = f"The format {form!r} is unknown{nearest(form, FORMATS)}; known: {', '.join(FORMATS)}."
            raise ConfigError(msg)
        exports.append(write_model(model, folder / f"{name}.{_ENDINGS[form]}", form))
    return exports


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
