"""What a model file `models/NAME.py` says: features, target, weighting, network or trees, folds.

Declarations are checked when they are made, so a mistake is found before any event is read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import ValidationError

from colonnade.errors import ConfigError, nearest
from colonnade.inference import Card, CollectionCard, Feature, ParameterCard

# what each of them does is said in `training.weights`
WEIGHTINGS = (
    "none",
    "mc",
    "background_ratio",
    "signal_up_raw",
    "signal_up_weighted",
    "background_down_raw",
    "background_down_weighted",
    "equal_points",
    "equal_cells",
)
NEGATIVE_POLICIES = ("absolute", "drop", "keep")
NORMALISATIONS = ("none", "minmax", "zscore", "asinh", "batch", "layer")
SCHEDULES = ("constant", "cosine")
ACTIVATIONS = ("relu", "silu", "tanh")
POOLS = ("sum", "mean")


def check_name(what: str, value: str, known: Iterable[str]) -> None:
    """Refuse a name that is not one of the known ones.

    Raises
    ------
    ConfigError
        The message gives the nearest one.
    """
    if value not in known:
        msg = f"{what} = '{value}' is unknown{nearest(value, known)}; known: {', '.join(known) or 'none'}."
        raise ConfigError(msg)


def _check(declared: Any, positive: Iterable[str], **known: Iterable[str]) -> None:
    """Refuse fields, or entries of those that are tuples, that must be positive and are not, and unknown names."""
    for field_name in (*positive, *known):
        given = getattr(declared, field_name)
        for value in given if isinstance(given, tuple) else (given,):
            if field_name in known:
                check_name(field_name, value, known[field_name])
            elif not value > 0:
                msg = f"{field_name} = {value} must be greater than 0."
                raise ConfigError(msg)


@dataclass(frozen=True)
class Collection:
    """Objects of a jagged collection and their features.

    Attributes
    ----------
    name
        The graph's input, such as `jets`.
    features
        Jagged observables that list the same objects.
    leading
        None: all objects enter the graph, whatever their number. A number: only the first so many, as
        columns; that is what trees need, and what the padding baselines do.
    fill
        For `leading`: what stands for an object that is not there, one value or one a feature; None: missing.
    """

    name: str
    features: tuple[Feature, ...]
    leading: int | None = None
    fill: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.features:
            msg = f"Collection {self.name} has no features; name at least one jagged observable."
            raise ConfigError(msg)

    def fills(self) -> tuple[float | None, ...]:
        """Give each feature's filling, where objects are laid side by side."""
        if self.leading is None:
            return ()
        if isinstance(self.fill, tuple):
            return self.fill
        return (self.fill,) * len(self.features)


@dataclass(frozen=True)
class Parameter:
    """A hypothesis that is an input of the model, such as the signal's mass, from the datasets' `signal` metadata.

    Background events, which have none, get values drawn from the signal's.
    """

    name: str
    unit: str = ""


@dataclass(frozen=True)
class Dense:
    """A dense network. `hidden` lists the hidden layers only: `()` is a logistic regression."""

    hidden: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check(self, ("hidden",), activation=ACTIVATIONS)


@dataclass(frozen=True)
class SetNetwork:
    """A network on sets: a small network for each object, pooled by event, then a dense network.

    Zaheer et al., "Deep Sets", NeurIPS 2017; Komiske, Metodiev and Thaler, "Energy Flow Networks",
    JHEP 01 (2019) 121. Nothing is padded: objects of all events are one flat array and are added up by their
    event's row.

    Attributes
    ----------
    objects
        Layers of the network that each object passes, all hidden.
    pools
        How an event's objects are brought together, `sum`, `mean` or both; their number is always given too.
    hidden
        Hidden layers of the network on the event's features and the pooled ones.
    """

    objects: tuple[int, ...] = (32, 32)
    pools: tuple[str, ...] = POOLS
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check(self, ("objects", "hidden"), activation=ACTIVATIONS, pools=POOLS)
        if not self.objects or not self.pools:
            msg = "A SetNetwork needs at least one layer in `objects` and one pool in `pools`."
            raise ConfigError(msg)


