"""Settings from JSON and YAML: every mistake is one sentence with its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from colonnade.config import Settings, parse_settings, read_json, read_yaml
from colonnade.errors import ConfigError, nearest


class Inner(Settings):
    """A part."""

    luminosity: float = 1.0
    names: tuple[str, ...] = ()


class Outer(Settings):
    """A whole."""

    parts: dict[str, Inner] = {}
    optional: Inner | None = None
    count: int


def test_good_settings_are_typed_and_frozen() -> None:
    settings = parse_settings(Outer, {"count": 2, "parts": {"a": {"names": ["x"]}}}, "here")
    assert settings.parts["a"].names == ("x",)
    with pytest.raises(ValueError, match="frozen"):
        settings.count = 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "here: count: this key is required."),
        ({"count": "2"}, 'here: count = "2": input should be a valid integer.'),
        (
            {"count": 2, "cuont": 1},
            "here: cuont: unknown key (did you mean count?); allowed: count, optional, parts.",
        ),
        (
            {"count": 2, "parts": {"a": {"lumi": 3.0}}},
            "here: parts.a.lumi: unknown key (did you mean luminosity?); allowed: luminosity, names.",
        ),
        (
            {"count": 2, "optional": {"name": []}},
            "here: optional.name: unknown key (did you mean names?); allowed: luminosity, names.",
        ),
        ({"count": True, "parts": 3}, "here: parts = 3: input should be an object (and 1 more)."),
    ],
)
def test_a_mistake_names_path_value_and_remedy(data: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(Outer, data, "here")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "reader", "message"),
    [
        ("{", read_json, "line 1, column 2: not valid JSON"),
        ('{"a": 1, "a": 2}', read_json, "'a' is written twice"),
        ("a: [1,", read_yaml, "not valid YAML"),
        ("a: 1\na: 2", read_yaml, "line 2, column 1: not valid YAML (the key 'a' is written twice"),
        ("a: !!python/object/apply:os.system ['true']", read_yaml, "not valid YAML"),
    ],
)
def test_broken_text_is_named_by_its_place(tmp_path: Path, text: str, reader, message: str) -> None:
    path = tmp_path / "text"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        reader(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(tmp_path / "none")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for reader in (read_json, read_yaml):
        with pytest.raises(ConfigError, match="UTF-8"):
            reader(binary)


def test_nearest_finds_misspelt_shortened_and_miscased_names() -> None:
    known = ["Electron", "Muon", "missing_transverse_momentum"]
    assert nearest("Elektron", known) == " (did you mean Electron?)"
    assert nearest("muon", known) == " (did you mean Muon?)"
    assert nearest("transverse", known) == " (did you mean missing_transverse_momentum?)"
    assert nearest("xyz", known) == ""


def test_yaml_mappings_can_be_merged(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("one: &one {a: 1, b: 2}\ntwo:\n  <<: *one\n  b: 3\n", encoding="utf-8")
    assert read_yaml(path)["two"] == {"a": 1, "b": 3}
