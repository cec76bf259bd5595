"""Figures of a run: its typed results drawn with mplhep and saved.

A figure is a frozen `Plot` that draws itself into matplotlib axes (`stack`, `lines`, `fit_pictures`),
without pyplot and without any state. `Run` holds the results of one run; `draw_run` chooses what to draw of them and
saves it. matplotlib is imported when something is drawn, not before.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
