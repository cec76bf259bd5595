"""Making simulated ntuples: Pythia 8, jets, a parametrised detector, ROOT. The only room that knows Pythia.

Names are loaded when first used: Pythia and fastjet come with the extra `samples`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from colonnade.lazy import lazy

if TYPE_CHECKING:
    from colonnade.samples.production import Made, make_samples


__all__ = ["Made", "make_samples"]

__getattr__ = lazy(
    __name__,
    production=("Made", "make_samples"),
)
