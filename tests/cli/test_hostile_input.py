"""Files and settings that a stranger wrote: refused in one sentence, or harmless, on the terminal too."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import correctionlib.schemav2 as schema
import pytest
import yaml
from helpers.random_models import random_spec
from helpers.small_project import PROCESSOR, fails, write_project
from rich.console import Console

from colonnade.cli import main
from colonnade.config import read_json, read_yaml
from colonnade.errors import ConfigError, InputError
from colonnade.events import inspect_file, read_events
from colonnade.histograms import load
from colonnade.inputs import open_archive, read_file
from colonnade.processor.corrections import Corrections
from colonnade.statistics import from_workspace
from colonnade.statistics.formats.hs3 import to_hs3
from colonnade.statistics.formats.root import to_cabinetry
from colonnade.terminal import Terminal, visible

BASE = "processor: processors/x.py\nluminosity: 1\n"
# nine levels of nine: 3 GB when they are written out
GROWING = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
WORKFLOWS = {
    "a number of 5,000 digits": (BASE + "seed: " + "9" * 5000, "4300 digits"),
    "nesting": (BASE + "x: " + "[" * 20_000, "nested deeper than 500"),
    "nesting without brackets": (BASE + "x:\n" + "\n".join(" " * i + "- " * 200 for i in range(2)), "not valid YAML"),
    "cyclic": (BASE + "x: &a [*a]", "an alias stands for what it is a part of"),
    "a cyclic mapping": ("&a\n" + BASE + "x: *a", "an alias stands for what it is a part of"),
    "aliases that grow": (GROWING + BASE, "aliases make it more than 1,000,000 values"),
    "a list as key": (BASE + "? [a, b]\n: 1\n", "a key must be a text or a number"),
    "a date as key": (BASE + "2020-01-01: 1\n", "a key must be a text or a number"),
    "no date": (BASE + "x: 2020-13-45\n", "month must be in 1..12"),
    "null in a path": (BASE.replace("processors/x.py", '"processors/\\0.py"'), "null character"),
    "a path of 3,000 letters": (BASE.replace("processors/x", "a" * 3000), "too long"),
    "a processor outside the project": (BASE.replace("processors", "../other"), "outside the project's folder"),
    "a processor elsewhere": (BASE.replace("processors", "/etc"), "outside the project's folder"),
}


@pytest.mark.parametrize("case", WORKFLOWS)
def test_a_workflow_of_a_stranger(case: str, capsys, tmp_path: Path) -> None:
    text, says = WORKFLOWS[case]
    workflow = write_project(tmp_path, {"a.root": "Events"})
    workflow.write_text(text, encoding="utf-8")
    assert says in fails(capsys, "run", workflow)


def test_deep_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" * 20_000 + "]" * 20_000)
    with pytest.raises(ConfigError, match="nested deeper"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("9" * 5000)
    with pytest.raises(ConfigError, match=r"not valid JSON.*4300 digits"):
        read_json(tmp_path / "x.json")
    # brackets in texts are no nesting
    (tmp_path / "x.json").write_text(json.dumps(["a) ", "[0, 5)", ":("] * 400))
    assert len(read_json(tmp_path / "x.json")) == 1200


def test_what_aliases_are_for(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")
    assert read_yaml(tmp_path / "x.yaml") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


READERS: dict[str, Callable[[Path], list[str]]] = {
    "data": lambda path: ["inspect", str(path.with_suffix(".root"))],
    "a workflow": lambda path: ["run", str(path)],
    "a model": lambda path: ["limit", str(path.with_suffix(".json"))],
    "a card": lambda path: ["limit", str(path.with_suffix(".txt"))],
}


@pytest.mark.parametrize("what", READERS)
def test_a_pipe_is_not_waited_for(what: str, capsys, tmp_path: Path) -> None:
    words = READERS[what](tmp_path / "pipe.yaml")
    os.mkfifo(words[-1])
    assert words[-1] in fails(capsys, *words)
    assert "/dev/zero" in fails(capsys, words[0], "/dev/zero")


@pytest.mark.parametrize("path", ["/dev/zero", "file:///etc/passwd", "FIFO"])
def test_data_that_are_none(path: str, capsys, tmp_path: Path) -> None:
    if path == "FIFO":
        path = str(tmp_path / "pipe.root")
        os.mkfifo(path)
    elif path.endswith("passwd"):
        (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n" * 10)
        path = f"file://{tmp_path}/passwd"
    message = fails(capsys, "run", write_project(tmp_path, {path: "Events"}))
    assert "no ROOT file" in message or "pipe, a socket or a device" in message


def test_a_null_in_the_manifest(capsys, tmp_path: Path) -> None:
    assert "null character" in fails(capsys, "run", write_project(tmp_path, {"a\0b.root": "Events"}))


def test_text_of_a_file_is_only_text(capsys, tmp_path: Path) -> None:
    odd = "[/red] [bold]x[/nope] \x1b[31mred\x1b[0m \x1b]8;;http://elsewhere\x07click \u202egnp.exe"
    console = Terminal(width=200, force_terminal=True)
    console.print(f"{odd}")
    from rich.table import Table

    table = Table(odd, title=odd)
    table.add_row(odd)
    console.print(table)
    shown = capsys.readouterr().out
    assert shown.count("[bold]x[/nope]") == 4
    assert shown.count("\\x1b]8;;http://elsewhere\\x07click \\u202egnp.exe") == 4
    assert "\x1b[31m" not in shown
    assert "\x1b]8" not in shown
    assert visible("a\nb\tc é") == "a\nb\tc é"


def test_every_console_is_one_that_shows_text_as_it_is(project: Path) -> None:
    assert issubclass(Terminal, Console)
    for path in (project / "src").rglob("*.py"):
        if path.name != "terminal.py":
            text = path.read_text(encoding="utf-8")
            assert " Console(" not in text.replace("class Terminal(Console)", ""), path
            assert "rich.markup" not in text, path


def test_an_error_names_odd_files_as_they_are(capsys, tmp_path: Path) -> None:
    message = fails(capsys, "inspect", tmp_path / "[bold]x[/nope]\x1b[31m\n.root")
    assert "[bold]x[/nope]\\x1b[31m" in message


def test_an_error_of_the_program_is_one_sentence_too(capsys, monkeypatch, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("colonnade.workflow.load_workflow", broken)
    message = fails(capsys, "run", tmp_path / "x.yaml", code=1)
    assert "ZeroDivisionError" in message
    assert "--debug" in message


def test_an_archive_unpacks_to_no_more_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "histograms.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.json", b" " * 3_000_000)
    assert path.stat().st_size < 10_000
    expected = pytest.raises(InputError, match=r"unpack to 3,000,000 bytes, and 2,000,000 at most")
    with expected, open_archive(path, "histograms", largest=2_000_000):
        pass
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(b" " * 3_000_000))
    with pytest.raises(InputError, match=r"unpacks to more than 2,000,000 bytes"):
        read_file(tmp_path / "x.json.gz", largest=2_000_000)
    assert len(read_file(tmp_path / "x.json.gz")) == 3_000_000
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(b" " * 300)[:-9])
    with pytest.raises(ConfigError, match="can't be unpacked"):
        read_json(tmp_path / "x.json.gz")


def test_axes_of_more_bins_than_contents_take_no_memory(tmp_path: Path) -> None:
    from hist import Hist

    from colonnade.histograms import write_zip

    made = Hist.new.StrCat(["a"], name="region").StrCat(["nominal"], name="variation").Reg(3, 0, 1, name="x").Weight()
    write_zip({"x": {"zll": made}}, tmp_path / "one.zip")
    with (
        zipfile.ZipFile(tmp_path / "one.zip") as old,
        zipfile.ZipFile(tmp_path / "histograms.zip", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"bins": 3', b'"bins": 30000000000'))
    with pytest.raises(InputError, match="30,000,000,000 bins, and it holds"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("expression", "says"),
    [("(" * 20_000 + "x" + ")" * 20_000, "nested deeper"), ("+".join("x" * 20_000), "a formula has 39,999 letters")],
)
def test_a_formula_that_would_end_the_process(tmp_path: Path, expression: str, says: str) -> None:
    formula = schema.Formula(nodetype="formula", expression=expression, parser="TFormula", variables=["x"])
    inputs = [schema.Variable(name="x", type="real")]
    one = schema.Correction(name="sf", version=1, inputs=inputs, output={"name": "y", "type": "real"}, data=formula)
    path = tmp_path / "sf.json"
    path.write_text(schema.CorrectionSet(schema_version=2, corrections=[one]).model_dump_json(exclude_unset=True))
    with pytest.raises(ConfigError, match=says):
        Corrections({"sf": path})["sf"]


def test_long_names_of_regions_are_drawn(tmp_path: Path, shared_data: Path) -> None:
    processor = PROCESSOR.replace('"all": Region()', f'"{"R" * 3000}": Region()')
    files = {str(shared_data / "nanoaod" / "nano_dy.root"): "Events"}
    workflow = write_project(tmp_path, files, processor=processor)
    with pytest.raises(SystemExit) as caught:
        main(["run", str(workflow), "--output", str(tmp_path / "out")])
    assert caught.value.code == 0
    assert list((tmp_path / "out" / "plots").rglob("*.png"))


def test_hs3_without_a_name(capsys, tmp_path: Path) -> None:
    content = to_hs3(from_workspace(random_spec(2)))
    del content["distributions"][0]["name"]
    (tmp_path / "h.json").write_text(json.dumps(content))
    assert "something in it has no 'name'" in fails(capsys, "limit", tmp_path / "h.json")


def test_cabinetry_with_two_samples_of_data(capsys, tmp_path: Path) -> None:
    config = tmp_path / "c.yml"
    strength = {"name": "mu", "type": "normfactor", "data": None}
    samples = [{"name": name, "data": [9.0, 5.0], "modifiers": mods} for name, mods in (("s", [strength]), ("b", []))]
    spec = {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": [9.0, 6.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
    to_cabinetry(from_workspace(spec), config, {})
    content = yaml.safe_load(config.read_text())
    data = next(each for each in content["Samples"] if each.get("Data"))
    content["Samples"].append(data | {"Name": "more"})
    config.write_text(yaml.safe_dump(content))
    assert "no cabinetry configuration that can be built" in fails(capsys, "limit", config)


def test_a_blank_line_in_a_table_is_no_event(capsys, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n\n3,4\n\n")
    source = inspect_file(str(tmp_path / "t.csv"))
    events = read_events(source, 0, source.entries, ("a", "b"), {})
    assert (events.a.to_list(), events.b.to_list()) == ([1, 3], [2, 4])
