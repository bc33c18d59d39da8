"""Splits of the data of `elman train`: training, validation and held-out part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman.errors import ArgumentError
from elman.forecasting.parts import Parts, Span, whole
from elman.training.data import shuffled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman.forecasting.parts import Examples

    Array = NDArray[Any]


def split(examples: Examples, validation: float, holdout: float, seed: int) -> Parts:
    """Split one series in time, or several sequences at random, stratified by class.

    `holdout` is a fraction of everything, `validation` a fraction of the rest. Steps whose targets
    are also targets of the held-out part are in no part.
    """
    for option, share in (("--holdout", holdout), ("--validation", validation)):
        if not 0 <= share < 1:
            raise ArgumentError(f"{option}: expected at least 0 and less than 1, got {share}")
    everything = whole(examples.x)
    if len(everything) == 1 and examples.table.outputs == "last":
        raise ArgumentError("DATA: expected several sequences with a target each, got one")
    if len(everything) == 1:
        (_, _, steps) = everything[0]
        begin = end = round(steps * (1 - holdout))  # of the held-out part; of the others
        horizon = examples.table.horizon or (1,)
        if begin < steps:
            end = max(0, begin - (horizon[-1] - horizon[0]))
        middle = round(end * (1 - validation))
        spans = [Span(0, *edges) for edges in ((0, middle), (middle, end), (begin, steps))]
        parts = [[span] if span.stop > span.start else [] for span in spans]
    else:
        order = shuffled(len(everything), seed)
        if examples.table.outputs == "last" and examples.table.classes:
            order = order[np.argsort([examples.y[i] for i in order], kind="stable")]
        rest, held = _every(order, holdout)
        train, validate = _every(rest, validation)
        parts = [[everything[i] for i in sorted(part)] for part in (train, validate, held)]
    for name, share, spans in zip(Parts._fields, (1, validation, holdout), parts, strict=True):
        if share and not spans:
            remedy = f"a larger --{name}, or 0 for none"
            if name == "training":
                remedy = "a smaller --holdout or --validation"
            raise ArgumentError(
                f"DATA: expected enough data for a {name} part, got {_size(everything)}: {remedy}"
            )
    return Parts(*parts)


def _size(everything: list[Span]) -> str:
    return f"{len(everything)} sequences" if len(everything) > 1 else f"{everything[0].stop} steps"


def _every(order: Array, share: float) -> tuple[Array, Array]:
    """Take this share out of an order, evenly spaced; return the rest and the taken part."""
    edges = np.floor(np.arange(len(order) + 1) * share + 0.5)
    taken = np.diff(edges) > 0
    return order[~taken], order[taken]
