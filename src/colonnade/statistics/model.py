"""The statistical model as plain data: channels, samples, modifiers, parameters.

Every format is read into this and written from it, and the likelihood is compiled from it. It says what
HistFactory (CERN-OPEN-2012-016) and pyhf's schema 1.0.0 say, plus, per modifier, which interpolation is
meant, as formats differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, nearest
from colonnade.statistics.formula import Formula

Floats = NDArray[np.float64]
Kind = Literal["normfactor", "formula", "normsys", "histosys", "lumi", "shapefactor", "shapesys", "staterror", "mcstat"]
# normsys: "code1" exponential, "code4" polynomial then exponential (pyhf's and RooFit's), "lnN" Combine's
# asymmetric log-normal; histosys: "code0" piecewise linear, "code4p" polynomial then linear (pyhf's and
# Combine's), "log4p" the same of the logarithm (Combine's shapeN)
Interpolation = Literal["code0", "code1", "code4", "code4p", "log4p", "lnN"]
# what becomes of a sample whose shapes drive bins below zero; Combine's templates are cut off at 1e-9 and, unless
# they have autoMCStats, brought back to their sum
Treatment = Literal["plain", "cropped", "normalised"]
Constraint = Literal["none", "normal", "poisson"]


@dataclass(frozen=True, slots=True)
class Modifier:
    """What one parameter does to one sample.

    Attributes
    ----------
    kind : str
        As in pyhf; `mcstat` is Combine's bin-wise uncertainty: an absolute error, added and not multiplied; `formula`
        is a factor that is a function of several parameters.
    parameter : str
        Name of the parameter or of the vector of parameters; of a formula, its own name.
    up, down : numpy.ndarray
        normsys: one factor each. histosys: the whole template each.
    errors : numpy.ndarray
        shapesys, staterror, mcstat: absolute uncertainty of each bin.
    interpolation : str
        Of a normsys or histosys.
    region : float
        Of a histosys with code4p or log4p: the distance, in standard deviations, within which it is smooth.
    formula : Formula, optional
        Of a formula.
    """

    kind: Kind
    parameter: str
    up: Floats = field(default_factory=lambda: np.empty(0))
    down: Floats = field(default_factory=lambda: np.empty(0))
    errors: Floats = field(default_factory=lambda: np.empty(0))
    interpolation: Interpolation = "code4"
    region: float = 1.0
    formula: Formula | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters it depends on."""
        return (self.parameter,) if self.formula is None else self.formula.parameters


@dataclass(frozen=True, slots=True)
class Sample:
    """One process in one channel: expected events of each bin and what changes them.

    Attributes
    ----------
    name : str
        The process.
    yields : numpy.ndarray
        Shape (bins,), before any modifier.
    modifiers : tuple of Modifier
        What changes the yields.
    template : {'plain', 'cropped', 'normalised'}
        Whether bins that shapes drive below zero stay so (HistFactory), are cut off at 1e-9, or are cut off at 1e-9 of
        the sum and the sum is kept (both Combine).
    """

    name: str
    yields: Floats
    modifiers: tuple[Modifier, ...] = ()
    template: Treatment = "plain"


