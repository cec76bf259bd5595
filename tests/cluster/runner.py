"""Run the analysis that a test made, as the command line would: results are written, then losses end it."""

from __future__ import annotations

import hashlib
import importlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from colonnade.config import parse_settings
from colonnade.errors import ColonnadeError
from colonnade.execution import ExecutorSettings, Progress, ResultCache, StoppedError, run_datasets
from colonnade.histograms import write_root, write_zip
from colonnade.manifest import Dataset, Metadata
from colonnade.output import write_json


def bits(histograms: Any) -> str:
    total = hashlib.sha256()
    for name in sorted(histograms):
        for process in sorted(histograms[name]):
            total.update(np.ascontiguousarray(histograms[name][process].values(flow=True)).tobytes())
            total.update(np.ascontiguousarray(histograms[name][process].variances(flow=True)).tobytes())
    return total.hexdigest()


def run(config: dict[str, Any]) -> None:
    root, output = Path(config["root"]), Path(config["output"])
    sys.path.insert(0, str(root))
    analysis = importlib.import_module("analyses_under_fault.pairs").Pairs
    datasets = [
        Dataset(name, entry["files"], Metadata(**entry["metadata"]), root) for name, entry in config["datasets"].items()
    ]
    try:
        result = run_datasets(
            analysis(gate=config["gate"]),
            datasets,
            luminosity=10.0,
            executor=parse_settings(ExecutorSettings, config["executor"], "the test's settings"),
            chunk_size=config["chunk_size"],
            allow_loss=config.get("allow_loss", 0.0),
            cache=ResultCache(Path(config["cache"])) if config["cache"] else None,
            progress=Progress(Console()),
        )
    except StoppedError as error:
        if error.ledger is not None:
            error.ledger.write(output / "ledger.json")
        raise
    result.ledger.write(output / "ledger.json")
    write_json(output / "cutflow.json", result.cutflow)
    write_zip(result.histograms, output / "histograms.zip")
    write_root(result.histograms, output / "histograms.root")
    (output / "bits").write_text(bits(result.histograms))
    print(f"kept {result.timing.kept}, processed {result.timing.processed}")  # noqa: T201
    result.ledger.check()


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run(json.loads(Path(sys.argv[1]).read_text()))
    except ColonnadeError as error:
        print(f"Error: {error}")  # noqa: T201
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
