"""Combine's datacards, in: counting and shape cards with lnN, gmN, shape, rateParam, param and autoMCStats.

Interpolations keep Combine's own conventions, so that the likelihood is Combine's: see `interpolation`.
"""

from __future__ import annotations

__all__ = ["read_combine"]

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uproot

from colonnade.errors import ConfigError, InputError, nearest
from colonnade.statistics.model import Channel, Floats, Model, Modifier, Sample, make_model

POI = "r"
_ROWS = ("lnN", "gmN", "shape")
_KNOWN = (*_ROWS, "rateParam", "param", "autoMCStats")
_FREE = (0.0, 20.0)


@dataclass
class _Card:
    path: Path
    bins: list[str] = field(default_factory=list)
    observed: dict[str, float] = field(default_factory=dict)
    columns: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    shapes: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    rows: list[tuple[str, str, list[str]]] = field(default_factory=list)
    rate_params: list[tuple[str, str, str, float, tuple[float, float]]] = field(default_factory=list)
    params: dict[str, tuple[float, float]] = field(default_factory=dict)
    statistics: list[tuple[str, float, int]] = field(default_factory=list)


def read_combine(path: Path) -> Model:
    """Read a datacard.

    Raises
    ------
    InputError
        If the card or a file of shapes can't be read.
    ConfigError
        If the card holds what can't be read, or its parts don't fit together; the message names the line.
    """
    card = _parse(path)
    channels = []
    observations: dict[str, Floats] = {}
    overrides: dict[str, dict[str, object]] = {POI: {"bounds": [_FREE]}}
    files: dict[Path, uproot.ReadOnlyDirectory] = {}
    for name in card.bins:
        channel, seen = _channel(card, name, files, overrides)
        channels.append(channel)
        observations[name] = seen
    return make_model(channels, observations, POI, overrides=overrides, source=str(path))


# ---- parsing


def _parse(path: Path) -> _Card:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror or error}."
        raise InputError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not a text file, so no datacard."
        raise InputError(msg) from error
    card = _Card(path)
    pending: list[str] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split("#")[0].strip()
        if not line or set(line) == {"-"}:
            continue
        words = line.split()
        try:
            pending = _line(card, words, pending)
        except (ValueError, IndexError) as error:
            msg = f"{path}, line {number}: {line[:60]!r} can't be read as a line of a datacard."
            raise ConfigError(msg) from error
        except ConfigError as error:
            msg = f"{path}, line {number}: {error}"
            raise ConfigError(msg) from error
    _check(card)
    return card


def _check(card: _Card) -> None:
    path = card.path
    if not card.columns or not card.rates:
        msg = f"{path} is no datacard: it has no bin, process and rate lines."
        raise ConfigError(msg)
    if not any(number <= 0 for number in card.numbers):
        msg = f"{path} has no signal: no process has a number of 0 or below."
        raise ConfigError(msg)
    loose = set(card.params) - {each[0] for each in card.rate_params}
    if loose:
        msg = f"{path}: the param {min(loose)} constrains no rateParam of the card; only those can be read."
        raise ConfigError(msg)
    card.bins = card.bins or list(dict.fromkeys(name for name, _ in card.columns))
    if len(card.rates) != len(card.columns) or len(card.numbers) != len(card.columns):
        msg = f"{path} has {len(card.columns)} columns but {len(card.rates)} rates and {len(card.numbers)} numbers."
        raise ConfigError(msg)


def _line(card: _Card, words: list[str], pending: list[str]) -> list[str]:
    key = words[0]
    if key in ("imax", "jmax", "kmax"):
        return pending
    if key == "shapes":
        process, channel, file, nominal, *systematic = words[1:]
        card.shapes.append((process, channel, file, nominal, systematic[0] if systematic else ""))
    elif key == "bin":
        return words[1:]
    elif key == "observation":
        card.bins = pending or [f"bin{index}" for index in range(1, len(words))]
        card.observed = dict(zip(card.bins, map(float, words[1:]), strict=True))
        return []
    elif key == "process":
        if not card.columns:
            card.columns = list(zip(pending, words[1:], strict=True))
        else:
            card.numbers = [int(word) for word in words[1:]]
    elif key == "rate":
        card.rates = [float(word) for word in words[1:]]
    else:
        _modifier_line(card, words)
    return pending


def _modifier_line(card: _Card, words: list[str]) -> None:
    name, kind = words[0], words[1] if len(words) > 1 else ""
    if kind == "autoMCStats":
        card.statistics.append((name, float(words[2]), int(words[4]) if len(words) > 4 else 1))
    elif kind == "rateParam":
        low, high = _FREE
        if len(words) > 6 or (len(words) > 5 and not words[5].startswith("[")):
            msg = f"the rateParam {name} is a formula, which can't be read here."
            raise ConfigError(msg)
        if len(words) > 5:
            low, high = (float(word) for word in words[5].strip("[]").split(","))
        card.rate_params.append((name, words[2], words[3], float(words[4]), (low, high)))
    elif kind == "param":
        card.params[name] = (float(words[2]), float(words[3]))
    elif kind in _ROWS:
        cells = words[2:]
        if len(cells) != len(card.columns) + (kind == "gmN"):
            msg = f"the {kind} {name} has {len(cells)} entries for {len(card.columns)} columns."
            raise ConfigError(msg)
        for cell in cells:
            if cell != "-" and not all(float(part) >= 0 for part in cell.split("/")):
                msg = f"the {kind} {name} has the negative entry {cell}."
                raise ConfigError(msg)
        card.rows.append((name, kind, cells))
    else:
        msg = f"{name} is a {kind or 'word alone'}{nearest(kind, _KNOWN)}; only {', '.join(_KNOWN)} can be read."
        raise ConfigError(msg)


