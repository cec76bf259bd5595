"""What users may import is decided here, so that nothing appears or vanishes unnoticed."""

from __future__ import annotations

import importlib
import subprocess
import sys

import colonnade

PUBLIC = {
    "colonnade": ["ColonnadeError", "Histogram", "Objects", "Processor", "Region", "Shift", "Source", "load"],
    "colonnade.errors": [
        "ColonnadeError",
        "ConfigError",
        "EventError",
        "FitError",
        "InputError",
        "LossError",
        "MissingColumnError",
        "OutputError",
        "nearest",
    ],
    "colonnade.config": ["JsonData", "Settings", "finite", "parse_settings", "read_json", "read_yaml"],
    "colonnade.output": ["claim", "claim_folder", "held_alone", "replacing", "sweep", "write_json"],
    "colonnade.workflow": ["Workflow", "load_run", "load_workflow", "run_workflow"],
}


def test_each_room_offers_what_it_promises_and_no_more() -> None:
    for name, expected in PUBLIC.items():
        module = importlib.import_module(name)
        assert sorted(module.__all__) == expected, name
        assert all(hasattr(module, item) for item in expected), name


def test_dir_lists_the_lazy_names() -> None:
    assert dir(colonnade) == PUBLIC["colonnade"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(colonnade, "Histograms")


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    code = (
        "import sys; import colonnade.cli; "
        "heavy = {'awkward', 'coffea', 'matplotlib', 'pyhf', 'torch', 'numba', 'dask', 'pydantic', 'numpy'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
