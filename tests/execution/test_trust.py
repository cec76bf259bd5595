"""Nothing that came from elsewhere is unpickled or evaluated, and what is temporary is private."""

from __future__ import annotations

import ast
import stat
from pathlib import Path

import pytest

import colonnade
from colonnade.execution import project as project_module
from colonnade.execution.project import ProjectCode, SourceModule, install

SOURCES = sorted(Path(colonnade.__file__).parent.rglob("*.py"))
# what a run sends to its own workers, over a connection of its own
OWN_WORKERS = {("execution/work.py", "cloudpickle.loads")}
FORBIDDEN = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads",
    "marshal.load", "marshal.loads", "shelve.open", "joblib.load", "dill.load", "dill.loads", "torch.load",
    "yaml.unsafe_load", "yaml.full_load", "np.load", "numpy.load", "pd.read_pickle", "coffea.util.load",
}  # fmt: skip


def name_of(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def calls(text: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]


def is_safe(call: ast.Call, name: str) -> bool:
    words = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name in {"np.load", "numpy.load"}:  # refuses pickles unless told otherwise
        return words.get("allow_pickle", "False") == "False"
    return name == "torch.load" and words.get("weights_only") == "True"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_room_evaluates_or_unpickles(path: Path) -> None:
    place = path.relative_to(Path(colonnade.__file__).parent).as_posix()
    for call in calls(path.read_text(encoding="utf-8")):
        name = name_of(call.func)
        found = name in FORBIDDEN and not is_safe(call, name) and (place, name) not in OWN_WORKERS
        assert not found, f"{place}:{call.lineno} calls {name}"
        if name == "yaml.load":
            loader = next(ast.unparse(word.value) for word in call.keywords if word.arg == "Loader")
            assert loader.endswith(("UniqueKeyLoader", "SafeLoader"))


def test_the_search_finds_what_it_is_for() -> None:
    names = [name_of(call.func) for call in calls("import pickle\nx = pickle.loads(b'')\ny = eval('1')")]
    assert names == ["pickle.loads", "eval"]


def test_code_that_travels_is_placed_privately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    visitors = project_module._Visitors()
    monkeypatch.setattr(project_module, "_visitors", visitors)
    install(ProjectCode((SourceModule("travelled_module", "/nowhere/travelled_module.py", b"X = 3\n", False),)))
    try:
        import travelled_module  # type: ignore[import-not-found]

        assert travelled_module.X == 3
        folder = Path(travelled_module.__file__).parent
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        visitors._set_aside()
