"""A processor over many files: plan, executors, merging in a fixed order, ledger, cache.

Names are loaded when first used: results can be read without what is needed to make them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