@runtime_checkable
class OwnNetwork(Protocol):
    """A network of your own, such as one that starts from weights that are there.

    It is a frozen dataclass whose fields are its settings; they are kept in the model's card and decide, with all
    else that is declared, whether a checkpoint can be used.
    """

    def build(self, model: Model, sample: Any, split: Any, *, folder: Path, seed: int, device: str) -> Any:
        """Make the network of one fold.

        Parameters
        ----------
        model
            The declaration that holds this.
        sample, split
            The events, and which of them are trained on: `colonnade.training.sample`.
        folder
            For what the network keeps, such as weights that several folds start from.
        seed
            Of its weights.
        device
            Where it is trained.

        Returns
        -------
        torch.nn.Module
            As `colonnade.training.networks.Network`: ``forward`` gives logits of events, ``score`` scores. It may have
            ``optimiser(learning_rate)``, in place of Adam, and ``begin_epoch(number)``, which may freeze or free
            weights before each epoch.
        """


@dataclass(frozen=True)
class Trees:
    """Boosted trees (xgboost): `count` trees of `depth` levels, each worth `learning_rate`."""

    count: int = 500
    depth: int = 4
    learning_rate: float = 0.1
    subsample: float = 1.0
    features: float = 1.0
    minimum_weight: float = 1.0
    l2: float = 1.0
    patience: int = 30

    def __post_init__(self) -> None:
        _check(self, ("count", "depth", "learning_rate", "subsample", "features"))


@dataclass(frozen=True)
class Optimisation:
    """How a network is trained (Adam).

    Attributes
    ----------
    learning_rate, l2
        Adam's step and the weight of the squared weights in the loss.
    batch
        Events a step; a batch must be large enough to hold signal.
    epochs, patience
        At most so many passes; stop after so many without a better validation loss. The best epoch is kept.
    schedule
        `constant`: the step stays. `cosine`: it falls along a half cosine to nothing at the last epoch.
    """

    learning_rate: float = 1e-3
    l2: float = 1e-5
    batch: int = 4096
    epochs: int = 100
    patience: int = 10
    schedule: str = "constant"

    def __post_init__(self) -> None:
        _check(self, ("learning_rate", "batch", "epochs", "patience"), schedule=SCHEDULES)

    def rate(self, number: int) -> float:
        """Return the step of an epoch, counted from 1."""
        if self.schedule == "constant":
            return self.learning_rate
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * (number - 1) / self.epochs))


