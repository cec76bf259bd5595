from .accumulators import load as load
from .errors import ColonnadeError as ColonnadeError
from .histograms import Histogram as Histogram
from .processor import Objects as Objects, Processor as Processor, Region as Region, Shift as Shift, Source as Source
