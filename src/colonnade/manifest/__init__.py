"""The manifest, `datasets.json`: what data exist, what each is worth, how a simulated one is made.

The file is a coffea fileset, so plain coffea reads it as it is:
`{name: {"files": {path or glob: tree}, "metadata": {...}}}`. Paths are relative to the manifest's folder.
"""

__all__ = [
    "Dataset",
    "Filter",
    "Generate",
    "Manifest",
    "Metadata",
    "add_dataset",
    "load_manifest",
    "normalisation",
]

from colonnade.manifest.datasets import (
    Dataset,
    Manifest,
    add_dataset,
    load_manifest,
)
from colonnade.manifest.metadata import Filter, Generate, Metadata, normalisation
