"""Which files are the same: bits of a result follow the content, whatever names, sizes and times say."""

import hashlib
import os
import shutil
import zlib

import hist
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hist.axis import Regular

from colonnade.errors import InputError
from colonnade.execution import ExecutorSettings, ResultCache, run_datasets
from colonnade.histograms import Histogram
from colonnade.manifest import Dataset, Metadata
from colonnade.processor import Objects, Processor, Region

TIME = 1_700_000_000_000_000_000


class Values(Processor):
    """Fills a number of each event."""

    histograms = (Histogram("x", Regular(3, 0, 3)),)
    regions = {"all": Region()}

    def objects(self, events, shift):
        return Objects(x=events.x)

    def observables(self, events, objects):
        return {"x": objects.x}

    def cuts(self, events, objects, observables):
        return {}


def write_parquet(path, value):
    pq.write_table(pa.table({"x": np.full(1000, value + 0.5), "event": np.arange(1000)}), path, compression="none")


def write_csv(path, value):
    path.write_text("x,event\n" + "".join(f"{value}.5,{number}\n" for number in range(1000)))


def write_tree(path, value):
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("Events", {"x": "f8", "event": "i8"})
        tree.extend({"x": np.full(1000, value + 0.5), "event": np.arange(1000)})


def write_root(path, value):
    write_tree(path, value)
    content = path.read_bytes()
    own = uproot.open(path).file.uuid.bytes
    path.write_bytes(content.replace(own, bytes(16)))


WRITERS = {"parquet": write_parquet, "csv": write_csv, "root": write_root}


def run(paths, cache=None, files=None, said=None):
    told = [] if said is None else said

    class Noting:
        def __getattr__(self, name):
            return told.append if name == "say" else lambda *_: None

    tree = "Events" if paths[0].suffix == ".root" else None
    metadata = Metadata(process="data", kind="data", luminosity=1.0)
    named = {str(path): tree for path in paths}
    dataset = Dataset("set", named, metadata, paths[0].parent, **({} if files is None else {"prepared": files}))
    result = run_datasets(
        Values(),
        [dataset],
        luminosity=1.0,
        executor=ExecutorSettings(kind="iterative"),
        chunk_size=400,
        cache=cache,
        progress=Noting(),
        allow_loss=1.0,
    )
    filled: hist.Hist = result.histograms["x"]["data"]
    return filled["all", "nominal", :].values().tolist(), result


@pytest.mark.parametrize("kind", WRITERS)
def test_files_of_one_size_and_time_count_each(tmp_path, kind):
    paths = [tmp_path / f"{value}.{kind}" for value in range(3)]
    for value, path in enumerate(paths):
        WRITERS[kind](path, value)
        os.utime(path, ns=(TIME, TIME))
    assert len({path.stat().st_size for path in paths}) == 1
    cache = ResultCache(tmp_path / "cache")
    for _ in range(2):
        assert run(paths, cache)[0] == [1000.0, 1000.0, 1000.0]
    # and one after the other
    assert [run([path], cache)[0] for path in paths] == [[1000.0, 0, 0], [0, 1000.0, 0], [0, 0, 1000.0]]


def test_a_file_that_is_restored_is_read_again(tmp_path):
    path = tmp_path / "a.root"
    write_tree(path, 0)
    whole = path.read_bytes()
    place = whole.index(np.full(4, 0.5, ">f8").tobytes())
    path.write_bytes(whole[:place] + np.full(2, 1.5, ">f8").tobytes() + whole[place + 16 :])
    os.utime(path, ns=(TIME, TIME))
    cache = ResultCache(tmp_path / "cache")
    assert run([path], cache)[0] == [998.0, 2.0, 0.0]
    path.write_bytes(whole)
    assert run([path], cache)[0] == [1000.0, 0.0, 0.0]


def test_a_copy_within_a_dataset_is_said(tmp_path):
    path = tmp_path / "a.root"
    write_tree(path, 0)
    shutil.copy2(path, tmp_path / "b.root")
    said = []
    assert run([path, tmp_path / "b.root"], said=said)[0] == [2000.0, 0, 0]
    assert any("b.root is a copy of" in text and "count twice" in text for text in said)


@pytest.mark.parametrize("kind", ["adler32", "sha256"])
def test_a_checksum_is_compared(tmp_path, kind):
    path = tmp_path / "a.parquet"
    write_parquet(path, 0)
    content = path.read_bytes()
    right = f"{zlib.adler32(content):08x}" if kind == "adler32" else hashlib.sha256(content).hexdigest()
    assert run([path], files={str(path): {kind: right.upper()}})[0] == [1000.0, 0, 0]
    with pytest.raises(InputError, match=f"a.parquet has the {kind} {right}, not 0000"):
        run([path], files={str(path): {kind: "0000"}})
