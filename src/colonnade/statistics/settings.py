"""What the workflow's YAML says about the statistical model; importable without pyhf."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from colonnade.config import Settings

Positive = Annotated[float, Field(gt=0)]


class ChosenBins(Settings):
    """Bins that the statistical error of the simulation chooses, for each signal point its own; see `binning`.

    Attributes
    ----------
    error : float
        Largest relative statistical error of the signal and of the background in each bin.
    """

    error: Positive = 0.15


class ChannelSettings(Settings):
    """One channel of the likelihood: a region's histogram in a binning.

    Attributes
    ----------
    histogram : str
        Name of a declared histogram. `{PARAMETER}` in it stands for the value of a parameter of the signal point, so
        that `score_{m_Zprime}` is `score_130` for a signal of 130 GeV.
    region : str, optional
        The region it is filled in; without it the channel's own name.
    rebin : int, optional
        Merge so many neighbouring bins; the count of bins must be divisible by it.
    edges : tuple of float, optional
        New bin edges, each one of the histogram's; in place of `rebin`.
    bins : ChosenBins, optional
        Edges chosen among the histogram's, in place of both.
    flow : bool, optional
        Whether the events outside the edges, underflow and overflow among them, are added to the first and last bin.
        By default they are; edges narrower than the histogram's need it to be said, as both are usual: a window
        (false), or last bins that are open (true).
    processes : tuple of str
        Names or globs of the backgrounds in this channel; without them every background.
    """

    histogram: str
    region: str | None = None
    rebin: Annotated[int, Field(ge=1)] | None = None
    edges: tuple[float, ...] | None = None
    bins: ChosenBins | None = None
    flow: bool | None = None
    processes: tuple[str, ...] = ("*",)

    @model_validator(mode="after")
    def _one_binning(self) -> ChannelSettings:
        if sum(given is not None for given in (self.rebin, self.edges, self.bins)) > 1:
            msg = "give one of rebin, edges and bins"
            raise ValueError(msg)
        if self.edges is not None and (len(self.edges) < 2 or any(high <= low for low, high in pairwise(self.edges))):
            msg = "edges must be at least two increasing numbers"
            raise ValueError(msg)
        return self

    def depends_on_signal(self) -> bool:
        """Tell whether each signal point has templates of its own."""
        return self.bins is not None or "{" in self.histogram


class SystematicSettings(Settings):
    """One systematic uncertainty: what it moves, where, and by how much.

    Entries of one name share one nuisance parameter, so they are fully correlated.

    Attributes
    ----------
    name : str
        Name of the nuisance parameter.
    type : {'normsys', 'histosys', 'shapesys'}
        Normalisation, correlated shape (and normalisation), or shape without correlation between bins.
    processes, regions : tuple of str
        Names or globs of the processes (signals too) and channels it applies to.
    variation : str, optional
        Name of a variation in the histograms: `VARIATION_up` and `VARIATION_down` are its templates. A
        `normsys` takes their normalisation alone.
    up, down : float, optional
        Factors on the yield at plus and minus one standard deviation of a `normsys`; without `down` it is
        1/up.
    size : float, optional
        Relative uncertainty of each bin of a `shapesys`.
    symmetrise : {'one-sided', 'mean'}
        `one-sided` mirrors a variation that has only one side, and takes both sides as they are; `mean` makes every
        variation symmetric with the mean of both sides.
    smooth : bool
        Smooth the ratio of a `histosys` template to the nominal one (353QH, twice).
    combine : {'hessian', 'asymmetric_hessian', 'replicas', 'envelope'}, optional
        The variation has members, `VARIATION_0` and so on, which become its up and down; see `members`.
    alpha_s : str, optional
        The variation of the strong coupling, added in quadrature to what members are combined to.
    normalise : {'own', 'nominal'}
        Of a variation of the generator's weight: whether it is normalised to its own sum of weights over all events,
        so that it changes shapes and acceptances, or to the nominal one, so that it changes the cross-section, too.
    group : str
        Name of a group of uncertainties, such as theory or jets, that pictures and tables show together.
    decorrelate : {'none', 'channel', 'process', 'era'}
        One nuisance parameter a channel, process or era, named NAME_CHANNEL, NAME_PROCESS or NAME_ERA.
    correlation : float
        How far the uncertainties of any two eras are correlated: rho between 0 and 1 makes of the parameter of an era
        sqrt(rho) NAME + sqrt(1 - rho) NAME_ERA, each of these two with a constraint of its own.
    """

    name: str
    type: Literal["normsys", "histosys", "shapesys"]
    processes: tuple[str, ...] = ("*",)
    regions: tuple[str, ...] = ("*",)
    variation: str | None = None
    up: Positive | None = None
    down: Positive | None = None
    size: Positive | None = None
    symmetrise: Literal["one-sided", "mean"] = "one-sided"
    smooth: bool = False
    combine: Literal["hessian", "asymmetric_hessian", "replicas", "envelope"] | None = None
    alpha_s: str | None = None
    normalise: Literal["own", "nominal"] = "own"
    group: str = ""
    decorrelate: Literal["none", "channel", "process", "era"] = "none"
    correlation: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _complete(self) -> SystematicSettings:
        up, variation = self.up is not None, self.variation is not None
        needs = {
            "histosys": ("`variation`", variation),
            "normsys": ("either `up` (and `down`) or `variation`", variation != up),
            "shapesys": ("`size`", self.size is not None),
        }
        what, given = needs[self.type]
        owners = {"up": "normsys", "down": "normsys", "size": "shapesys", "smooth": "histosys"}
        faults = [
            f"`{option}` belongs to a {kind}, and {self.name} is a {self.type}"
            for option, kind in owners.items()
            if self.type != kind and getattr(self, option)
        ]
        if not given:
            faults.insert(0, f"the {self.type} {self.name} needs {what}")
        if self.by_era and self.type == "shapesys":
            faults.append(f"the shapesys {self.name} has a parameter for each bin, so eras can't have their own")
        if self.decorrelate == "era" and self.correlation < 1:
            faults.append(f"{self.name} has decorrelate: era, which is correlation: 0; give one of both")
        if self.combine is None and self.alpha_s is not None:
            faults.append(f"`alpha_s` of {self.name} is added to members, so it needs `combine`")
        if not variation and (self.combine is not None or self.normalise != "own"):
            faults.append(f"`combine` and `normalise` of {self.name} are of a variation; give its name")
        if faults:
            raise ValueError(faults[0])
        return self

    @property
    def rho(self) -> float:
        """The correlation between any two eras."""
        return 0.0 if self.decorrelate == "era" else self.correlation

    @property
    def by_era(self) -> bool:
        """Whether eras have parameters of their own."""
        return self.rho < 1


class NormalisationSettings(Settings):
    """A background normalisation that the fit finds, held by control regions.

    Attributes
    ----------
    name : str
        Name of the free parameter, 1 being the simulation's own normalisation.
    processes, regions : tuple of str
        Names or globs of what it multiplies.
    control : tuple of str
        Channels that determine it: each must be in the model and hold the process.
    bounds : tuple of two float
        Range of the parameter.
    """

    name: str
    processes: tuple[str, ...]
    regions: tuple[str, ...] = ("*",)
    control: Annotated[tuple[str, ...], Field(min_length=1)]
    bounds: tuple[float, float] = (0.0, 10.0)


class AbcdSettings(Settings):
    """A background that is made of data by the ABCD method inside the likelihood, where A = B C / D.

    Free parameters are the yields in B (of each bin, which A shares) and D, and the ratio of C and D.

    Attributes
    ----------
    process : str
        A background of the workflow's `data_driven`, of method `abcd`.
    channels : tuple of four str
        The model's channels A, B, C and D. A and B have the same bins.
    """

    process: str
    channels: tuple[str, str, str, str]


class StatisticalSettings(Settings):
    """The uncertainty of a limited number of simulated events (one parameter a bin: Barlow-Beeston lite).

    Attributes
    ----------
    enabled : bool
        Whether it is in the model.
    signal : bool
        Whether the signal's own statistical uncertainty is added to the backgrounds'.
    threshold : float
        Bins of less relative uncertainty get no parameter.
    """

    enabled: bool = True
    signal: bool = False
    threshold: Annotated[float, Field(ge=0)] = 0.005


class PruningSettings(Settings):
    """Which systematic effects are too small to keep.

    Attributes
    ----------
    normalisation : float
        A normalisation effect below this relative size (both sides) is dropped.
    shape : float
        A shape effect below this relative size in every bin is dropped.
    """

    normalisation: Annotated[float, Field(ge=0)] = 0.0005
    shape: Annotated[float, Field(ge=0)] = 0.0005


class LimitSettings(Settings):
    """How limits are set.

    Attributes
    ----------
    level : float
        Confidence level of the CLs upper limit.
    method : {'auto', 'asymptotic', 'toys'}
        `auto` adds toys where too few background events are expected for the asymptotic formulas.
    toys : int
        Pseudo-experiments of each hypothesis at each tested signal strength.
    seed : int
        Seed of the pseudo-experiments.
    few : float
        Expected background events, in the bins that together hold nine tenths of the sensitivity, below which `auto`
        takes toys.
    """

    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    method: Literal["auto", "asymptotic", "toys"] = "auto"
    toys: Annotated[int, Field(ge=100)] = 2000
    seed: int = 1
    few: Annotated[float, Field(ge=0)] = 5.0


class CountingSettings(Settings):
    """A region whose total yields are compared as a counting experiment; a number alone is its `uncertainty`.

    Attributes
    ----------
    histogram : str, optional
        A histogram with one entry an event, whose sum is the yield; without it the first that holds the
        region.
    uncertainty : float
        Relative uncertainty of the background, beside that of the number of simulated events.
    """

    histogram: str | None = None
    uncertainty: Annotated[float, Field(ge=0)] = 0.2

    @model_validator(mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return {"uncertainty": value} if isinstance(value, int | float) else value


class ModelSettings(Settings):
    """The whole statistical model of an analysis.

    Attributes
    ----------
    channels : mapping of str to ChannelSettings
        The regions that enter the likelihood.
    signals : tuple of str
        Names or globs of signal processes; each is a model of its own.
    poi : str
        Name of the signal strength.
    luminosity_uncertainty : float
        Relative; 0 leaves it out. It applies to every simulated process but those normalised by the fit.
    luminosity_uncertainties : mapping of str to mapping
        Parameter to the relative uncertainty of the luminosity of each era that it moves, by name; in place of
        `luminosity_uncertainty`. Experiments publish them so: parts that all eras share beside parts of one era.
    systematics, normalisations, statistical, pruning, limit
        See the classes.
    abcd : tuple of AbcdSettings
        Backgrounds made of data whose yields the fit finds with A = B C / D.
    counting : mapping of str to CountingSettings
        Regions whose total yields are compared by the significance of `colonnade.statistics.significance`.
    """

    channels: Annotated[Mapping[str, ChannelSettings], Field(min_length=1)]
    signals: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    poi: str = "mu"
    luminosity_uncertainty: Annotated[float, Field(ge=0, lt=1)] = 0.0
    luminosity_uncertainties: Mapping[str, Mapping[str, Annotated[float, Field(gt=0, lt=1)]]] = {}
    systematics: tuple[SystematicSettings, ...] = ()
    normalisations: tuple[NormalisationSettings, ...] = ()
    abcd: tuple[AbcdSettings, ...] = ()
    statistical: StatisticalSettings = StatisticalSettings()
    pruning: PruningSettings = PruningSettings()
    limit: LimitSettings = LimitSettings()
    counting: Mapping[str, CountingSettings] = {}

    @model_validator(mode="after")
    def _unambiguous(self) -> ModelSettings:
        known: dict[str | None, SystematicSettings] = {}
        for each in self.systematics:
            first = known.setdefault(each.variation, each)
            ways = ((one.combine, one.alpha_s, one.normalise) for one in (first, each))
            if each.variation is not None and len(set(ways)) > 1:
                msg = f"{first.name} and {each.name} take {each.variation} with another combine, alpha_s or normalise"
                raise ValueError(msg)
        if self.luminosity_uncertainty and self.luminosity_uncertainties:
            msg = "give one of luminosity_uncertainty and luminosity_uncertainties"
            raise ValueError(msg)
        return self
