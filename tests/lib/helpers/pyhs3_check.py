"""The log-likelihood as pyhs3 and ROOT understand an HS3 file, from environments of their own."""

from __future__ import annotations

__all__ = ["pyhs3_log_likelihoods", "root_log_likelihoods"]

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from colonnade.errors import InputError
from colonnade.output import write_json
from colonnade.statistics.formats.hs3 import hs3_labels, to_hs3
from colonnade.statistics.likelihood import Floats
from colonnade.statistics.model import Model
from helpers import pyhs3_values, root_values


def pyhs3_log_likelihoods(python: Path, model: Model, points: Floats) -> tuple[str, Floats]:
    """Write a model as HS3 and let pyhs3 validate it and evaluate its log-likelihood.

    Parameters
    ----------
    python
        The Python of an environment with pyhs3.
    model
        The model, in HistFactory's words.
    points
        Parameters in the model's order, shape (points, parameters).

    Returns
    -------
    str
        pyhs3's version.
    numpy.ndarray
        Shape (points,).

    Raises
    ------
    InputError
        If there is no such Python, it has no pyhs3, or pyhs3 refuses the file.
    """
    return _ask("pyhs3", pyhs3_values.__file__, python, model, points)


def root_log_likelihoods(python: Path, model: Model, points: Floats, written: Path | None = None) -> tuple[str, Floats]:
    """Write a model as HS3 and let ROOT evaluate its log-likelihood, and write it again.

    Parameters
    ----------
    python
        The Python of an environment with ROOT.
    model, points
        As for pyhs3.
    written
        Where ROOT is to write what it read, as HS3.

    Returns
    -------
    str
        ROOT's version.
    numpy.ndarray
        Shape (points,).

    Raises
    ------
    InputError
        If there is no such Python, it has no ROOT, or ROOT refuses the file.
    """
    return _ask("ROOT", root_values.__file__, python, model, points, written=str(written) if written else None)


def _ask(name: str, program: str, python: Path, model: Model, points: Floats, **more: str | None) -> tuple[str, Floats]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.hs3.json"
        write_json(file, to_hs3(model))
        names = [label for each in model.parameters for label in hs3_labels(each)]
        request = {"file": str(file), "names": names, "points": points.tolist()} | more
        try:
            found = subprocess.run(
                [str(python), "-I", program],
                input=json.dumps(request),
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            msg = f"{python} can't be started ({error.strerror}); give the Python of an environment that has {name}."
            raise InputError(msg) from error
    if found.returncode:
        lines = found.stderr.strip().splitlines() or ["it says nothing"]
        if "No module named" in lines[-1]:
            msg = (
                f"{python} has no {name}; make an environment with `python -m venv ENV && ENV/bin/pip install {name}`."
            )
            raise InputError(msg)
        msg = f"{name} can't evaluate what was written: {lines[-1][:200]}."
        raise InputError(msg)
    answer = json.loads(found.stdout.splitlines()[-1])
    return str(answer["version"]), np.array(answer["values"], dtype=np.float64)
