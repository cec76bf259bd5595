"""The modules of the user's project that an analysis is made of."""

from __future__ import annotations

__all__ = ["project_modules"]

import ast
import importlib.util
import site
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any


def project_modules(processor: Any) -> tuple[ModuleType, ...]:
    """Return the modules of a processor's class and its bases, and what these import, that belong to no package.

    A worker has the installed packages; these it has not. `colonnade` itself counts as installed.
    """
    found: dict[str, ModuleType] = {}
    waiting = [base.__module__ for base in type(processor).__mro__]
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        if module is None or name in found or not _is_of_project(module):
            continue
        found[name] = module
        waiting.extend(imported_names(module))
    return tuple(found[name] for name in sorted(found))


def _is_of_project(module: ModuleType) -> bool:
    if module.__name__.partition(".")[0] in {"colonnade", "builtins"} or module.__name__ in sys.stdlib_module_names:
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    return not any(path.is_relative_to(folder) for folder in _installed())


def _installed() -> list[Path]:
    folders = [*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()]
    own = {"stdlib", "platstdlib", "purelib", "platlib"}
    folders = [sysconfig.get_paths()[name] for name in own] + folders[len(sysconfig.get_paths()) :]
    return [Path(folder).resolve() for folder in folders]


def imported_names(module: ModuleType) -> list[str]:
    """Return the full names of the modules that a module's source imports anywhere, inside functions too."""
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py"):
        return []
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                names.extend(".".join(parts[:length]) for length in range(1, len(parts) + 1))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package) if package else base
            names.append(base)
            names.extend(f"{base}.{alias.name}" for alias in node.names)
    return names
