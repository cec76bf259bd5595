from .backgrounds import (
    Background as Background,
    BackgroundTable as BackgroundTable,
    Bernstein as Bernstein,
    Exponential as Exponential,
    PolyLogExponential as PolyLogExponential,
    Polynomial as Polynomial,
    QuadraticExponential as QuadraticExponential,
)
from .batch import (
    BackgroundFits as BackgroundFits,
    SignalFits as SignalFits,
    fit_backgrounds as fit_backgrounds,
    fit_bumps as fit_bumps,
    fit_signals as fit_signals,
)
from .checks import ToyFits as ToyFits, f_test as f_test, fit_toys as fit_toys, spurious_signal as spurious_signal
from .fits import (
    fit_background as fit_background,
    fit_bump as fit_bump,
    fit_signal_shape as fit_signal_shape,
    significances as significances,
)
from .newton import CostName as CostName
from .results import (
    BackgroundFit as BackgroundFit,
    BumpFit as BumpFit,
    SignalShapeFit as SignalShapeFit,
    Significances as Significances,
)
from .search import Bumps as Bumps, BumpSearch as BumpSearch, search_bumps as search_bumps
from .signals import CrystalBall as CrystalBall, Gaussian as Gaussian, Signal as Signal
from .spectrum import Spectrum as Spectrum
