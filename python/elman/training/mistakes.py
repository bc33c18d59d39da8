"""Remedies for common mistakes in training data, added to error messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elman import _arguments

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from elman._network import Network
    from elman.errors import ElmanError

    Array = NDArray[Any]


def explained(
    error: ElmanError, net: Network, x: Array, y: Array, loss: str, outputs: str
) -> ElmanError:
    """Return the error, with a remedy if one is known."""
    said, remedy = str(error), ""
    if said.startswith("x:"):
        remedy = _arguments.inputs_remedy(x, net.input_size)
    elif said.startswith("y:"):
        remedy = _of_targets(x.shape[:-1], y, net.output_size, loss, outputs)
    return type(error)(said + remedy) if remedy and remedy not in said else error


def for_layers(said: str, net: Network) -> str:
    """Return a message that fits a network without a readout, which has no `output_activation`."""
    if net.readout is not None:
        return said
    readout = f'a readout, output_size={net.output_size} and output_activation="identity"'
    return said.replace('output_activation="identity"', readout)


def _of_targets(steps: tuple[int, ...], y: Array, O: int, loss: str, outputs: str) -> str:
    rows, others = (steps, steps[:-1]) if outputs == "all" else (steps[:-1], steps)
    other = "last" if outputs == "all" else "all"
    if loss == "cross_entropy":
        return _of_classes(y, rows, O) or (
            f": outputs='{other}' takes classes of this shape" if y.shape == others else ""
        )
    if y.shape == rows and O == 1:
        return f": add an axis for the output, {'y[:, None]' if y.ndim == 1 else 'y[..., None]'}"
    if y.shape == rows and y.dtype.kind in "bui":
        return ": for classes use loss='cross_entropy', with output_activation='softmax'"
    if y.shape == (*others, O):
        return f": outputs='{other}' takes targets of this shape"
    if outputs == "all" and y.shape == (*rows[:-1], O, rows[-1]):
        return ": time comes before outputs, use y.swapaxes(-1, -2)"
    return ""


def _of_classes(y: Array, rows: tuple[int, ...], O: int) -> str:
    if y.shape == (*rows, O) and O > 1:
        return ": for one-hot classes use y.argmax(axis=-1)"
    if y.shape == (*rows, 1):
        return ": use y[..., 0]" if y.dtype.kind in "ui" else ": use y[..., 0].astype(int)"
    if y.shape != rows:
        return ""
    if y.dtype.kind == "b" or (y.dtype.kind == "f" and (y == np.round(y)).all()):
        return ": use y.astype(int)"
    if y.dtype.kind in "OU":
        return ": use labels, y = np.unique(y, return_inverse=True)"
    return ""
