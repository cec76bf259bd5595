"""The modules of the user's project that an analysis is made of: found, hashed, and taken along to workers.

An analysis is a class in a module of a project that is not installed. Workers get the text of that module,
and of all that it imports from the project, as it was when the run started: so they need no checkout, and
editing a file during a run changes nothing in it.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from colonnade.output import claim_folder
from colonnade.versions import digest


@dataclass(frozen=True)
class SourceModule:
    """A module as its text.

    Attributes
    ----------
    name
        Dotted.
    path
        Where it lies on the machine that planned the run.
    text
        Its bytes.
    is_package
        Whether it is an ``__init__.py``.
    """

    name: str
    path: str
    text: bytes
    is_package: bool

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The syntax tree of the text without docstrings, and all nodes below it."""
        tree = ast.parse(self.text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
                first = node.body[0]
                if isinstance(first, ast.Expr) and text_of(first.value) is not None:
                    node.body[0] = ast.Pass()
        return tuple(ast.walk(tree))

    @property
    def meaning(self) -> str:
        """Digest of what the text does: comments, docstrings and layout do not count."""
        return hashlib.sha256(ast.dump(self.nodes[0]).encode()).hexdigest()

    @property
    def place(self) -> str:
        """Its path below the folder that it is imported from."""
        words = self.name.replace(".", "/")
        return f"{words}/__init__.py" if self.is_package else f"{words}.py"

    def is_here(self) -> bool:
        """Whether this machine has the same text in the same place."""
        with contextlib.suppress(OSError):
            return self.path.endswith(f"/{self.place}") and Path(self.path).read_bytes() == self.text
        return False

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "nodes"}


@dataclass(frozen=True)
class ProjectCode:
    """The modules of an analysis that belong to no installed package, by name."""

    modules: tuple[SourceModule, ...] = ()

    @functools.cached_property
    def digest(self) -> str:
        """Digest of the exact text."""
        return digest([[module.name, module.path, module.text.hex()] for module in self.modules])

    def meanings(self) -> dict[str, str]:
        """Return the digest of what each module does."""
        return {module.name: module.meaning for module in self.modules}


def collect_code(processor: Any) -> ProjectCode:
    """Return the modules of a processor's class and its bases, and what these import, transitively.

    Imports inside functions are followed too. Installed packages, `colonnade` among them, are not part of
    it: a worker has its own.
    """
    found: dict[str, SourceModule] = {}
    waiting = [base.__module__ for base in type(processor).__mro__]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name == "__main__":
            continue
        seen.add(name)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        source = _source(name)
        if source is not None:
            found[name] = source
            waiting.extend(_imported_names(source))
    return ProjectCode(tuple(found[name] for name in sorted(found)))


def _source(name: str) -> SourceModule | None:
    """Return the module's text if it belongs to the project."""
    top = name.partition(".")[0]
    if top == "colonnade" or top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return None
    module = sys.modules.get(name)
    try:
        # of a package that is not of the project, nothing is imported to look for its parts
        if module is None and not _of_project(importlib.util.find_spec(top)):
            return None
        spec = getattr(module, "__spec__", None) or importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py") or not _of_project(spec):
        return None
    path = Path(spec.origin).resolve()
    return SourceModule(name, str(path), path.read_bytes(), spec.submodule_search_locations is not None)


def _of_project(spec: importlib.machinery.ModuleSpec | None) -> bool:
    if spec is None:
        return False
    places = list(spec.submodule_search_locations or ())
    if spec.origin is not None and spec.has_location:
        places = [spec.origin]
    resolved = [Path(place).resolve() for place in places]
    return any(not any(place.is_relative_to(folder) for folder in installed_folders()) for place in resolved)


