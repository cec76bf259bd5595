"""Making simulated ntuples: Pythia 8, jets, a parametrised detector, ROOT. The only room that knows Pythia.

Names are loaded when first used: Pythia and fastjet come with the extra `samples`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
