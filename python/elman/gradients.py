"""The gradients of a loss, in the structure and by the names of a network's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["Gradients", "LayerGradients", "ReadoutGradients"]


class LayerGradients:
    """Those of a layer: `W_xh` (H, I), `W_hh` (H, H), and `b_h` (H,) or None."""

    __slots__ = ("W_hh", "W_xh", "b_h")

    def __init__(self, W_xh: Array, W_hh: Array, b_h: Array | None) -> None:
        self.W_xh = W_xh
        self.W_hh = W_hh
        self.b_h = b_h


class ReadoutGradients:
    """Those of the readout: `W_hy` (O, H), and `b_y` (O,) or None."""

    __slots__ = ("W_hy", "b_y")

    def __init__(self, W_hy: Array, b_y: Array | None) -> None:
        self.W_hy = W_hy
        self.b_y = b_y


class Gradients:
    """The gradients of a loss; the sum `a + b` is that of two parts of a batch.

    Attributes
    ----------
    layers : tuple of LayerGradients
        From the bottom up: `layers[0].W_xh`, `.W_hh`, and `.b_h` or None.
    readout : ReadoutGradients or None
        `readout.W_hy`, and `readout.b_y` or None.
    initial_state : ndarray
        With respect to the network's own initial state (state_size,), summed over the sequences;
        or, if a state was passed, with respect to that, in its shape.
    x : ndarray or None
        From `elman.backward`: with respect to the inputs, in their shape. A sum has none.
    """

    __slots__ = ("initial_state", "layers", "readout", "x")

    def __init__(
        self,
        layers: tuple[LayerGradients, ...],
        readout: ReadoutGradients | None,
        initial_state: Array,
        x: Array | None = None,
    ) -> None:
        self.layers = layers
        self.readout = readout
        self.initial_state = initial_state
        self.x = x

    @classmethod
    def from_tensors(cls, tensors: dict[str, Array], x: Array | None = None) -> Gradients:
        """Make them of arrays by the names that model files have, such as `layers.0.W_hh`."""
        layers: list[LayerGradients] = []
        while (W_xh := tensors.get(f"layers.{len(layers)}.W_xh")) is not None:
            prefix = f"layers.{len(layers)}."
            layers.append(
                LayerGradients(W_xh, tensors[prefix + "W_hh"], tensors.get(prefix + "b_h"))
            )
        readout = None
        if (W_hy := tensors.get("readout.W_hy")) is not None:
            readout = ReadoutGradients(W_hy, tensors.get("readout.b_y"))
        return cls(tuple(layers), readout, tensors["initial_state"], x)

    def tensors(self) -> dict[str, Array]:
        """Return the arrays by the names that model files have; biases that are None are absent."""
        tensors = {}
        for index, layer in enumerate(self.layers):
            for name in ("W_xh", "W_hh", "b_h"):
                tensors[f"layers.{index}.{name}"] = getattr(layer, name)
        if self.readout is not None:
            tensors["readout.W_hy"] = self.readout.W_hy
            tensors["readout.b_y"] = self.readout.b_y
        tensors["initial_state"] = self.initial_state
        return {name: array for name, array in tensors.items() if array is not None}

    def __add__(self, other: Gradients) -> Gradients:
        if not isinstance(other, Gradients):
            return NotImplemented
        theirs = other.tensors()
        return Gradients.from_tensors(
            {name: array + theirs[name] for name, array in self.tensors().items()}
        )