# ---- building


def _channel(
    card: _Card, name: str, files: dict[Path, uproot.ReadOnlyDirectory], overrides: dict[str, dict[str, object]]
) -> tuple[Channel, Floats]:
    statistics = next(
        ((threshold, mode) for pattern, threshold, mode in card.statistics if fnmatch.fnmatchcase(name, pattern)),
        (-1.0, 1),
    )
    edges: tuple[float, ...] | None = None
    if _mapping(card, "data_obs", name) is None:
        if name not in card.observed:
            msg = f"{card.path}: the bin {name} has no observation."
            raise ConfigError(msg)
        seen = np.array([card.observed[name]])
    else:
        seen, _, edges = _template(card, "data_obs", name, "", files)
        stated = card.observed.get(name, -1.0)
        if stated >= 0 and abs(stated - seen.sum()) > 1e-3 * max(1.0, stated):
            msg = f"{card.path}: the bin {name} states {stated:g} observed events, its histogram holds {seen.sum():g}."
            raise ConfigError(msg)
    samples, errors = [], {}
    for index, (channel, process) in enumerate(card.columns):
        if channel != name:
            continue
        sample, error = _sample(card, index, statistics[1], files, overrides)
        samples.append(sample)
        errors[process] = error
    if not samples:
        msg = f"{card.path}: the bin {name} has no process."
        raise ConfigError(msg)
    if statistics[0] >= 0:
        samples = _with_statistics(card, name, samples, errors, statistics[0])
    return Channel(name, tuple(samples), edges), seen


def _sample(
    card: _Card,
    index: int,
    mode: int,
    files: dict[Path, uproot.ReadOnlyDirectory],
    overrides: dict[str, dict[str, object]],
) -> tuple[Sample, Floats]:
    channel, process = card.columns[index]
    rate = card.rates[index]
    if _mapping(card, process, channel) is None:
        yields, errors = np.array([max(rate, 0.0)]), np.zeros(1)
    else:
        yields, errors, _ = _template(card, process, channel, "", files)
        if rate >= 0:
            scale = rate / yields.sum() if yields.sum() > 0 else 0.0
            if abs(scale - 1) > 1e-4 and rate > 0:
                yields, errors = yields * scale, errors * scale
    modifiers = _factors(card, index, overrides)
    for name, kind, cells in card.rows:
        if kind == "gmN":
            yields = _gamma(name, cells, index, yields, modifiers, overrides)
            continue
        cell = cells[index]
        if cell in ("-", "0"):
            continue
        if kind == "lnN":
            modifiers.append(_lnn(name, cell))
        else:
            modifiers += _shape(card, index, name, float(cell), yields, mode, files)
    return Sample(process, yields, tuple(modifiers)), errors


def _factors(card: _Card, index: int, overrides: dict[str, dict[str, object]]) -> list[Modifier]:
    """Return the signal strength and the rateParams of a column."""
    channel, process = card.columns[index]
    modifiers = [Modifier("normfactor", POI)] if card.numbers[index] <= 0 else []
    for name, pattern, which, init, bounds in card.rate_params:
        if not (fnmatch.fnmatchcase(channel, pattern) and fnmatch.fnmatchcase(process, which)):
            continue
        measured = card.params.get(name)
        modifiers.append(Modifier("lumi" if measured else "normfactor", name))
        overrides[name] = {"inits": [init], "bounds": [bounds]}
        if measured:
            overrides[name] |= {"auxdata": [measured[0]], "sigmas": [measured[1]]}
    return modifiers


def _lnn(name: str, cell: str) -> Modifier:
    down, _, up = cell.rpartition("/")
    kappa_up = float(up)
    kappa_down = float(down) if down else 1 / kappa_up
    return Modifier("normsys", name, np.array([kappa_up]), np.array([kappa_down]), interpolation="lnN")


def _gamma(
    name: str,
    cells: list[str],
    index: int,
    yields: Floats,
    modifiers: list[Modifier],
    overrides: dict[str, dict[str, object]],
) -> Floats:
    """Take the yield as alpha times the mean of a Poisson measurement of N events."""
    count, cell = float(cells[0]), cells[1 + index]
    if cell in ("-", "0"):
        return yields
    modifiers.append(Modifier("normfactor", name))
    overrides[name] = {
        "constraint": "poisson",
        "inits": [max(count, 0.5)],
        "bounds": [(1e-10, count + 10 * np.sqrt(count + 1) + 10)],
        "auxdata": [count],
        "factors": [1.0],
    }
    shape = yields / yields.sum() if yields.sum() > 0 else np.full(len(yields), 1 / len(yields))
    return np.asarray(float(cell) * shape)


