"""Pseudo-experiments: draws, the scan, equality with a plain loop, blocks that survive a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers.pseudo_experiments import SMALL
from scipy import stats
from studies.zgamma.block import run_block, scan_counts
from studies.zgamma.engine import load_pseudo_experiments, progress_bar, run_pseudo_experiments
from studies.zgamma.ensemble import EnsembleSettings
from studies.zgamma.sampling import Sample, compare_columns, make_sampler
from studies.zgamma.settings import PseudoExperimentSettings

from colonnade.config import parse_settings
from colonnade.errors import ConfigError, EventError, FitError, InputError, OutputError
from colonnade.statistics.resonance import Exponential, Polynomial

PROJECT = Path(__file__).parents[3]


# --- draws


@pytest.mark.parametrize("weighted", [False, True])
def test_kde_draws_the_simulated_distribution(sample, weighted):
    weights = np.where(sample.features[:, 1] > 0, 1.0, 0.4) if weighted else None
    source = Sample(sample.mass, sample.features, sample.names, weights)
    sampler = make_sampler("kde", source, 132, 168, bandwidth=0.2, shape=Exponential())
    drawn = sampler.draw(np.random.default_rng(3), 30_000)
    columns = np.column_stack([source.mass, source.features])
    w = np.ones(len(columns)) if weights is None else weights
    assert drawn.shape == (30_000, 9)
    mean = np.average(columns, axis=0, weights=w)
    spread = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=w))
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.04 * spread.max())
    assert np.abs((drawn.mean(axis=0) - mean) / spread).max() < 0.04
    assert drawn.std(axis=0) == pytest.approx(spread, rel=0.04)
    # correlations stay: the second feature follows the mass
    want = np.cov(columns.T, aweights=w)
    scale = np.sqrt(np.outer(np.diag(want), np.diag(want)))
    assert np.abs((np.cov(drawn.T) - want) / scale).max() < 0.05
    # nothing beyond the simulated range
    assert np.all(drawn[:, 1:] >= columns[:, 1:].min(axis=0) - 1e-9)
    assert np.all(drawn[:, 1:] <= columns[:, 1:].max(axis=0) + 1e-9)
    assert drawn[:, 0].min() >= 132
    assert drawn[:, 0].max() <= 168


def test_kde_smooths_the_fluctuations_of_the_simulation():
    """A spike of the simulation is drawn again by a bootstrap, and not by the estimate with a smooth mass."""
    rng = np.random.default_rng(1)
    mass = np.concatenate([rng.uniform(132, 168, 3000), np.full(200, 150.2)])
    sample = Sample(mass, rng.normal(size=(3200, 1)), ("x",))
    spike = []
    for kind in ("kde", "bootstrap"):
        drawn = make_sampler(kind, sample, 132, 168, bandwidth=0.3, shape=Exponential()).draw(rng, 20_000)[:, 0]
        spike.append(np.mean((drawn > 150) & (drawn < 150.4)))
    assert spike[1] == pytest.approx((200 + 33) / 3200, rel=0.15)
    assert spike[0] < 2.0 * 0.4 / 36


def test_masses_follow_the_fitted_shape(sample, sampler):
    drawn = sampler.draw(np.random.default_rng(8), 20_000)[:, 0]
    top, bottom = np.exp(-132 / 40), np.exp(-168 / 40)
    test = stats.kstest(drawn, lambda x: (top - np.exp(-x / 40)) / (top - bottom))
    # 20,000 simulated events fix the slope to 1 %, which moves the distribution by less than this
    assert test.statistic < 0.012


def test_comparison_of_drawn_and_simulated(sample, sampler):
    drawn = sampler.draw(np.random.default_rng(2), 30_000)
    report = compare_columns(drawn, sample)
    assert [each["name"] for each in report] == ["mass", *sample.names]
    mass = report[0]
    width = np.diff(mass["edges"])
    assert np.sum(np.array(mass["simulated"]) * width) == pytest.approx(1)
    pulls = np.array(mass["difference"]) / np.array(mass["error"])
    assert np.mean(pulls < 3) > 0.9
    json.dumps(report, allow_nan=False)


def test_bad_samples():
    good = np.arange(10.0)
    with pytest.raises(EventError, match="1 of 10 events have no finite x"):
        Sample(good, np.where(good > 8, np.nan, good)[:, None], ("x",))
    with pytest.raises(EventError, match="negative weights"):
        Sample(good, good[:, None], ("x",), -good)
    with pytest.raises(EventError, match="one name a column"):
        Sample(good, good[:, None], ("x", "y"))
    with pytest.raises(EventError, match="no simulated event has a mass between 20 and 30"):
        Sample(good, good[:, None], ("x",)).between(20, 30)
    with pytest.raises(EventError, match="feature y is 1 in every event"):
        make_sampler("kde", Sample(good, np.ones((10, 1)), ("y",)), 0, 9)
    with pytest.raises(ConfigError, match="there are kde and bootstrap"):
        make_sampler("gan", Sample(good, good[:, None], ("x",)), 0, 9)


# --- one block


def test_scan_is_the_naive_one():
    rng = np.random.default_rng(4)
    mass, score = rng.uniform(132, 168, (3, 500)), rng.random((3, 500)).astype(np.float32)
    inside = (mass >= 144) & (mass <= 156)
    counts, kept = scan_counts(mass, score, inside, SMALL)
    for row in range(3):
        for cut, rejection in enumerate(SMALL.rejections):
            level = np.quantile(score[row][~inside[row]], rejection, method="higher")
            keep = np.full(500, True) if rejection == 0 else score[row] >= level
            expected = np.histogram(mass[row][keep], np.linspace(132, 168, 37))[0]
            assert np.array_equal(counts[row, cut], expected)
            assert kept[row, cut] == keep.sum()
            assert np.mean(~keep[~inside[row]]) == pytest.approx(rejection, abs=0.01)


def test_equals_the_plain_loop_experiment_by_experiment(benchmark, sampler):
    """The same events, first weights and batches through torch's modules and MIGRAD, one at a time."""
    result = run_block(sampler, SMALL, range(6))
    plain = np.array([benchmark.plain_experiment(sampler, SMALL, index) for index in range(6)])
    # rounding in the training can move an event across a cut: a small step in Z, so most agree closely
    assert np.median(np.abs(plain - result.z)) < 0.01
    assert np.abs(plain - result.z).max() < 0.3
    # without a cut no network is involved
    assert plain[:, 0] == pytest.approx(result.z[:, 0], abs=5e-3)


