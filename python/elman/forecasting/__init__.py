"""Forecasting: a linear model as a start, the search for a correction, and the steps ahead."""

from elman.forecasting.linear import linear_start

__all__ = ["linear_start"]
