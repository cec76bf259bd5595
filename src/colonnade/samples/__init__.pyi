from .production import Made as Made, make_samples as make_samples
