"""Forecasts of one or many steps ahead."""
