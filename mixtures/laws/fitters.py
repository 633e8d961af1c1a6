"""The laws by the name that a recipe uses. The first wins where two are equally good."""

from collections.abc import Mapping

from corpusmill.mixtures.laws.effective_data import fit_effective_data
from corpusmill.mixtures.laws.mixing import Fitter, fit_linear, fit_log_linear

FITTERS: Mapping[str, Fitter] = {"log-linear": fit_log_linear, "power": fit_effective_data, "linear": fit_linear}
