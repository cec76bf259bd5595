"""What a model file says of networks on event images, and of the study that compares them."""

from __future__ import annotations

__all__ = ["ImageModel", "ImageNetwork", "ImageStudy", "ImageTraining"]

from collections.abc import Mapping
from dataclasses import dataclass, field

from colonnade.errors import ConfigError, nearest
from colonnade.inference import Card
from colonnade.training.declaration import Collection, Model, SetNetwork
from processors.event_images import COMPRESSIONS, ImageSettings

DOWN = ("strides", "max_pool")
INITIAL = ("normal", "he")
PRECISIONS = ("float32", "bfloat16")


def _known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        msg = f"{what} = '{value}' is unknown{nearest(value, known)}; choose one of {', '.join(known)}."
        raise ConfigError(msg)


@dataclass(frozen=True)
class ImageNetwork:
    """Six convolutions in three blocks, then two dense layers, ReLU between all of them.

    The networks of section 3.2 of the monojet document: kernels 3x3, the last 1x1, with padding that keeps the size.
    The last convolution of the first two blocks halves the image.

    Attributes
    ----------
    down
        How: `strides` of 2, or `max_pool`, stride 1 and a 2x2 pool.
    channels
        Of the convolutions: three in the first block, two in the second, one in the third.
    dense
        Width of the first dense layer; the second has two outputs, signal first.
    dropout
        Between the dense layers.
    initial
        Weights and biases at the start: `normal`, the document's, of width 0.01 and uniform in +-0.5; `he`, of variance
        2 / inputs and 0, which narrow networks need (with the document's, six narrow layers pass nothing but biases).
    """

    down: str = "strides"
    channels: tuple[int, int, int, int, int, int] = (64, 128, 256, 128, 256, 128)
    dense: int = 128
    dropout: float = 0.1
    initial: str = "normal"

    def __post_init__(self) -> None:
        _known("down", self.down, DOWN)
        _known("initial", self.initial, INITIAL)
        if len(self.channels) != 6 or min(*self.channels, self.dense) < 1:
            msg = f"channels = {self.channels}: give six positive numbers, and a positive width of the dense layer."
            raise ConfigError(msg)


@dataclass(frozen=True)
class ImageTraining:
    """How a network on images is trained (Adam).

    Attributes
    ----------
    learning_rate
        Adam's step.
    l2
        Weight in the loss of the sum of squared weights of the convolutions.
    batch, steps
        Images a step, and the most steps.
    every
        Steps between checks of the accuracy.
    patience
        Stop after so many checks without a better accuracy on the validation events; the best network is kept.
    checked
        Events of each part, training and validation, that a check looks at.
    precision
        Of the arithmetic in training, `float32` or `bfloat16`; the network that is kept is always float32.
    """

    learning_rate: float = 1e-4
    l2: float = 0.01
    batch: int = 64
    steps: int = 100_000
    every: int = 200
    patience: int = 50
    checked: int = 4096
    precision: str = "float32"

    def __post_init__(self) -> None:
        _known("precision", self.precision, PRECISIONS)
        for name in ("learning_rate", "batch", "steps", "every", "patience", "checked"):
            if not getattr(self, name) > 0:
                msg = f"{name} = {getattr(self, name)} must be greater than 0."
                raise ConfigError(msg)


@dataclass(frozen=True)
class ImageModel:
    """A network on images of an event's particles and jets.

    Attributes
    ----------
    particles, jets
        Collections with the observables of `processors.event_images.make_images`, in its order: pt, eta, phi, mass,
        charge, pdgId; and pt, eta, phi, width.
    compression, size
        See `processors.event_images.compress`; `none` is the whole grid.
    emf
        The electromagnetic layer: `fraction`, or `energy` in GeV.
    scale_counts
        Whether the layer of particle counts is divided by the mean of its non-zero entries as the others are.
    """

    particles: Collection
    jets: Collection
    compression: str = "cell"
    network: ImageNetwork = field(default_factory=ImageNetwork)
    training: ImageTraining = field(default_factory=ImageTraining)
    size: int = 60
    emf: str = "fraction"
    scale_counts: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        _known("compression", self.compression, COMPRESSIONS)
        _known("emf", self.emf, ("fraction", "energy"))
        for what, collection, count in (("particles", self.particles, 6), ("jets", self.jets, 4)):
            if len(collection.features) != count or collection.leading is not None:
                msg = f"{what} of an image need {count} features, in the order of make_images, and no `leading`."
                raise ConfigError(msg)

    def columns(self) -> tuple[str, ...]:
        """List every observable that training needs."""
        return tuple(feature.name for collection in (self.particles, self.jets) for feature in collection.features)

    def reads(self, *, signals: tuple[str, ...], backgrounds: tuple[str, ...]) -> Model:
        """Return a declaration by which `read_sample` reads what the images are made of."""
        return Model(
            event=(),
            collections=(self.particles, self.jets),
            network=SetNetwork(),
            signals=signals,
            backgrounds=backgrounds,
            folds=1,
        )

    def card(self, name: str) -> Card:
        """Write the features and how images are made into a card."""
        plain = self.reads(signals=("*",), backgrounds=("*",)).card(name, {})
        # pydantic checks what the declaration says
        image = ImageSettings.model_validate({"compression": self.compression, "size": self.size, "emf": self.emf})
        return plain.model_copy(update={"kind": type(self.network).__name__, "image": image.model_dump(mode="json")})


@dataclass(frozen=True)
class ImageStudy:
    """Networks on images, each trained on the same events, beside a network on the jagged particles themselves.

    Attributes
    ----------
    images
        Models by name.
    jagged
        Name of the model file's network on sets.
    others
        Names of more of its models, trained and judged on the same events: what the first one's inputs are worth.
    signal, background, unseen
        Processes: to tell apart, and one that nothing is trained on.
    region
        Train and test on events of this region.
    slices
        Regions in which the models of `detailed` are judged.
    selection
        The region after which efficiencies are taken for the gain in sensitivity.
    detailed
        Names of models that are judged in all slices; empty: the best two.
    yields
        Expected background events after the selection, by name; the gain in sensitivity is taken from them.
    events
        Pattern of datasets to the events to simulate of each, the first that matches; empty: the manifest's numbers.
    document
        Page whose tables the study writes, between `<!-- NAME -->` and `<!-- /NAME -->`; those of the thresholds go to
        `thresholds.md` in the folder beside it that has the page's name.
    """

    images: Mapping[str, ImageModel]
    signal: str
    background: str
    unseen: str
    region: str
    slices: tuple[str, ...]
    selection: str
    yields: Mapping[str, float]
    jagged: str = "model"
    others: tuple[str, ...] = ()
    detailed: tuple[str, ...] = ()
    events: Mapping[str, int] = field(default_factory=dict)
    document: str = ""

    def __post_init__(self) -> None:
        if not self.images:
            msg = "A study of images needs at least one model in `images`."
            raise ConfigError(msg)
        for name in self.detailed:
            if name not in self.images:
                msg = f"The study's model '{name}' is not among its images{nearest(name, self.images)}."
                raise ConfigError(msg)
        for name in (self.signal, self.background, self.unseen):
            if name not in self.yields:
                msg = f"The study has no yield of {name}{nearest(name, self.yields)}; add it to `yields`."
                raise ConfigError(msg)