@functools.lru_cache(maxsize=1)
def installed_folders() -> list[Path]:
    """Return where Python and installed packages lie."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_paths()[name] for name in names]
    # packages may also come from another environment, by PYTHONPATH or a .pth file
    others = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
    return [
        Path(folder).resolve() for folder in (*folders, *others, *site.getsitepackages(), site.getusersitepackages())
    ]


def _imported_names(source: SourceModule) -> list[str]:
    """Return the full names of all that a module's text imports anywhere."""
    package = source.name if source.is_package else source.name.rpartition(".")[0]
    names: list[str] = []
    for node in source.nodes:
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                with contextlib.suppress(ImportError):
                    base = importlib.util.resolve_name("." * node.level + base, package)
            names.append(base)
            names.extend(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and last_part(node.func) in ("import_module", "__import__"):
            names.extend(text for argument in node.args[:1] if (text := text_of(argument)))
    return [name for name in names if name]


def last_part(node: Any) -> str:
    """Return the last part of a name; of any other expression nothing."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


def text_of(node: ast.AST) -> str | None:
    """Return the text of a literal string; None of any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


class _Visitors:
    """The modules that came along to this process: which are in place, and what was loaded of the others."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._active = ProjectCode()
        self._loaded: dict[str, dict[str, ModuleType]] = {}
        self._folders: dict[str, list[str]] = {}

    def install(self, code: ProjectCode) -> None:
        with self._lock:
            if code.digest == self._active.digest:
                return
            self._set_aside()
            self._active = code
            if code.digest not in self._folders:
                self._folders[code.digest] = _place(code)
            sys.path[:0] = self._folders[code.digest]
            sys.modules.update(self._loaded.get(code.digest, {}))
            importlib.invalidate_caches()

    def _set_aside(self) -> None:
        """Take the active modules out of the way, keeping them for the next task of their job."""
        for folder in self._folders.get(self._active.digest, ()):
            sys.path.remove(folder)
        parts = [module.name.split(".") for module in self._active.modules]
        names = {".".join(words[:length]) for words in parts for length in range(1, len(words) + 1)}
        self._loaded[self._active.digest] = {name: sys.modules.pop(name) for name in names if name in sys.modules}


def _place(code: ProjectCode) -> list[str]:
    """Return the folders that modules are imported from: theirs, if each is here as it was, else a private one."""
    if all(module.is_here() for module in code.modules):
        return sorted({module.path.removesuffix(f"/{module.place}") for module in code.modules})
    folder = _belongings.enter_context(claim_folder("colonnade-code-"))
    for module in code.modules:
        location = folder / module.place
        location.parent.mkdir(parents=True, exist_ok=True)
        location.write_bytes(module.text)
    return [str(folder)]


_visitors = _Visitors()
#: what goes when this process ends
_belongings = contextlib.ExitStack()
atexit.register(_belongings.close)


def install(code: ProjectCode) -> None:
    """Make the modules that came along with a job importable in this worker process.

    Two jobs on one worker may bring different texts under one name; the modules of the job at work are in
    place, so a worker with several threads should not serve two runs at once.
    """
    if code.modules:
        _visitors.install(code)


# code, compiled code, and what the system tells of itself
_CODE = {".py", ".pyc", ".so", ".nbi", ".nbc"}
_SYSTEM = tuple(Path(folder) for folder in ("/proc", "/sys", "/dev", "/etc", "/usr"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_this = threading.local()


@contextmanager
def watched() -> Iterator[set[str]]:
    """Give the set of paths that this thread opens for reading in the block."""
    _listen()
    opened: set[str] = set()
    _this.opened = opened
    try:
        yield opened
    finally:
        _this.opened = None


def undeclared(opened: Collection[str], known: Collection[str]) -> list[str]:
    """Return the files among those that were opened that are neither known, nor code, nor the system's."""
    found = []
    foreign = (*installed_folders(), *_SYSTEM, Path(sys.base_prefix).resolve())
    for name in sorted(opened):
        path = Path(name).resolve()
        if str(path) in known or path.suffix in _CODE or name in sys.path:
            continue
        if not any(path.is_relative_to(folder) for folder in foreign):
            found.append(str(path))
    return found


@functools.cache
def _listen() -> None:
    sys.addaudithook(_hear)  # for the life of the process: there is no way to take it back


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open":
        return
    opened = getattr(_this, "opened", None)
    path, _, flags = arguments
    if opened is not None and isinstance(path, str | bytes) and not (flags or 0) & _WRITING:
        opened.add(os.fsdecode(path))
