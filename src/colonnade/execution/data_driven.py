"""Backgrounds that are made of data: what application regions hold, less what simulation says is something else."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import hist
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from colonnade.config import Settings
from colonnade.errors import ConfigError, EventError, nearest
from colonnade.execution.result import Histograms, Result

Floats = npt.NDArray[np.float64]
_Content = tuple[Floats, Floats]  # values and variances, shape (variations, bins...)


class DataDrivenSettings(Settings):
    """How a background is made of data.

    Attributes
    ----------
    source
        ``from`` in the workflow: ``data``, or a name or glob of processes, to try it on simulation.
    minus
        Names or globs of the simulated processes to subtract.
    method
        ``transfer``: what the application region holds, by the transfer factor that it declares, or as it is where it
        declares none. ``abcd``: B C / D, with the shape of B.
    regions
        Region to the one it is made of; of ``abcd`` to [B, C, D].
    """

    source: str = Field(default="data", alias="from")
    minus: tuple[str, ...] = ()
    method: Literal["transfer", "abcd"] = "transfer"
    regions: Mapping[str, str | tuple[str, str, str]] = Field(min_length=1)

    @model_validator(mode="after")
    def _regions_fit_the_method(self) -> DataDrivenSettings:
        for target, sources in self.regions.items():
            if isinstance(sources, str) == (self.method == "abcd"):
                wanted = "three regions [B, C, D]" if self.method == "abcd" else "one region"
                msg = f"{target}: the method {self.method} makes it of {wanted}"
                raise ValueError(msg)
        return self

    def sources(self, target: str) -> tuple[str, ...]:
        """Return the regions that one is made of."""
        found = self.regions[target]
        return (found,) if isinstance(found, str) else found


def check_data_driven(
    wanted: Mapping[str, DataDrivenSettings], regions: Collection[str], kinds: Mapping[str, str]
) -> None:
    """See that regions and processes are there, before events are read.

    Raises
    ------
    ConfigError
        Naming the first that is not.
    """
    for name, one in wanted.items():
        what = f"data_driven.{name}"
        if name in kinds:
            msg = f"{what}: there is a process of that name in the manifest; call it otherwise."
            raise ConfigError(msg)
        for region in [*one.regions, *(each for target in one.regions for each in one.sources(target))]:
            if region not in regions:
                msg = f"{what}: the processor has no region {region!r}{nearest(region, regions)}."
                raise ConfigError(msg)
        for pattern in (*one.minus, *(() if one.source == "data" else (one.source,))):
            if not fnmatch.filter(kinds, pattern):
                msg = f"{what}: no process matches {pattern!r}{nearest(pattern, kinds)}."
                raise ConfigError(msg)
        if one.source == "data" and "data" not in kinds.values():
            msg = f"{what} is made of data, but the manifest has none; add them, or name a process under `from`."
            raise ConfigError(msg)


def with_data_driven(
    result: Result,
    wanted: Mapping[str, DataDrivenSettings],
    kinds: Mapping[str, str],
    blinded: Collection[str],
    say: Callable[[str], None],
) -> Result:
    """Return a result with the backgrounds that are made of data, as processes.

    Parameters
    ----------
    result
        What was filled.
    wanted
        Name of a background to how it is made.
    kinds
        Process to data, background or signal.
    blinded
        Regions whose data are not shown: what would be made of them is not made.
    say
        Is told what a user should know.

    Raises
    ------
    EventError
        If the region D of an ABCD estimate is empty.
    """
    if not wanted:
        return result
    eras = {
        era: _extended(histograms, wanted, kinds, blinded, say, f" in the era {era}")
        for era, histograms in result.eras.items()
    }
    total = _extended(result.histograms, wanted, kinds, blinded, say)
    return replace(result, histograms=total, eras=eras)


def _extended(
    histograms: Histograms,
    wanted: Mapping[str, DataDrivenSettings],
    kinds: Mapping[str, str],
    blinded: Collection[str],
    say: Callable[[str], None],
    era: str = "",
) -> dict[str, dict[str, hist.Hist]]:
    made = {name: dict(by_process) for name, by_process in histograms.items()}
    told: set[str] = set()

    def once(note: str, key: str) -> None:
        if key not in told:
            told.add(key)
            say(f"{note[:-1]}{era and f' ({era[4:]})'}.")

    for process, one in wanted.items():
        of_data = one.source == "data"
        for histogram, by_process in histograms.items():
            names = list(by_process)
            data = [name for name in names if kinds.get(name) == "data"]
            sources = data if of_data else fnmatch.filter(names, one.source)
            minus = {name for pattern in one.minus for name in fnmatch.filter(names, pattern)}
            others = [name for name in names if of_data and kinds.get(name) == "background" and name not in minus]
            signs = [(by_process[name], 1.0) for name in sources]
            signs += [(by_process[name], -1.0) for name in names if name in minus]
            left = {name: by_process[name] for name in others}
            if sources:
                estimate = _Estimate(process, one, f"{histogram}{era}", signs, left, blinded if of_data else (), once)
                made[histogram][process] = estimate.make()
    return made


@dataclass(frozen=True)
class _Estimate:
    """One background in one histogram.

    Attributes
    ----------
    process, settings
        The background, and how it is made.
    histogram
        Its name, for messages.
    parts
        What it is made of, and what is subtracted, with a negative sign.
    others
        Backgrounds that are not subtracted from data.
    blinded
        Regions that are not looked at.
    say
        Is told a note, once for each key.
    """

    process: str
    settings: DataDrivenSettings
    histogram: str
    parts: Sequence[tuple[hist.Hist, float]]
    others: Mapping[str, hist.Hist]
    blinded: Collection[str]
    say: Callable[[str, str], None]

    @property
    def regions(self) -> list[str]:
        return list(self.parts[0][0].axes["region"])

    @property
    def variations(self) -> list[str]:
        return list(dict.fromkeys(name for filled, _ in self.parts for name in filled.axes["variation"]))

    def make(self) -> hist.Hist:
        extra = [f"{self.process}_transfer_{word}" for word in ("up", "down")] if self.settings.method == "abcd" else []
        axes = (
            hist.axis.StrCategory(self.regions, name="region", overflow=False),
            hist.axis.StrCategory([*self.variations, *extra], name="variation", overflow=False),
        )
        made = hist.Hist(*axes, *self.parts[0][0].axes[2:], storage=hist.storage.Weight())
        view = made.view(flow=True)
        for target in self.settings.regions:
            sources = self.settings.sources(target)
            if any(region not in self.regions for region in (target, *sources)):
                continue  # the histogram is not filled there
            hidden = [region for region in sources if region in self.blinded]
            if hidden:
                note = f"data_driven.{self.process} is not made in {target}, as the data of {hidden[0]} are blinded."
                self.say(note, f"{self.process} {target} blinded")
                continue
            contents = [self._content(region) for region in sources]
            for region, content in zip(sources, contents, strict=True):
                self._tell(region, content)
                if self.settings.method == "abcd":
                    self._put(view, region, content)
            self._put(view, target, self._abcd(sources, contents) if len(contents) == 3 else contents[0])
        return made

    def _put(self, view: Any, region: str, content: _Content) -> None:
        place = self.regions.index(region)
        values, variances = content
        nominal = [*range(len(values)), *[0] * (view.shape[1] - len(values))]  # variations it has not
        view["value"][place], view["variance"][place] = values[nominal], variances[nominal]

    def _content(self, region: str) -> _Content:
        """Return what is left of a region for each variation; what does not vary counts with its nominal content."""
        values = variances = np.zeros(())
        for filled, sign in self.parts:
            known = list(filled.axes["variation"])
            places = [known.index(name if name in known else "nominal") for name in self.variations]
            view = filled.view(flow=True)[list(filled.axes["region"]).index(region)][places]
            values, variances = values + sign * view["value"], variances + view["variance"]
        return np.asarray(values), np.asarray(variances)

    def _tell(self, region: str, content: _Content) -> None:
        left = float(content[0][0].sum())
        if left < 0:
            note = f"data_driven.{self.process}: the yield in {region} is negative ({left:.4g}); it is kept."
            self.say(note, f"{self.process} {region} negative")
        for name, filled in self.others.items():
            here = region in filled.axes["region"]
            expected = filled[{"region": region, "variation": "nominal"}].sum(flow=True).value if here else 0.0
            if expected:
                note = (
                    f"data_driven.{self.process}: the process {name} is in {region}, too ({expected:.4g} expected), "
                    "and is not subtracted, as `minus` does not name it."
                )
                self.say(note, f"{self.process} {region} {name}")

    def _abcd(self, names: tuple[str, ...], contents: list[_Content]) -> _Content:
        """Return B C / D for each variation, and with the ratio C / D one standard deviation up and down.

        The variances are those of B: what is common to all bins is the variation.
        """
        (shape, shape_variance), (c, c_variance), (d, d_variance) = contents

        def total(content: Floats) -> Floats:
            return np.asarray(content.reshape(len(content), -1).sum(axis=1))

        below = total(d)
        if below[0] <= 0:
            msg = (
                f"data_driven.{self.process}: {below[0]:.4g} events are left in the region {names[2]} of the histogram "
                f"{self.histogram}, so B C / D is not defined; choose a wider region."
            )
            raise EventError(msg)
        ratio = np.where(below > 0, total(c) / np.where(below > 0, below, 1.0), total(c)[0] / below[0])
        error = np.sqrt(total(c_variance)[0] + ratio[0] ** 2 * total(d_variance)[0]) / below[0]
        ratio = np.append(ratio, [ratio[0] + error, ratio[0] - error])
        places = [*range(len(shape)), 0, 0]
        factor = ratio.reshape(-1, *[1] * (shape.ndim - 1))
        return shape[places] * factor, shape_variance[places] * factor**2
