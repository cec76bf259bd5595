"""The title and colour of each process, the same in every picture and table; titles of regions and parameters."""

from __future__ import annotations

__all__ = [
    "Process",
    "Signal",
    "choose",
    "parameter_label",
    "processes",
    "region_title",
    "signals_by_model",
    "with_unit",
]

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from colonnade.errors import ConfigError, nearest
from colonnade.plotting.folder import RunFolder
from colonnade.plotting.palette import BACKGROUND_COLOURS, SIGNAL_COLOURS, literal
from colonnade.plotting.settings import PlotSettings, ProcessStyle

# names that the field writes in one way; a workflow may say otherwise. Formulas only where letters won't do: they
# take long to draw
_TITLES = {
    "data": "Data",
    "zll": r"$Z/\gamma^{*}\to\ell\ell$",
    "zee": r"$Z/\gamma^{*}\to ee$",
    "zmumu": r"$Z/\gamma^{*}\to\mu\mu$",
    "ztautau": r"$Z/\gamma^{*}\to\tau\tau$",
    "zjets": "Z+jets",
    "wjets": "W+jets",
    "ttbar": r"$t\bar{t}$",
    "tt": r"$t\bar{t}$",
    "singletop": "Single top",
    "ww": "WW",
    "wz": "WZ",
    "zz": "ZZ",
    "zgamma": "Zγ",
    "wgamma": "Wγ",
    "gammajets": "γ+jets",
    "qcd": "Multijet",
    "diboson": "Diboson",
}
_MODELS = {"DH": "Dark Higgs", "LV": "Light vector", "EFT": "Effective theory"}
_FLAVOURS = {"mm": "μμ", "em": "eμ", "me": "μe"}


@dataclass(frozen=True)
class Process:
    """How one process looks.

    Attributes
    ----------
    name, kind : str
        As in the manifest.
    title : str
        Its name in legends, with LaTeX between dollars.
    colour : str
        ``#rrggbb``.
    """

    name: str
    kind: str
    title: str
    colour: str


@dataclass(frozen=True)
class Signal:
    """A signal point: the model it belongs to and its parameters.

    Attributes
    ----------
    name, model : str
        Of the process, and of the model or family.
    parameters : mapping of str to float
        Its numbers; the one that the points of the model are told apart by comes first.
    shown : tuple of str
        The parameters that a title needs to tell the points of the model apart.
    """

    name: str
    model: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    shown: tuple[str, ...] = ()

    @property
    def model_title(self) -> str:
        """The model in words."""
        return literal(_MODELS.get(self.model, self.model))


def processes(folder: RunFolder, settings: PlotSettings) -> dict[str, Process]:
    """Return every process with its title and colour.

    Colours go by the manifest's order, not by yields, so that they stay when the analysis changes.
    A process that the settings name and the run does not have is passed over: a run may be of some datasets only.
    """
    kinds = folder.kinds
    models = signals_by_model(folder)
    points = {signal.name: signal for group in models.values() for signal in group}
    # points of one model share a colour, unless there is but one model
    ranks = {
        signal.name: place if len(models) == 1 else number
        for number, group in enumerate(models.values())
        for place, signal in enumerate(group)
    }
    backgrounds = [name for name, kind in kinds.items() if kind == "background"]
    looks = {}
    for name, kind in kinds.items():
        style = settings.processes.get(name, ProcessStyle())
        colour = style.colour or "#000000"
        if not style.colour and kind == "signal":
            colour = SIGNAL_COLOURS[ranks[name] % len(SIGNAL_COLOURS)]
        elif not style.colour and kind == "background":
            colour = BACKGROUND_COLOURS[backgrounds.index(name) % len(BACKGROUND_COLOURS)]
        title = style.title or _TITLES.get(name.casefold(), "")
        if not title:
            title = _signal_title(points[name]) if name in points else literal(name)
        looks[name] = Process(name, kind, title, colour)
    return looks


