"""`colonnade fit`: significances and limits of a run, or the fit of any model."""

from __future__ import annotations

__all__ = ["command"]

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from colonnade.statistics.analysis import AnalysisResult
    from colonnade.statistics.likelihood import Likelihood

_VIEWS = ("pulls", "ranking", "correlations", "goodness", "yields")


@click.command("fit")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--pulls", is_flag=True, help="What the fit learnt about each constrained parameter.")
@click.option("--ranking", is_flag=True, help="How each parameter's uncertainty moves the signal strength.")
@click.option("--correlations", is_flag=True, help="Correlations of the fitted parameters.")
@click.option("--goodness", is_flag=True, help="Goodness of fit against the saturated model.")
@click.option("--yields", is_flag=True, help="Expected events before and after the fit.")
@click.option("--scan", metavar="PARAMETER", help="The likelihood profiled along a parameter (models only).")
@click.option(
    "--patchset",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of patches for a workspace.",
)
@click.option("--patch", metavar="NAME", help="Which patch.")
@click.option("--measurement", metavar="NAME", help="Which measurement of a workspace; by default its first.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    target: Path,
    *,
    scan: str | None,
    patchset: Path | None,
    patch: str | None,
    measurement: str | None,
    as_json: bool,
    **views: bool,
) -> None:
    """Fit TARGET: the output folder of a run, or a file that holds a model.

    Of a run, workspace.json, patchset.json and fit.json are written anew. A model may be a pyhf workspace, HS3, a
    Combine datacard, HistFactory XML or a cabinetry configuration; it is fitted to its own data.
    """
    from rich.console import Console

    if target.is_dir():
        from colonnade.statistics import refit
        from colonnade.statistics.results import fit_summary

        result = refit(target)
        content = fit_summary(result)
        if not as_json:
            print_points(result)
    else:
        content = _fit_model(target, patchset, patch, measurement, scan, quiet=as_json)
    if as_json:
        import json

        click.echo(json.dumps(content, indent=2))
        return
    console = Console()
    for view in _VIEWS:
        if views[view]:
            _print_view(console, view, content["diagnostics"])


def _fit_model(
    path: Path,
    patchset: Path | None,
    patch: str | None,
    measurement: str | None,
    scan: str | None,
    *,
    quiet: bool,
) -> dict[str, Any]:
    from colonnade.statistics import Likelihood, discovery
    from colonnade.statistics.diagnostics import diagnose
    from colonnade.statistics.diagnostics import scan as profile
    from colonnade.statistics.formats import read_model
    from colonnade.statistics.results import diagnosis_summary

    model = read_model(path, patchset=patchset, patch=patch, measurement=measurement)
    likelihood = Likelihood(model)
    found = diagnose(likelihood)
    content: dict[str, Any] = {
        "parameters": [
            {"name": label, "bestfit": float(value), "error": float(error)}
            for label, value, error in zip(found.fit.labels, found.fit.values, found.fit.errors, strict=True)
        ],
        "nll": found.fit.nll,
        "diagnostics": diagnosis_summary(found, model),
    }
    if likelihood.poi is not None:
        test = discovery(likelihood)
        content["significance"] = {"observed": test.z, "mu_hat": test.mu_hat}
    if scan is not None:
        curve = profile(likelihood, found.fit, scan)
        content["scan"] = {"parameter": scan, "values": curve.values.tolist(), "delta": curve.delta.tolist()}
    if not quiet:
        _print_fit(likelihood, content)
    return content


