"""Every expected event is processed or listed as lost, and what was processed is what normalises."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colonnade.config import JsonData
from colonnade.errors import ColonnadeError, InputError, LossError
from colonnade.execution.generator_sums import GeneratorRatio, generator_ratios
from colonnade.execution.merging import fold, pieces_of
from colonnade.manifest.strata import stratum_name
from colonnade.output import write_json

if TYPE_CHECKING:
    from colonnade.execution.plan import DatasetPlan, FilePlan


@dataclass(frozen=True)
class Loss:
    """A range of entries that is not in the result.

    Attributes
    ----------
    file
        The file.
    start, stop
        Entries, `stop` excluded; None where the file could not be opened, so that nobody knows how many it
        has.
    reason
        Why, in one sentence.
    """

    file: str
    start: int
    stop: int | None
    reason: str


@dataclass(frozen=True)
class DatasetLedger:
    """What became of one dataset.

    Attributes
    ----------
    process, kind
        As in the manifest.
    files
        Every file that the dataset names.
    events_expected
        Events that should be in the result; of a file that could not be opened, the average of the others
        is taken.
    events_processed
        Events that are in the result.
    sumw_processed
        Sum of their weights.
    sumw
        What the dataset is normalised by: the sum of weights that stands for the events in the result; 1
        for data; of events whose weights are scaled to a luminosity already, the part that is in the result.
    luminosity_lost
        Of data whose luminosity is known, what the lost events stand for, in fb^-1.
    lost
        Every lost range.
    era
        As in the manifest, where it says one.
    varies
        Of an alternative sample, the variation that it stands for.
    parts
        Of a dataset of several processes, of each part the selected events and the sum of their generator weights.
    strata
        Of a sample that is stitched with others, of each stratum the events and the sum of their generator weights.
    generator
        What each variation of the generator's weight is normalised by.
    """

    process: str
    kind: str
    files: tuple[str, ...]
    events_expected: int
    events_processed: int
    sumw_processed: float
    sumw: float
    luminosity_lost: float | None
    lost: tuple[Loss, ...]
    era: str | None = None
    varies: str | None = None
    parts: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    strata: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    generator: Mapping[str, GeneratorRatio] = field(default_factory=dict)


@dataclass(frozen=True)
class Ledger(JsonData):
    """What became of every dataset of a run.

    Attributes
    ----------
    allow_loss
        The fraction of events that the workflow lets be lost.
    datasets
        By name.
    """

    allow_loss: float
    datasets: Mapping[str, DatasetLedger]

    @property
    def lost_fraction(self) -> float:
        """Fraction of the expected events that is not in the result."""
        expected = sum(entry.events_expected for entry in self.datasets.values())
        processed = sum(entry.events_processed for entry in self.datasets.values())
        return 1 - processed / expected if expected > processed else 0.0

    @property
    def lost(self) -> list[tuple[str, Loss]]:
        """Every lost range with its dataset."""
        return [(name, loss) for name, entry in self.datasets.items() for loss in entry.lost]

    @property
    def too_much_lost(self) -> bool:
        """Whether more is lost than the workflow allows."""
        return bool(self.lost) and (self.allow_loss == 0 or self.lost_fraction > self.allow_loss)

    def check(self) -> None:
        """Refuse a result with more losses than allowed; call it when everything is written.

        Raises
        ------
        LossError
            Naming the first loss.
        """
        if not self.too_much_lost:
            return
        name, first = self.lost[0]
        more = f" ({len(self.lost) - 1} more in ledger.json)" if len(self.lost) > 1 else ""
        events = sum(entry.events_expected - entry.events_processed for entry in self.datasets.values())
        reason = first.reason.rstrip(".")
        where = f"dataset {name}" if first.file in reason else f"dataset {name}, {first.file}"
        msg = (
            f"{events:,} events ({self.lost_fraction:.3%}) are lost, above allow_loss = {self.allow_loss:g}; "
            f"{where}: {reason}{more}. What is written is normalised to what "
            "was processed; mend the input and run again with --resume, or allow the loss."
        )
        raise LossError(msg)

    def require_events(self) -> None:
        """Refuse a dataset without a processed event: nothing can stand for its process.

        Raises
        ------
        StoppedError
            Naming the dataset and its first loss; it has this ledger.
        """
        for name, entry in self.datasets.items():
            if not entry.events_processed:
                reason = next(loss.reason for loss in entry.lost if loss.stop is not None).rstrip(".")
                msg = (
                    f"Dataset {name}: no event could be processed ({reason}); mend its files and run again with "
                    "--resume, or leave the dataset out."
                )
                stopped = StoppedError(msg)
                stopped.ledger = self
                raise stopped

    def write(self, path: Path) -> None:
        """Write `ledger.json`, whole or not at all.

        Raises
        ------
        OutputError
            If the file can't be written.
        """
        write_json(path, {"lost_fraction": self.lost_fraction, **self.to_json()})


class StoppedError(ColonnadeError):
    """The run ended without a result, after its work began.

    Attributes
    ----------
    ledger
        The account of a run that has no result: what is lost by that, and why. To be written by the caller.
    """

    exit_code = 3
    ledger: Ledger | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one dataset: its merged result (None: nothing) and what is lost."""

    result: Any
    losses: tuple[Loss, ...] = ()

    @property
    def events(self) -> int:
        """Events in the result."""
        return 0 if self.result is None else int(self.result["events"])

    @property
    def sumw(self) -> float:
        """Sum of their generator weights."""
        return 0.0 if self.result is None else float(self.result["sumw"])


