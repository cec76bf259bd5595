"""A mass scan, whole: samples, columns, trainings, significances, residuals, tables and figures."""

from __future__ import annotations

__all__ = ["run_mass_scan"]

import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from colonnade.errors import ConfigError, nearest
from colonnade.manifest import load_manifest
from colonnade.output import replacing, write_json
from colonnade.training import Model
from colonnade.workflow.columns import make_columns
from colonnade.workflow.settings import Workflow
from studies.hnl_tau.declaration import MassScan, Transfer
from studies.hnl_tau.selection import BinnedSignificance, binned_significance, mean_significance
from studies.hnl_tau.tables import markdown

Floats = NDArray[np.float64]
_ByMass = Mapping[float, list[BinnedSignificance]]
# replicas of the events, for errors of ratios
_REPLICAS = 40
# made events on which a regression is judged, and what its figure shows
_JUDGED = 50_000
_SHOWN = ("dphi_12", "dphi_1_23", "mt_1m", "mass_12", "mt_tot", "e_tot")


def run_mass_scan(
    workflow: Workflow,
    declared: Mapping[str, Model],
    name: str,
    scan: MassScan,
    *,
    size: str = "small",
    columns: Path | None = None,
    device: str = "cpu",
    threads: int = 1,
    workers: int | None = None,
    console: Console | None = None,
) -> Path:
    """Run a mass scan: what is there already is not made again.

    Parameters
    ----------
    workflow
        The analysis.
    declared
        The models, by name.
    name
        Of the scan.
    scan
        What to compare.
    size
        One of the scan's sizes.
    columns
        Training columns to use as they are, instead of making samples and columns.
    device, threads
        Where to train.
    workers
        Processes that make samples.
    console
        Where progress is shown.

    Returns
    -------
    Path
        The folder with `scan.json`, `scan.md` and the figures.

    Raises
    ------
    ConfigError
        If the scan names a model, a feature or a size that is not there.
    """
    from studies.hnl_tau.trainings import scan_sample, sized
    from studies.monojet.tables import replace_section

    console = console or Console()
    began = time.monotonic()
    stages = {"begin": _processor_seconds()}
    models = sized(declared, scan, size)
    wanted = [*scan.models.values(), *scan.per_channel.values(), *(model for model, _ in scan.held_out.values())]
    for each in wanted:
        if each not in models:
            msg = f"The scan {name} names the model '{each}'{nearest(each, models)}, which is not declared."
            raise ConfigError(msg)
    if columns is None:
        _samples(workflow, workers, console)
        stages["samples"] = _processor_seconds()
        columns = workflow.root / "columns" / workflow.name
        make_columns(workflow, tuple(models.values()), columns, console)
        stages["columns"] = _processor_seconds()
    folder = columns / "comparisons" / f"{name}_{size}"
    first = models[next(iter(scan.models.values()))]
    events = scan_sample(columns, first, scan)
    run = _Scan(scan, events, columns, models, device, threads, console, workflow.name)
    run.train(workers or os.cpu_count() or 1)
    found = run.significances()
    regression = run.regression(folder)
    stages["trainings and scores"] = _processor_seconds()
    marks = list(stages.items())
    processor = {name: round(at - before, 1) for (_, before), (name, at) in itertools.pairwise(marks)}
    result = {
        "size": size,
        "device": device,
        "masses": list(events.masses),
        "channels": list(events.channels),
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": processor,
        "reference": scan.reference,
        "replicas": _REPLICAS,
        "events": _counts(events),
        "estimators": found,
        "regression": regression,
        "models": run.described(),
    }
    write_json(folder / "scan.json", result)
    text = markdown(result)
    with replacing(folder / "scan.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    pictures = _draw(result, folder)
    if scan.document and size == scan.document_size:
        page = workflow.root / scan.document
        replace_section(page, name, text)
        for picture in pictures:
            with replacing(page.parent / "images" / f"{workflow.name}_{picture.name}") as temporary:
                temporary.write_bytes(picture.read_bytes())
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    used = ", ".join(f"{name} {seconds:g} s" for name, seconds in processor.items())
    console.print(f"Processor time of what was not there yet: {used}", highlight=False, soft_wrap=True)
    console.print(f"Wrote {folder / 'scan.md'}, scan.json and figures in {result['seconds']:g} s", highlight=False)
    return folder


def _processor_seconds() -> float:
    """Return what this process and those that it waited for have used of processors."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _samples(workflow: Workflow, workers: int | None, console: Console) -> None:
    from colonnade.samples import make_samples

    names = [dataset.name for dataset in load_manifest(workflow.manifest).select(workflow.settings.datasets)]
    made = make_samples(load_manifest(workflow.manifest), names, workers=workers or os.cpu_count() or 1)
    new = sum(not one.skipped for one in made)
    console.print(f"  samples     {new} made, {len(made) - new} up to date", highlight=False)


def _counts(events: Any) -> dict[str, dict[str, float]]:
    sample = events.sample
    counts = {}
    for place, process in enumerate(sample.processes):
        own = sample.process == place
        counts[process] = {
            "events": int(own.sum()),
            **{name: float(sample.weight[own & inside].sum()) for name, inside in events.channels.items()},
        }
    return counts


class _Scan:
    """The trainings and significances of one scan."""

    def __init__(
        self,
        scan: MassScan,
        events: Any,
        columns: Path,
        models: Mapping[str, Model],
        device: str,
        threads: int,
        console: Console,
        stem: str,
    ) -> None:
        self.scan, self.events, self.columns, self.models = scan, events, columns, models
        self.device, self.threads, self.console, self.stem = device, threads, console, stem
        self.times: dict[str, float] = {}
        # of each event, how often it counts in each replica: the same for all estimators
        rng = np.random.default_rng(1)
        self.draws = rng.poisson(1.0, (_REPLICAS, len(events.sample))).astype(np.uint8)

    def train(self, workers: int) -> None:
        """Train the networks side by side, where they are small and the device is the processor."""
        from studies.hnl_tau.trainings import train_side_by_side

        held_out = [name for name, _ in self.scan.held_out.values()]
        networks = {self._called(name): self.models[name] for name in (*self.scan.models.values(), *held_out)}
        done = {name for name, model in networks.items() if self._kept(name, model)}
        wanted = {name: model for name, model in networks.items() if name not in done}
        if self.device != "cpu" or workers < 2 or not wanted:
            return
        began = time.monotonic()
        for model in wanted.values():
            self._pretrained(model)
        train_side_by_side(wanted, self.columns, workers)
        self.console.print(f"  {len(wanted)} networks {time.monotonic() - began:8.1f} s", highlight=False)

    def _kept(self, name: str, model: Model) -> bool:
        """Tell whether there are trainings of that name; whether they fit is found when they are read."""
        folder = self.columns / "training" / name
        return len(list(folder.glob("fold*.pt"))) >= model.folds * model.members

    def significances(self) -> list[dict[str, Any]]:
        """Return every estimator with its significance by mass."""
        column = self.events.column(self.scan.reference)
        scores: dict[str, tuple[str, Mapping[float, Floats]]] = {
            self.scan.reference: ("reference", {mass: column[rows] for mass, rows in self._rows()})
        }
        scores |= {title: ("observable", values) for title, values in self._classical()}
        scores |= {title: ("model", self._network(name)) for title, name in self.scan.models.items()}
        scores |= {title: ("model", self._trees(name)) for title, name in self.scan.per_channel.items()}
        for title, (name, mass) in self.scan.held_out.items():
            scores[title] = ("held out", {mass: self._network(name)[mass]})
        binned = {
            title: (kind, self._by_mass(values), self._joined(values)) for title, (kind, values) in scores.items()
        }
        _, apart, joined = binned[self.scan.reference]
        return [
            {"title": title, "kind": kind, "masses": _rows(own, apart, own_joined, joined)}
            for title, (kind, own, own_joined) in binned.items()
        ]

    def _joined(self, scores: Mapping[float, Floats]) -> dict[float, list[BinnedSignificance]]:
        """Bin as the study did: what is left at the low end joins the lowest bin."""
        return self._by_mass(scores, replicas=False, rest="joined")

    def _rows(self) -> Any:
        return self.events.rows.items()

    def _network(self, name: str) -> dict[float, Floats]:
        from colonnade.training.trainer import TrainingProgress
        from studies.hnl_tau.trainings import network_scan

        began = time.monotonic()
        self._pretrained(self.models[name])
        scores = network_scan(
            self._called(name),
            self.models[name],
            self.events,
            self.columns,
            device=self.device,
            threads=self.threads,
            progress=TrainingProgress(self.console),
        )
        self._timed(name, began)
        return scores

    def _trees(self, name: str) -> dict[float, Floats]:
        from studies.hnl_tau.trainings import tree_scan

        began = time.monotonic()
        # on the processor, as the xgboost that is asked for is built for; a channel's few events are one thread's work
        scores = tree_scan(self._called(name), self.models[name], self.events, self.columns)
        self._timed(name, began)
        return scores

    def _called(self, name: str) -> str:
        return self.stem if name == "model" else f"{self.stem}_{name}"

    def _timed(self, name: str, began: float) -> None:
        self.times[name] = round(time.monotonic() - began, 1)
        self.console.print(f"  {name:<12}{self.times[name]:8.1f} s", highlight=False)

    def _pretrained(self, model: Model, drop_in: bool = True) -> Any:
        """Train the regression that a model starts from, with lines that tell how far it is."""
        if not isinstance(model.network, Transfer):
            return None
        from colonnade.training.sample import read_sample
        from colonnade.training.trainer import TrainingProgress
        from studies.hnl_tau.transfer import pretrained_for

        settings = replace(model.network, regression=replace(model.network.regression, drop_in=drop_in))
        progress = TrainingProgress(self.console)
        words = "with" if drop_in else "without"
        progress.begin(f"regression {words} drop-in", settings.regression.epochs)
        began = time.monotonic()
        try:
            done = pretrained_for(
                settings,
                read_sample(self.columns, model, "regression"),
                self.columns / "training",
                self.device,
                lambda one: progress.round(one.number, one.loss, one.loss),
            )
        finally:
            progress.end()
        self.times.setdefault(f"regression {words} drop-in", round(time.monotonic() - began, 1))
        return done

    def _classical(self) -> list[tuple[str, dict[float, Floats]]]:
        """Return the best observables, each turned so that signal lies high, by their mean over every third mass."""
        found: list[tuple[float, str, dict[float, Floats]]] = []
        for feature in self.events.sample.card.event:
            if feature.name == self.scan.reference:
                continue
            values = self.events.column(feature.name)
            for sign, words in ((1.0, feature.name), (-1.0, f"low {feature.name}")):
                scores = {mass: sign * values[rows] for mass, rows in self._rows()}
                tried = {mass: scores[mass] for mass in self.events.masses[::3]}
                means = [mean_significance(each).value for each in self._by_mass(tried, replicas=False).values()]
                found.append((float(np.mean(np.log(np.maximum(means, 1e-9)))), words, scores))
        found.sort(key=lambda each: -each[0])
        return [(words, scores) for _, words, scores in found[: self.scan.classical]]

    def _by_mass(
        self, scores: Mapping[float, Floats], replicas: bool = True, rest: Literal["joined", "apart"] = "apart"
    ) -> dict[float, list[BinnedSignificance]]:
        """Return the significance of each channel, by mass."""
        sample, found = self.events.sample, {}
        for mass, score in scores.items():
            rows = self.events.rows[mass]
            of_channels = []
            for inside in self.events.channels.values():
                here = inside[rows]
                own = rows[here]
                draws = self.draws[:, own] if replicas else None
                of_channels.append(
                    binned_significance(
                        score[here],
                        sample.weight[own],
                        sample.target[own],
                        error=self.scan.error,
                        rest=rest,
                        draws=draws,
                    )
                )
            found[mass] = of_channels
        return found

    def regression(self, folder: Path) -> dict[str, Any] | None:
        """Judge the regression with and without drop-in on made events that neither saw."""
        import torch
        from processors.three_leptons import THREE_LEPTON_TARGETS, three_lepton_targets

        from studies.hnl_tau.made_events import draw_events, inside
        from studies.hnl_tau.regression import residuals
        from studies.hnl_tau.transfer import bounds_of

        name = next((name for name in self.scan.models.values() if isinstance(self.models[name].network, Transfer)), "")
        if not name:
            return None
        from colonnade.training.sample import read_sample

        model = self.models[name]
        assert isinstance(model.network, Transfer)  # noqa: S101 - chosen by this type
        bounds = bounds_of(read_sample(self.columns, model, name), model.network.regression.percentiles)
        made = draw_events(_JUDGED, torch.Generator("cpu").manual_seed(2**40))
        keep = inside(three_lepton_targets(made), bounds)
        events = made[keep].numpy()
        both = {}
        for drop_in in (True, False):
            trained = self._pretrained(model, drop_in)
            both[drop_in] = (trained, residuals(trained.network, events))
        names = [target.name for target in THREE_LEPTON_TARGETS]
        shown = {each: [both[drop_in][1][:, names.index(each)] for drop_in in (True, False)] for each in _SHOWN}
        truth = three_lepton_targets(torch.from_numpy(events)).numpy()[:, -1]
        _draw_residuals(shown, truth, folder)
        return {
            "kept": float(keep.float().mean()),
            "parameters": {
                "here": model.network.regression.parameters(14, len(names)),
                "full": type(model.network.regression)().parameters(14, len(names)),
            },
            "made_events": sum(1 for _ in both[True][0].history) * model.network.regression.events,
            "loss": {str(drop_in): [each.loss for each in both[drop_in][0].history] for drop_in in both},
            "seconds": {str(drop_in): sum(each.seconds for each in both[drop_in][0].history) for drop_in in both},
            "rms": {
                target: [float(np.sqrt(np.mean(both[drop_in][1][:, place] ** 2))) for drop_in in (True, False)]
                for place, target in enumerate(names)
            },
            "spread": {
                target: [float(0.5 * np.subtract(*np.percentile(each, (84, 16)))) for each in shown[target]]
                for target in shown
            },
        }

    def described(self) -> dict[str, dict[str, Any]]:
        """Say how large each model is and how long it took, training and scoring together."""
        names = {**self.scan.models, **self.scan.per_channel}
        return {title: {"seconds": self.times.get(name)} for title, name in names.items()} | {
            name: {"seconds": seconds} for name, seconds in self.times.items() if name.startswith("regression")
        }


def _rows(own: _ByMass, reference: _ByMass, joined: _ByMass, reference_joined: _ByMass) -> list[dict[str, Any]]:
    """Return what is written of one estimator, mass by mass."""
    rows = []
    for mass, channels in own.items():
        mean, other = mean_significance(channels), mean_significance(reference[mass])
        document, beside = mean_significance(joined[mass]), mean_significance(reference_joined[mass])
        ratios = mean.replicas / other.replicas
        rows.append(
            {
                "mass": mass,
                "mean": mean.value,
                "error": mean.error,
                "ratio": mean.value / other.value if other.value > 0 else 0.0,
                "ratio_error": float(ratios.std()),
                "joined": document.value,
                "joined_ratio": document.value / beside.value if beside.value > 0 else 0.0,
                "channels": [
                    {"z": one.value, "error": one.error, "bins": one.bins, "joined_bins": two.bins}
                    for one, two in zip(channels, joined[mass], strict=True)
                ],
            }
        )
    return rows


def _draw(result: Mapping[str, Any], folder: Path) -> list[Path]:
    from colonnade.plotting.draw import save
    from studies.hnl_tau.figures import Estimator, mass_scan_figure

    curves = [
        Estimator(
            entry["title"],
            entry["kind"],
            *(np.array([row[key] for row in entry["masses"]]) for key in ("mass", "mean", "error")),
            *(np.array([row[key] for row in entry["masses"]]) for key in ("ratio", "ratio_error")),
        )
        for entry in result["estimators"]
    ]
    figure = mass_scan_figure(curves, "HNL mass [GeV]", "significance, mean over channels", result["reference"])
    made = [path for path in save(figure, folder / "significance") if path.suffix == ".png"]
    return made + [folder / "residuals.png"] * (result["regression"] is not None)


def _draw_residuals(shown: Mapping[str, Any], truth: Floats, folder: Path) -> None:
    from colonnade.plotting.draw import save
    from studies.hnl_tau.figures import Residuals, residual_figure

    units = {"dphi_12": "rad", "dphi_1_23": "rad", "e_tot": "relative"}
    panels = [
        Residuals(f"{name}: predicted - true [{units.get(name, 'of total energy')}]", *values)
        for name, values in shown.items()
    ]
    for low, high in ((0.0, 300.0), (300.0, 600.0), (600.0, np.inf)):
        chosen = (truth >= low) & (truth < high)
        if chosen.sum() > 100:
            words = f"{low:g} to {high:g} GeV" if np.isfinite(high) else f"above {low:g} GeV"
            panels.append(Residuals(f"e_tot, {words}: relative", *(values[chosen] for values in shown["e_tot"])))
    save(residual_figure(panels), folder / "residuals")
