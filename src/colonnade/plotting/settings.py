"""What a workflow may say about its pictures, and the titles and colours that follow; importing this costs nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import Field

from colonnade.config import Settings

# M. A. Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270, Table 1: the set of ten,
# fills first; its red and purple are kept for signals, which are lines and need contrast with every fill
BACKGROUND_COLOURS = (
    "#3f90da", "#ffa90e", "#94a4a2", "#92dadd", "#b9ac70", "#a96b59", "#717581", "#e76300",
)  # fmt: skip
SIGNAL_COLOURS = ("#bd1f01", "#5b1a8c", "#00513a", "#0b2d6b")
# of bands, under black lines
INNER, OUTER = "#85d1fb", "#ffdf7f"
MARKERS = ("o", "s", "^", "D", "v", "P")
SIGNAL_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.6)), (0, (5, 1.4, 1.2, 1.4)), (0, (1.4, 1.3)))


_FLAVOURS = {"mm": "μμ", "em": "eμ", "me": "μe"}


class ProcessStyle(Settings):
    """How one process looks in every picture and table."""

    title: str = Field(default="", description="in legends, LaTeX between dollars; else made from its name")
    colour: str = Field(
        default="",
        pattern=r"^(#[0-9a-fA-F]{6})?$",
        description="#rrggbb; else of a colour-blind safe set",
    )


class PlotSettings(Settings):
    """Which pictures are drawn, and how."""

    era: str | None = Field(
        default=None, description="only this era, without the fit, which is of all; null: their sum"
    )
    histograms: tuple[str, ...] = Field(default=("*",), description="names or globs of histograms")
    regions: tuple[str, ...] = Field(default=("*",), description="names or globs of regions")
    signals: tuple[str, ...] | None = Field(
        default=None, description="names or globs of signals to overlay; null: one of each model; []: none"
    )
    processes: dict[str, ProcessStyle] = Field(default={}, description="process -> its title and colour")
    order: tuple[str, ...] = Field(
        default=(), description="processes from the top of the stack down; the others follow by their yield"
    )
    models: dict[str, str] = Field(default={}, description="signal model -> its title, where that is not its name")
    region_titles: dict[str, str] = Field(default={}, description="region -> the title drawn in its pictures")
    groups: tuple[str, ...] = Field(
        default=(),
        description="names or globs of groups of uncertainties to draw beside the total one of fitted regions",
    )
    experiment: str = Field(default="colonnade", description="the bold word in the corner")
    status: str = Field(default="", description="beside it; Simulation where there are no data")
    energy: float | None = Field(default=13, gt=0, description="centre-of-mass energy, TeV; null: not shown")
    scale: Literal["auto", "linear", "log"] = Field(default="auto", description="of the event axis")
    formats: tuple[Literal["png", "pdf"], ...] = Field(default=("png", "pdf"), min_length=1)
    resolution: int = Field(default=150, ge=50, le=600, description="dots per inch of the PNG")


@dataclass(frozen=True)
class Caption:
    """The words in the upper left corner of a figure.

    Attributes
    ----------
    experiment : str
        The bold word.
    status : str
        Beside it, such as Simulation.
    energy : float, optional
        Centre-of-mass energy in TeV.
    luminosity : float, optional
        In fb^-1.
    lines : tuple of str
        Below them, such as the region.
    """

    experiment: str = "colonnade"
    status: str = ""
    energy: float | None = None
    luminosity: float | None = None
    lines: tuple[str, ...] = ()

    def text(self) -> list[str]:
        """Return the lines below the first."""
        parts = []
        if self.energy is not None:
            parts.append(rf"$\sqrt{{s}}$ = {self.energy:g} TeV")
        if self.luminosity is not None:
            parts.append(f"{self.luminosity:.4g} fb$^{{-1}}$")
        return [*([", ".join(parts)] if parts else []), *self.lines]


@dataclass(frozen=True)
class Signal:
    """A signal point: the model it belongs to and its parameters.

    Attributes
    ----------
    name, model, model_title : str
        Of the process, and of the model or family.
    parameters : mapping of str to float
        Its numbers.
    shown : tuple of str
        The parameters that a title needs to tell the points of the model apart.
    """

    name: str
    model: str
    model_title: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    shown: tuple[str, ...] = ()


def processes(
    kinds: Mapping[str, str], signals: Mapping[str, Sequence[Signal]], settings: PlotSettings
) -> dict[str, ProcessStyle]:
    """Return every process with its title and colour.

    Colours go by the manifest's order, not by yields, so that they stay when the analysis changes. Points of one
    model share a colour, unless there is but one model.

    Parameters
    ----------
    kinds
        Process to data, background or signal, in the manifest's order.
    signals
        From `signals_by_model`.
    settings
        Titles and colours that the workflow chooses; a process that the run does not have is passed over.
    """
    points = {signal.name: signal for group in signals.values() for signal in group}
    ranks = {
        signal.name: place if len(signals) == 1 else number
        for number, group in enumerate(signals.values())
        for place, signal in enumerate(group)
    }
    backgrounds = [name for name, kind in kinds.items() if kind == "background"]
    found = {}
    for name, kind in kinds.items():
        style = settings.processes.get(name, ProcessStyle())
        colour = style.colour or "#000000"
        if not style.colour and kind == "signal":
            colour = SIGNAL_COLOURS[ranks[name] % len(SIGNAL_COLOURS)]
        elif not style.colour and kind == "background":
            colour = BACKGROUND_COLOURS[backgrounds.index(name) % len(BACKGROUND_COLOURS)]
        title = _visible(style.title)
        if not title:
            title = _signal_title(points[name]) if name in points else literal(name)
        found[name] = ProcessStyle(title=title, colour=colour)
    return found


def signals_by_model(
    kinds: Mapping[str, str], parameters: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]
) -> dict[str, list[Signal]]:
    """Group the signal points by model, each in increasing order of its parameters.

    Parameters
    ----------
    kinds
        Process to data, background or signal.
    parameters
        Signal to its parameters, as the manifest declares them. The text among them names the model; without any,
        the signal's name does, less a last part with a number.
    titles
        Model to its title, where that is not the name.
    """
    groups: dict[str, list[Signal]] = {}
    for name, kind in kinds.items():
        if kind != "signal":
            continue
        known = parameters.get(name, {})
        numbers = {key: float(value) for key, value in known.items() if type(value) in (int, float)}
        head, _, last = name.rpartition("_")
        model = ", ".join(value for value in known.values() if isinstance(value, str))
        model = model or (head if head and re.search(r"\d", last) else name)
        signal = Signal(name, model, _visible(titles.get(model, "")) or literal(model), numbers)
        groups.setdefault(model, []).append(signal)
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
    points = [replace(signal, shown=tuple(shown)) for signal in group]
    return sorted(points, key=lambda signal: (tuple(signal.parameters[key] for key in shown), signal.name))


def _signal_title(signal: Signal) -> str:
    parts = [parameter_value(key, signal.parameters[key]) for key in signal.shown]
    return ", ".join([literal(signal.model), *parts]) if parts else literal(signal.name)


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


def parameter_value(key: str, value: float) -> str:
    """Return a signal's parameter with its value, as titles have it."""
    symbol, unit = parameter_label(key)
    return f"{symbol} = {value:g} {unit}".rstrip()


def region_title(name: str, settings: PlotSettings) -> str:
    """Return a region's title: that of the settings, else its name with spaces and flavours as symbols."""
    if name in settings.region_titles:
        return _visible(settings.region_titles[name])
    return " ".join(_FLAVOURS.get(word, word) for word in literal(name).split("_"))


def literal(text: str) -> str:
    r"""Return a name as matplotlib draws it letter by letter, dollars included; what can't be seen is left out.

    Examples
    --------
    >>> print(literal("cost_in_$"))
    cost_in_\$
    """
    return _visible(text).replace("$", r"\$")


def _visible(text: str) -> str:
    """Leave out control characters, such as those that colour a terminal."""
    return "".join(character for character in text if character.isprintable())
