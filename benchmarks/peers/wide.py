"""Ten histograms of ten columns: as a colonnade analysis, as a coffea processor, and as RDataFrame does it."""

from __future__ import annotations

import json
import sys
import time

COLUMNS = (
    *("Muon_pt", "Muon_eta", "Electron_pt", "Electron_eta", "Jet_pt", "Jet_eta", "Tau_pt", "Tau_eta"),
    *("GenPart_pt", "GenPart_eta"),
)
BINS, LOW, HIGH = 100, 0.0, 100.0

try:
    import awkward as ak
    import hist
    from coffea.processor import ProcessorABC

    from colonnade import Histogram, Objects, Processor, Region
except ImportError:  # where only ROOT is
    pass
else:

    class Columns(Processor):
        """Fill each column; the edit is one that changes nothing."""

        histograms = tuple(Histogram(name, hist.axis.Regular(BINS, LOW, HIGH, name=name)) for name in COLUMNS)
        regions = {"all": Region()}  # noqa: RUF012 - as an analysis is written

        def __init__(self, edit=0):
            super().__init__()
            self.edit = edit

        def objects(self, events, shift):
            """Take all as they are."""
            return Objects(count=events.genWeight)

        def cuts(self, events, objects, observables):
            """Cut on nothing."""
            return {}

        def observables(self, events, objects):
            """Return the columns."""
            return {name: events[name.partition("_")[0]][name.partition("_")[2]] for name in COLUMNS}

    class Peer(ProcessorABC):
        """The same for coffea."""

        def process(self, events):
            """Fill each column."""
            filled = {}
            for name in COLUMNS:
                group, _, field = name.partition("_")
                one = hist.Hist(hist.axis.Regular(BINS, LOW, HIGH, name=name), storage=hist.storage.Double())
                one.fill(ak.flatten(events[group][field]))
                filled[name] = one
            return filled

        def postprocess(self, accumulator):
            """Add nothing."""


def coffea(paths):
    """Run coffea twice: from nothing, and with its metadata at hand."""
    from coffea.nanoevents import NanoAODSchema
    from coffea.processor import FuturesExecutor, Runner

    NanoAODSchema.warn_missing_crossrefs = False
    cache = {}
    seconds = []
    for _ in range(2):
        runner = Runner(
            FuturesExecutor(workers=2, status=False), schema=NanoAODSchema, metadata_cache=cache, chunksize=100_000
        )
        start = time.perf_counter()
        found = runner({"tt": {"files": dict.fromkeys(paths, "Events")}}, Peer())
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "counts": {name: found[name].values(flow=True).tolist() for name in COLUMNS}}


def root(paths):
    """Run RDataFrame with two threads."""
    import ROOT

    start = time.perf_counter()
    ROOT.EnableImplicitMT(2)
    frame = ROOT.RDataFrame("Events", paths)
    filled = [frame.Histo1D((name, "", BINS, LOW, HIGH), name) for name in COLUMNS]
    counts = {
        name: [one.GetBinContent(number) for number in range(BINS + 2)]
        for name, one in zip(COLUMNS, filled, strict=True)
    }
    return {"seconds": [time.perf_counter() - start], "counts": counts}


if __name__ == "__main__":
    answer = {"coffea": coffea, "root": root}[sys.argv[1]](sys.argv[2:])
    print(json.dumps({**answer, "files": len(sys.argv) - 2}))