def _print_fit(likelihood: Likelihood, content: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    shape = f"{len(likelihood.model.channels)} channels, {likelihood.bins} bins, {len(likelihood.labels)} parameters"
    table = Table(title=f"Best fit: {shape}")
    for column in ("parameter", "best fit", "error"):
        table.add_column(column, justify="left" if column == "parameter" else "right")
    for each in content["parameters"]:
        error = "constant" if each["error"] == 0 else f"{each['error']:.4g}"
        table.add_row(each["name"], f"{each['bestfit']:.4g}", error)
    console.print(table)
    if "significance" in content:
        console.print(f"significance {content['significance']['observed']:.3f}", highlight=False)
    if "scan" in content:
        _print_rows(
            console,
            f"Twice the change of the negative log-likelihood along {content['scan']['parameter']}",
            ("value", "change"),
            [
                (f"{value:.5g}", f"{delta:.4g}")
                for value, delta in zip(content["scan"]["values"], content["scan"]["delta"], strict=True)
            ],
        )


def _print_view(console: Console, view: str, found: dict[str, Any]) -> None:
    if view == "pulls":
        rows = [(each["name"], f"{each['pull']:+.3f}", f"{each['constraint']:.3f}") for each in found["pulls"]]
        _print_rows(
            console, "Pulls and constraints, in prior standard deviations", ("parameter", "pull", "error"), rows
        )
    elif view == "ranking":
        keys = ("prefit_up", "prefit_down", "postfit_up", "postfit_down")
        rows = [(each["name"], *(f"{each[key]:+.4f}" for key in keys)) for each in found["ranking"]]
        columns = ("parameter", "prior up", "prior down", "fitted up", "fitted down")
        _print_rows(console, "Impact on the signal strength", columns, rows)
    elif view == "correlations":
        names = found["correlations"]["parameters"]
        pairs = [
            (abs(value), (names[i], names[j], f"{value:+.3f}"))
            for i, line in enumerate(found["correlations"]["matrix"])
            for j, value in enumerate(line)
            if j < i
        ]
        rows = [row for _, row in sorted(pairs, reverse=True)[:30]]
        _print_rows(console, "The largest correlations", ("parameter", "parameter", "correlation"), rows)
    elif view == "goodness":
        goodness = found["goodness"]
        text = "no data to compare with, or no degrees of freedom"
        if goodness is not None:
            text = f"{goodness['statistic']:.2f} for {goodness['degrees']} degrees of freedom"
            text += f", p = {goodness['p_value']:.4f}"
        console.print(f"goodness of fit: {text}", highlight=False)
    else:
        rows = [
            (
                name,
                seen,
                *(f"{each[key]['total']:.4g} ± {each[key]['total_error']:.3g}" for key in ("prefit", "postfit")),
            )
            for name, each in found["yields"].items()
            for seen in ["–" if each["observed"] is None else f"{sum(each['observed']):g}"]
        ]
        _print_rows(console, "Expected events", ("channel", "observed", "before the fit", "after the fit"), rows)


def _print_rows(console: Console, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.table import Table

    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_points(result: AnalysisResult) -> None:
    """Print a table of the signal points."""
    from rich.console import Console
    from rich.table import Table

    level = f"{100 * result.points[0].limits.level:g} %"
    state = "expected only" if result.blinded else "expected and observed"
    table = Table(title=f"{result.luminosity:g} fb⁻¹, {state}; upper limits on mu at {level}")
    table.add_column("signal")
    columns = ["Z exp.", "limit exp.", "-1 sigma", "+1 sigma"]
    if not result.blinded:
        columns += ["Z obs.", "limit obs.", "mu"]
    if any(point.toys is not None for point in result.points):
        columns.append("by toys")
    for column in columns:
        table.add_column(column, justify="right")
    for point in result.points:
        expected = point.limits.expected
        row = [point.signal, f"{point.expected.z:.2f}", *(f"{expected[index]:.3g}" for index in (2, 1, 3))]
        if point.observed is not None and point.limits.observed is not None:
            row += [
                f"{point.observed.z:.2f}",
                f"{point.limits.observed:.3g}",
                f"{point.mu_hat:.2f} ± {point.mu_error:.2f}",
            ]
        if point.toys is not None:
            row.append(f"{point.toys.expected[2]:.3g} ± {point.toys.expected_errors[2]:.1g}")
        table.add_row(*row)
    Console().print(table)
