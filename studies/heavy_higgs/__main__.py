"""The command of the study: how much each selection of a run bends the background's mass spectrum."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from rich.console import Console

import colonnade
from colonnade.cli import entry
from colonnade.config import read_json
from colonnade.output import write_json
from colonnade.plotting.draw import draw_all
from colonnade.plotting.lines import Line, LinePlot
from colonnade.plotting.settings import Caption, PlotSettings
from colonnade.plotting.style import Picture, path_part
from colonnade.report import PageSection, read_images, write_page
from colonnade.statistics.resonance import Bumps, Spectrum
from studies.heavy_higgs.sculpting import Sculpting, sculpting
from studies.heavy_higgs.tables import bump_tables, sculpting_table
from studies.tables import fill_page

ROOT = Path(__file__).parents[2]
HISTOGRAM, BACKGROUNDS = "reco_zv_mass", ("zjets", "top")
BEFORE, AFTER = "all", ("cuts", "network", "network_tight", "network_mass")
RANGE, WINDOW = (700.0, 1500.0), (900.0, 1100.0)


@click.command("studies.heavy_higgs")
@click.argument("folder", type=click.Path(path_type=Path), default=ROOT / "results" / "heavy_higgs")
@click.option("--output", type=click.Path(path_type=Path), help="By default FOLDER_study beside the run's folder.")
@click.option("--publish", is_flag=True, help="Fill the tables of docs/resonances.md, too.")
def command(folder: Path, output: Path | None, *, publish: bool) -> None:
    """Compare the background's mass spectrum after each selection of a run with that before.

    FOLDER is the output folder of a run of workflows/heavy_higgs.yaml. The study leaves sculpting.json, pictures
    and page.html.
    """
    directory = output or folder.with_name(f"{folder.name}_study")
    source = folder / "bumps.json"
    bumps = Bumps.from_json(read_json(source), str(source))
    before = _spectrum(folder, BEFORE)
    after = {region: _spectrum(folder, region) for region in AFTER}
    rng = np.random.default_rng(1)
    found = {region: sculpting(before, spectrum, WINDOW, rng) for region, spectrum in after.items()}
    pictures = [_picture(region, before, spectrum, found[region]) for region, spectrum in after.items()]
    write_json(directory / "sculpting.json", {name: each.to_dict() for name, each in found.items()})
    draw_all(pictures, directory / "plots", PlotSettings(), workers=1)
    tables = [*bump_tables(bumps), sculpting_table(found, WINDOW)]
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    content = {"tables": tables, "images": read_images(directory / "plots")}
    page = write_page("Selections of a heavy Higgs boson", [PageSection("Results", template, content)],
                      directory / "page.html")  # fmt: skip
    lines = [line for each in tables for line in each.lines()]
    console = Console()
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    console.print(f"Wrote {page} and {len(pictures)} pictures", highlight=False, soft_wrap=True)
    if publish:
        fill_page(ROOT / "docs" / "resonances.md", "heavy_higgs", lines)


def _spectrum(folder: Path, region: str) -> Spectrum:
    """Return the sum of the backgrounds in a region."""
    histograms = colonnade.load(folder)[HISTOGRAM]
    total = sum(histograms[name][{"region": region, "variation": "nominal"}] for name in BACKGROUNDS)
    return Spectrum.from_hist(total).between(*RANGE)


def _picture(region: str, before: Spectrum, after: Spectrum, found: Sculpting) -> Picture:
    """Draw the shape of the background before and after a selection."""
    steps = tuple(
        Line(name, before.edges, each.values / each.values.sum(), filled=each is before)
        for name, each in ((BEFORE, before), (region, after))
    )
    words = f"window fraction ×{found.window_ratio:.2f}"
    caption = Caption(status="Simulation", lines=(f"background, {region}", words))
    plot = LinePlot(steps, "Mass [GeV]", "Fraction of events", caption=caption)
    return Picture(f"sculpting_{path_part(region)}", "sculpting", f"mass after {region}: {words}", plot)


if __name__ == "__main__":
    entry(command)
