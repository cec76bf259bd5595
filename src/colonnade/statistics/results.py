"""The results of the statistics as they are kept in fit.json: frozen types, written and read by one rule.

Importing this loads nothing heavy: pictures, pages and commands read results without scipy and the likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from colonnade.config import JsonData

Numbers = tuple[float, ...]
# changes below this are shown as none, in percent
_SHOWN = 0.005


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a number rests on and that its reader should know.

    Attributes
    ----------
    kind : {'bound', 'flat', 'empty', 'unexpected', 'infinite', 'toys'}
        A parameter that ended on its bound; one that the data don't constrain; a bin that expects nothing at the best
        fit; events where the model expects none whatever its parameters; a limit or significance without end; a switch
        to pseudo-experiments.
    subject : str
        The parameter, or the channel and bin.
    text : str
        One sentence.
    """

    kind: Literal["bound", "flat", "empty", "unexpected", "infinite", "toys"]
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Significance:
    """Of a signal point: the median if the signal is there with strength 1, and what was seen while not blinded."""

    expected: float
    observed: float | None


@dataclass(frozen=True, slots=True)
class Band:
    """Upper limits on the signal strength.

    Attributes
    ----------
    expected : tuple of float
        At -2, -1, 0, +1 and +2 standard deviations.
    observed : float, optional
        While not blinded.
    """

    expected: Numbers
    observed: float | None

    @property
    def median(self) -> float:
        """The expected limit at 0 standard deviations."""
        return self.expected[2]


@dataclass(frozen=True, slots=True)
class ToyBand(Band):
    """Upper limits by pseudo-experiments with their Monte Carlo errors; `toys` were drawn of each hypothesis."""

    expected_errors: Numbers
    observed_error: float | None
    toys: int


@dataclass(frozen=True, slots=True)
class Limit(Band):
    """The limits that hold, and where pseudo-experiments gave others than the formulas, both."""

    method: Literal["asymptotic", "toys"] = "asymptotic"
    asymptotic: Band | None = None
    toys: ToyBand | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A fitted value and its error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Point:
    """The result of one signal point.

    Attributes
    ----------
    signal : str
        The process.
    parameters : mapping
        Such as m_Zprime.
    significance : Significance
    limit : Limit
        On the signal strength.
    mu_hat : Measured, optional
        The fitted signal strength; none while blinded.
    cross_section_pb : float, optional
        What a signal strength of 1 stands for.
    notes : tuple of Note
        What the numbers rest on.
    """

    signal: str
    parameters: Mapping[str, Any]
    significance: Significance
    limit: Limit
    mu_hat: Measured | None
    cross_section_pb: float | None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class CountingResult:
    """A region as a counting experiment.

    Attributes
    ----------
    region, signal : str
        Which.
    s, b, sigma_b : float
        Expected events and the background's uncertainty.
    z, z_with_uncertainty : float
        `significance` and `asimov_significance`.
    """

    region: str
    signal: str
    s: float
    b: float
    sigma_b: float
    z: float
    z_with_uncertainty: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the background-only fit."""

    name: str
    bestfit: float
    error: float


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was done to the models without being asked for by name; every one is in the report.

    Attributes
    ----------
    kind : str
        `merged bins`, `negative bin`, `symmetrised`, `smoothed`, `pruned`, `left out`, `asimov data`...
    subject : str
        The uncertainty or process it is about, or nothing.
    what : str
        What was done and why; the same words for the same decision, so that they can be told together.
    where : tuple of str
        Channels, each with its process where the subject is an uncertainty.
    """

    kind: str
    subject: str
    what: str
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one uncertainty does to one process in one channel.

    Attributes
    ----------
    parameter, channel, process : str
        Which.
    group : str
        The first group of uncertainties that the parameter is in, such as theory, jets, luminosity or statistics;
        empty where it is in none.
    kind : {'normalisation', 'shape', 'both', 'bins', 'pruned'}
        What it moves: the yield, the shape at a fixed yield, both, each bin on its own, or nothing as it was left out.
    up, down : float
        Relative change of the yield at plus and minus one standard deviation; of `bins` the uncertainty of the sum.
    shape : float
        Largest relative change of a bin beyond that of the yield, of either side.
    sides : {'both', 'one-sided', 'mirrored'}
        Whether the sides differ in sign, both move the yield the same way, or one was filled and the other mirrors it.
    notes : tuple of str
        What building the model did to it and why: smoothed, symmetrised, pruned.
    """

    parameter: str
    channel: str
    process: str
    group: str
    kind: Literal["normalisation", "shape", "both", "bins", "pruned"] = "pruned"
    up: float = 0.0
    down: float = 0.0
    shape: float = 0.0
    sides: Literal["both", "one-sided", "mirrored"] = "both"
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> float:
        """The largest of the relative changes, by which effects are ordered."""
        return max(abs(self.up), abs(self.down), self.shape)

    @property
    def yield_text(self) -> str:
        """The change of the yield in percent: ``+3.1 −2.9 %``, or ``±2 %`` where the sides are alike."""
        if self.kind == "pruned":
            return "left out"
        up, down = _percent(self.up), _percent(self.down)
        if up == down == "0":
            return "–"
        return f"±{up[1:]} %" if up[1:] == down[1:] and up[0] != down[0] else f"{up} {down} %"

    @property
    def bins_text(self) -> str:
        """The largest change of a bin beyond that of the yield, in percent; of `bins` the largest uncertainty."""
        largest = _percent(self.shape)
        return "–" if largest == "0" else f"{largest[1:]} %"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else there is to say, in a word each: bin by bin, one-sided, mirrored, smoothed, pruned."""
        own = ("bin by bin",) if self.kind == "bins" else ()
        side = () if self.sides == "both" else (self.sides,)
        done = (each.partition(":")[0] for each in self.notes)
        return tuple(dict.fromkeys((*own, *side, *done)))


