"""Networks that start as a linear model of the last steps, and the search for a correction."""

from elman.forecasting.linear import linear_start

__all__ = ["linear_start"]
