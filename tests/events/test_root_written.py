"""Trees that ROOT itself writes, of every kind of branch, read as uproot reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.programs import python_with

from colonnade.events import inspect_file, read_events

SCRIPT = r"""
import sys
import ROOT
from array import array

ROOT.gROOT.SetBatch(True)
ROOT.gInterpreter.Declare('''
struct Hit { float x; float y; int id; };
void write(const char* path) {
  TFile file(path, "RECREATE");
  TTree tree("Events", "Events");
  float f; double d; int i; unsigned u; long long l; bool b; short s; unsigned char c; ULong64_t big;
  int n; float pt[50]; int charge[50]; float matrix[2][3];
  struct { int first; float second; } pair;
  std::vector<float> floats; std::vector<bool> flags; std::string word;
  std::vector<std::string> words; TLorentzVector vector; std::vector<double> other;
  tree.Branch("f", &f, "f/F"); tree.Branch("d", &d, "d/D"); tree.Branch("i", &i, "i/I"); tree.Branch("u", &u, "u/i");
  tree.Branch("l", &l, "l/L"); tree.Branch("b", &b, "b/O"); tree.Branch("s", &s, "s/S"); tree.Branch("c", &c, "c/b");
  tree.Branch("big", &big, "big/l");
  tree.Branch("nJet", &n, "nJet/I"); tree.Branch("Jet_pt", pt, "Jet_pt[nJet]/F");
  tree.Branch("Jet_charge", charge, "Jet_charge[nJet]/I"); tree.Branch("matrix", matrix, "matrix[2][3]/F");
  tree.Branch("pair", &pair, "first/I:second/F");
  tree.Branch("floats", &floats); tree.Branch("flags", &flags);
  tree.Branch("word", &word); tree.Branch("words", &words); tree.Branch("vector", &vector);
  tree.Branch("Other_x", &other);
  for (int event = 0; event < 3000; ++event) {
    f = event * 0.5f; d = event / 3.0; i = -event; u = 3000000000u + event; l = -5000000000LL * event;
    b = event % 3 == 0; s = event % 300 - 150; c = event % 256; big = 18000000000000000000ULL + event;
    n = event % 7;
    for (int j = 0; j < n; ++j) { pt[j] = 10.f * j + event; charge[j] = j % 2 ? 1 : -1; }
    for (int j = 0; j < 6; ++j) matrix[j / 3][j % 3] = event + j;
    pair.first = event; pair.second = -event;
    floats.assign(event % 4, 1.5f * event);
    flags.assign(event % 5, event % 2); word = std::string(event % 6, 'a' + event % 26);
    words.assign(event % 3, word); vector.SetPtEtaPhiM(10 + event, 0.1, 0.2, 1); other.assign(event % 2 + 1, event);
    tree.Fill();
  }
  tree.Write();
}
''')
for name, setting in (("zlib", 101), ("lzma", 207), ("lz4", 404), ("zstd", 505), ("none", 0)):
    path = f"{sys.argv[1]}/{name}.root"
    ROOT.write(path)
    if setting != 101:
        old = ROOT.TFile.Open(path)
        new = ROOT.TFile.Open(path + ".part", "RECREATE", "", setting)
        old.Get("Events").CloneTree(-1, "").Write()
        new.Close()
        old.Close()
        __import__("os").rename(path + ".part", path)
"""
KINDS = ("zlib", "lzma", "lz4", "zstd", "none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = python_with("ROOT", ".venv-root")
    made = tmp_path_factory.mktemp("root")
    subprocess.run([python, "-c", SCRIPT, made], check=True, capture_output=True, timeout=300)
    return made


@pytest.mark.parametrize("schema", ["flat", None])
@pytest.mark.parametrize("kind", KINDS)
def test_every_branch_is_as_uproot_reads_it(folder: Path, kind: str, schema: str | None) -> None:
    path = folder / f"{kind}.root"
    source = inspect_file(str(path), None, schema)
    assert source.entries == 3000
    tree = uproot.open(path)["Events"]
    expected = {name.rpartition("/")[2]: tree[name] for name in tree.keys() if not tree[name].branches}  # noqa: SIM118
    compared = []
    for name in sorted(source.columns):
        if name not in expected:
            continue
        events = read_events(source, 100, 2900, (name,), {"kind": "data"})
        group, _, field = name.partition("_")
        values = events[group][field] if field and group in events.layout.fields else events[name]
        theirs = expected[name].array(entry_start=100, entry_stop=2900)
        assert ak.to_list(values) == ak.to_list(theirs), name
        compared.append(name)
    plain = {"f", "d", "i", "u", "l", "b", "s", "c", "big", "Jet_pt", "matrix", "pair"}
    assert plain | {"floats", "flags", "word", "words", "vector"} <= set(compared)
    assert np.asarray(read_events(source, 0, 3, ("big",), {}).big).tolist() == [18 * 10**18 + n for n in range(3)]
