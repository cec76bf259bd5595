"""Results are kept under what they depend on, and under nothing else."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from colonnade.cli.results import cache as command
from colonnade.errors import InputError
from colonnade.events import KeptColumns
from colonnade.execution import CacheSettings, ExecutorSettings, ResultCache, run_datasets
from colonnade.manifest import Dataset


class Counter:
    """Runs the analysis of a project and counts the chunks that are really processed."""

    def __init__(self, project: Any, cache: ResultCache, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.cache, self.count = project, cache, 0
        from colonnade.execution import work

        before = work.read_events

        def counted(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            return before(*arguments, **more)

        monkeypatch.setattr(work, "read_events", counted)

    def __call__(self, datasets: list[Dataset], **parameters: Any) -> tuple[int, Any]:
        self.count = 0
        chunk_size = parameters.pop("chunk_size", 100)
        result = run_datasets(
            self.project.load()(**parameters),
            datasets,
            luminosity=1.0,
            executor=ExecutorSettings(kind="iterative"),
            chunk_size=chunk_size,
            cache=self.cache,
        )
        return self.count, result


@pytest.fixture
def run(pairs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    return Counter(pairs, ResultCache(tmp_path / "cache"), monkeypatch)


def test_a_second_run_does_no_event_work_and_has_the_same_bits(
    run: Counter, simulated: Callable[..., Dataset], bits: Callable[[Any], bytes]
) -> None:
    datasets = [simulated(), simulated("ww", (120,))]
    count, first = run(datasets)
    assert count == 7
    assert first.timing.kept == 0
    again, second = run(datasets)
    assert again == 0
    assert bits(second.histograms) == bits(first.histograms)
    assert second.cutflow == first.cutflow
    assert second.ledger == first.ledger
    assert second.timing.kept == 620
    assert second.timing.processed == 0


def test_an_analysis_that_changed_reads_no_file_again_where_columns_are_kept(
    run: Counter,
    simulated: Callable[..., Dataset],
    bits: Callable[[Any], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    datasets = [simulated(), simulated("ww", (120,))]
    expected = run(datasets, lowest=6.0)[1]
    settings = CacheSettings(folder="other", columns=0.1)
    cache = ResultCache.of(settings, tmp_path)
    assert cache is not None
    run.cache = cache
    run(datasets)
    from colonnade.events import root

    read: list[str] = []
    for reader in (root.TTreeReader, root.RNTupleReader):

        def noted(self: Any, names: Any, start: int, stop: int, before: Any = reader.read, **more: Any) -> Any:
            if stop - start == 100:  # learning and looking at weights is of other ranges
                read.extend(names)
            return before(self, names, start, stop, **more)

        monkeypatch.setattr(reader, "read", noted)
    count, changed = run(datasets, lowest=6.0)
    assert count == 7
    assert not read
    assert bits(changed.histograms) == bits(expected.histograms)
    assert changed.timing.kept == 0
    assert ResultCache.of(CacheSettings(enabled=False), tmp_path) is None


def test_chunks_that_are_kept_need_not_be_whole_datasets(
    run: Counter, simulated: Callable[..., Dataset], bits: Callable[[Any], bytes]
) -> None:
    small, large = simulated(sizes=(300,)), simulated(sizes=(300, 200))
    assert run([small])[0] == 3
    count, result = run([large])
    assert count == 2
    run.cache.clear()
    assert bits(run([large])[1].histograms) == bits(result.histograms)


def test_adding_a_dataset_runs_only_that(run: Counter, simulated: Callable[..., Dataset]) -> None:
    zll = simulated()
    run([zll])
    assert run([zll, simulated("ww", (120,))])[0] == 2


@pytest.mark.parametrize(
    ("what", "before", "after"),
    [
        ("analysis", '"two": two,', '"two": two & (two | True),'),
        ("analysis", "Regular(30, 0, 90)", "Regular(31, 0, 90)"),
        ("neighbour", "lowest + 1.0", "lowest + 2.0"),
    ],
)
def test_editing_code_that_matters_runs_again(
    run: Counter, simulated: Callable[..., Dataset], what: str, before: str, after: str
) -> None:
    datasets = [simulated(sizes=(100,))]
    run(datasets)
    path = getattr(run.project, what)
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    assert run(datasets)[0] == 1


@pytest.mark.parametrize(
    ("what", "before", "after"),
    [
        ("analysis", "# exactly two of them", "# two"),
        ("analysis", '"""Two muons."""', '"""Two muons and more words."""'),
        ("neighbour", '"""Return the threshold in GeV."""', '"""Return it."""'),
        ("neighbour", "return lowest + 1.0", "return (\n        lowest\n        + 1.0\n    )  # in GeV"),
    ],
)
def test_editing_a_comment_or_a_docstring_does_not(
    run: Counter, simulated: Callable[..., Dataset], what: str, before: str, after: str
) -> None:
    datasets = [simulated(sizes=(100,))]
    run(datasets)
    path = getattr(run.project, what)
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    assert run(datasets)[0] == 0


def test_each_parameter_counts(run: Counter, simulated: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = simulated(sizes=(100,))
    correction = tmp_path / "correction.json"
    correction.write_text("{}")
    run([dataset])
    assert run([dataset], lowest=6.0)[0] == 1
    assert run([dataset], unblind=True)[0] == 1
    assert run([dataset], corrections={"id": correction})[0] == 1
    assert run([dataset], corrections={"id": correction})[0] == 0
    correction.write_text('{"changed": true}')
    assert run([dataset], corrections={"id": correction})[0] == 1
    assert run([dataset], chunk_size=50)[0] == 2
    assert run([dataset])[0] == 0


def test_what_is_imported_by_what_is_imported_counts(run: Counter, simulated: Callable[..., Dataset]) -> None:
    folder, package = run.project.analysis.parent, run.project.package
    (folder / "below").mkdir()
    (folder / "below" / "__init__.py").write_text("")
    deep = folder / "below" / "deep.py"
    deep.write_text("STEP = 1.0\n")
    neighbour = run.project.neighbour
    neighbour.write_text(
        f"def threshold(lowest):\n    from {package}.below import deep\n    return lowest + deep.STEP\n"
    )
    datasets = [simulated(sizes=(100,))]
    run(datasets)
    deep.write_text("STEP = 1.0  # GeV\n")
    assert run(datasets)[0] == 0
    deep.write_text("STEP = 2.0\n")
    assert run(datasets)[0] == 1
    (folder / "other.py").write_text("STEP = 9.0\n")  # of the project, but not of this analysis
    assert run(datasets)[0] == 0


def test_the_base_class_counts(run: Counter, simulated: Callable[..., Dataset]) -> None:
    text = run.project.analysis.read_text()
    base = run.project.analysis.with_name("base.py")
    base.write_text("from colonnade.processor import Processor\n\n\nclass Base(Processor):\n    step = 1\n")
    text = text.replace("class Pairs(Processor)", "class Pairs(Base)")
    run.project.analysis.write_text(
        text.replace("import threshold", f"import threshold\nfrom {run.project.package}.base import Base")
    )
    datasets = [simulated(sizes=(100,))]
    run(datasets)
    base.write_text(base.read_text().replace("step = 1", "step = 2"))
    assert run(datasets)[0] == 1


class Model:
    """Stands for a classifier: it travels as a path and a digest."""

    def __init__(self, path: Path) -> None:
        self.path, self.digest = path, path.read_text()

    def score_variations(self, variations: list[Any], _: list[Any]) -> list[Any]:
        return [variation["leading"] for variation in variations]


def test_the_model_counts(run: Counter, simulated: Callable[..., Dataset], tmp_path: Path) -> None:
    model, datasets = tmp_path / "model.onnx", [simulated(sizes=(100,))]
    model.write_text("one")
    run(datasets, scorers={"score": Model(model)})
    assert run(datasets, scorers={"score": Model(model)})[0] == 0
    model.write_text("two")
    assert run(datasets, scorers={"score": Model(model)})[0] == 1
    assert run(datasets)[0] == 1


def test_a_file_that_the_code_names_counts(run: Counter, simulated: Callable[..., Dataset], tmp_path: Path) -> None:
    scale, table = tmp_path / "scale.json", tmp_path / "table.json"
    for path in (scale, table):
        path.write_text("1")
    text = run.project.analysis.read_text()
    text = text.replace('    """Two muons."""', f'    """Two muons."""\n\n    scale = {str(scale)!r}')
    run.project.analysis.write_text(text)
    run.project.neighbour.write_text(run.project.neighbour.read_text() + f"\n\nTABLE = {str(table)!r}\n")
    datasets = [simulated(sizes=(100,))]
    run(datasets)
    for path in (scale, table):
        assert run(datasets)[0] == 0
        path.write_text("2")
        assert run(datasets)[0] == 1


def test_the_luminosity_mask_counts_by_its_content(
    run: Counter, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    mask = tmp_path / "golden.json"
    mask.write_text('{"1": [[1, 10]]}')
    data = simulated("data", (100,), kind="data", xsec_pb=None, luminosity=5.0, luminosity_mask="golden.json")
    run([data])
    assert run([data])[0] == 0
    mask.write_text('{"1": [[2, 10]]}')
    assert run([data])[0] == 1


def test_editing_one_analysis_leaves_the_results_of_another(
    run: Counter, simulated: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = type(run.project)(tmp_path, "other_analyses_of_a_test")
    try:
        datasets, first = [simulated(sizes=(100,))], run.project
        for project in (first, other):
            run.project = project
            assert run(datasets)[0] == 1
        other.analysis.write_text(other.analysis.read_text().replace("== 2", "== 3"))
        assert run(datasets)[0] == 1
        run.project = first
        assert run(datasets)[0] == 0
    finally:
        other.forget()


def test_the_manifest_entry_and_the_file_count(
    run: Counter, simulated: Callable[..., Dataset], tmp_path: Path, write_events: Callable[..., None]
) -> None:
    dataset = simulated(sizes=(100,))
    run([dataset])
    other = dataset.metadata.model_copy(update={"process": "other"})
    assert run([dataclasses.replace(dataset, metadata=other)])[0] == 1
    write_events(tmp_path / "zll_0.root", 100, seed=77)
    assert run([dataset])[0] == 1


def test_a_file_that_was_moved_is_the_same(run: Counter, simulated: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = simulated(sizes=(100,))
    run([dataset])
    (tmp_path / "zll_0.root").rename(tmp_path / "moved.root")
    assert run([dataclasses.replace(dataset, files={"moved.root": "Events"})])[0] == 0


def test_versions_count(run: Counter, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    from colonnade.execution import identity

    datasets = [simulated(sizes=(100,))]
    run(datasets)
    here = identity.installed()
    for name in ("awkward", "colonnade", "numpy"):
        monkeypatch.setattr(identity, "installed", lambda name=name: {**here, name: "0.0"})
        assert run(datasets)[0] == 1
    monkeypatch.setattr(identity, "code_digest", lambda room: f"{room}, edited")
    assert run(datasets)[0] == 1


def test_files_that_are_known_are_not_opened_again(
    run: Counter, simulated: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from colonnade.execution import plan

    opened: list[str] = []
    before = plan._opened

    def counted(path: str, *arguments: Any, **more: Any) -> Any:
        opened.append(Path(path).name)
        return before(path, *arguments, **more)

    monkeypatch.setattr(plan, "_opened", counted)
    datasets = [simulated(sizes=(100, 100))]
    run(datasets)
    run(datasets)
    assert sorted(opened) == ["zll_0.root", "zll_1.root"]
    os.utime(tmp_path / "zll_1.root", ns=(1, 1))
    run(datasets)
    assert sorted(opened) == ["zll_0.root", "zll_1.root", "zll_1.root"]


def test_an_edited_analysis_opens_no_tree(
    run: Counter, simulated: Callable[..., Dataset], bits: Callable[[Any], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from colonnade.events import files, root

    trees: list[str] = []
    header = root.RootFile.header
    monkeypatch.setattr(root.RootFile, "header", lambda self, name: trees.append(self.path) or header(self, name))
    datasets = [simulated(sizes=(120, 100)), simulated("ww", (120,))]
    run(datasets)
    assert len(set(trees)) == 3
    for path in set(trees):
        files.forget_handle(path)
    trees.clear()
    count, edited = run(datasets, lowest=6.0)
    assert count == 5
    assert not trees
    run.cache = None
    assert bits(run(datasets, lowest=6.0)[1].histograms) == bits(edited.histograms)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_result_is_made_again(
    run: Counter, simulated: Callable[..., Dataset], bits: Callable[[Any], bytes], damage: str
) -> None:
    datasets = [simulated(sizes=(250,))]
    _, first = run(datasets)
    for path in run.cache.folder.rglob("*.result"):
        blob = bytearray(path.read_bytes())
        if damage == "flip":
            blob[len(blob) // 2] ^= 1
        path.write_bytes(b"" if damage == "empty" else blob if damage == "flip" else blob[:-5])
    count, second = run(datasets)
    assert count == 3
    assert bits(second.histograms) == bits(first.histograms)
    assert run(datasets)[0] == 0


def test_a_cache_that_cant_be_written_is_only_a_note(
    run: Counter, simulated: Callable[..., Dataset], tmp_path: Path
) -> None:
    (tmp_path / "occupied").write_text("a file")
    run.cache = ResultCache(tmp_path / "occupied")
    assert run([simulated(sizes=(100,))])[0] == 1


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.store.prepare()
    for age, key in enumerate(("aa1", "bb2", "cc3", "dd4")):
        assert cache.put(key, {"text": os.urandom(2000).hex()})
        os.utime(cache.store.path(key), (1000 + age, 1000 + age))
    assert cache.get("aa1") is not None  # used: now the most recent
    size = cache.store.path("aa1").stat().st_size
    assert cache.reports()["results"][0] == 4
    dataclasses.replace(cache, limit=int(2.5 * size)).trim()
    assert cache.store.keys() == {"aa1", "dd4"}


def test_writing_keeps_within_the_limit(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, limit=40_000)
    cache.store.prepare()
    for number in range(60):
        cache.put(f"{number:04x}", {"text": os.urandom(1000).hex()})
    assert 20_000 < cache.reports()["results"][1] < 45_000


def test_two_writers_and_an_evicter_do_no_harm(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, limit=20_000)
    cache.store.prepare()

    def work(seed: int) -> int:
        mine = dataclasses.replace(cache)
        wrong = 0
        for number in range(150):
            key = f"{number % 20:04x}"
            mine.put(key, {"key": key, "data": key * 200})
            found = mine.get(key)
            wrong += found is not None and found != {"key": key, "data": key * 200}
            if number % 10 == seed:
                mine.trim()
        return wrong

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 0
    assert not list(tmp_path.rglob("*.part"))


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ResultCache(tmp_path)
    cache.store.prepare()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert not cache.put("aa", {"x": 1})
    assert not cache.put("bb", object())
    assert cache.reports()["results"][0] == 0
    assert not list(tmp_path.rglob("*.part"))


def test_the_cache_is_private(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "deep" / "cache")
    cache.store.prepare()
    cache.put("aa", {})
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert cache.store.path("aa").stat().st_mode & 0o077 == 0


def test_the_command_shows_and_clears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ResultCache(tmp_path / ".colonnade" / "cache")
    cache.store.prepare()
    cache.put("aa", {"x": 1})
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    KeptColumns(cache.folder / "columns", 10**6).store.put("bb", b"values")
    assert "1 results" in CliRunner().invoke(command, []).output
    assert "1 columns" in CliRunner().invoke(command, []).output
    cleared = CliRunner().invoke(command, ["--clear"]).output
    assert "removed 1 results" in cleared
    assert "removed 1 columns" in cleared
    assert "0 results" in CliRunner().invoke(command, ["--folder", str(cache.folder)]).output
    missing = CliRunner().invoke(command, ["--folder", str(tmp_path / "none")])
    assert isinstance(missing.exception, InputError)


def test_every_part_that_an_event_passes_through_counts_in_the_key():
    """These are all layers below execution but those that have nothing to do with the numbers of events."""
    from colonnade.execution.identity import ROOMS
    from colonnade.versions import _texts

    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    others = {
        "samples",
        "lazy",
        "config",
        "output",
        "inputs",
        "terminal",
        "store",
        "processes",
        "faults",
        "errors",
    }
    passed = set(layers[layers.index("execution") + 1 :]) - others
    assert passed <= {name for room in ROOMS for name in _texts(room)}
