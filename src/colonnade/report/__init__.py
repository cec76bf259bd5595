"""One self-contained HTML page about a run.

The page is made of sections, each a function in `sections` that says what it shows (or that there is nothing to show)
and a template of the same name. Styles, scripts and pictures are inside the page: it can be mailed. `write_page` makes
a page of other sections, such as those of a study.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
