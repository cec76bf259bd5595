"""One model in every format: pyhf, Combine, HS3, ROOT with a cabinetry configuration, HistFactory XML."""

__all__ = ["FORMATS", "Export", "as_histfactory", "export_model", "read_model"]

from colonnade.statistics.formats.exporting import FORMATS, Export, as_histfactory, export_model
from colonnade.statistics.formats.reading import read_model
