"""Observables of jagged collections: vector and awkward on the surface, compiled loops beneath.

All functions take awkward arrays of vectors (lists of records, or one record an event), vector's NumPy arrays, and
where it makes sense plain numbers. GeV and radians. Results with one number an event are NumPy arrays; jagged ones, and
those with missing entries, are awkward arrays.
"""

__all__ = [
    "accelerate",
    "assign",
    "combinations",
    "count",
    "delta_phi",
    "delta_r",
    "event_sum",
    "follow",
    "ht",
    "invariant_mass",
    "leading",
    "merge",
    "mt2",
    "near",
    "nearest",
    "normal",
    "own",
    "per_object",
    "product",
    "propagate",
    "pt_sum",
    "select",
    "smallest",
    "sort_by_pt",
    "take",
    "total_transverse_mass",
    "transverse_energy",
    "transverse_mass",
    "vector_sum",
]

from colonnade.kinematics.arrays import own
from colonnade.kinematics.collections import (
    accelerate,
    assign,
    combinations,
    count,
    follow,
    leading,
    merge,
    near,
    nearest,
    normal,
    per_object,
    product,
    select,
    smallest,
    sort_by_pt,
    take,
)
from colonnade.kinematics.observables import (
    delta_phi,
    delta_r,
    event_sum,
    ht,
    invariant_mass,
    mt2,
    propagate,
    pt_sum,
    total_transverse_mass,
    transverse_energy,
    transverse_mass,
    vector_sum,
)
