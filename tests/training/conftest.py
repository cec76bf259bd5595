"""The small project on which models are trained."""

from pathlib import Path

import pytest
from helpers.training_project import write_project


@pytest.fixture(scope="session")
def mini(tmp_path_factory) -> Path:
    """The folder of the small project."""
    return write_project(tmp_path_factory.mktemp("mini"))
