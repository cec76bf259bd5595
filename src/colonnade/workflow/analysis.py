"""From the workflow's `processor:` line to the analysis class."""

from __future__ import annotations

__all__ = ["load_analysis"]

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from colonnade.errors import ConfigError, nearest
from colonnade.processor import Processor


def load_analysis(root: Path, reference: str) -> type[Processor]:
    """Import the analysis a workflow names.

    Parameters
    ----------
    root
        The project's folder, from which the path is taken; it is put on the import path, so that an
        analysis may import its neighbours.
    reference
        ``processors/name.py``, or ``processors/name.py:Class`` where the file holds several analyses.

    Returns
    -------
    type
        The subclass of `Processor`.

    Raises
    ------
    ConfigError
        If the file is missing, can't be imported, or holds no such class.
    """
    location, _, name = reference.partition(":")
    path = root / location
    if path.suffix != ".py" or not path.is_file():
        folder = path.parent if path.parent.is_dir() else root
        known = [str(other.relative_to(root)) for other in sorted(folder.glob("*.py"))]
        msg = f"processor = {reference!r}: there is no Python file {path}{nearest(location, known)}."
        raise ConfigError(msg)
    module = _import(root, path)
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Processor) and value.__module__ == module.__name__
    }
    if name:
        if name not in found:
            msg = f"processor = {reference!r}: {location} has no analysis {name!r}{nearest(name, found)}."
            raise ConfigError(msg)
        return found[name]
    if len(found) != 1:
        listed = ", ".join(sorted(found)) or "none"
        msg = f"processor = {reference!r}: name one analysis as {location}:Class (the file holds: {listed})."
        raise ConfigError(msg)
    return next(iter(found.values()))


def _import(root: Path, path: Path) -> ModuleType:
    """Import a file of the project by its dotted name below the root."""
    try:
        name = ".".join(path.resolve().relative_to(root.resolve()).with_suffix("").parts)
    except ValueError:
        name = path.stem
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        msg = f"{path} can't be imported as a Python module."
        raise ConfigError(msg)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        line = _line_in(error, path)
        msg = f"{path}{line} can't be imported: {type(error).__name__}: {error}."
        raise ConfigError(msg) from error
    return module


def _line_in(error: BaseException, path: Path) -> str:
    """Return the line of the user's file that an error came from."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno},"
    trace, line = error.__traceback__, 0
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}," if line else ""
