"""A fit that does not converge is tried again from other starting points, and then reported: never a number."""

import json
from dataclasses import replace

import numpy as np
import pytest

from colonnade.cli import main
from colonnade.errors import FitError
from colonnade.statistics import Likelihood, fit, from_workspace, minimise, upper_limits


def workspace():
    signal = {"name": "s", "data": [5.0, 10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    scale = {"name": "scale", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    background = {"name": "b", "data": [50.0, 20.0], "modifiers": [scale]}
    return {
        "channels": [{"name": "SR", "samples": [signal, background]}],
        "observations": [{"name": "SR", "data": [57.0, 33.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


@pytest.fixture
def no_newton(monkeypatch):
    """Newton's steps that never arrive."""
    whole = minimise.newton

    def stuck(*args, **kwargs):
        found = whole(*args, **kwargs)
        return replace(found, converged=np.zeros_like(found.converged), values=args[2].copy())

    monkeypatch.setattr(minimise, "newton", stuck)


def test_a_failed_fit_is_tried_again(monkeypatch, request):
    likelihood = Likelihood(from_workspace(workspace()))
    good = fit(likelihood)
    assert not good.retried
    request.getfixturevalue("no_newton")
    again = fit(likelihood)
    assert again.retried
    np.testing.assert_allclose(again.values, good.values, atol=2e-3)


def test_what_fails_from_everywhere_is_an_error(no_newton, monkeypatch, tmp_path, capsys):
    starts = []

    def never(likelihood, data, given, chosen, bounds):
        starts.append(len(given))

    monkeypatch.setattr(minimise, "_migrad", never)
    likelihood = Likelihood(from_workspace(workspace()))
    for function in (fit, upper_limits):
        with pytest.raises(FitError, match="did not converge from 4 starting points"):
            function(likelihood)
    assert starts
    (tmp_path / "w.json").write_text(json.dumps(workspace()))
    with pytest.raises(SystemExit) as caught:
        main(["limit", str(tmp_path / "w.json")])
    told = capsys.readouterr()
    assert caught.value.code == 2
    assert "did not converge" in told.err
    assert "expected" not in told.out  # no number
