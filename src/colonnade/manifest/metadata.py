"""What a dataset is, what it is worth, and how a simulated one is made."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from colonnade.config import Settings
from colonnade.errors import EventError

Kind = Literal["data", "background", "signal"]
Range = tuple[float, float | None]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
# an era is part of the names of parameters, and so is a variation
ERA = r"^[A-Za-z0-9]+(_[A-Za-z0-9]+)*$"


class Filter(Settings):
    """Which hard processes are kept, before showers; kept events only are written and counted.

    The cross-section of what is kept is `xsec_pb * filter_efficiency`. A range is a lower and an upper bound,
    the upper one null where there is none.

    Attributes
    ----------
    leptons
        At least this many electrons and muons with pT > 8 GeV and |eta| < 2.7.
    mll
        Mass of the two hardest electrons or muons, in GeV.
    met
        Transverse momentum of everything invisible together, in GeV.
    mt2
        m_T2 of the two hardest electrons or muons and what is invisible, taken as massless, in GeV.
    boson_pt
        Transverse momentum of the hard process's first Z, W or H, in GeV.
    invert
        Keep exactly what would have been dropped.
    """

    leptons: int = Field(default=0, ge=0, le=4)
    mll: Range | None = None
    met: Range | None = None
    mt2: Range | None = None
    boson_pt: Range | None = None
    invert: bool = False

    @field_validator("mll", "met", "mt2", "boson_pt")
    @classmethod
    def _ordered(cls, value: Range | None) -> Range | None:
        if value is not None and (value[0] < 0 or (value[1] is not None and value[1] <= value[0])):
            msg = "must be a lower and a higher bound in GeV, or null for the higher"
            raise ValueError(msg)
        return value


class Generate(Settings):
    """How `colonnade samples` makes a simulated dataset.

    Attributes
    ----------
    settings
        Pythia settings, each `"Name = value"`, on top of 13 TeV proton collisions.
    events
        How many events are written.
    seed
        Same seed, same events, with any number of processes.
    slha
        Lines of an SLHA spectrum, for models that need one.
    filter
        Which generated events are kept.
    weight
        `unit`, or `shat_squared`: the matrix element is multiplied by (s-hat / TeV^2)^2 while sampling, so
        events still weigh the same.
    negative_weights
        The share of events that carry a negative weight, as next-to-leading-order generators make them.
    content
        Collections beside the usual ones: `FatJet`, `Particle`, `GenPart`.
    """

    settings: tuple[str, ...] = Field(min_length=1)
    events: int = Field(gt=0, le=1_000_000_000)
    seed: int = Field(ge=1, le=1_000_000_000)
    slha: tuple[str, ...] = ()
    filter: Filter = Filter()
    weight: Literal["unit", "shat_squared"] = "unit"
    negative_weights: float = Field(default=0.0, ge=0.0, lt=0.5)
    content: tuple[Literal["FatJet", "Particle", "GenPart"], ...] = ()

    @field_validator("settings")
    @classmethod
    def _assignments(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for line in value:
            if not re.match(r"\s*[\w:()+-]+\s*=\s*\S", line):
                msg = f"{line!r} is not of the form 'Name = value'"
                raise ValueError(msg)
            if line.strip().startswith("Random:"):
                msg = f"{line!r} would break reproducibility; give the seed beside the settings"
                raise ValueError(msg)
        return value


_SIMULATION = ("background", "signal"), "data are counted as they are; remove this key or give another kind"
_DATA = ("data",), "only data have a luminosity; the workflow sets what simulation is scaled to"
# the kinds of datasets that have a key, and what is said to others
_OF_KIND: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(
        ("k_factor", "filter_efficiency", "sumw", "weighted_to", "weight", "varies", "stitch"), _SIMULATION
    ),
    **dict.fromkeys(("luminosity", "luminosity_mask"), _DATA),
    "signal": (("signal",), "only a dataset of kind 'signal' has signal parameters"),
}

# `schema` is the manifest's word for the input's layout; pydantic's own, deprecated `schema` is unused here
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message='Field name "schema"', category=UserWarning)

    class Metadata(Settings):
        """What a dataset is and what it is worth.

        Attributes
        ----------
        process
            Datasets of one process are added; their kind must agree.
        kind
            `data`, `background` or `signal`.
        weighted_to
            Luminosity in fb^-1 to which the weights of simulated events are scaled already, instead of a cross-section:
            for tables whose weight is the number of events expected.
        xsec_pb
            Cross-section in pb; required of what is simulated and not weighted already, refused for data.
        k_factor
            Higher-order over the given cross-section.
        filter_efficiency
            The share of the cross-section that the sample holds.
        sumw
            Sum of the generator weights of all events that were generated; else the files' `Runs` trees tell it.
            ``"events"`` where the files hold all of these events, so that the sum over those that are processed is
            taken. Simulated events with generator weights and a cross-section are refused where nothing tells it.
        era
            The data-taking period, one of the workflow's `eras`, which give its luminosity, corrections and parameters.
        extra
            Anything else; `events.metadata` gives it to the processor.
        varies
            Of an alternative sample, the variation of its process that it stands for, such as ``hdamp_up``: it takes
            the place of the process's dataset in its era, or of each where there are several, in the same order.
        stitch
            Of samples that overlap with others of their process: which generated events this one holds, such as
            ``{"LHE.HT": [100, 200]}``, the upper bound excluded, null for none.
        luminosity
            Integrated luminosity in fb^-1, for data.
        luminosity_mask
            Path of a JSON file of certified luminosity blocks, relative to the manifest, for data.
        triggers, priority
            Of data that other primary datasets hold, too: the columns of the triggers that the dataset was recorded by,
            and its rank, 1 first. An event counts where one of the dataset's triggers fired and none of a dataset of
            the same era that comes before it.
        signal
            Parameters of a signal point, such as `m_Zprime`.
        weight
            The column with the generator's weight of simulated events, where it is not `genWeight`; ``"1"`` where
            each event counts once.
        schema
            Layout of the files; else it is detected from the tree.
        generate
            How `colonnade samples` makes the file; made data are pseudo-data.
        source
            Where the numbers come from; for the reader.
        """

        process: str
        kind: Kind
        weighted_to: float | None = Field(default=None, gt=0)
        xsec_pb: float | None = Field(default=None, gt=0, validate_default=True)
        k_factor: float = Field(default=1.0, gt=0)
        filter_efficiency: float = Field(default=1.0, gt=0, le=1)
        sumw: Literal["events"] | float | None = None
        era: str | None = Field(default=None, pattern=ERA)
        extra: Mapping[str, Any] | None = None
        varies: str | None = Field(default=None, pattern=ERA)
        stitch: Mapping[str, tuple[float | None, float | None]] | None = None
        luminosity: float | None = Field(default=None, gt=0)
        luminosity_mask: str | None = None
        triggers: tuple[str, ...] = ()
        priority: int | None = Field(default=None, ge=1, validate_default=True)
        signal: Mapping[str, float | str] = Field(default_factory=dict)
        weight: str | None = None
        schema: str | None = None  # type: ignore[assignment]  # replaces pydantic's deprecated method
        generate: Generate | None = None
        source: str | None = None

        @property
        def weight_column(self) -> str | None:
            """The column that is read as `genWeight`, where one is named."""
            return None if self.weight == "1" else self.weight

        @field_validator("process")
        @classmethod
        def _process_names_a_histogram(cls, value: str) -> str:
            if not NAME.fullmatch(value) or "__" in value:
                msg = "must be letters, digits and _.+- without a double underscore (it names histograms)"
                raise ValueError(msg)
            return value

        @field_validator("xsec_pb")
        @classmethod
        def _cross_section_fits_kind(cls, value: float | None, info: ValidationInfo) -> float | None:
            kind = info.data.get("kind")
            if kind == "data" and value is not None:
                msg = "data have no cross-section; remove this key or give another kind"
                raise ValueError(msg)
            weighted = info.data.get("weighted_to") is not None
            if kind in {"background", "signal"} and value is None and not weighted:
                msg = f"a {kind} needs its cross-section in pb, greater than 0"
                raise ValueError(msg)
            if weighted and value is not None:
                msg = "events that are weighted_to a luminosity have it in their weights; give one of both"
                raise ValueError(msg)
            return value

        @field_validator(*_OF_KIND)
        @classmethod
        def _fits_kind(cls, value: Any, info: ValidationInfo) -> Any:
            kinds, reason = _OF_KIND[str(info.field_name)]
            if value is not None and value != {} and info.data.get("kind", kinds[0]) not in kinds:
                raise ValueError(reason)
            if info.field_name == "sumw" and isinstance(value, float) and value <= 0:
                msg = "a sum of weights that is not positive can't normalise anything"
                raise ValueError(msg)
            return value

        @field_validator("priority")
        @classmethod
        def _of_triggers(cls, value: int | None, info: ValidationInfo) -> int | None:
            triggers = info.data.get("triggers")
            if triggers and info.data.get("kind") != "data":
                msg = "only data have triggers that tell their datasets apart; the analysis selects simulation"
                raise ValueError(msg)
            if (value is None) == bool(triggers):
                msg = "triggers and priority are given together"
                raise ValueError(msg)
            return value


#: what weights may be multiplied by: its square is a number, too
_LARGEST = 1e150


def normalisation(metadata: Metadata, luminosity: float, sumw: float) -> float:
    """Return what a simulated event's generator weight is multiplied by; 1 for data.

    N = L sigma k epsilon, shared over the sum of weights: L [fb^-1] * 1000 * sigma [pb] * k * epsilon / sumw. Events
    whose weights are scaled to a luminosity L0 already count L / L0 times their weight, over the part that was
    processed.

    Parameters
    ----------
    metadata
        The dataset's.
    luminosity
        In fb^-1.
    sumw
        Sum of generator weights of the events that the result holds before any cut; of events that are `weighted_to`
        a luminosity, the part of them that was processed.

    Raises
    ------
    EventError
        If the sum of weights is not positive or not a number, or the factor is too large.

    Examples
    --------
    >>> normalisation(Metadata(process="zz", kind="background", xsec_pb=0.5), luminosity=2.0, sumw=4000.0)
    0.25
    """
    if metadata.kind == "data":
        return 1.0
    if not math.isfinite(sumw) or sumw <= 0:
        msg = (
            f"Process {metadata.process} can't be normalised: its sum of generator weights is {sumw:g}, and a "
            "cross-section is positive; check the weights, or give the whole sample's sumw in the manifest."
        )
        raise EventError(msg)
    if metadata.weighted_to is not None:
        factor = luminosity / metadata.weighted_to / sumw
    else:
        assert metadata.xsec_pb is not None  # noqa: S101 - the settings see to it
        factor = luminosity * 1000.0 * metadata.xsec_pb * metadata.k_factor * metadata.filter_efficiency / sumw
    if factor > _LARGEST:
        msg = f"Process {metadata.process} can't be normalised: its weights times {factor:g} are too large."
        raise EventError(msg)
    return factor
