"""The gradients of a loss, structured and named as the network's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from elman import _arguments, _html, _structure
from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["Gradients", "LayerGradients", "ReadoutGradients"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerGradients:
    """The gradients of one layer.

    Attributes
    ----------
    W_xh : ndarray, shape (H, I)
    W_hh : ndarray, shape (H, H)
    b_h : ndarray, shape (H,), or None
    """

    W_xh: Array
    W_hh: Array
    b_h: Array | None


@dataclass(frozen=True, slots=True, eq=False)
class ReadoutGradients:
    """The gradients of the readout.

    Attributes
    ----------
    W_hy : ndarray, shape (O, H)
    b_y : ndarray, shape (O,), or None
    """

    W_hy: Array
    b_y: Array | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Gradients:
    """The gradients of a loss.

    `a + b` adds the gradients of two parts of a batch; `a * 0.5` scales them.

    Attributes
    ----------
    layers : tuple of LayerGradients
        From the bottom up: `layers[0].W_xh`, `.W_hh`, and `.b_h` or None.
    readout : ReadoutGradients or None
        `readout.W_hy`, and `readout.b_y` or None.
    initial_state : ndarray
        With respect to the network's initial state, (state_size,), summed over the sequences; or
        to the state passed in, in its shape.
    x : ndarray or None
        From `elman.backward`: with respect to the inputs, in their shape. None after an addition.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> _, gradients = elman.loss_and_gradients(net, np.ones((10, 3)), np.zeros((10, 2)))
    >>> half = 0.5 * gradients
    >>> bool((half + half).readout.W_hy.sum() == gradients.readout.W_hy.sum())
    True
    """

    layers: tuple[LayerGradients, ...]
    readout: ReadoutGradients | None
    initial_state: Array
    x: Array | None = None

    __array_ufunc__: ClassVar[None] = None  # NumPy scalars defer to __rmul__

    @classmethod
    def from_tensors(cls, tensors: dict[str, Array], x: Array | None = None) -> Gradients:
        """Build gradients from arrays named as in model files, such as `layers.0.W_hh`."""
        layers: list[LayerGradients] = []
        while f"{(prefix := _prefix(len(layers)))}W_xh" in tensors:
            layers.append(
                LayerGradients(*(tensors.get(prefix + name) for name in _structure.WEIGHTS))  # type: ignore[arg-type]
            )
        readout = None
        if (W_hy := tensors.get(_structure.W_HY)) is not None:
            readout = ReadoutGradients(W_hy, tensors.get(_structure.B_Y))
        return cls(tuple(layers), readout, tensors["initial_state"], x)

    def tensors(self) -> dict[str, Array]:
        """Return the arrays, named as in model files; biases that are None are absent."""
        tensors: dict[str, Array | None] = {}
        for index, layer in enumerate(self.layers):
            for name in _structure.WEIGHTS:
                tensors[_prefix(index) + name] = getattr(layer, name)
        if self.readout is not None:
            tensors[_structure.W_HY] = self.readout.W_hy
            tensors[_structure.B_Y] = self.readout.b_y
        tensors["initial_state"] = self.initial_state
        return {name: array for name, array in tensors.items() if array is not None}

    def __add__(self, other: Gradients) -> Gradients:
        if not isinstance(other, Gradients):
            return NotImplemented
        theirs = other.tensors()
        return Gradients.from_tensors(
            {name: array + theirs[name] for name, array in self.tensors().items()}
        )

    def __mul__(self, factor: float) -> Gradients:
        try:
            number = _arguments.real("factor", factor)
        except ArgumentTypeError:
            return NotImplemented
        return Gradients.from_tensors(
            {name: array * number for name, array in self.tensors().items()},
            None if self.x is None else self.x * number,
        )

    __rmul__ = __mul__

    def __repr__(self) -> str:
        import numpy as np

        arrays = self.tensors().values()
        count = sum(array.size for array in arrays)
        norm = np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in arrays))
        layers = f"{len(self.layers)} layer{'s' if len(self.layers) > 1 else ''}"
        readout = "" if self.readout is None else " and a readout"
        return f"Gradients({layers}{readout}, {count:,} values, norm {norm:.4g})"

    def _repr_html_(self) -> str:
        named = self.tensors() if self.x is None else {**self.tensors(), "x": self.x}
        return _html.arrays(named) + _html.text(repr(self))


def _prefix(layer: int) -> str:
    return _structure.prefixes(layer, "forward")[0]