def signals_by_model(folder: RunFolder) -> dict[str, list[Signal]]:
    """Group the signal points by model, each in increasing order of its parameters.

    Parameters come from fit.json, else from the manifest, else from a name such as DH_mZp130.
    """
    known = {**folder.declared_signals}
    if folder.fit is not None:
        known.update({point.signal: point.parameters for point in folder.fit.points if point.parameters})
    groups: dict[str, list[Signal]] = {}
    for name, kind in folder.kinds.items():
        if kind != "signal":
            continue
        signal = _signal(name, known.get(name, {}))
        groups.setdefault(signal.model, []).append(signal)
    return {model: _ordered(group) for model, group in groups.items()}


def _ordered(group: list[Signal]) -> list[Signal]:
    """Sort a model's points by the parameter that varies most, and note which ones tell them apart."""
    common = [key for key in group[0].parameters if all(key in signal.parameters for signal in group)]
    values = {key: {signal.parameters[key] for signal in group} for key in common}
    common.sort(key=lambda key: -len(values[key]))  # a stable sort: among equals, the first that is declared
    shown: list[str] = common[:1]
    for key in common[1:]:
        if len({tuple(signal.parameters[each] for each in shown) for signal in group}) == len(group):
            break
        if len(values[key]) > 1:
            shown.append(key)
    sorted_group = [
        Signal(
            signal.name,
            signal.model,
            {key: signal.parameters[key] for key in (*common, *signal.parameters)},
            tuple(shown),
        )
        for signal in group
    ]
    return sorted(sorted_group, key=lambda signal: (tuple(signal.parameters[key] for key in shown), signal.name))


def _signal(name: str, parameters: Mapping[str, Any]) -> Signal:
    numbers = {
        key: float(value)
        for key, value in parameters.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    words = [str(value) for value in parameters.values() if isinstance(value, str)]
    parsed = re.fullmatch(r"(?P<model>.+?)_?m_?(?P<particle>[A-Z][A-Za-z]*?)_?(?P<mass>\d+)", name)
    if parsed is not None:
        numbers = numbers or {f"m_{parsed['particle']}": float(parsed["mass"])}
    model = ", ".join(words) or (parsed["model"] if parsed is not None else name)
    return Signal(name, model, numbers)


def _signal_title(signal: Signal) -> str:
    parts = [literal(signal.model)]
    for key in signal.shown:
        symbol, unit = parameter_label(key)
        parts.append(f"{symbol} = {signal.parameters[key]:g} {unit}".rstrip())
    return ", ".join(parts) if len(parts) > 1 else literal(signal.name)


def parameter_label(key: str) -> tuple[str, str]:
    """Return the symbol and unit of a signal's parameter: a name that begins with ``m_`` is a mass in GeV.

    Examples
    --------
    >>> parameter_label("m_Zprime")
    ("$m_{Z'}$", 'GeV')
    """
    if not re.fullmatch(r"m_?[A-Za-z0-9]+", key) or key == "m":
        return literal(key), ""
    particle = re.sub(r"(prime|p)$", "'", re.sub(r"^m_?", "", key))
    greek = re.fullmatch(r"(chi|phi|psi|tau|mu|eta|rho|nu|Delta|Sigma|Lambda)(\d*)", particle)
    if greek is not None:
        particle = rf"\{greek[1]}" + (f"_{greek[2]}" if greek[2] else "")
    elif len(particle) > 2:
        particle = rf"\mathrm{{{particle}}}"
    return f"$m_{{{particle}}}$", "GeV"


def with_unit(label: str, unit: str) -> str:
    """Return an axis's label with its unit, if it has one."""
    return f"{label} [{unit}]" if unit else label


def region_title(name: str, settings: PlotSettings) -> str:
    """Return a region's title: that of the settings, else its name with spaces and flavours as symbols."""
    if name in settings.region_titles:
        return settings.region_titles[name]
    return " ".join(_FLAVOURS.get(word, literal(word)) for word in name.split("_"))


def choose(patterns: Iterable[str], known: Sequence[str], what: str) -> list[str]:
    """Return the known names that match any pattern, in their own order.

    Raises
    ------
    ConfigError
        If a pattern matches nothing.
    """
    chosen = set()
    for pattern in patterns:
        found = [name for name in known if fnmatchcase(name, pattern)]
        if not found and pattern != "*":
            msg = f"plots.{what}: nothing is called {pattern!r}{nearest(pattern, known)}."
            raise ConfigError(msg)
        chosen.update(found)
    return [name for name in known if name in chosen]
