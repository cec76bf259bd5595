"""A YAML file to histograms, fit, plots and report, each step skipped when nothing it depends on changed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
