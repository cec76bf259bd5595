"""The tables of docs/resonances.md and of the study's page."""

from __future__ import annotations

__all__ = ["Table", "bump_tables", "sculpting_table"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from colonnade.report.text import fixed, measured, significant
from colonnade.statistics.resonance import Bumps
from colonnade.statistics.resonance.results import Parameter
from studies.heavy_higgs.sculpting import Sculpting
from studies.tables import table


@dataclass(frozen=True)
class Table:
    """Rows of text under a sentence that says what they are."""

    about: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def lines(self) -> Iterator[str]:
        """Yield the lines in Markdown."""
        yield self.about
        yield ""
        yield from table(self.head, self.rows)


def bump_tables(found: Bumps) -> Iterator[Table]:
    """Yield what the bump fits of a run found, and their checks."""
    rows, checks = [], []
    for name, fit in found.fits.items():
        both, good = fit.both.luminosity, fit.background_only.goodness
        mean, width = ("given",) * 2 if fit.signal_only is None else map(_value, fit.signal_only.parameters[1:3])
        rows.append(
            (
                name, significant(fit.signal_events), significant(fit.background_events), mean, width,
                f"{good.chi2:.1f} / {good.ndf}", _value(both.n_signal_total), fixed(both.z_wilks),
                fixed(both.z_counting), fixed(fit.both.mc_statistics.z_wilks),
            )
        )  # fmt: skip
        if fit.closure is not None and fit.wilks is not None:
            pulls = fit.closure
            checks.append(
                (
                    name, str(pulls.toys), str(pulls.failed), " ± ".join(measured(pulls.mean, pulls.mean_error)),
                    " ± ".join(measured(pulls.width, pulls.width_error)), significant(fit.wilks.wilks_p),
                    _value(fit.spurious_signal),
                )
            )  # fmt: skip
    yield Table(
        f"Signal and background in the selection at {found.luminosity:g} fb⁻¹, the signal's shape fitted to the "
        "signal alone, χ² of the background alone, and the signal that the fit of both finds:",
        ("selection", "signal", "background", "mean [GeV]", "width [GeV]", "χ²/ndf", "fitted signal",
         "Z at luminosity", "Z by counting", "Z of MC statistics"),
        rows,
    )  # fmt: skip
    yield Table(
        "Toys with the signal injected, toys without, and the signal that a fit of the background alone finds:",
        ("selection", "toys", "failed", "pull mean", "pull width", "Wilks: p", "spurious signal"),
        checks,
    )


def sculpting_table(found: Mapping[str, Sculpting], window: tuple[float, float]) -> Table:
    """Return how much selections bend the background's mass spectrum, by selection."""
    low, high = window
    return Table(
        "How much each selection bends the background's mass spectrum (1: not at all):",
        ("selection", f"fraction in {low:g} to {high:g} GeV, after / before", "divergence [bit]", "by chance"),
        [
            (
                name, " ± ".join(measured(row.window_ratio, row.window_ratio_error)), significant(row.divergence),
                " ± ".join(measured(row.divergence_expected, row.divergence_error)),
            )
            for name, row in found.items()
        ],
    )  # fmt: skip


def _value(parameter: Parameter) -> str:
    return " ± ".join(measured(parameter.value, parameter.error))
