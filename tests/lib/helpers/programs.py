"""Programs that can't be installed beside the rest, see docs/statistics.md."""

from __future__ import annotations

__all__ = ["python_with"]

import os
from pathlib import Path

import pytest


def python_with(program: str, environment: str) -> Path:
    """Return the Python of the environment that has a program: of this one, or what COLONNADE_PROGRAM names.

    Without it the test is skipped.
    """
    variable = f"COLONNADE_{program.upper()}"
    python = Path(os.environ.get(variable) or Path(__file__).parents[3] / environment / "bin" / "python")
    if not python.is_file():
        pytest.skip(f"{program} needs an environment of its own: {environment}, or {variable}=its Python")
    return python
