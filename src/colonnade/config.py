"""From a JSON or YAML text to frozen, typed settings; a mistake is named by its path, value and remedy."""

from __future__ import annotations

__all__ = ["JsonData", "Settings", "finite", "parse_settings", "read_json", "read_yaml"]

import itertools
import json
import math
import types
import typing
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, RootModel, TypeAdapter, ValidationError

from colonnade.errors import ConfigError, nearest
from colonnade.inputs import check_nesting, read_file

#: how many values a YAML document may hold once its aliases are written out
_MOST_VALUES = 1_000_000


class Settings(BaseModel):
    """Base of every settings model: frozen, unknown keys refused, numbers never made from text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class JsonData:
    """Mixed into frozen dataclasses that are written as JSON and read back with all types checked."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data; infinite numbers are the word ``inf``, as JSON has no numbers for them."""
        plain: dict[str, Any] = finite(TypeAdapter(type(self)).dump_python(self, mode="json"))
        return plain

    @classmethod
    def from_json(cls, content: Any, source: str) -> Self:
        """Check and take what `to_json` gave.

        Parameters
        ----------
        content
            Plain data.
        source
            Where they are from, for messages.

        Raises
        ------
        ConfigError
            If something is missing or of another type; the message names the place.
        """
        result: Self = parse_settings(RootModel[cls], content, source).root  # type: ignore[valid-type]  # pydantic takes it
        return result


def finite(content: Any) -> Any:
    """Return plain data with infinite numbers as the word ``inf``, as JSON has no numbers for them."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return str(content) if isinstance(content, float) and not math.isfinite(content) else content


S = TypeVar("S", bound=BaseModel)


def read_json(path: Path) -> Any:
    """Parse a JSON file, which may be compressed by gzip.

    Raises
    ------
    ConfigError
        If the file can't be read or is not JSON; the message gives line and column.
    """
    text = _text(path)
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        msg = f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})."
        raise ConfigError(msg) from error
    except (ValueError, RecursionError) as error:  # a key twice, a number of thousands of digits, or deep nesting
        msg = f"{path}: not valid JSON ({str(error).partition(';')[0]})."
        raise ConfigError(msg) from error


def read_yaml(path: Path) -> Any:
    """Parse a YAML file, safely: plain data only, no tags that build Python objects.

    Raises
    ------
    ConfigError
        If the file can't be read or is not YAML; the message gives line and column.
    """
    text = _text(path)
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        msg = f"{path}{where}: not valid YAML ({error.problem})."
        raise ConfigError(msg) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date or number that is none, or deep nesting
        msg = f"{path}: not valid YAML ({str(error).splitlines()[0]})."
        raise ConfigError(msg) from error


def _text(path: Path) -> str:
    """Read a text file, which may be compressed by gzip."""
    content = read_file(path, ConfigError)
    check_nesting(content, str(path), ConfigError)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        msg = f"{path} is not a text file in UTF-8."
        raise ConfigError(msg) from error


def parse_settings(model: type[S], data: Any, source: str) -> S:
    """Validate plain data against a settings model.

    Parameters
    ----------
    model
        The settings class.
    data
        What the JSON or YAML file holds.
    source
        What to call the data in messages, usually the file's path.

    Raises
    ------
    ConfigError
        Naming the first offending path, its value and what is allowed, and how many more there are.
    """
    try:
        # JSON mode: a list may stand for a tuple, as neither JSON nor YAML has tuples
        text = json.dumps(data, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{source}: a key is neither a text nor a number, or values hold themselves ({error})."
        raise ConfigError(msg) from error
    if "\\u0000" in text:
        msg = f"{source}: a text holds a null character, which no name or path can have."
        raise ConfigError(msg)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        msg = f"{source}: {_sentence(model, problems[0])}{more}."
        raise ConfigError(msg) from error


def _sentence(model: type[BaseModel], problem: Any) -> str:
    """Turn one pydantic problem into words."""
    location = [part for part in problem["loc"] if not str(part).startswith("function-")]
    path = ".".join(str(part) for part in location) or "the top level"
    if problem["type"] == "extra_forbidden":
        top: Any = model.model_fields["root"].annotation if issubclass(model, RootModel) else model
        known = _fields_at(top, location[:-1])
        allowed = f"; allowed: {', '.join(sorted(known))}" if known else ""
        return f"{path}: unknown key{nearest(str(location[-1]), known)}{allowed}"
    if problem["type"] == "missing":
        return f"{path}: this key is required"
    reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
    reason = reason[0].lower() + reason[1:] if not reason[:2].isupper() else reason
    return f"{path} = {_short(problem['input'])}: {reason}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields_at(annotation: Any, location: list[Any]) -> list[str]:
    """Return the keys a model knows at a path, following lists, mappings, optionals and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        names = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
        if not location:
            return list(names)
        if str(location[0]) in names:
            return _fields_at(names[str(location[0])], location[1:])
        # a tagged union puts the tag or the class's name into the path
        return _fields_at(annotation, location[1:])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return [name for argument in arguments for name in _fields_at(argument, location)]
    if arguments and location:
        return [name for argument in arguments for name in _fields_at(argument, location[1:])]
    return []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            msg = f"the key {key!r} is written twice in one object"
            raise ValueError(msg)
        seen[key] = value
    return seen


class _UniqueKeyLoader(yaml.SafeLoader):
    """Plain YAML, without silently dropping a key that is written twice."""

    def get_single_data(self) -> Any:
        """Return the content, whose aliases must not make it grow without end."""
        node = self.get_single_node()
        if node is None:
            return None
        size = _size(node, {}, ())
        if size > _MOST_VALUES:
            problem = f"aliases make it more than {_MOST_VALUES:,} values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return self.construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<`, which the keys of the mapping itself override
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                problem = "a key must be a text or a number"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            if key in seen:
                problem = f"the key {key!r} is written twice in one mapping"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _size(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Return how many values a YAML node holds once its aliases are written out."""
    if id(node) in above:
        problem = "an alias stands for what it is a part of"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        inside = (*above, id(node))
        parts = itertools.chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_size(part, known, inside) for part in parts)
    return known[id(node)]