def _shape(
    card: _Card,
    index: int,
    name: str,
    scale: float,
    yields: Floats,
    mode: int,
    files: dict[Path, uproot.ReadOnlyDirectory],
) -> list[Modifier]:
    channel, process = card.columns[index]
    if scale != 1:
        msg = f"{card.path}: the shape {name} of {process} in {channel} is scaled by {scale:g}; only 1 can be read."
        raise ConfigError(msg)
    nominal = _template(card, process, channel, "", files)[0]
    up, down = (_template(card, process, channel, f"{name}{side}", files)[0] for side in ("Up", "Down"))
    if mode == 2:  # the yield is part of the shape
        factor = yields.sum() / nominal.sum()
        return [Modifier("histosys", name, up * factor, down * factor, interpolation="code4p")]
    norms = [side.sum() / nominal.sum() for side in (up, down)]
    modifiers = []
    if max(abs(norm - 1) for norm in norms) > 1e-12:
        factors = [np.array([norm]) for norm in norms]
        modifiers.append(Modifier("normsys", name, factors[0], factors[1], interpolation="lnN"))
    if len(yields) > 1:
        total = yields.sum()
        modifiers.append(
            Modifier("histosys", name, up * (total / up.sum()), down * (total / down.sum()), interpolation="code4p")
        )
    return modifiers


def _with_statistics(
    card: _Card, name: str, samples: list[Sample], errors: Mapping[str, Floats], threshold: float
) -> list[Sample]:
    numbers = {process: number for (_, process), number in zip(card.columns, card.numbers, strict=True)}
    backgrounds = [sample for sample in samples if numbers[sample.name] > 0]
    total = np.sum([sample.yields for sample in backgrounds], axis=0)
    variance = np.sum([errors[sample.name] ** 2 for sample in backgrounds], axis=0)
    effective = np.round(np.divide(total**2, variance, out=np.full_like(total, np.inf), where=variance > 0))
    if np.any(effective <= threshold):
        msg = (
            f"{card.path}: autoMCStats of {name} asks for one parameter a process in bins of up to {threshold:g} "
            "effective events, and there are such bins; only one parameter a bin (threshold 0) can be read."
        )
        raise ConfigError(msg)
    used = variance > 0
    return [
        Sample(
            sample.name,
            sample.yields,
            (
                *sample.modifiers,
                Modifier("mcstat", f"prop_bin{name}", errors=np.where(used, errors[sample.name], 0.0)),
            ),
        )
        for sample in samples
    ]


# ---- files of shapes


def _mapping(card: _Card, process: str, channel: str) -> tuple[str, str, str] | None:
    best: tuple[int, tuple[str, str, str]] | None = None
    for who, where, file, nominal, systematic in card.shapes:
        if who in (process, "*") and where in (channel, "*"):
            rank = 2 * (who != "*") + (where != "*")
            if best is None or rank >= best[0]:
                best = (rank, (file, nominal, systematic))
    if best is None or best[1][0] == "FAKE":
        return None
    return best[1]


def _template(
    card: _Card, process: str, channel: str, systematic: str, files: dict[Path, uproot.ReadOnlyDirectory]
) -> tuple[Floats, Floats, tuple[float, ...]]:
    found = _mapping(card, process, channel)
    if found is None:
        msg = f"{card.path}: {process} in {channel} has no shapes line."
        raise ConfigError(msg)
    file, nominal, pattern = found
    path = card.path.parent / file
    if systematic and not pattern:
        msg = f"{card.path}: the shapes line of {process} in {channel} has no pattern with $SYSTEMATIC."
        raise ConfigError(msg)
    key = (pattern if systematic else nominal).replace("$PROCESS", process).replace("$CHANNEL", channel)
    key = key.replace("$SYSTEMATIC", systematic)
    if ":" in key or "$" in key:
        msg = f"{card.path}: {key} is a parametric shape or needs a mass; only histograms can be read."
        raise ConfigError(msg)
    if path not in files:
        try:
            files[path] = uproot.open(path)
        except (OSError, ValueError, KeyError) as error:
            msg = f"{card.path}: the file of shapes {path} can't be read as ROOT."
            raise InputError(msg) from error
    directory = files[path]
    try:
        histogram = directory[key]
    except uproot.KeyInFileError as error:
        known = [re.sub(r";\d+$", "", each) for each in directory.keys(recursive=True)]
        msg = f"{card.path}: {path} has no histogram {key}{nearest(key, known)}."
        raise ConfigError(msg) from error
    values = np.asarray(histogram.values(), dtype=np.float64)
    variances = histogram.variances()
    errors = np.sqrt(values if variances is None else np.asarray(variances, dtype=np.float64))
    return values, errors, tuple(float(edge) for edge in histogram.axis().edges())
