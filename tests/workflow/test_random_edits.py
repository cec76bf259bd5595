"""Random edits of a project (settings, code, inputs, models), with kills between, against runs in clean folders."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from helpers.search import PROCESSOR, WORKFLOW, write_muons
from helpers.zygote import Zygote
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from colonnade.versions import file_digest

MODELS: tuple[Any, ...] = (
    None,
    WORKFLOW["model"],
    {"channels": {"SR": WORKFLOW["model"]["channels"]["SR"]}},
    WORKFLOW["model"] | {"luminosity_uncertainty": 0.05},
)
CODES = (
    "objects.muons.pt",
    "objects.muons.pt",  # with a comment
    "objects.muons.pt * factor()",
    "objects.muons.pt * float(self.files['scale'].read_text())",
    "objects.muons.pt * TABLE['factor']",
)
# these tell when and where a run was
OF_THE_MOMENT = {"provenance.json", "report.html"}


@dataclasses.dataclass(frozen=True)
class State:
    """What the project says; what a run gives depends on nothing else."""

    luminosity: float = 1.0
    model: int = 0
    unblind: bool = False
    code: int = 0
    factor: float = 1.0
    scale: float = 1.0
    xsec: float = 1.0
    seeds: tuple[int, int] = (0, 0)
    signal: bool = True


class Edits(RuleBasedStateMachine):
    """A project that is edited, run and killed in any order."""

    root: Path
    zygote: Zygote
    clean: dict[State, dict[str, str]]
    log: Path | None = None
    steps = 0
    compared = 0

    @initialize()
    def begin(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("processors", "workflows"):
            (self.root / name).mkdir(parents=True)
        self.state = State()
        for place, name in enumerate(("data", "background", "signal")):
            self.write_events(name, place)
        self.write()

    def write_events(self, name: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        write_muons(self.root / f"{name}.root", rng, 300, data=name == "data", hard=0.9 if name == "signal" else 0.3)

    def write(self) -> None:
        """Write all that is small."""
        state = self.state
        text = PROCESSOR.replace("objects.muons.pt", CODES[state.code])
        imports = f"from processors.neighbour import factor\n\nTABLE = {{'factor': {state.factor}}}\n"
        imports += "# a comment\n" if state.code == 1 else ""
        text = text.replace("\n\nclass", f"\n{imports}\n\nclass", 1)
        self.put("processors/search.py", text)
        self.put("processors/neighbour.py", f"def factor():\n    return {state.factor}\n")
        self.put("scale.txt", f"{state.scale}")
        content = WORKFLOW | {"luminosity": state.luminosity, "model": MODELS[state.model], "unblind": state.unblind}
        content |= {"plots": None, "files": {"scale": "scale.txt"}}
        self.put("workflows/search.yaml", json.dumps(content))
        self.put("workflows/clean.yaml", json.dumps(content | {"cache": {"enabled": False}}))
        entries: dict[str, Any] = {"data": {"process": "data", "kind": "data"}}
        whole = {"sumw": "events"}
        entries["background"] = {"process": "background", "kind": "background", "xsec_pb": state.xsec, **whole}
        if state.signal:
            entries["signal"] = {"process": "signal", "kind": "signal", "xsec_pb": 0.05, **whole}
        manifest = {name: {"files": {f"{name}.root": "Events"}, "metadata": entry} for name, entry in entries.items()}
        self.put("datasets.json", json.dumps(manifest))

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

    def change(self, **values: Any) -> None:
        self.state = dataclasses.replace(self.state, **values)
        self.write()
        self.step(f"change {values}")

    def step(self, words: str) -> None:
        type(self).steps += 1
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(f"{type(self).steps} {words}\n")
        if type(self).steps % 8 == 0 and not words.startswith("run"):
            self.run()

    @rule(value=st.sampled_from([1.0, 2.0, 2.5]))
    def luminosity(self, value: float) -> None:
        self.change(luminosity=value)

    @rule(value=st.integers(0, len(MODELS) - 1))
    def model(self, value: int) -> None:
        self.change(model=value)

    @rule(value=st.booleans())
    def unblind(self, value: bool) -> None:
        self.change(unblind=value)

    @rule(value=st.integers(0, len(CODES) - 1))
    def code(self, value: int) -> None:
        self.change(code=value)

    @rule(value=st.sampled_from([1.0, 0.9]))
    def factor(self, value: float) -> None:
        self.change(factor=value)

    @rule(value=st.sampled_from([1.0, 0.8]))
    def scale(self, value: float) -> None:
        self.change(scale=value)

    @rule(value=st.sampled_from([1.0, 1.5]))
    def cross_section(self, value: float) -> None:
        self.change(xsec=value)

    @rule(value=st.booleans())
    def signal(self, value: bool) -> None:
        self.change(signal=value)

    @rule(which=st.integers(0, 1), value=st.integers(0, 1))
    def other_events(self, which: int, value: int) -> None:
        """Write a file anew, of the same name and size."""
        seeds = list(self.state.seeds)
        seeds[which] = value
        self.write_events(("data", "background")[which], which + 10 * value)
        self.change(seeds=tuple(seeds))

    @rule(name=st.sampled_from(["data.root", "background.root", "processors/search.py", "scale.txt"]))
    def touch(self, name: str) -> None:
        self.step(f"touch {name}")
        os.utime(self.root / name)

    @rule(name=st.sampled_from(["data", "background"]), kill=st.booleans())
    def damage_and_mend(self, name: str, kill: bool) -> None:
        """Cut a file, run, and bring it back with the time it had."""
        self.step(f"damage {name}")
        path = self.root / f"{name}.root"
        content, status = path.read_bytes(), path.stat()
        path.write_bytes(content[: len(content) // 2])
        assert self.zygote.run(*self.words("search", "out"), kill_after=0.3 if kill else None) != 0
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @rule(name=st.sampled_from(["histograms.zip", "fit.json", "ledger.json", "workspace.json"]))
    def spoil_a_result(self, name: str) -> None:
        """Change what a run left; the next one is to notice."""
        self.step(f"spoil {name}")
        if (self.root / "out" / name).exists():
            (self.root / "out" / name).write_bytes(b"{}")

    @rule()
    def forget(self) -> None:
        self.step("forget what is kept")
        shutil.rmtree(self.root / ".colonnade", ignore_errors=True)

    @rule(after=st.floats(0.02, 1.2))
    def kill(self, after: float) -> None:
        code = self.zygote.run(*self.words("search", "out"), kill_after=after)
        self.step(f"kill after {after:.2f} s: {code}")

    @rule()
    def run(self) -> None:
        self.step(f"run {self.state}")
        code = self.zygote.run(*self.words("search", "out"))
        if self.state.model and not self.state.signal:  # a model of nothing is refused
            assert code == 2
            return
        assert code == 0
        if self.state not in self.clean:
            shutil.rmtree(self.root / "clean", ignore_errors=True)
            assert self.zygote.run(*self.words("clean", "clean")) == 0
            self.clean[self.state] = contents(self.root / "clean")
        assert contents(self.root / "out") == self.clean[self.state]
        assert not [path for path in self.root.rglob(".*.*") if path.suffix in (".json", ".zip", ".part", ".root")]
        type(self).compared += 1

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.run()

    def words(self, workflow: str, output: str) -> list[str]:
        return ["run", str(self.root / "workflows" / f"{workflow}.yaml"), "--output", str(self.root / output)]


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of each file; of the ROOT file, which holds the time of writing, what is in it."""
    found = {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in OF_THE_MOMENT
    }
    with uproot.open(folder / "histograms.root") as file:
        found["histograms.root"] = str({key: file[key].values(flow=True) for key in file.keys(filter_classname="TH1D")})
    return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[type[Edits]]:
    class Here(Edits):
        root, zygote, clean = tmp_path / "project", Zygote(), {}

    yield Here
    Here.zygote.close()


def edit(machine: type[Edits], examples: int, steps: int) -> None:
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=how)
    assert machine.compared


def test_a_few_random_edits(machine: type[Edits]) -> None:
    edit(machine, 1, 12)


@pytest.mark.cluster
def test_hundreds_of_random_edits(machine: type[Edits]) -> None:
    while machine.steps < 300:
        edit(machine, 6, 50)