def entry_of(plan: DatasetPlan, outcome: Outcome, to_nominal: Collection[str] = ()) -> DatasetLedger:
    """Close a dataset's account, with its processes, strata and variations.

    Parameters
    ----------
    plan
        What was expected.
    outcome
        What became of it.
    to_nominal
        Variations of the generator's weight that are normalised to the nominal sum.

    Raises
    ------
    InputError
        If the processed and the lost events do not add up to the expected ones, or the dataset can't be
        normalised.
    """
    about, events, losses, result = plan.metadata, outcome.events, outcome.losses, outcome.result or {}
    lost_here = sum(loss.stop - loss.start for loss in losses if loss.stop is not None)
    if events + lost_here != plan.events:
        msg = (
            f"Dataset {plan.name}: {events} events processed and {lost_here} lost are not the {plan.events} expected; "
            "this is an error of colonnade, please report it."
        )
        raise InputError(msg)
    unopened = [Loss(file.path, 0, None, file.problem) for file in plan.files if file.source is None]
    expected = plan.events + round(_mean_entries(plan.files) * len(unopened))
    share = events / expected if expected else 0.0
    if not events:
        sumw = 0.0
    elif about.kind == "data":
        sumw = 1.0
    elif about.weighted_to is not None:
        sumw = share
    else:
        sumw = effective_sumw(plan, losses, outcome.sumw)
    missing = None
    if about.kind == "data" and about.luminosity is not None:
        missing = about.luminosity * (1 - share) if expected else 0.0
    pieces = pieces_of(result)
    split, generator = (fold({}, *(each.get(key, {}) for each in pieces)) for key in ("split", "generator"))
    entry = DatasetLedger(
        process=about.process,
        kind=about.kind,
        files=tuple(file.path for file in plan.files),
        events_expected=expected,
        events_processed=events,
        sumw_processed=outcome.sumw,
        sumw=sumw,
        luminosity_lost=missing,
        lost=(*unopened, *losses),
        era=about.era,
        varies=about.varies,
        parts={
            f"{about.process}_{part}" if part else about.process: (int(n), float(total))
            for part, (n, total) in split.items()
        },
        strata={
            stratum_name(int(number), plan.extra["strata"]["edges"]): (int(each["events"]), float(each["sumw"]))
            for number, each in result.get("strata", {}).items()
        },
    )
    return replace(entry, generator=generator_ratios(plan, entry, generator, to_nominal))


def lost_outcome(plan: DatasetPlan, reason: str) -> Outcome:
    """Return that nothing of a dataset is in the result, as the run was stopped."""
    lost = [Loss(file.path, 0, file.entries, reason) for file in plan.files if file.source is not None]
    return Outcome(None, tuple(lost))


def effective_sumw(plan: DatasetPlan, losses: Sequence[Loss], sumw_processed: float) -> float:
    r"""Return the sum of generator weights that the processed events stand for.

    A skim's files hold fewer events than were generated, so the events' own weights do not normalise them.
    With the sum of weights S_f that file f's generator made, and n_f of its N_f entries processed,

    .. math:: S = \sum_f S_f \, n_f / N_f .

    S_f comes from the file's `Runs` tree. Where the manifest gives the whole dataset's sum instead, it is
    shared over the files in proportion to their `Runs` sums, else to their entries; a file that could not
    be opened takes what the manifest's sum leaves, where all others have a `Runs` sum, else an average
    share. Without either, or where the manifest says that the files hold all events, S is the sum of the weights of
    the processed events; see `require_known_weights`.

    Parameters
    ----------
    plan
        The dataset.
    losses
        Lost ranges of files that could be opened.
    sumw_processed
        Sum of the weights of the processed events.

    Raises
    ------
    InputError
        If some files have a `Runs` sum and others have not, and the manifest gives none.
    """
    opened = [file for file in plan.files if file.source is not None]
    shares = _processed_shares(opened, losses)
    runs = [source.sumw for source in plan.opened]
    known = [value for value in runs if value is not None]
    total = plan.metadata.sumw
    if total == "events" or (total is None and not known):
        return sumw_processed
    if total is None:
        if len(known) < len(runs):
            without = next(file.path for file, value in zip(opened, runs, strict=True) if value is None)
            msg = (
                f"Dataset {plan.name}: {len(runs) - len(known)} of its files have no sum of weights in a Runs tree "
                f"(the first is {without}) and others do; give the sum of all generated events as sumw in the manifest."
            )
            raise InputError(msg)
        return math.fsum(value * share for value, share in zip(known, shares, strict=True))
    whole = len(opened) == len(plan.files) and all(file.steps is None for file in opened)
    if whole and not losses:
        return total
    if len(known) == len(runs):
        # what the manifest says the generator made, less what is known to be missing
        of_opened = total if len(opened) == len(plan.files) else math.fsum(known)
        scale = of_opened / math.fsum(known) if math.fsum(known) else 1.0
        return scale * math.fsum(value * share for value, share in zip(known, shares, strict=True))
    entries = [source.entries for source in plan.opened]
    everything = sum(entries) + _mean_entries(plan.files) * (len(plan.files) - len(opened))
    return total * math.fsum(count * share for count, share in zip(entries, shares, strict=True)) / everything


def _processed_shares(files: Sequence[FilePlan], losses: Sequence[Loss]) -> list[float]:
    """Return, for each file, the share of its entries that is in the result; 1 for a file without entries."""
    lost: Counter[str] = Counter()
    for loss in losses:
        lost[loss.file] += (loss.stop or 0) - loss.start
    return [
        1 - (source.entries - file.entries + lost[file.path]) / source.entries if source.entries else 1.0
        for file in files
        if (source := file.source) is not None
    ]


def _mean_entries(files: Sequence[FilePlan]) -> float:
    entries = [file.entries for file in files if file.source is not None]
    return sum(entries) / len(entries) if entries else 0.0
