"""Estimators for scikit-learn's pipelines and searches, behind the extra `sklearn`."""

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise ModuleNotFoundError(
        "elman.sklearn needs scikit-learn: pip install 'elman[sklearn]'", name=error.name
    ) from error

from elman.sklearn.classifier import ElmanClassifier
from elman.sklearn.regressor import ElmanRegressor

__all__ = ["ElmanClassifier", "ElmanRegressor"]