@dataclass(frozen=True)
class Model:
    """Everything about a model but its weights.

    Attributes
    ----------
    event
        Per-event features, in the order of the graph's columns.
    collections
        Jagged collections.
    parameters
        Hypotheses that are inputs of the model.
    network
        `Dense`, `SetNetwork`, `Trees`, or a network of your own.
    signals, backgrounds
        Patterns of the processes to tell apart, among those of kind signal and background.
    regions
        The model is evaluated on events of any of these regions, or on every event that the processor keeps where
        none is given. It is trained on the same events unless `learn_from` is given.
    learn_from
        Observables with their least and greatest values (None: no bound). The model is trained on the events within,
        in any region, so that similar events can be used too, such as top pairs with an electron and a muon.
    candidates
        Name of a list of numbers an event: 1 for the right candidate, such as a permutation of jets, 0 for a wrong one,
        not a number where the truth is unknown. Then the features are lists, too, and what is trained on, evaluated
        and scored is each of their entries; candidates of unknown truth are left out. The processes of `signals` and
        `backgrounds` only say which events are used.
    weighting, negative_weights
        Names from `training.weights`.
    normalisation
        Name from `training.weights`.
    folds
        Number of networks: an event is scored by the one that was not trained on it.
    members
        Number of networks of each fold, trained from different seeds; their logits are averaged.
    prior_odds
        Ratio of background to signal for which the score of a network is the probability of signal. Training
        balances the two, so that the scores of a rare signal accumulate at 1; a ratio like that of the selected
        events spreads them out. The order of events stays the same.
    cut
        Score above which the expected significance is quoted, beside the best one.
    """

    event: tuple[Feature, ...]
    network: Dense | SetNetwork | Trees | OwnNetwork
    collections: tuple[Collection, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    signals: tuple[str, ...] = ("*",)
    backgrounds: tuple[str, ...] = ("*",)
    regions: tuple[str, ...] = ()
    learn_from: tuple[tuple[str, float | None, float | None], ...] = ()
    candidates: str = ""
    weighting: str = "equal_points"
    negative_weights: str = "absolute"
    normalisation: str = "zscore"
    folds: int = 2
    members: int = 1
    seed: int = 1
    prior_odds: float = 1.0
    cut: float = 0.85
    optimisation: Optimisation = field(default_factory=Optimisation)

    def __post_init__(self) -> None:
        names = {"weighting": WEIGHTINGS, "negative_weights": NEGATIVE_POLICIES, "normalisation": NORMALISATIONS}
        _check(self, ("folds", "members", "prior_odds"), **names)
        self.card("", {})  # which refuses features that can't be used
        for name in ("prior_odds", "members"):
            if isinstance(self.network, Trees) and getattr(self, name) != 1:
                msg = f"{name} is for networks; leave it at 1 for Trees."
                raise ConfigError(msg)
        if self.candidates and (self.collections or self.parameters):
            msg = "A model of candidates takes features of `event` only; leave collections and parameters out."
            raise ConfigError(msg)
        jagged = [collection.name for collection in self.collections if collection.leading is None]
        if jagged and not isinstance(self.network, SetNetwork):
            kind = type(self.network).__name__
            msg = f"{kind} can't take all {jagged[0]} of an event; use SetNetwork, or give them `leading`."
            raise ConfigError(msg)
        if not jagged and isinstance(self.network, SetNetwork):
            msg = "SetNetwork needs a collection without `leading`; use Dense where no objects enter."
            raise ConfigError(msg)
        if isinstance(self.network, Trees) and self.negative_weights == "keep":
            msg = "Trees can't take negative weights; set negative_weights to absolute or drop."
            raise ConfigError(msg)
        missing = any(None in collection.fills() for collection in self.collections)
        if missing and not isinstance(self.network, Trees):
            msg = "Only Trees take missing values; give the collection's `fill` a number for each feature."
            raise ConfigError(msg)

    def features(self) -> tuple[Feature, ...]:
        """List every observable the model takes."""
        return self.event + tuple(feature for collection in self.collections for feature in collection.features)

    def columns(self) -> tuple[str, ...]:
        """List every observable that training needs."""
        names = [feature.name for feature in self.features()]
        names += [name for name, _, _ in self.learn_from] + ([self.candidates] if self.candidates else [])
        return tuple(dict.fromkeys(names))

    def with_(self, **changes: Any) -> Model:
        """Return this declaration with some fields changed; `network__depth=3` changes a part of a part.

        Raises
        ------
        ConfigError
            If there is no such field.
        """
        own: dict[str, Any] = {}
        for name, value in changes.items():
            head, _, tail = name.partition("__")
            whole: Any = own.get(head, getattr(self, head, None)) if tail else self
            names = [entry.name for entry in dataclasses.fields(whole)] if dataclasses.is_dataclass(whole) else []
            if (tail or head) not in names:
                msg = f"A model has no field '{name}'{nearest(tail or head, names)}."
                raise ConfigError(msg)
            own[head] = dataclasses.replace(whole, **{tail: value}) if tail else value
        return dataclasses.replace(self, **own)

    def card(self, name: str, values: dict[str, tuple[float, ...]]) -> Card:
        """Write the features into a card.

        Parameters
        ----------
        name
            The model's name.
        values
            The values that each parameter took in training.
        """
        try:
            return Card(
                name=name,
                kind=type(self.network).__name__,
                event=self.event,
                collections=tuple(
                    CollectionCard(
                        name=collection.name,
                        index=f"{collection.name.removesuffix('s')}_event",
                        features=collection.features,
                        leading=collection.leading,
                        fill=collection.fills(),
                    )
                    for collection in self.collections
                ),
                parameters=tuple(
                    ParameterCard(name=p.name, unit=p.unit, values=values.get(p.name) or (0.0,))
                    for p in self.parameters
                ),
                missing=isinstance(self.network, Trees),
                candidates=bool(self.candidates),
                folds=self.folds,
            )
        except ValidationError as error:
            why = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            msg = f"The model declares features that can't be used: {why}."
            raise ConfigError(msg) from error


@dataclass(frozen=True)
class Search:
    """Hyper-parameters to try, in all combinations.

    Attributes
    ----------
    axes
        Field of the model (`optimisation__learning_rate`, `network__hidden`, ...) to the values it takes.
    base
        Which of the file's models is varied.
    """

    axes: Mapping[str, tuple[Any, ...]]
    base: str = "model"

    def __post_init__(self) -> None:
        for name, values in self.axes.items():
            if not values:
                msg = f"The search's axis {name} has no values."
                raise ConfigError(msg)
