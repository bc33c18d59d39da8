"""Estimators for scikit-learn's pipelines and searches; requires the extra `sklearn`."""

from elman import _files

_files.extra("sklearn", "elman.sklearn", "'elman[sklearn]'")

from elman.sklearn.classifier import ElmanClassifier  # noqa: E402
from elman.sklearn.regressor import ElmanRegressor  # noqa: E402

__all__ = ["ElmanClassifier", "ElmanRegressor"]
