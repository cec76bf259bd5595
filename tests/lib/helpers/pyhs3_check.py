"""The log-likelihood as pyhs3 understands an HS3 file, from an environment of its own."""

from __future__ import annotations

__all__ = ["pyhs3_log_likelihoods"]

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
from helpers import pyhs3_values


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
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.hs3.json"
        write_json(file, to_hs3(model))
        names = [label for each in model.parameters for label in hs3_labels(each)]
        request = {"file": str(file), "names": names, "points": points.tolist()}
        try:
            found = subprocess.run(
                [str(python), "-I", pyhs3_values.__file__],
                input=json.dumps(request),
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            msg = f"{python} can't be started ({error.strerror}); give the Python of an environment that has pyhs3."
            raise InputError(msg) from error
    if found.returncode:
        lines = found.stderr.strip().splitlines() or ["it says nothing"]
        if "No module named" in lines[-1]:
            msg = f"{python} has no pyhs3; make an environment with `python -m venv ENV && ENV/bin/pip install pyhs3`."
            raise InputError(msg)
        msg = f"pyhs3 can't evaluate what was written: {lines[-1][:200]}."
        raise InputError(msg)
    answer = json.loads(found.stdout)
    return str(answer["version"]), np.array(answer["values"], dtype=np.float64)
