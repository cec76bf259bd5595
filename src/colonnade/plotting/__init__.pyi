from .draw import draw_run as draw_run
from .run import Run as Run
from .settings import PlotSettings as PlotSettings, ProcessStyle as ProcessStyle