@dataclass(frozen=True, slots=True)
class Channel:
    """One region: its samples, and the edges of its bins where they are known."""

    name: str
    samples: tuple[Sample, ...]
    edges: tuple[float, ...] | None = None

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.samples[0].yields)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, or a vector of them (one a bin), and the measurement that constrains it.

    Attributes
    ----------
    name : str
        As in the modifiers.
    inits, fixed : tuple
        One entry a component.
    bounds : tuple of pair of float
        One pair a component.
    constraint : {'none', 'normal', 'poisson'}
        Its kind: normal(aux | value, width) or Poisson(aux | value * width).
    auxdata, widths : tuple of float
        What was measured, and the widths (standard deviations, or Poisson's scale factors).
    below : tuple of float
        Of a normal constraint with two widths: those below what was measured; `widths` are those above.
    scalar : bool
        Whether it is a single number, so that it is called by its name without an index.
    """

    name: str
    inits: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]
    fixed: tuple[bool, ...]
    constraint: Constraint = "none"
    auxdata: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()
    below: tuple[float, ...] = ()
    scalar: bool = True

    @property
    def size(self) -> int:
        """Number of components."""
        return len(self.inits)

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each component, as pyhf writes them: `name` or `name[0]`, `name[1]`..."""
        return (self.name,) if self.scalar else tuple(f"{self.name}[{index}]" for index in range(self.size))


@dataclass(frozen=True, slots=True)
class Model:
    """A likelihood as data.

    Attributes
    ----------
    channels : tuple of Channel
        In a fixed order, which is the order of the bins.
    parameters : tuple of Parameter
        In a fixed order, which is the order of the components.
    poi : str
        The parameter of interest, a scalar; empty where the source names none.
    observations : mapping of str to numpy.ndarray
        Observed events of each channel.
    measurement : str
        Name of the measurement.
    groups : mapping of str to tuple of str
        Names of groups of parameters.
    notes : tuple of str
        What the source says that is allowed, but unusual: one sentence each.
    """

    channels: tuple[Channel, ...]
    parameters: tuple[Parameter, ...]
    poi: str
    observations: Mapping[str, Floats]
    measurement: str = "measurement"
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all parameter components."""
        return tuple(label for parameter in self.parameters for label in parameter.labels)

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by its name.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        for each in self.parameters:
            if each.name == name:
                return each
        msg = f"The model has no parameter {name}{nearest(name, [each.name for each in self.parameters])}."
        raise ConfigError(msg)

    def with_observations(self, observations: Mapping[str, Floats]) -> Model:
        """Return the model with other observed events."""
        return replace(self, observations=dict(observations))

    def uses(self) -> Iterator[tuple[Channel, Sample, Modifier]]:
        """Yield every modifier with where it acts."""
        yield from _uses(self.channels)

    def renamed(
        self,
        parameters: Mapping[str, str],
        channels: Mapping[str, str] | None = None,
        samples: Mapping[str, str] | None = None,
    ) -> Model:
        """Return the model with other names of parameters and formulas, channels and samples."""
        places, processes = channels or {}, samples or {}

        def modifier_of(modifier: Modifier) -> Modifier:
            formula = None if modifier.formula is None else modifier.formula.renamed(parameters)
            return replace(modifier, parameter=parameters.get(modifier.parameter, modifier.parameter), formula=formula)

        def sample_of(sample: Sample) -> Sample:
            name = processes.get(sample.name, sample.name)
            return replace(sample, name=name, modifiers=tuple(map(modifier_of, sample.modifiers)))

        return replace(
            self,
            channels=tuple(
                replace(each, name=places.get(each.name, each.name), samples=tuple(map(sample_of, each.samples)))
                for each in self.channels
            ),
            parameters=tuple(replace(each, name=parameters.get(each.name, each.name)) for each in self.parameters),
            poi=parameters.get(self.poi, self.poi),
            observations={places.get(name, name): seen for name, seen in self.observations.items()},
            groups={group: tuple(parameters.get(name, name) for name in mine) for group, mine in self.groups.items()},
        )


def _uses(channels: Iterable[Channel]) -> Iterator[tuple[Channel, Sample, Modifier]]:
    for channel in channels:
        for sample in channel.samples:
            for modifier in sample.modifiers:
                yield channel, sample, modifier


# what a parameter is unless its measurement says otherwise: initial value, bounds, constraint (pyhf's
# defaults)
DEFAULTS: dict[Kind, tuple[float, tuple[float, float], Constraint]] = {
    "normfactor": (1.0, (0.0, 10.0), "none"),
    "formula": (1.0, (0.0, 10.0), "none"),
    "shapefactor": (1.0, (0.0, 10.0), "none"),
    "normsys": (0.0, (-5.0, 5.0), "normal"),
    "histosys": (0.0, (-5.0, 5.0), "normal"),
    "lumi": (1.0, (0.0, 10.0), "normal"),
    "shapesys": (1.0, (1e-10, 10.0), "poisson"),
    "staterror": (1.0, (1e-10, 10.0), "normal"),
    "mcstat": (0.0, (-7.0, 7.0), "normal"),
}
_SCALAR = ("normfactor", "formula", "normsys", "histosys", "lumi")


def make_model(
    channels: Iterable[Channel],
    observations: Mapping[str, Floats],
    poi: str,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    measurement: str = "measurement",
    source: str = "The model",
    groups: Mapping[str, tuple[str, ...]] | None = None,
    notes: tuple[str, ...] = (),
) -> Model:
    """Build a model from its channels: find its parameters and check that all fits together.

    Parameters
    ----------
    channels, observations, poi, measurement, groups, notes
        As in `Model`.
    overrides
        Parameter name -> what its measurement says (inits, bounds, auxdata, sigmas, factors, fixed), as in
        pyhf.
    source
        What messages call the model.

    Raises
    ------
    ConfigError
        If sizes disagree, a parameter is used in two ways, the parameter of interest is nobody's, or events
        are missing or negative.
    """
    channels = tuple(channels)
    _check_sizes(channels, source)
    parameters = _parameters(channels, overrides or {}, source)
    if poi:
        scalar = {each.name: each.scalar for each in parameters}
        if poi not in scalar:
            msg = f"{source}: no modifier defines the parameter of interest {poi!r}{nearest(poi, scalar)}."
            raise ConfigError(msg)
        if not scalar[poi]:
            msg = f"{source}: {poi} has a value for each bin, so it can't be the one of interest; name a normfactor."
            raise ConfigError(msg)
    events: dict[str, Floats] = {}
    for channel in channels:
        if channel.name not in observations:
            msg = f"{source}: the channel {channel.name} has no observed events; add them to the observations."
            raise ConfigError(msg)
        seen = events[channel.name] = np.asarray(observations[channel.name], dtype=np.float64)
        _check_values(seen, channel.bins, f"{source}: the observed events of the channel {channel.name}")
        if np.any(seen < 0):
            msg = f"{source}: the channel {channel.name} has an observed count that is negative."
            raise ConfigError(msg)
    return Model(channels, parameters, poi, events, measurement, dict(groups or {}), notes)


def _check_sizes(channels: tuple[Channel, ...], source: str) -> None:
    names = [channel.name for channel in channels]
    for name in names:
        if names.count(name) > 1:
            msg = f"{source}: there are two channels named {name}."
            raise ConfigError(msg)
    for channel in channels:
        for sample in channel.samples:
            where = f"{source}: the sample {sample.name} of channel {channel.name}"
            _check_values(sample.yields, channel.bins, where)
            for modifier in sample.modifiers:
                _check_modifier(modifier, channel.bins, where)


def _check_values(values: Floats, bins: int, what: str) -> None:
    if len(values) != bins:
        msg = f"{what}: {len(values)} values for {bins} bins."
        raise ConfigError(msg)
    if not np.all(np.isfinite(values)):
        msg = f"{what}: a value is not a number."
        raise ConfigError(msg)


def _check_modifier(modifier: Modifier, bins: int, where: str) -> None:
    what = f"{where}: the {modifier.kind} {modifier.parameter}"
    sides = {"normsys": 1, "histosys": bins}.get(modifier.kind, 0)
    for side in (modifier.up, modifier.down):
        _check_values(side, sides, what)
    _check_values(modifier.errors, bins if modifier.kind in ("shapesys", "staterror", "mcstat") else 0, what)
    if modifier.kind == "normsys" and not (modifier.up[0] > 0 and modifier.down[0] > 0):
        msg = f"{what} has a factor that is not above 0."
        raise ConfigError(msg)


def _parameters(
    channels: tuple[Channel, ...], overrides: Mapping[str, Mapping[str, Any]], source: str
) -> tuple[Parameter, ...]:
    users: dict[str, list[tuple[Channel, Sample, Modifier]]] = {}
    for use in _uses(channels):
        for name in use[2].parameters:
            users.setdefault(name, []).append(use)
    return tuple(
        _overridden(_default_parameter(name, used, source), overrides.get(name, {}), source)
        for name, used in users.items()
    )


def _default_parameter(name: str, used: list[tuple[Channel, Sample, Modifier]], source: str) -> Parameter:
    # in a formula a parameter is what it is elsewhere, or free
    used = [each for each in used if each[2].kind != "formula"] or used
    kinds = {modifier.kind for _, _, modifier in used}
    if len(kinds) > 1 and kinds != {"normsys", "histosys"}:
        msg = f"{source}: the parameter {name} is used as {' and as '.join(sorted(kinds))}; give one another name."
        raise ConfigError(msg)
    kind = used[0][2].kind
    init, bounds, constraint = DEFAULTS[kind]
    widths: tuple[float, ...] = (1.0,)
    fixed: tuple[bool, ...] = (False,)
    if kind == "shapefactor":
        sizes = {channel.bins for channel, _, _ in used}
        if len(sizes) > 1:
            msg = f"{source}: the shapefactor {name} is shared by channels of different numbers of bins."
            raise ConfigError(msg)
        fixed *= sizes.pop()
    elif kind == "shapesys":
        if len(used) > 1:
            msg = f"{source}: the shapesys {name} is on more than one sample; give each its own name."
            raise ConfigError(msg)
        widths, fixed = _shapesys(used[0][1].yields, used[0][2].errors)
    elif kind in ("staterror", "mcstat"):
        widths, fixed = _bin_errors(used, relative=kind == "staterror")
        if kind == "mcstat":
            widths = (1.0,) * len(fixed)
    size = len(fixed)
    auxdata = widths if kind == "shapesys" else (init,) * size
    if constraint == "none":
        auxdata, widths = (), ()
    return Parameter(name, (init,) * size, (bounds,) * size, fixed, constraint, auxdata, widths, scalar=kind in _SCALAR)


def _shapesys(yields: Floats, errors: Floats) -> tuple[tuple[float, ...], tuple[bool, ...]]:
    valid = (yields > 0) & (errors > 0)
    factors = np.divide(yields, errors, out=np.ones_like(yields), where=valid) ** 2
    return tuple(factors.tolist()), tuple((~valid).tolist())


def _bin_errors(
    used: list[tuple[Channel, Sample, Modifier]], *, relative: bool
) -> tuple[tuple[float, ...], tuple[bool, ...]]:
    """Return the uncertainty, relative or absolute, of the summed samples in each bin of the channels."""
    total: dict[str, Floats] = {}
    variance: dict[str, Floats] = {}
    for channel, sample, modifier in used:
        total[channel.name] = total.get(channel.name, 0.0) + sample.yields
        variance[channel.name] = variance.get(channel.name, 0.0) + modifier.errors**2
    sums, errors = np.concatenate(list(total.values())), np.sqrt(np.concatenate(list(variance.values())))
    if relative:
        errors = np.divide(errors, sums, out=np.zeros_like(errors), where=sums > 0)
    fixed = errors == 0
    return tuple(np.where(fixed, 1.0, errors).tolist()), tuple(fixed.tolist())


def _overridden(parameter: Parameter, config: Mapping[str, Any], source: str) -> Parameter:
    changed: dict[str, Any] = {}
    for key, value in config.items():
        target = "widths" if key in ("sigmas", "factors") else key
        if key == "name":
            continue
        if key == "fixed":
            flags = value if isinstance(value, list | tuple) else (value,) * parameter.size
            changed["fixed"] = tuple(bool(flag) for flag in flags)
            continue
        if key == "constraint":  # a normalisation held by a measurement, as Combine's gmN and param, or set free
            changed["constraint"] = value
            if value == "none":
                changed |= {"auxdata": (), "widths": ()}
            continue
        if target in ("auxdata", "widths", "below") and parameter.constraint == "none" and "constraint" not in config:
            msg = f"{source}: the parameter {parameter.name} is free, so it can't have {key}."
            raise ConfigError(msg)
        if len(value) != parameter.size:
            msg = f"{source}: the parameter {parameter.name} has {len(value)} {key}, not {parameter.size}."
            raise ConfigError(msg)
        changed[target] = tuple(
            (float(each[0]), float(each[1])) if target == "bounds" else float(each) for each in value
        )
    return replace(parameter, **changed)
