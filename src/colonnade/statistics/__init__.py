"""From histograms to significances, fits and limits; names are loaded when first used, as scipy is heavy."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
