"""Random small models, degenerate ones among them, with a likelihood of their own and MINUIT from many starts.

The likelihood is HistFactory's, written down again from its definition (CERN-OPEN-2012-016), cell by cell; nothing of
colonnade's compiled likelihood enters. As a script it compares many models and prints every answer that is wrong::

    python tests/lib/helpers/random_models.py --models 2000 --seed 1
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import click
import iminuit
import numba
import numpy as np
from scipy.stats import norm

from colonnade.errors import ColonnadeError
from colonnade.statistics import Likelihood, discovery, expected_discovery, fit, from_workspace, upper_limits
from colonnade.statistics.fitting import fit_at, free_fit

# what events cost where none are expected, as the likelihood documents it
FLOOR, WALL = 1e-10, 1e4
FACTOR, NORMSYS, HISTOSYS = 0, 1, 2
NORMAL, POISSON = 0, 1
SIGMAS = (-2, -1, 0, 1, 2)


# ---- models


def random_spec(seed: int) -> dict:
    """Return a workspace; its modifiers are of all kinds, regular and degenerate."""
    rng = np.random.default_rng(seed)
    channels, observations = [], []
    shared_norms = [_normsys(rng, f"n{index}") for index in range(rng.integers(0, 3))]
    for number in range(rng.integers(1, 3)):
        name, bins = f"c{number}", int(rng.integers(1, 4))
        samples = []
        for index in range(int(rng.integers(1, 4))):
            signal = index == 0 and (number == 0 or rng.random() < 0.5)
            samples.append(_sample(rng, name, index, bins, shared_norms, signal=signal))
        total = np.maximum(np.sum([each["data"] for each in samples[1:] or samples], axis=0), 0)
        seen = rng.poisson(total * rng.uniform(0.6, 1.4)).astype(float)
        if rng.random() < 0.12:
            seen[:] = 0
        if rng.random() < 0.05:
            seen[rng.integers(bins)] += 1
        channels.append({"name": name, "samples": samples})
        observations.append({"name": name, "data": seen.tolist()})
    parameters = []
    if any(m["type"] == "lumi" for c in channels for s in c["samples"] for m in s["modifiers"]):
        parameters.append({"name": "lumi", "auxdata": [1.0], "sigmas": [0.05], "inits": [1.0], "bounds": [[0.5, 1.5]]})
    if rng.random() < 0.3:
        parameters.append({"name": "mu", "bounds": [[-5.0, 10.0]], "inits": [1.0]})
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }


def _normsys(rng: np.random.Generator, name: str) -> dict:
    size = rng.choice([0.02, 0.1, 0.4, 0.8])
    high, low = [
        (1 + size, 1 - size),
        (1 + size, 1 / (1 + size)),
        (1 + size, 1 + size),  # even
        (1 - size, 1 - size),
        (1 + size, 1.0),  # one-sided
        (1.0, 1.0),
        (1 - size, 1 + 0.3 * size),
    ][rng.integers(7)]
    return {"name": name, "type": "normsys", "data": {"hi": float(high), "lo": float(low)}}


def _histosys(rng: np.random.Generator, name: str, yields: np.ndarray) -> dict:
    size = rng.choice([0.05, 0.3, 1.2])
    shift = size * np.maximum(np.abs(yields), 0.2) * rng.uniform(-1, 1, len(yields))
    high, low = [
        (yields + shift, yields - shift),
        (yields + shift, yields + shift),  # even
        (yields + shift, yields),  # one-sided
        (yields + shift, yields - 0.4 * shift),
        (yields, yields),
    ][rng.integers(5)]
    return {"name": name, "type": "histosys", "data": {"hi_data": high.tolist(), "lo_data": low.tolist()}}


def _sample(rng, channel: str, index: int, bins: int, norms: list[dict], *, signal: bool) -> dict:  # a modifier a line
    yields = np.exp(rng.uniform(np.log(0.2), np.log(10.0 if signal else 100.0), bins))
    yields[rng.random(bins) < 0.08] = 0.0
    if rng.random() < 0.06:
        yields[rng.integers(bins)] *= -0.1
    modifiers = [each for each in norms if rng.random() < 0.6]
    if signal:
        modifiers.append({"name": "mu", "type": "normfactor", "data": None})
    elif rng.random() < 0.25:
        modifiers.append({"name": f"k{index}", "type": "normfactor", "data": None})
    # named as a normsys at times, so that one parameter does both
    shapes = [f"h{number}" if rng.random() < 0.7 else "n0" for number in range(2) if rng.random() < 0.35]
    modifiers += [_histosys(rng, name, yields) for name in shapes]
    errors = np.abs(yields) * rng.choice([0.05, 0.3, 1.0]) * (rng.random(bins) > 0.1)
    if not signal and rng.random() < 0.3:
        modifiers.append({"name": f"stat_{channel}", "type": "staterror", "data": errors.tolist()})
    if rng.random() < 0.12:
        modifiers.append({"name": f"size_{channel}_{index}", "type": "shapesys", "data": errors.tolist()})
    if not signal and rng.random() < 0.06:
        modifiers.append({"name": f"any_{channel}", "type": "shapefactor", "data": None})
    if rng.random() < 0.15:
        modifiers.append({"name": "lumi", "type": "lumi", "data": None})
    if modifiers and rng.random() < 0.04:
        modifiers.append(modifiers[0])
    return {"name": f"s{index}", "data": yields.tolist(), "modifiers": modifiers}


# ---- their likelihood, again


@numba.njit(cache=False)
def _expected(theta, nominal, bin_of, bins, kinds, cells, parameters, numbers):
    content, factor = nominal.copy(), np.ones(len(nominal))
    for k in range(len(kinds)):
        cell, a = cells[k], theta[parameters[k]]
        if kinds[k] == FACTOR:
            factor[cell] *= a
        elif kinds[k] == NORMSYS:
            if a >= 1:
                factor[cell] *= numbers[k, 0] ** a
            elif a <= -1:
                factor[cell] *= numbers[k, 1] ** (-a)
            else:
                value = 0.0
                for power in range(6):
                    value = (value + numbers[k, 7 - power]) * a
                factor[cell] *= 1 + value
        else:  # code 4p
            high, low = numbers[k, 0] - nominal[cell], numbers[k, 1] - nominal[cell]
            if a > 1:
                content[cell] += a * high
            elif a < -1:
                content[cell] -= a * low
            else:
                half, bend = (high - low) / 2, (high + low) / 16
                content[cell] += a * (half + a * bend * (15 + a * a * (3 * a * a - 10)))
    result = np.zeros(bins)
    for cell in range(len(nominal)):
        result[bin_of[cell]] += content[cell] * factor[cell]
    return result


@numba.njit(cache=False)
def _term(count, rate):
    if count <= 0:
        return max(rate, 0.0)
    lacking = max(FLOOR - rate, 0.0)
    rate = max(rate, FLOOR)
    return rate - count + count * math.log(count / rate) + WALL * count * lacking


@numba.njit(cache=False)
def _nll(theta, data, nominal, bin_of, bins, kinds, cells, parameters, numbers, held, held_kind, width):
    rates = _expected(theta, nominal, bin_of, bins, kinds, cells, parameters, numbers)
    value = 0.0
    for b in range(bins):
        value += _term(data[b], rates[b])
    for k in range(len(held)):
        if held_kind[k] == NORMAL:
            value += 0.5 * ((data[bins + k] - theta[held[k]]) / width[k]) ** 2
        else:
            value += _term(data[bins + k], theta[held[k]] * width[k])
    return value


class Oracle:
    """The likelihood of a workspace, its parameters in the order of `labels`."""

    def __init__(self, spec: dict, likelihood: Likelihood) -> None:
        self.index = {label: place for place, label in enumerate(likelihood.labels)}
        self.lower, self.upper, self.inits = likelihood.lower, likelihood.upper, likelihood.inits
        nominal, bin_of, ops, first = [], [], [], 0
        self.stat: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.sizes: dict[str, np.ndarray] = {}
        for channel in spec["channels"]:
            bins = len(channel["samples"][0]["data"])
            for sample in channel["samples"]:
                at = len(nominal)
                nominal += sample["data"]
                bin_of += [first + b for b in range(bins)]
                once = {(each["type"], each["name"]): each for each in sample["modifiers"]}
                for each in once.values():
                    ops += [self._op(each, at + b, b) for b in range(bins)]
                    self._errors(each, np.array(sample["data"]))
            first += bins
        self.bins = first
        numbers = np.array([op[3] for op in ops]).reshape(len(ops), 8)
        kinds, cells, parameters = (np.array([op[k] for op in ops], dtype=np.int64) for k in range(3))
        self.cells = (np.array(nominal), np.array(bin_of), self.bins, kinds, cells, parameters, numbers)
        self._constraints(likelihood)

    def _op(self, each: dict, cell: int, b: int):
        numbers = [0.0] * 8
        kind, name = each["type"], each["name"]
        if kind == "normsys":
            high, low = each["data"]["hi"], each["data"]["lo"]
            return NORMSYS, cell, self.index[name], [high, low, *_code4(high, low)]
        if kind == "histosys":
            numbers[:2] = each["data"]["hi_data"][b], each["data"]["lo_data"][b]
            return HISTOSYS, cell, self.index[name], numbers
        label = name if kind in ("normfactor", "lumi") else f"{name}[{b}]"
        return FACTOR, cell, self.index[label], numbers

    def _errors(self, each: dict, yields: np.ndarray) -> None:
        if each["type"] == "staterror":
            total, variance = self.stat.get(each["name"], (0.0, 0.0))
            self.stat[each["name"]] = (total + yields, variance + np.array(each["data"]) ** 2)
        elif each["type"] == "shapesys":
            errors = np.array(each["data"])
            good = (yields > 0) & (errors > 0)
            self.sizes[each["name"]] = np.where(good, np.divide(yields, errors, where=good, out=yields * 0) ** 2, 0.0)

    def _constraints(self, likelihood: Likelihood) -> None:
        held, kind, width, aux = [], [], [], []
        fixed = np.zeros(len(likelihood.labels), dtype=bool)
        for label, place in self.index.items():
            name, _, rest = label.partition("[")
            if name.startswith(("n", "h")) or name == "lumi":
                entry = (NORMAL, 0.05, 1.0) if name == "lumi" else (NORMAL, 1.0, 0.0)
            elif name in self.stat:
                total, variance = (each[int(rest[:-1])] for each in self.stat[name])
                relative = math.sqrt(variance) / total if total > 0 else 0.0
                fixed[place] = relative == 0
                entry = (NORMAL, relative or 1.0, 1.0)
            elif name in self.sizes:
                tau = self.sizes[name][int(rest[:-1])]
                fixed[place] = tau == 0
                entry = (POISSON, tau or 1.0, tau or 1.0)
            else:
                continue
            held.append(place)
            kind.append(entry[0])
            width.append(entry[1])
            aux.append(entry[2])
        self.fixed = fixed
        self.aux = np.array(aux)
        self.held = (np.array(held, dtype=np.int64), np.array(kind, dtype=np.int64), np.array(width, dtype=float))

    def nll(self, theta: np.ndarray, data: np.ndarray) -> float:
        return _nll(theta, data, *self.cells, *self.held)

    def expected(self, theta: np.ndarray) -> np.ndarray:
        return _expected(theta, *self.cells)

    def minimum(self, data, ours, *, seed: int, hold: dict[int, float], lower=None, starts: int = 20) -> float:
        """Return the least value that MINUIT finds from random starts, and from where our fit ended."""
        rng = np.random.default_rng(seed)
        low, high = self.lower.copy(), self.upper.copy()
        for place, value in (lower or {}).items():
            low[place], high[place] = value, np.inf
        free = np.array([k for k in range(len(low)) if not self.fixed[k] and k not in hold])
        base = ours.copy()
        for place, value in hold.items():
            base[place] = value
        best = self.nll(base, data)
        if len(free) == 0:
            return best

        def cost(values):
            theta = base.copy()
            theta[free] = values
            return _nll(theta, data, *self.cells, *self.held)

        wide = np.minimum(high, self.inits + 4)[free], np.maximum(low, self.inits - 4)[free]
        for number in range(starts + 1):
            start = base[free] if number == 0 else rng.uniform(wide[1], wide[0])
            minuit = iminuit.Minuit(cost, start)
            minuit.limits = list(zip(low[free], high[free], strict=True))
            minuit.errordef, minuit.strategy, minuit.print_level = 0.5, 0 if number else 1, 0
            minuit.migrad(ncall=3000)
            best = min(best, cost(np.asarray(minuit.values)))
        return best


def _code4(high: float, low: float) -> list[float]:
    """Coefficients of x, x^2 ... x^6 that meet both exponentials with two derivatives at plus and minus one."""
    powers = np.arange(1, 7)
    rows, right = [], []
    for x, base in ((1.0, high), (-1.0, low)):
        log = math.log(base)
        rows += [x**powers, powers * x ** (powers - 1), powers * (powers - 1) * x ** np.maximum(powers - 2, 0)]
        right += [base - 1, x * base * log, base * log**2]
    return np.linalg.solve(np.array(rows), np.array(right)).tolist()


# ---- comparisons


@dataclass
class Comparison:
    """What came out of one model: answers that are wrong, and how many were compared."""

    seed: int
    wrong: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    compared: int = 0

    def minimum(self, what: str, ours: float, least: float) -> None:
        self.compared += 1
        if not ours <= least + 2e-4 * (1 + 1e-3 * abs(least)):
            self.wrong.append(f"{what}: {ours:.7g}, and MINUIT finds {least:.7g}")

    def close(self, what: str, ours: float, theirs: float, tolerance: float) -> None:
        self.compared += 1
        if not abs(ours - theirs) <= tolerance:
            self.wrong.append(f"{what}: {ours:.7g} for {theirs:.7g}")


def compare(seed: int, starts: int = 20) -> Comparison:
    """Compare fits, limits, significances and fits of pseudo-experiments of a random model with MINUIT."""
    result = Comparison(seed)
    spec = random_spec(seed)
    model = from_workspace(spec)
    likelihood = Likelihood(model)
    oracle = Oracle(spec, likelihood)
    mu = likelihood.poi
    data = np.concatenate([*(each["data"] for each in spec["observations"]), oracle.aux])
    result.close("data", float(np.abs(likelihood.observed - data).sum()), 0.0, 1e-9)
    result.close("fixed", float(np.sum(likelihood.fixed != oracle.fixed)), 0.0, 0.0)

    def least(values, ours, hold=None, lower=None):
        return oracle.minimum(values, ours, seed=seed, hold=hold or {}, lower=lower, starts=starts)

    try:
        found = fit(likelihood)
    except ColonnadeError as error:
        result.told.append(f"fit: {error}")
    else:
        result.close("nll", found.nll, oracle.nll(found.values, data), 1e-6 * (1 + abs(found.nll)))
        result.minimum("fit", found.nll, least(data, found.values))
    null = fit_at(likelihood, np.zeros(1), likelihood.observed[:, None])
    theta = null.values[:, 0]
    nothing = least(data, theta, {mu: 0.0})
    result.minimum("background fit", float(null.nll[0]), nothing)
    lowest = min(0.0, float(likelihood.lower[mu]))
    # the best signal strength may be far out, where no random point is: MINUIT goes on from where our fit ended, too
    ours = free_fit(likelihood, data[:, None], null, 1.0, float(likelihood.lower[mu])).values[:, 0]
    up = min(least(data, begin, lower={mu: lowest}) for begin in (theta, ours))
    test = discovery(likelihood)
    least_signal = max(0.0, float(likelihood.lower[mu]))
    bounded = free_fit(likelihood, data[:, None], null, 1.0, least_signal).values[:, 0]
    free_bounded = min(least(data, begin, lower={mu: least_signal}) for begin in (theta, bounded))
    if math.isfinite(test.q0):
        # without a fitted signal q0 is 0 only if no signal fits better, or a negative one does
        best = up if test.mu_hat > 0 else free_bounded if free_bounded <= up + 1e-6 else nothing
        q0 = max(0.0, 2 * (nothing - best))
        result.close("q0", test.q0, q0, 1e-3 * (1 + q0))
    asimov = np.concatenate([oracle.expected(theta), np.zeros(len(oracle.aux))])
    asimov[: oracle.bins] = np.where(asimov[: oracle.bins] > 1e-7, asimov[: oracle.bins], 0.0)
    for k, (place, kind, width) in enumerate(zip(*oracle.held, strict=True)):
        asimov[oracle.bins + k] = theta[place] * (width if kind == POISSON else 1.0)
    result.close("Asimov", float(np.abs(likelihood.expected_data(theta) - asimov).max()), 0.0, 1e-6)
    _limits(result, likelihood, oracle, (data, asimov), (theta, free_bounded), starts)
    _expected_discovery(result, likelihood, oracle, theta, least)
    rng = np.random.default_rng(seed)
    drawn = likelihood.sample_data(theta, 2, rng)
    for toy in drawn.T:
        at = fit_at(likelihood, np.array([0.5]), toy[:, None], theta[:, None])
        result.minimum("toy", float(at.nll[0]), least(toy, at.values[:, 0], {mu: 0.5}))
    return result


def _expected_discovery(result, likelihood, oracle, theta, least) -> None:
    mu = likelihood.poi
    there = theta.copy()
    there[mu] = 1.0
    data = likelihood.expected_data(there)
    expected = expected_discovery(likelihood)
    if math.isfinite(expected.q0) and np.all(oracle.expected(there) > 1e-6):
        # its own parameters describe the Asimov data perfectly
        q0 = 2 * least(data, there, {mu: 0.0})
        result.close("expected q0", expected.q0, q0, 1e-3 * (1 + q0))


def _limits(result, likelihood, oracle, data, parts, starts) -> None:
    (seen, asimov), (theta, free) = data, parts
    mu = likelihood.poi
    try:
        limits = upper_limits(likelihood)
    except ColonnadeError as error:
        result.told.append(f"limit: {error}")
        return

    def roots(at, counts, least_of_all):
        found = fit_at(likelihood, np.array(at), counts[:, None], theta[:, None]).values
        least = [
            oracle.minimum(counts, start, seed=0, hold={mu: value}, starts=min(starts, 8))
            for value, start in zip(at, found.T, strict=True)
        ]
        return [math.sqrt(max(0.0, 2 * (each - least_of_all))) for each in least]

    def around(limit):
        # a likelihood may rise as a step there, where a bin with events comes to expect none
        return [limit * (1 + side) for side in (-1e-4, 1e-4)] if math.isfinite(limit) else [1e6]

    chosen = (0, 2, 4)
    found = iter(roots([at for index in chosen for at in around(limits.expected[index])], asimov, 0.0))
    for index in chosen:
        sigma, limit = SIGMAS[index], limits.expected[index]
        target = sigma + norm.isf(0.05 * norm.sf(-sigma))
        if math.isfinite(limit):
            low, high = next(found), next(found)
            nearest = min(max(target, low), high)
            result.close(f"limit {sigma:+d} ({limit:.5g})", nearest, target, 2e-3 * (1 + target))
        else:
            result.compared += 1
            if not next(found) <= target:
                result.wrong.append(f"limit {sigma:+d} is not infinite")
    if math.isfinite(limits.observed):
        at = around(limits.observed)
        high, low = (
            math.exp(norm.logsf(distance + q_a) - norm.logsf(distance))
            for q, q_a in zip(roots(at, seen, free), roots(at, asimov, 0.0), strict=True)
            for distance in (q - q_a if q <= q_a else (q * q - q_a * q_a) / (2 * q_a),)
        )
        result.close(f"observed limit ({limits.observed:.5g})", min(max(0.05, low), high), 0.05, 1e-3)


def main() -> None:
    """Compare many models; exit with 1 if an answer is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="of the first model; the next ones follow")
    parser.add_argument("--starts", type=int, default=20)
    options = parser.parse_args()
    told: Counter[str] = Counter()
    wrong = compared = 0
    begin = time.perf_counter()
    for seed in range(options.seed, options.seed + options.models):
        try:
            found = compare(seed, options.starts)
        except ColonnadeError as error:
            found = Comparison(seed, told=[f"{type(error).__name__}: {error}"])
        except Exception as error:  # any other one is a wrong answer
            found = Comparison(seed, wrong=[f"{type(error).__name__}: {error}"])
        compared += found.compared
        told.update(each.split(";")[0] for each in found.told)
        wrong += len(found.wrong) > 0
        for each in found.wrong:
            click.echo(f"model {seed}: {each}")
        if (number := seed - options.seed + 1) % 25 == 0:
            click.echo(f"{number} of {options.models} models, {wrong} wrong", err=True)
    seconds = time.perf_counter() - begin
    click.echo(f"{options.models} models from seed {options.seed}, {compared} comparisons, {seconds:.0f} s")
    for text, count in told.most_common():
        click.echo(f"{count:5d} x {text}")
    click.echo(f"{wrong} models with a wrong answer")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
