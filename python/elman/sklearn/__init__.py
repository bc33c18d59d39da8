"""Estimators for scikit-learn's pipelines and searches; requires the extra `sklearn`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _files, _lazy

_files.extra("sklearn", "elman.sklearn", "'elman[sklearn]'")

if TYPE_CHECKING:
    from elman.sklearn.classifier import ElmanClassifier
    from elman.sklearn.regressor import ElmanRegressor

__all__ = ["ElmanClassifier", "ElmanRegressor"]

__getattr__, __dir__ = _lazy.names(__name__, __all__, "classifier", "regressor")