def _percent(change: float) -> str:
    """Write a relative change in percent with its sign and two digits, or as 0 where it is less than 0.005 %."""
    value = 100 * change
    if abs(value) < _SHOWN:
        return "0"
    text = f"{value:+.2g}" if abs(value) < 100 else f"{value:+.0f}"
    return text.replace("-", "−")


@dataclass(frozen=True, slots=True)
class Pull:
    """What a fit learnt about a constrained parameter.

    Attributes
    ----------
    name : str
        The parameter.
    pull : float
        Its best fit less what was measured before, in standard deviations of that measurement.
    constraint : float
        Its error after the fit, in the same.
    """

    name: str
    pull: float
    constraint: float


@dataclass(frozen=True, slots=True)
class Impact:
    """How a parameter's uncertainty moves the parameter of interest.

    Attributes
    ----------
    name : str
        The parameter.
    prefit_up, prefit_down, postfit_up, postfit_down : float
        Change of the parameter of interest when the parameter is held one standard deviation (before or after the fit)
        above or below its best fit.
    """

    name: str
    prefit_up: float
    prefit_down: float
    postfit_up: float
    postfit_down: float

    @property
    def size(self) -> float:
        """The larger of the two post-fit changes."""
        return max(abs(self.postfit_up), abs(self.postfit_down))


@dataclass(frozen=True, slots=True)
class Goodness:
    """Goodness of fit against the saturated model.

    Attributes
    ----------
    statistic : float
        Twice the difference of the negative log-likelihoods.
    degrees : int
        Bins less free parameters.
    p_value : float
        From the chi-square distribution; not a number where there are no degrees of freedom.
    """

    statistic: float
    degrees: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Correlations:
    """Of n fitted parameters that some other parameter goes with: names, and the matrix of shape (n, n)."""

    parameters: tuple[str, ...]
    matrix: tuple[Numbers, ...]


@dataclass(frozen=True, slots=True)
class ScanCurve:
    """The likelihood profiled along a parameter: its values, and twice the rise of the negative log-likelihood."""

    parameter: str
    bestfit: float
    error: float
    values: Numbers
    delta: Numbers


@dataclass(frozen=True, slots=True)
class Yields:
    """Expected events of one channel with n bins, before or after a fit.

    Attributes
    ----------
    samples : mapping of str to tuple of float
        Sample to the events of each bin.
    sample_totals : mapping of str to pair of float
        Sample to its events and their standard deviation.
    errors : tuple of float
        Standard deviation of the total of each bin.
    groups : mapping of str to tuple of float
        Group of uncertainties to its part of that.
    total, total_error : float
        Of the whole channel.
    """

    samples: Mapping[str, Numbers]
    sample_totals: Mapping[str, tuple[float, float]]
    errors: Numbers
    groups: Mapping[str, Numbers]
    total: float
    total_error: float


@dataclass(frozen=True, slots=True)
class SignalYields:
    """The signal's name, and the events of strength 1 in each bin."""

    name: str
    events: Numbers


@dataclass(frozen=True, slots=True)
class ChannelYields:
    """What a channel holds: edges of its bins and data, where they are known and may be seen, and expected events."""

    edges: Numbers | None
    observed: Numbers | None
    signal: SignalYields | None
    prefit: Yields
    postfit: Yields


@dataclass(frozen=True, slots=True)
class DiagnosisSummary(JsonData):
    """What is looked at to understand the fit of a model; from `diagnose`.

    Attributes
    ----------
    strength : float, optional
        Ranking and scans are of the Asimov data of this signal strength; without it of the data.
    pulls, ranking, scans : tuple
        Of the parameters.
    correlations : Correlations
    goodness : Goodness, optional
        Where there are data to compare with.
    yields : mapping of str to ChannelYields
        By channel.
    """

    strength: float | None
    pulls: tuple[Pull, ...]
    ranking: tuple[Impact, ...]
    correlations: Correlations
    goodness: Goodness | None
    scans: tuple[ScanCurve, ...]
    yields: Mapping[str, ChannelYields]


@dataclass(frozen=True, slots=True)
class FitSummary(JsonData):
    """All results of a run's statistics, as fit.json holds them.

    Attributes
    ----------
    luminosity : float
        In fb^-1.
    blinded : bool
        Whether a channel of a signal region is blinded, so that nothing observed was computed.
    observed_channels : tuple of str
        Channels whose data were used.
    level : float
        Confidence level of the limits.
    points, counting : tuple
        Results by signal point and counting region.
    parameters : tuple of Parameter
        Of the background-only fit.
    reference : str
        The signal point that `diagnostics` and `systematics` are of.
    diagnostics : DiagnosisSummary
        Of its fit.
    systematics : tuple of Effect
        What each uncertainty does.
    decisions : tuple of Decision
        What building the models did.
    """

    luminosity: float
    blinded: bool
    observed_channels: tuple[str, ...]
    level: float
    points: tuple[Point, ...]
    counting: tuple[CountingResult, ...]
    parameters: tuple[Parameter, ...]
    reference: str
    diagnostics: DiagnosisSummary
    systematics: tuple[Effect, ...]
    decisions: tuple[Decision, ...]
