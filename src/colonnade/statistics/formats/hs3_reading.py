"""HS3 read: the HistFactory channels of a file by ROOT, pyhs3, or this program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from colonnade.errors import ConfigError, nearest
from colonnade.faults import translated
from colonnade.statistics.model import Channel, Floats, Interpolation, Model, Modifier, Sample, make_model

# by what a file calls them: pyhs3 by names, ROOT by numbers, which mean something else for shapes than for factors
_CODES: Mapping[str, Mapping[str, Interpolation]] = {
    "normsys": {"code1": "code1", "code4": "code4", "1": "code1", "4": "code4", "5": "code4"},
    "histosys": {"code0": "code0", "code4p": "code4p", "0": "code0", "4": "code4p"},
}
_KINDS = {"gaussian_dist": "normal", "poisson_dist": "poisson"}


def from_hs3(spec: Any, *, measurement: str | None = None, source: str = "The HS3 file") -> Model:
    """Read a model from HS3: the likelihood of one analysis.

    ROOT writes one analysis for every set of data that its workspace holds, Asimov data among them. Of several the one
    that is not on Asimov data is read, if there is only one.

    Parameters
    ----------
    spec
        The content of the file.
    measurement
        The name of the analysis; without it the only one on data.
    source
        What messages call the file.

    Raises
    ------
    ConfigError
        If it is not HS3, has no such analysis or several to choose from, or holds a distribution or modifier that is no
        HistFactory's.
    InputError
        If something in it is missing or of another type.
    """
    for key in ("metadata", "distributions", "likelihoods", "analyses", "data"):
        if not isinstance(spec, Mapping) or not spec.get(key):
            msg = f"{source} is not an HS3 file that can be fitted: it has no {key}."
            raise ConfigError(msg)
    with translated(f"{source} is not HS3 as its standard has it"):
        return _model(spec, measurement, source)


def _model(spec: Mapping[str, Any], measurement: str | None, source: str) -> Model:
    reader = _Reader(spec, source)
    analysis, likelihood = reader.analysis(measurement)
    reader.take_values(analysis)
    interest = analysis.get("parameters_of_interest") or [""]
    if len(interest) > 1:
        reader.notes.append(f"{source}: of the parameters of interest {', '.join(interest)} the first is tested.")
    channels, observations = [], {}
    for name, data_name in zip(likelihood["distributions"], likelihood["data"], strict=True):
        channel = reader.channel(reader.named("distributions", name))
        channels.append(channel)
        observations[name] = _contents(reader.named("data", data_name), channel)
    for name in likelihood.get("aux_distributions") or []:
        reader.constrain(name)
    channels = [reader.finished(channel) for channel in channels]
    reader.take_points(channels)
    return make_model(
        channels,
        observations,
        interest[0],
        overrides=reader.overrides,
        measurement=analysis["name"],
        source=source,
        notes=tuple(reader.notes),
    )


def _contents(data: Mapping[str, Any], channel: Channel) -> Floats:
    """Return the counts of binned data, or of events with weights that are to be binned."""
    if "contents" in data or channel.edges is None:
        return np.asarray(data.get("contents", []), dtype=np.float64)
    entries = np.asarray(data.get("entries", []), dtype=np.float64).reshape(-1)
    return np.histogram(entries, channel.edges, weights=data.get("weights"))[0].astype(np.float64)


@dataclass
class _Reader:
    """What is gathered of the parameters while the channels of an analysis are read."""

    spec: Mapping[str, Any]
    source: str
    notes: list[str] = field(default_factory=list)
    points: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    axes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    overrides: dict[str, dict[str, object]] = field(default_factory=dict)
    components: dict[str, list[str]] = field(default_factory=dict)
    constraints: dict[str, tuple[str, float, float]] = field(default_factory=dict)

    def refuse(self, what: str) -> NoReturn:
        """Raise the error of a file that can't be read here."""
        msg = f"{self.source}: {what}."
        raise ConfigError(msg)

    def named(self, where: str, name: str) -> Mapping[str, Any]:
        """Return an entry of one of the file's lists by its name."""
        known: dict[str, Mapping[str, Any]] = {each["name"]: each for each in self.spec[where]}
        if name not in known:
            self.refuse(f"there is no {name} among its {where}{nearest(name, known)}")
        return known[name]

    def analysis(self, name: str | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return the analysis that is asked for, or the only one on data, and its likelihood."""
        chosen = list(self.spec["analyses"]) if name is None else [self.named("analyses", name)]
        pairs = [(each, self.named("likelihoods", each["likelihood"])) for each in chosen]
        if len(pairs) > 1:
            left = [pair for pair in pairs if not all("asimov" in str(data).lower() for data in pair[1]["data"])]
            if len(left) != 1:
                names = ", ".join(str(each["name"]) for each in chosen)
                self.refuse(f"it has several analyses ({names}); choose one with --measurement")
            read = left[0][0]["name"]
            self.notes.append(
                f"{self.source}: of {len(pairs)} analyses {read} is read, as the others are of Asimov data."
            )
            pairs = left
        return pairs[0]

    def take_values(self, analysis: Mapping[str, Any]) -> None:
        """Take over the values and ranges that an analysis has for its parameters, before those of others."""
        points = {each["name"]: each["parameters"] for each in self.spec.get("parameter_points") or []}
        preferred = [points.get(name, []) for name in ("default_values", analysis.get("init"))]
        self.points = {one["name"]: one for each in (*reversed(points.values()), *preferred) for one in each}
        wanted = ["default_domain", *(analysis.get("domains") or [])]
        domains = [each for each in self.spec.get("domains") or [] if each["name"] in wanted]
        domains.sort(key=lambda each: wanted.index(each["name"]))
        self.axes = {axis["name"]: axis for each in domains for axis in each.get("axes", [])}

    @cached_property
    def relative(self) -> bool:
        """Whether errors of a shapesys are relative, as ROOT writes them; others write absolute ones."""
        packages = (self.spec["metadata"] or {}).get("packages") or []
        return any(each.get("name") == "ROOT" for each in packages)

    def channel(self, spec: Mapping[str, Any]) -> Channel:
        """Read a channel."""
        if spec.get("type") != "histfactory_dist":
            kind = spec.get("type")
            self.refuse(f"{spec['name']} is a {kind}; only histfactory_dist can be read as a channel")
        edges = None
        if len(spec["axes"]) == 1:
            axis = spec["axes"][0]
            edges = axis.get("edges", axis.get("bounds"))
            edges = np.linspace(axis["min"], axis["max"], axis["nbins"] + 1).tolist() if edges is None else edges
        samples = []
        for each in spec["samples"]:
            yields = np.asarray(each["data"]["contents"], dtype=np.float64)
            errors = np.asarray(each["data"].get("errors", np.zeros(len(yields))), dtype=np.float64)
            where = f"{each['name']} in {spec['name']}"
            read = [self.modifier(one, yields, errors, spec, where) for one in each.get("modifiers", [])]
            samples.append(Sample(each["name"], yields, tuple(one for one in read if one is not None)))
        return Channel(spec["name"], tuple(samples), None if edges is None else tuple(float(edge) for edge in edges))

    def modifier(
        self, spec: Mapping[str, Any], yields: Floats, errors: Floats, channel: Mapping[str, Any], where: str
    ) -> Modifier | None:
        """Read a modifier; of a factor that only brings a constraint nothing is left."""
        kind, data = spec["type"], spec.get("data") or {}
        parameter = spec.get("parameter", spec.get("name"))
        named = spec.get("constraint_name")
        if kind in ("normfactor", "normsys", "histosys"):
            self.components.setdefault(parameter, [parameter])
            if named is not None:
                held = self.constrain(named)
                if kind == "normfactor" and parameter not in held:
                    del self.components[parameter]
                    return None
        if kind == "normfactor":
            return Modifier("normfactor", parameter)
        if kind in ("normsys", "histosys"):
            constraint = spec.get("constraint_type", spec.get("constraint", "Gauss"))
            if constraint not in ("Gauss", named):
                self.refuse(f"{where}: the {kind} {spec['name']} has a {constraint} constraint; only Gauss can be read")
            code = data.get("interpolation", spec.get("interpolation", "code4" if kind == "normsys" else "code4p"))
            if str(code) not in _CODES[kind]:
                self.refuse(f"{where}: the {kind} {parameter} has the interpolation {code}, which is not known")
            if kind == "normsys":
                up, down = np.array([data["hi"]]), np.array([data["lo"]])
            else:
                up, down = (np.asarray(data[side]["contents"], dtype=np.float64) for side in ("hi", "lo"))
            return Modifier(kind, parameter, up, down, interpolation=_CODES[kind][str(code)])
        if kind not in ("shapefactor", "shapesys", "staterror"):
            self.refuse(f"{where}: the modifier {spec.get('name')} is a {kind}, which is not known")
        return self.vector(spec, yields, errors, channel)

    def vector(self, spec: Mapping[str, Any], yields: Floats, errors: Floats, channel: Mapping[str, Any]) -> Modifier:
        """Read a modifier of one parameter a bin."""
        kind, data = spec["type"], spec.get("data") or {}
        stem = f"stat_{channel['name']}" if kind == "staterror" else spec.get("name", "")
        components = spec.get("parameters") or [f"gamma_{stem}_bin_{index}" for index in range(len(yields))]
        name = _common_name(components)
        self.components[name] = components
        if kind == "shapefactor":
            return Modifier("shapefactor", name)
        whole = channel.get("staterror") or {} if kind == "staterror" else {}
        default = "Poisson" if kind == "shapesys" or self.relative else "Gauss"
        constraint = whole.get("constraint_type", spec.get("constraint_type", spec.get("constraint", default)))
        if kind == "shapesys":
            errors = np.asarray(data["vals"], dtype=np.float64) * (yields if self.relative else 1.0)
        fixed = np.array([bool(self.points.get(one, {}).get("const")) for one in components])
        errors = np.where(fixed | (constraint == "Const"), 0.0, errors)
        if kind == "staterror" and constraint == "Poisson":
            self.overrides.setdefault(name, {})["constraint"] = "poisson"
        # a shapesys held by a Gaussian is the statistical uncertainty of one sample
        return Modifier("staterror" if constraint == "Gauss" else kind, name, errors=errors)

    def constrain(self, name: str) -> set[str]:
        """Read a distribution of what was measured elsewhere; return the names of the parameters that it holds."""
        spec = self.named("distributions", name)
        if spec["type"] == "product_dist":
            return {one for factor in spec["factors"] for one in self.constrain(factor)}
        if spec["type"] not in _KINDS:
            self.refuse(f"the auxiliary distribution {name} is a {spec['type']}, which can't be read")
        words = [spec["x"], spec["mean"]]
        numbers = [self.measured(word) for word in words]
        # ROOT has the parameter as x and what was measured as the mean
        which = 0 if numbers[0] is None or (numbers[1] is not None and words[0] in self.components) else 1
        seen, parameter, width = numbers[1 - which], words[which], 1.0
        if spec["type"] == "poisson_dist":
            parameter, width = self.scaled(parameter)
        else:
            width = self.measured(spec["sigma"]) or 1.0
        if seen is None:
            self.refuse(f"the distribution {name} is of two free parameters, {words[0]} and {words[1]}")
        self.constraints[parameter] = (_KINDS[spec["type"]], seen, width)
        return {parameter}

    def measured(self, word: Any) -> float | None:
        """Return a number, or that of a constant parameter; None of a free one and of other names."""
        if isinstance(word, str):
            point = self.points.get(word, {})
            return float(point["value"]) if point.get("const") else None
        return float(word)

    def scaled(self, word: str) -> tuple[str, float]:
        """Return the parameter and the number of a product of the two."""
        for each in self.spec.get("functions") or []:
            if each["name"] == word and each["type"] == "product":
                numbers = {one: self.measured(one) for one in each["factors"]}
                free = [one for one, number in numbers.items() if number is None]
                if len(free) == 1:
                    return free[0], float(np.prod([number for number in numbers.values() if number is not None]))
        return word, 1.0

    def finished(self, channel: Channel) -> Channel:
        """Call factors lumi and shapesys, as pyhf does, that distributions of their own hold."""
        return replace(
            channel,
            samples=tuple(
                replace(sample, modifiers=tuple(self.held(m, sample.yields) for m in sample.modifiers))
                for sample in channel.samples
            ),
        )

    def held(self, modifier: Modifier, yields: Floats) -> Modifier:
        """Return a modifier as what its constraint makes it."""
        found = [self.constraints.get(one) for one in self.components[modifier.parameter]]
        kinds = {each[0] for each in found if each is not None}
        if not kinds:
            return modifier
        numbers = {
            "auxdata": [each[1] if each else 1.0 for each in found],
            "widths": [each[2] if each else 1.0 for each in found],
        }
        if modifier.kind == "shapefactor" and kinds == {"poisson"}:
            held = np.array([each is not None for each in found])
            errors = np.where(held, yields / np.sqrt(numbers["widths"]), 0.0)
            return Modifier("shapesys", modifier.parameter, errors=errors)
        self.overrides.setdefault(modifier.parameter, {}).update(
            constraint=min(kinds), auxdata=numbers["auxdata"], factors=numbers["widths"]
        )
        lumi = modifier.kind == "normfactor" and kinds == {"normal"}
        return Modifier("lumi", modifier.parameter) if lumi else modifier

    def take_points(self, channels: Sequence[Channel]) -> None:
        """Take over initial values, bounds and what is constant of every parameter, by its components' names."""
        poisson = {name for name, each in self.overrides.items() if each == {"constraint": "poisson"}}
        for name in poisson:
            widths = _poisson_widths(name, channels)
            self.overrides[name] |= {"auxdata": widths, "factors": widths}
        for name, components in self.components.items():
            config = self.overrides.setdefault(name, {})
            ends = [(self.axes.get(one, {}).get("min"), self.axes.get(one, {}).get("max")) for one in components]
            if all(None not in pair for pair in ends):
                config["bounds"] = ends
            if all(one in self.points for one in components):
                config["inits"] = [float(self.points[one]["value"]) for one in components]
                if any(self.points[one].get("const") for one in components):
                    config["fixed"] = [bool(self.points[one].get("const")) for one in components]


def _poisson_widths(name: str, channels: Sequence[Channel]) -> list[float]:
    """Return how many events of simulation each bin stands for, of a statistical uncertainty held by Poisson terms."""
    used = [(s.yields, m.errors) for c in channels for s in c.samples for m in s.modifiers if m.parameter == name]
    total, variance = sum(each[0] for each in used), sum(each[1] ** 2 for each in used)
    widths = np.divide(total**2, variance, out=np.ones_like(total), where=variance > 0)
    return [float(each) for each in widths]


def _common_name(components: Sequence[str]) -> str:
    stems = {component.rpartition("_bin")[0] for component in components}
    if len(stems) == 1 and "" not in stems:
        return stems.pop()
    return components[0]
