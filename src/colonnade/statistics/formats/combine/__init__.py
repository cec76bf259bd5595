"""Combine's datacards: read, combined and written.

Conventions are Combine's, release 10.6; docs/statistics.md says where they differ from HistFactory's.
"""

__all__ = ["read_combine"]

from colonnade.statistics.formats.combine.build import read_combine