def test_equals_the_plain_loop_in_distribution(benchmark, sampler):
    """Other seeds, as a user's own loop would have: the distributions of Z agree."""
    result = run_block(sampler, SMALL, range(400))
    other = SMALL.model_copy(update={"seed": 77})
    plain = np.array([benchmark.plain_experiment(sampler, other, index) for index in range(40)])
    for cut in range(3):
        assert stats.ks_2samp(result.z[:, cut], plain[:, cut]).pvalue > 0.01


def test_experiments_do_not_depend_on_their_block(sampler):
    together = run_block(sampler, SMALL, range(5))
    alone = run_block(sampler, SMALL, [3])
    assert alone.z[0] == pytest.approx(together.z[3], abs=1e-3)
    assert alone.auc[0] == pytest.approx(together.auc[3], abs=1e-5)
    # and differ from each other
    assert len(set(together.z[:, 0].tolist())) == 5


def test_free_background_has_unit_width_without_a_cut(sampler):
    """Wilks: with the background free Z is standard normal; frozen at the sidebands it is wider."""
    settings = SMALL.model_copy(update={"free_background": True, "events": 3000, "rejections": (0.0,)})
    result = run_block(sampler, settings, range(300))
    assert np.isfinite(result.z_free).all()
    # 300 toys know a width to 4 %; three of these
    assert result.z_free.std() == pytest.approx(1.0, abs=0.12)
    assert result.z_wilks.std() > 1.05
    assert np.isnan(run_block(sampler, SMALL, [0]).z_free).all()


def test_folds_take_away_the_fake_signal(sampler):
    """A network that scores what it was trained on finds its own fluctuations; cross-validated it does not."""
    network = EnsembleSettings(hidden=(32, 32), epochs=30, batch=64, rate=3e-3)
    kind = {"network": network, "rejections": (0.0, 0.5)}
    same = run_block(sampler, SMALL.model_copy(update=kind), range(24))
    apart = run_block(sampler, SMALL.model_copy(update={**kind, "folds": 3}), range(24))
    assert same.auc.mean() > 0.6
    assert apart.auc.mean() < 0.58
    assert same.z[:, 1].mean() > 2.0
    assert abs(apart.z[:, 1].mean()) < 1.0


# --- many blocks


def test_interrupted_extended_and_parallel_runs_give_the_same_numbers(tmp_path, sampler):
    whole = run_pseudo_experiments(sampler, SMALL, 10, tmp_path / "whole")
    assert whole.results.index.tolist() == list(range(10))
    assert whole.results.response.sum() == 10 * 600

    class StopError(Exception):
        pass

    def stop(done, total):
        assert total == 10
        if done >= 4:
            raise StopError

    with pytest.raises(StopError):
        run_pseudo_experiments(sampler, SMALL, 10, tmp_path / "parts", progress=stop)
    first = (tmp_path / "parts" / "block_000000000.npz").stat().st_mtime_ns
    # fewer first, then more, then all; the last block of a shorter run is not whole and is made again
    run_pseudo_experiments(sampler, SMALL, 6, tmp_path / "parts")
    seen = []
    parts = run_pseudo_experiments(sampler, SMALL, 10, tmp_path / "parts", progress=lambda done, _: seen.append(done))
    assert seen[0] == 4
    assert seen[-1] == 10
    assert (tmp_path / "parts" / "block_000000000.npz").stat().st_mtime_ns == first
    for name in ("z", "z_wilks", "n_signal", "n_background", "kept", "auc", "response"):
        assert np.array_equal(getattr(parts.results, name), getattr(whole.results, name))
    assert parts.calibration().z.shape == (10, 3)
    assert parts.labels == ["0 %", "50 %", "80 %"]
    with pytest.raises(ConfigError, match="no statistic 'q'"):
        parts.calibration("q")


