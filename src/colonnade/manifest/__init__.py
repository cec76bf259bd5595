"""The manifest, `datasets.json`: what data exist, what each is worth, how a simulated one is made.

The file is a coffea fileset, so plain coffea reads it as it is:
`{name: {"files": {path or glob: tree}, "metadata": {...}}}`. Paths are relative to the manifest's folder.
"""

from __future__ import annotations

__all__ = [
    "Dataset",
    "Filter",
    "Generate",
    "Manifest",
    "Metadata",
    "add_dataset",
    "alternatives_of",
    "as_datasets",
    "check_eras",
    "load_fileset",
    "load_manifest",
    "normalisation",
    "relative_files",
    "triggers_before",
]

from colonnade.manifest.datasets import (
    Dataset,
    Manifest,
    add_dataset,
    alternatives_of,
    check_eras,
    load_manifest,
    relative_files,
    triggers_before,
)
from colonnade.manifest.filesets import as_datasets, load_fileset
from colonnade.manifest.metadata import Filter, Generate, Metadata, normalisation
