r"""What variations of the generator's weight are normalised by: their sums over all events that were generated.

A variation m multiplies each event's weight w by r_m. Normalised to its own sum, it keeps the cross-section of the
sample and changes shapes and acceptances alone: its histograms are divided by

.. math:: R_m = \sum w r_m / \sum w

over all generated events. Of a sample whose files hold all of them that is the sum over what was processed. A skim's
files tell it in their ``Runs`` trees, as CMS's NanoAOD writes them: ``LHEPdfSumw`` is for each run the sum of w r_m in
units of that run's ``genEventSumw``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from colonnade.errors import InputError
from colonnade.faults import translated

if TYPE_CHECKING:
    from colonnade.execution.ledger import DatasetLedger
    from colonnade.execution.plan import DatasetPlan

# how far the sum of what was processed may be from that of what was generated, in a sample that is whole; where parts
# are lost the latter is an estimate
_ROUNDING, _ESTIMATE = 1e-5, 0.1
# between what a variation may change the cross-section; sums outside are not relative to the nominal one
_LEAST, _MOST = 0.1, 10.0
_NAMES = ("genEventSumw", "genEventSumw_")


@dataclass(frozen=True)
class GeneratorRatio:
    """What became of one variation of a dataset.

    Attributes
    ----------
    ratio
        Its sum of weights over the nominal one, R_m.
    source
        Where that was found: in the events, in the ``Runs`` trees; or nowhere, as it is normalised to the nominal sum.
    at_nominal
        In how many events it was missing, and counted as nominal.
    """

    ratio: float
    source: Literal["events", "Runs", "nominal"]
    at_nominal: int


def generator_ratios(
    plan: DatasetPlan, entry: DatasetLedger, sums: Mapping[str, Any], to_nominal: Collection[str]
) -> dict[str, GeneratorRatio]:
    """Return what the variations of a dataset are normalised by.

    Parameters
    ----------
    plan
        The dataset.
    entry
        Its account.
    sums
        For each variation what its chunks add up to.
    to_nominal
        Names of variations, without ``_up`` or number, that stay normalised to the nominal sum.

    Raises
    ------
    InputError, TransientInputError
        If the sum over the generated events is not known, can't be one, or can't be read.
    """
    generated = entry.sumw
    if plan.metadata.weighted_to is not None:
        told = plan.metadata.sumw
        generated = told if isinstance(told, float) else entry.sumw_processed
    whole = math.isclose(generated, entry.sumw_processed, rel_tol=_ESTIMATE if entry.lost else _ROUNDING)
    wanted = {name: each for name, each in sums.items() if name.rpartition("_")[0] not in to_nominal}
    columns = {each["runs"].partition("[")[0] for each in wanted.values()} - {""}
    runs = {} if whole or not wanted else _of_runs(plan, sorted(columns))
    made = {}
    ratio: float
    source: Literal["events", "Runs", "nominal"]
    for name, each in sums.items():
        advice = f"say `normalise: nominal` of the systematic {name.rpartition('_')[0]}"
        ratio, source = 1.0, "nominal"
        if name in wanted and whole:
            ratio, source = each["sumw"] / entry.sumw_processed if entry.sumw_processed else math.nan, "events"
        elif name in wanted:
            column, _, place = each["runs"].partition("[")
            found, at = runs.get(column, []), int(place.rstrip("]") or -1) if column else -1
            if not 0 <= at < len(found):
                msg = (
                    f"Dataset {plan.name} is a skim, and the sum of {name} over its generated events is not in the "
                    f"Runs trees ({each['runs'] or 'no column is known'}); {advice}, or take the variation "
                    "out of generator()."
                )
                raise InputError(msg)
            ratio, source = found[at], "Runs"
        if not _LEAST < ratio < _MOST:
            msg = (
                f"Dataset {plan.name}: the sum of weights of {name} is {ratio:.6g} times the nominal one ({source}), "
                f"so it can't normalise; {advice}."
            )
            raise InputError(msg)
        made[name] = GeneratorRatio(ratio, source, each["at_nominal"])
    return made


def _of_runs(plan: DatasetPlan, columns: Sequence[str]) -> dict[str, list[float]]:
    """Return the sums of weights of a dataset's files, each over the nominal one."""
    paths = [source.path for source in plan.opened]
    with ThreadPoolExecutor(min(8, max(len(paths), 1))) as threads:
        found = list(threads.map(lambda path: _of_file(path, columns), paths))
    total = math.fsum(nominal for nominal, _ in found)
    made: dict[str, list[float]] = {}
    for column in columns:
        vectors = [sums[column] for _, sums in found]
        lengths = {len(vector) for vector in vectors}
        if len(lengths) > 1:
            shown = ", ".join(str(length) for length in sorted(lengths))
            msg = f"Dataset {plan.name}: the Runs trees of its files have different lengths of {column}: {shown}."
            raise InputError(msg)
        made[column] = [math.fsum(each) / total for each in zip(*vectors, strict=True)] if total else []
    return made


def _of_file(path: str, columns: Sequence[str]) -> tuple[float, dict[str, list[float]]]:
    """Return the nominal sum of weights of a file, and those of vectors, over its runs."""
    import uproot

    with translated(f"{path}, tree Runs, can't be read", remote="://" in path), uproot.open(path) as file:
        if "Runs" not in file.keys(cycle=False):
            return 0.0, {column: [] for column in columns}
        runs = file["Runs"].arrays(filter_name=[*_NAMES, *columns, *(f"{column}_" for column in columns)])
    nominal: list[float] = next((runs[name].to_list() for name in _NAMES if name in runs.fields), [])
    made = {}
    for column in columns:
        rows: list[Any] = next((runs[name].to_list() for name in (column, f"{column}_") if name in runs.fields), [])
        vectors = [[total * each for each in row] for total, row in zip(nominal, rows, strict=False)]
        made[column] = [math.fsum(each) for each in zip(*vectors, strict=False)]
    return math.fsum(nominal), made
