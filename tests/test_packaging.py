"""The package as others get it: what it imports is declared, and wheel and sdist install and run anywhere."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers.search import write_muons


def imported(folder: Path) -> set[str]:
    """Return the top-level names that the modules of a folder import, apart from Python's own."""
    names = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"colonnade"}


def test_what_is_imported_is_declared(project: Path) -> None:
    content = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    groups = [content["dependencies"], *content["optional-dependencies"].values()]
    declared = {re.split(r"[\[<>=~ ]", line)[0].lower().replace("_", "-") for group in groups for line in group}
    providers = importlib.metadata.packages_distributions()
    missing = {
        name: providers.get(name, [name])
        for name in imported(project / "src")
        if not declared & {each.lower().replace("_", "-") for each in providers.get(name, [name])}
    }
    assert not missing


def test_the_version_is_in_one_place(project: Path) -> None:
    version = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (project / "CHANGELOG.md").read_text()
    assert version not in (project / "CITATION.cff").read_text()
    assert version not in (project / "README.md").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """The scripts of a new environment with the wheel that the sdist makes; other packages are those of this one."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("package")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    subprocess.run([*build, "--target", "sdist"], cwd=project, check=True, capture_output=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source = next(path for path in folder.iterdir() if path.is_dir())
    subprocess.run([*build, "--target", "wheel"], cwd=source, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, next(folder.glob("*.whl"))], check=True)
    (place,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (place / "others.pth").write_text(sysconfig.get_paths()["purelib"])
    return python.parent


def test_an_installed_wheel_runs_an_analysis_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    def does(*words: object) -> str:
        command = [installed / words[0], *map(str, words[1:])]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    write_muons(tmp_path / "muons.root", np.random.default_rng(1), 200, data=True, hard=0.5)
    where = does("python", "-c", "import colonnade; print(colonnade.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)
    does("colonnade", "new", "dimuon")
    does("colonnade", "datasets", "add", "dimuon", "muons.root", "--process", "data", "--kind", "data")
    does("colonnade", "run", "workflows/dimuon.yaml", "--executor", "iterative", "--workers", 1)
    assert (tmp_path / "results" / "dimuon" / "report.html").stat().st_size > 10_000
