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
from colonnade.plotting.lines import Step, StepPlot
from colonnade.plotting.plot import Caption, path_part
from colonnade.plotting.save import save
from colonnade.statistics.resonance import Spectrum
from studies.heavy_higgs.sculpting import sculpting
from studies.heavy_higgs.tables import bump_lines, sculpting_lines
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

    FOLDER is the output folder of a run of workflows/heavy_higgs.yaml.
    """
    directory = output or folder.with_name(f"{folder.name}_study")
    found, rng = {}, np.random.default_rng(1)
    before = _spectrum(folder, BEFORE)
    for region in AFTER:
        after = _spectrum(folder, region)
        found[region] = sculpting(before, after, WINDOW, rng)
        steps = tuple(
            Step(name, each.values / each.values.sum(), filled=name == BEFORE)
            for name, each in ((BEFORE, before), (region, after))
        )
        caption = Caption(
            status="Simulation", lines=(f"background, {region}", f"window fraction ×{found[region].window_ratio:.2f}")
        )
        plot = StepPlot(before.edges, steps, "Mass [GeV]", caption=caption)
        save(plot.figure(), directory / f"sculpting_{path_part(region)}", ("png", "pdf"), 150)
    write_json(directory / "sculpting.json", {name: each.to_dict() for name, each in found.items()})
    lines = list(sculpting_lines(found, WINDOW))
    console = Console()
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    console.print(f"Wrote {directory / 'sculpting.json'} and {len(found)} pictures", highlight=False, soft_wrap=True)
    if publish:
        peaks = bump_lines(read_json(folder / "bumps.json"))
        fill_page(ROOT / "docs" / "resonances.md", "heavy_higgs", [*peaks, *lines])


def _spectrum(folder: Path, region: str) -> Spectrum:
    """Return the sum of the backgrounds in a region."""
    histograms = colonnade.load(folder)[HISTOGRAM]
    total = sum(histograms[name][{"region": region, "variation": "nominal"}] for name in BACKGROUNDS)
    return Spectrum.from_hist(total).between(*RANGE)


if __name__ == "__main__":
    entry(command)
