from .counting import (
    asimov_significance as asimov_significance,
    signed_significance as signed_significance,
    significance as significance,
)
from .fitting import (
    Discovery as Discovery,
    FitResult as FitResult,
    discovery as discovery,
    expected_discovery as expected_discovery,
    fit as fit,
)
from .likelihood import Likelihood as Likelihood
from .limits import (
    HypothesisTest as HypothesisTest,
    UpperLimits as UpperLimits,
    hypothesis_test as hypothesis_test,
    upper_limits as upper_limits,
)
from .model import Model as Model
from .settings import ModelSettings as ModelSettings
from .step import refit as refit
from .templates import Inputs as Inputs, Process as Process
from .workspace import from_workspace as from_workspace, to_workspace as to_workspace
