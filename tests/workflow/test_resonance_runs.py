"""A resonance search by one command: tables in, bump fits, pictures and page out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.resonance_tables import colonnade_does, make_project

WORKFLOW = """
datasets: ["*"]
processor: processors/heavy_higgs.py
parameters: {table_unit: MeV}
luminosity: 278.0
executor: {kind: iterative}
bumps:
  fits:
    all:
      region: all
      histogram: reco_zv_mass
      range: [600.0, 1500.0]
      signal: higgs
      background: {shape: exponential}
      alternatives: [{shape: quadratic_exponential}]
      signal_shape: {shape: gaussian, mean: 1000.0, sigma: 50.0}
      toys: 50
plots: {histograms: [reco_zv_mass], formats: [png]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with two tables, run."""
    folder = make_project(tmp_path_factory.mktemp("resonance"), WORKFLOW)
    assert colonnade_does("run", folder / "workflows" / "search.yaml") == 0
    return folder


def read(project: Path, name: str) -> dict:
    return json.loads((project / "results" / "search" / name).read_text(encoding="utf-8"))


def test_weights_of_a_table_count_for_its_luminosity(project: Path) -> None:
    """6,000 events of weight 0.5 at 139 fb^-1 are 6,000 at twice that; so are the rows of the cutflow."""
    row = read(project, "cutflow.json")["zjets"]["all"][-1]
    assert row["weighted"] == pytest.approx(2 * 0.5 * row["raw"])
    events = read(project, "bumps.json")["fits"]["all"]["signal_events"]
    assert events == pytest.approx(2 * 0.05 * read(project, "cutflow.json")["higgs"]["all"][-1]["raw"], rel=0.01)


def test_the_bump_is_found_where_it_was_put(project: Path) -> None:
    fit = read(project, "bumps.json")["fits"]["all"]
    yields, mean, width = fit["signal_only"]["parameters"][:3]
    assert abs(mean["value"] - 1000) < 5 * mean["error"]
    assert width["value"] == pytest.approx(40, rel=0.1)
    assert yields["value"] == pytest.approx(fit["signal_events"], rel=0.02)
    assert fit["closure"]["toys"] == 50


def test_the_page_shows_the_fits(project: Path) -> None:
    page = (project / "results" / "search" / "report.html").read_text(encoding="utf-8")
    assert 'id="bumps"' in page
    assert page.count("signal and background fit, ") == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pseudo_experiments.experiments=6", "unknown key"),
        ("bumps.fits.all.range=[5000, 6000]", "5000"),
        ("bumps.fits.all.region=cutz", "did you mean cuts"),
        ("bumps.fits.all=3", "bumps.fits.all"),
        ("nothing", "KEY=VALUE"),
        ("processor.deeper=1", "is not a mapping"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    project: Path, change: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = project / "results" / "wrong"
    assert colonnade_does("run", project / "workflows" / "search.yaml", "--output", output, "--set", change) != 0
    said = capsys.readouterr().err
    assert words in said
    assert said.strip().count("\n") == 0
