"""Nothing that came from elsewhere is unpickled or evaluated, and what is temporary is private."""

from __future__ import annotations

import ast
import pickle
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hist import Hist

import colonnade
from colonnade.errors import ColonnadeError, ConfigError, InputError
from colonnade.events import SourceFile
from colonnade.execution import ResultCache
from colonnade.execution import project as project_module
from colonnade.execution.cache import KnownFiles
from colonnade.execution.project import ProjectCode, SourceModule, install
from colonnade.histograms import write_zip
from colonnade.inference import Classifier
from colonnade.workflow import load_workflow

SOURCES = sorted(Path(colonnade.__file__).parent.rglob("*.py"))
# what a run sends to its own workers, over a connection of its own
OWN_WORKERS = {("execution/work.py", "cloudpickle.loads"), ("training/search.py", "cloudpickle.loads")}
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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_temporary_folders_are_private_ones(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [call for call in calls(text) if name_of(call.func).endswith("mktemp")]
    assert '"/tmp' not in text


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[bytes]:
    trace = tmp_path / "trace"
    blob = pickle.dumps(Trap(trace))
    pickle.loads(blob)  # noqa: S301 - made above
    assert trace.exists()  # it works
    trace.unlink()
    yield blob
    assert not trace.exists()


def test_a_kept_result_is_not_unpickled(tmp_path: Path, trap: bytes) -> None:
    cache = ResultCache(tmp_path / "cache")
    cache.store.prepare()
    cache.put("aa", {"x": 1})
    cache.store.path("aa").write_bytes(trap)
    assert cache.get("aa") is None
    assert not cache.store.path("aa").exists()


def test_what_is_known_of_files_is_not_unpickled(tmp_path: Path, trap: bytes) -> None:
    known = KnownFiles(tmp_path, ("zll", "/"))
    known.put(SourceFile("/a.root", "Events", 1, "nanoaod", "id", 1, frozenset()), (None, None, None), [1])
    known.save()
    (path,) = (tmp_path / "files").iterdir()
    path.write_bytes(trap)
    assert KnownFiles(tmp_path, ("zll", "/")).get("/a.root", (None, None, None), [1]) is None


def test_histograms_are_not_unpickled(tmp_path: Path, trap: bytes) -> None:
    made = Hist.new.StrCat(["a"], name="region").StrCat(["nominal"], name="variation").Reg(2, 0, 1, name="x").Weight()
    write_zip({"x": {"zll": made}}, tmp_path / "histograms.zip")
    with zipfile.ZipFile(tmp_path / "histograms.zip") as archive:
        names = archive.namelist()
    with zipfile.ZipFile(tmp_path / "histograms.zip", "w") as archive:
        for name in names:
            archive.writestr(name, trap)
    with pytest.raises(ColonnadeError):
        colonnade.load(tmp_path)
    (tmp_path / "histograms.zip").write_bytes(trap)
    with pytest.raises(ColonnadeError):
        colonnade.load(tmp_path)


WORKFLOW = "processor: processors/x.py\nluminosity: 1.0\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "title: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [TRACE]]",
            "not valid YAML",
        ),
        ("cuts: {SR: 'events.MET.pt > 50'}", "cuts: unknown key"),
        ("regions: {SR: \"__import__('os').system('true')\"}", "regions: unknown key"),
    ],
)
def test_a_workflow_holds_no_python(tmp_path: Path, line: str, says: str) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "datasets.json").write_text("{}")
    (tmp_path / "x.yaml").write_text(f"{WORKFLOW}{line.replace('TRACE', str(trace))}\n")
    with pytest.raises(ConfigError, match=says):
        load_workflow(tmp_path / "x.yaml")
    assert not trace.exists()


def test_a_model_s_weights_are_in_its_file(tmp_path: Path) -> None:
    """A tensor's data may be named by a path, which could be any file of the user's."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'colonnade[train]'")
    (tmp_path / "secret").write_bytes(b"\0" * 8)
    (tmp_path / "models").mkdir()
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], [0.0, 0.0])
    weights.ClearField("float_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../secret")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["w"], ["y"])],
        "g",
        [value("event", onnx.TensorProto.FLOAT, [None, 2])],
        [value("y", onnx.TensorProto.FLOAT, [2])],
        [weights],
    )
    path = tmp_path / "models" / "x.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(InputError, match="keeps weights in another file"):
        Classifier.load(path)


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
