"""Workflows that share settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from colonnade.errors import ConfigError
from colonnade.workflow import load_workflow

SHARED = """
luminosity: 10
plots: {experiment: shared}
model:
  poi: strength
  luminosity_uncertainty: 0.02
"""


@pytest.fixture
def write(tmp_path: Path):
    (tmp_path / "datasets.json").write_text("{}")

    def written(**files: str) -> Path:
        folder = tmp_path / "workflows"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)
        return folder / "main.yaml"

    return written


def test_mappings_are_joined_and_the_file_itself_goes_first(write) -> None:
    main = write(
        shared=SHARED,
        main="include: shared.yaml\nprocessor: p.py\nluminosity: 5\nmodel: {channels: {SR: {histogram: x}}, poi: mu}\n",
    )
    settings = load_workflow(main).settings
    assert settings.luminosity == 5
    assert settings.model.poi == "mu"
    assert settings.model.luminosity_uncertainty == 0.02
    assert set(settings.model.channels) == {"SR"}
    assert settings.plots.experiment == "shared"


def test_later_files_go_before_earlier_and_files_may_include_others(write) -> None:
    main = write(
        one="luminosity: 1\ntitle: one\nchunk_size: 7\n",
        two="include: [three.yaml]\nluminosity: 2\n",
        three="luminosity: 3\ntitle: three\n",
        main="include: [one.yaml, two.yaml]\nprocessor: p.py\n",
    )
    settings = load_workflow(main, ["title=changed"]).settings
    assert (settings.luminosity, settings.title, settings.chunk_size) == (2, "changed", 7)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"main": "include: main.yaml"}, r"main.yaml includes .*main.yaml: files can't include each other"),
        ({"main": "include: a.yaml", "a": "include: main.yaml"}, r"a.yaml includes .*main.yaml: files can't"),
        ({"main": "include: none.yaml"}, r"none.yaml can't be read"),
        ({"main": "include: {a: b}"}, "include: give the path of a file"),
        ({"main": "include: [1]"}, "include: give the path of a file"),
        ({"main": "include: a.yaml", "a": "[1, 2]"}, r"a.yaml: a workflow is a mapping"),
        ({"main": "include: a.yaml\nprocessor: p.py", "a": "lumi: 3"}, "lumi: unknown key"),
    ],
)
def test_what_can_not_be_included(write, files, words) -> None:
    with pytest.raises(ConfigError, match=words):
        load_workflow(write(**files))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("title=[1", "--set title=.1: the value is not valid YAML"),
        ("title", "--set title: say which value as KEY=VALUE"),
        ("chunk_size.a=1", "chunk_size is not a mapping, so it has no a"),
        ("eras={a-b: {luminosity: 3}}", r"eras.a-b.*: string should match pattern"),
    ],
)
def test_what_can_not_be_set(write, change, words) -> None:
    main = write(main="processor: p.py\nluminosity: 3\nchunk_size: 7\n")
    with pytest.raises(ConfigError, match=words):
        load_workflow(main, [change])
