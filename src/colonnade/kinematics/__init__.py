"""Observables of jagged collections: vector and awkward on the surface, compiled loops beneath.

All functions take awkward arrays of vectors (lists of records, or one record an event), vector's NumPy arrays, and
where it makes sense plain numbers. GeV and radians. Results with one number an event are NumPy arrays; jagged ones, and
those with missing entries, are awkward arrays.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
