"""What a workflow may say about its pictures; importing this costs nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from colonnade.config import Settings


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
    scales: dict[str, Literal["auto", "linear", "log"]] = Field(default={}, description="histogram -> its own scale")
    signal_scale: float | None = Field(default=None, gt=0, description="on drawn signals; null: where needed")
    panel: Literal["auto", "ratio", "significance", "none"] = Field(
        default="auto", description="auto: data over prediction; without data, significance by bin"
    )
    overflow: bool = Field(default=False, description="add what lies outside the axis to the outer bins")
    formats: tuple[Literal["png", "pdf"], ...] = Field(default=("png", "pdf"), min_length=1)
    resolution: int = Field(default=150, ge=50, le=600, description="dots per inch of the PNG")
