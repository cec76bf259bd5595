"""The modules of the user's project that an analysis is made of: found, hashed, and taken along to workers.

An analysis is a class in a module of a project that is not installed. Workers get the text of that module,
and of all that it imports from the project, as it was when the run started: so they need no checkout, and
editing a file during a run changes nothing in it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


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

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "nodes"}


@dataclass(frozen=True)
class ProjectCode:
    """The modules of an analysis that belong to no installed package, by name."""

    modules: tuple[SourceModule, ...] = ()

    @functools.cached_property
    def digest(self) -> str:
        """Digest of the exact text."""
        total = hashlib.sha256()
        for module in self.modules:
            total.update(f"{module.name}\0{module.path}\0{len(module.text)}\0".encode())
            total.update(module.text)
        return total.hexdigest()

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
    """Return the full names of all that a module's text imports anywhere, and their parents."""
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
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            names.extend(text for argument in node.args[:1] if (text := text_of(argument)))
    parents = [name[:place] for name in names for place, letter in enumerate(name) if letter == "."]
    return [name for name in (*names, *parents) if name]


def called(node: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def text_of(node: ast.AST) -> str | None:
    """Return the text of a literal string; None of any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Finds and loads the modules that came along with a job, and finds the namespaces they lie in."""

    def __init__(self, code: ProjectCode) -> None:
        self._modules = {module.name: module for module in code.modules}
        #: what was loaded, while another job's modules are in place
        self.aside: dict[str, ModuleType] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how a module is loaded."""
        del path, target
        if fullname in self._modules:
            location = self.get_filename(fullname)
            places = [str(Path(location).parent)] if self.is_package(fullname) else None
            return importlib.util.spec_from_file_location(
                fullname, location, loader=self, submodule_search_locations=places
            )
        inside = [module for name, module in self._modules.items() if name.startswith(f"{fullname}.")]
        if not inside:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = sorted({str(Path(module.path).parent) for module in inside})
        return spec

    def is_package(self, fullname: str) -> bool:
        """Whether a module is an ``__init__.py``."""
        return self._modules[fullname].is_package

    def get_source(self, fullname: str) -> str:
        """Return the text that came along."""
        return importlib.util.decode_source(self._modules[fullname].text)

    def get_filename(self, fullname: str) -> str:
        """Return the file of a module; where that holds another text here, or is not here, the name of no file."""
        module = self._modules[fullname]
        with contextlib.suppress(OSError):
            if Path(module.path).read_bytes() == module.text:
                return module.path
        return f"{module.path} (sent)"

    def set_aside(self) -> None:
        """Take the modules out of the way, keeping them for the next task of their job."""
        parts = [name.split(".") for name in self._modules]
        names = {".".join(words[:length]) for words in parts for length in range(1, len(words) + 1)}
        self.aside = {name: sys.modules.pop(name) for name in names if name in sys.modules}


_lock = threading.RLock()
_finders: dict[str, _Finder] = {}


def install(code: ProjectCode) -> None:
    """Make the modules that came along with a job importable in this worker process.

    Two jobs on one worker may bring different texts under one name; the modules of the job at work are in
    place, so a worker with several threads should not serve two runs at once.
    """
    if not code.modules:
        return
    with _lock:
        finder = _finders.setdefault(code.digest, _Finder(code))
        active = next((each for each in sys.meta_path if isinstance(each, _Finder)), None)
        if active is finder:
            return
        if active is not None:
            sys.meta_path.remove(active)
            active.set_aside()
        sys.modules.update(finder.aside)
        sys.meta_path.insert(0, finder)


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
