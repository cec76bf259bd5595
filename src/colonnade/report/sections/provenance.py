"""Where the result comes from: enough to make it again."""

from __future__ import annotations

__all__ = ["context"]

import json
from collections.abc import Mapping
from typing import Any

import yaml

from colonnade.report.content import Content
from colonnade.report.numbers import fixed

_SHOWN = {"command", "config", "environment", "steps", "title"}


def context(content: Content) -> Mapping[str, Any] | None:
    """Return the command, versions, times, and everything else that provenance.json holds, as YAML."""
    origin = content.run.provenance
    if not origin:
        return None
    environment = origin.get("environment")
    environment = environment if isinstance(environment, dict) else {}
    packages = environment.get("packages")
    steps = origin.get("steps")
    simple = {
        key: value
        for key, value in origin.items()
        if key not in _SHOWN and isinstance(value, str | int | float | bool) and value != ""
    }
    rest = {key: value for key, value in origin.items() if key not in _SHOWN and key not in simple and value}
    return {
        "command": str(origin.get("command", "")),
        "simple": simple,
        "python": str(environment.get("python", "")),
        "platform": str(environment.get("platform", "")),
        "packages": {str(key): str(value) for key, value in packages.items()} if isinstance(packages, dict) else {},
        "steps": _steps(steps) if isinstance(steps, dict) else [],
        "config": _yaml(origin.get("config")),
        "rest": [(key, _yaml(value)) for key, value in rest.items()],
    }


def _steps(steps: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (str(name), f"{fixed(float(step['seconds']), 1)} s")
        for name, step in steps.items()
        if isinstance(step, dict) and isinstance(step.get("seconds"), int | float)
    ]


def _yaml(value: Any) -> str:
    if not value:
        return ""
    plain = json.loads(json.dumps(value, default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))