KILLED = """
import importlib.util, sys
from pathlib import Path
from colonnade.config import parse_settings
from colonnade.statistics.resonance import Exponential
from studies.zgamma.settings import PseudoExperimentSettings
from studies.zgamma.sampling import make_sampler
from studies.zgamma.engine import run_pseudo_experiments

if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("benchmark", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sampler = make_sampler("kde", module.made_sample(20_000), 132, 168, shape=Exponential())
    settings = PseudoExperimentSettings.model_validate_json(sys.argv[3])
    report = lambda done, _: print(done, flush=True)
    run_pseudo_experiments(sampler, settings, 400, Path(sys.argv[2]), workers=1, progress=report)
"""


def test_a_killed_run_is_taken_up(tmp_path, sampler):
    """SIGKILL in the middle, two processes; what is there is kept and the numbers are those of a whole run."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    folder = tmp_path / "blocks"
    arguments = [
        sys.executable,
        script,
        PROJECT / "benchmarks" / "pseudo_experiments.py",
        folder,
        SMALL.model_dump_json(),
    ]
    # blocks are worked on in other processes, which import the study, too
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True,
                          env={**os.environ, "PYTHONPATH": str(PROJECT)}) as process:  # fmt: skip
        while int(process.stdout.readline()) < 4:
            pass
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    assert children
    assert psutil.wait_procs(children, timeout=60)[1] == []  # they end with it
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("block_*.npz")}
    assert 1 <= len(kept) < 100
    taken_up = run_pseudo_experiments(sampler, SMALL, 12, folder)
    for name, time in kept.items():
        assert (folder / name).stat().st_mtime_ns == time or int(name[6:15]) >= 12
    whole = run_pseudo_experiments(sampler, SMALL, 12, tmp_path / "whole")
    assert np.array_equal(taken_up.results.z, whole.results.z)
    assert np.array_equal(taken_up.results.response, whole.results.response)


def test_damaged_and_foreign_folders(tmp_path, sampler, sample):
    run_pseudo_experiments(sampler, SMALL, 8, tmp_path)
    block = tmp_path / "block_000000004.npz"
    whole = block.read_bytes()
    block.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="missing or damaged"):
        load_pseudo_experiments(tmp_path, SMALL, 8)
    again = run_pseudo_experiments(sampler, SMALL, 8, tmp_path)
    assert block.read_bytes() == whole
    assert len(again.results.z) == 8
    with pytest.raises(ConfigError, match="pseudo-experiments of other settings"):
        run_pseudo_experiments(sampler, SMALL.model_copy(update={"seed": 6}), 8, tmp_path)
    other = make_sampler("bootstrap", sample, 132, 168)
    with pytest.raises(ConfigError, match="of other events"):
        run_pseudo_experiments(other, SMALL, 8, tmp_path)
    with pytest.raises(ConfigError, match="ask for at least one"):
        run_pseudo_experiments(sampler, SMALL, 0, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another folder"):
        run_pseudo_experiments(sampler, SMALL, 8, tmp_path / "file")


def test_settings_name_what_is_wrong():
    for data, sentence in (
        ({"window": [120, 156]}, "must lie inside 132 to 168"),
        ({"events": 100, "folds": 3}, "must be divisible by folds"),
        ({"rejections": [0.5, 0.1]}, "rejections must rise"),
        ({"background": {"shape": "exponentail"}}, "does not match any of the expected tags: 'exponential'"),
        ({"mean": 200.0}, "mean 200 must lie inside"),
        ({"evnts": 3}, "did you mean events"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            parse_settings(PseudoExperimentSettings, data, "workflow.yaml")


def test_a_shape_that_never_fits_is_reported(tmp_path, sampler):
    """Twelve parameters on ten events a spectrum: no fit converges, and nothing pretends otherwise."""
    settings = SMALL.model_copy(update={"background": Polynomial(12), "events": 40, "rejections": (0.8,)})
    result = run_pseudo_experiments(sampler, settings, 4, tmp_path)
    assert np.isnan(result.results.z).all()
    with pytest.raises(FitError, match="no scan has a converged fit"):
        result.calibration()


def test_progress_bar(capsys):
    with progress_bar("Pseudo-experiments") as report:
        report(0, 10)
        report(10, 10)
    assert "10/10" in capsys.readouterr().out
