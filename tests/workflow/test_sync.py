"""`colonnade sync`: a planted difference is found among many events, whatever the kind of file or the order."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from colonnade.cli import main
from colonnade.errors import InputError
from colonnade.workflow.sync import synchronise

pa = pytest.importorskip("pyarrow")
EVENTS = 100_000


def table(seed=1, events=EVENTS):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.5, events)
    return {
        "run": np.repeat(np.arange(10) + 300_000, events // 10),
        "luminosityBlock": np.arange(events) // 50,
        "event": rng.permutation(events).astype(np.int64) + 2**40,
        "met": rng.exponential(50, events),
        "jet_pt": ak.unflatten(rng.exponential(60, counts.sum()), counts),
    }


def write(path, columns, order=None):
    columns = {name: values if order is None else values[order] for name, values in columns.items()}
    if path.suffix == ".parquet":
        ak.to_parquet(ak.zip(columns, depth_limit=1), str(path))
    elif path.suffix == ".csv":
        flat = {name: values for name, values in columns.items() if values.ndim == 1}
        rows = zip(*(values.tolist() for values in flat.values()), strict=True)
        path.write_text("\n".join([",".join(flat), *(",".join(map(repr, row)) for row in rows)]) + "\n")
    else:
        with uproot.recreate(path) as file:
            kinds = {name: getattr(each, "dtype", None) or ak.type(each).content for name, each in columns.items()}
            file.mktree("Events", kinds).extend(columns)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".root", ".csv"])
def test_one_planted_difference_in_a_hundred_thousand_events(tmp_path, suffix, capsys):
    mine = table()
    theirs = dict(mine)
    place = 61_234
    name = "met" if suffix == ".csv" else "jet_pt"
    if name == "met":
        theirs["met"] = mine["met"].copy()
        theirs["met"][place] *= 1.001
    else:
        place += int(np.argmax(ak.num(mine["jet_pt"][place:]) > 1))
        flat = ak.flatten(mine["jet_pt"]).to_numpy().copy()
        flat[int(ak.num(mine["jet_pt"])[:place].to_numpy().sum()) + 1] += 0.5
        theirs["jet_pt"] = ak.unflatten(flat, ak.num(mine["jet_pt"]))
    order = np.random.default_rng(2).permutation(EVENTS)
    one, other = write(tmp_path / "mine.parquet", mine), write(tmp_path / f"theirs{suffix}", theirs, order)
    report = synchronise(one, other)
    assert report.common == EVENTS
    assert report.first.event == tuple(int(mine[each][place]) for each in ("run", "luminosityBlock", "event"))
    assert report.first.quantity == name
    assert {each for each, count in report.counts.items() if count} == {name}
    assert report.counts[name] == 1
    with pytest.raises(SystemExit) as ended:
        main(["sync", str(one), str(other)])
    assert ended.value.code == 1
    assert f"first difference: event {':'.join(map(str, report.first.event))}, {name}: " in capsys.readouterr().out


def test_equal_sides_are_equal_and_events_of_one_side_are_named(tmp_path, capsys):
    mine = table(events=1000)
    mine["met"][7] = np.nan
    write(tmp_path / "a.parquet", mine)
    write(tmp_path / "b.root", mine, np.arange(1000)[::-1])
    with pytest.raises(SystemExit) as ended:
        main(["sync", str(tmp_path / "a.parquet"), str(tmp_path / "b.root")])
    assert ended.value.code == 0
    assert "no difference" in capsys.readouterr().out
    write(tmp_path / "c.root", mine, np.delete(np.arange(1000), [3, 500]))
    report = synchronise(tmp_path / "a.parquet", tmp_path / "c.root")
    missing = sorted(tuple(int(mine[name][i]) for name in ("run", "luminosityBlock", "event")) for i in (3, 500))
    assert list(report.only_mine) == missing
    assert not report.only_theirs
    assert not report.same


def test_the_rest_is_counted_and_the_first_event_is_in_the_order_of_identity(tmp_path):
    mine = table(events=1000)
    theirs = {**mine, "met": mine["met"].copy()}
    theirs["met"][[10, 20, 30]] += 1
    report = synchronise(write(tmp_path / "a.root", mine), write(tmp_path / "b.root", theirs))
    keys = [tuple(int(mine[name][i]) for name in ("run", "luminosityBlock", "event")) for i in (10, 20, 30)]
    assert report.first.event == min(keys)
    assert report.counts == {"met": 3, "jet_pt": 0} | dict.fromkeys(report.counts.keys() - {"met"}, 0)


def test_what_can_not_be_compared_is_one_sentence(tmp_path):
    mine = table(events=100)
    one = write(tmp_path / "a.root", mine)
    with pytest.raises(InputError, match=r"b\.root has no column event"):
        synchronise(one, write(tmp_path / "b.root", {name: mine[name] for name in ("run", "luminosityBlock", "met")}))
    twice = write(tmp_path / "c.root", mine, np.array([0, 1, 1, 2]))
    with pytest.raises(InputError, match=r"c\.root holds the event 300000:0:\d+ twice"):
        synchronise(one, twice)
    other = write(tmp_path / "d.root", {**{n: mine[n] for n in ("run", "luminosityBlock", "event")}, "ht": mine["met"]})
    with pytest.raises(InputError, match="have no quantity of one name; theirs are ht"):
        synchronise(one, other)
