"""docs/coffea.md, followed word for word on real collisions, with its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import colonnade
from colonnade.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "coffea.md"


def colonnade_does(*words: object) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    assert not caught.value.code


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    folder = tmp_path_factory.mktemp("coffea")
    (folder / "cms_dimuon_100k.root").symlink_to(shared_data / "nanoaod" / "cms_dimuon_100k.root")
    (folder / "datasets.json").write_text(blocks("json")[0])
    for name in ("processors", "workflows"):
        (folder / name).mkdir()
    python, workflows = blocks("python"), blocks("yaml")
    (folder / "processors" / "pairs.py").write_text(python[0])
    (folder / "processors" / "ported.py").write_text(python[2])
    quick = "executor: {kind: iterative}\n"
    for name, text in zip(("pairs", "limit", "ported"), workflows, strict=True):
        (folder / "workflows" / f"{name}.yaml").write_text(text + quick + ("plots: null\n" if name != "pairs" else ""))
    return folder


def test_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colonnade_does("run", folder / "workflows" / "pairs.yaml")
    found = colonnade.load(folder / "results" / "pairs")
    assert found["cutflow"]["data: all"] == 50_000
    assert found["mass"]["data", :].sum(flow=True).value == found["cutflow"]["data: opposite"]
    assert (folder / "results" / "pairs" / "plots" / "all" / "mass.png").exists()
    highest = found["highest"]["data"].value
    assert len(highest) > 3
    assert (highest[1:] >= highest[:-1]).all()
    capsys.readouterr()
    colonnade_does("run", folder / "workflows" / "pairs.yaml")
    assert "0 events, 150,000 kept from earlier" in capsys.readouterr().out
    colonnade_does("compare-coffea", folder / "workflows" / "pairs.yaml")
    assert "numbers agree" in capsys.readouterr().out


def test_all_events_give_the_published_numbers(folder: Path) -> None:
    """48,976 events with exactly two muons, 37,183 of opposite sign: AGC tools workshop."""
    whole = {"whole": {"files": {"cms_dimuon_100k.root": "Events"}, "metadata": {"process": "data", "kind": "data"}}}
    (folder / "whole.json").write_text(json.dumps(whole))
    workflow = folder / "workflows" / "pairs.yaml"
    changes = ("manifest=whole.json", "processor.arguments={}", "plots=null")
    output = folder / "results" / "whole"
    colonnade_does("run", workflow, "--output", output, *(word for each in changes for word in ("--set", each)))
    cutflow = colonnade.load(output)["cutflow"]
    assert cutflow == {"data: all": 100_000, "data: two": 48_976, "data: opposite": 37_183}


def test_to_a_limit(folder: Path) -> None:
    colonnade_does("run", folder / "workflows" / "limit.yaml")
    (point,) = json.loads((folder / "results" / "limit" / "fit.json").read_text())["points"]
    assert point["signal"] == "light"
    assert 0 < point["limit"]["expected"][2] < 1
    assert point["limit"]["observed"] == pytest.approx(point["limit"]["expected"][2], rel=1.0)


def test_ported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colonnade_does("compare-coffea", folder / "workflows" / "ported.yaml", folder / "workflows" / "pairs.yaml")
    assert "numbers agree" in capsys.readouterr().out
