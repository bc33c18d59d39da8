"""The structure of a network: halves of layers, names and shapes of tensors.

A layer has one half, or two if it is bidirectional, forward before reverse. A network's state is
the concatenation of the hidden states of its halves, from the bottom up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from elman.activation import Activation

    Array = NDArray[Any]

DIRECTIONS = ("forward", "reverse", "bidirectional")
MASKED = ("hold", "zero")
WEIGHTS = ("W_xh", "W_hh", "b_h")  # of a half
SCALING = ("input_mean", "input_std", "output_mean", "output_std")
VECTORS = ("initial_state", *SCALING)  # of a network, each optional
W_HY, B_Y = "readout.W_hy", "readout.b_y"


class Structure:  # not a named tuple: the first call of a process waits for the class
    """A network without its weights.

    The directions of its layers, the activations of their halves and of the readout, if there is
    one, and `masked`.
    """

    def __init__(
        self,
        directions: tuple[str, ...],
        activations: tuple[Activation, ...],
        output_activation: Activation | None,
        masked: str = "hold",
    ) -> None:
        self.directions = directions
        self.activations = activations
        self.output_activation = output_activation
        self.masked = masked

    @property
    def layer_activations(self) -> list[Activation | tuple[Activation, Activation]]:
        """The activation of each layer, a pair for a bidirectional one."""
        of_halves = iter(self.activations)
        return [
            (next(of_halves), next(of_halves)) if direction == "bidirectional" else next(of_halves)
            for direction in self.directions
        ]


def split(state: Array, sizes: Sequence[int]) -> Iterator[Array]:
    """Split states (..., state_size) into parts of these sizes; yield views."""
    end = 0
    for size in sizes:
        begin, end = end, end + size
        yield state[..., begin:end]


def prefixes(layer: int, direction: str) -> tuple[str, ...]:
    """Return the prefix of tensor names for each half of a layer."""
    prefix = f"layers.{layer}."
    return (prefix, f"{prefix}reverse.") if direction == "bidirectional" else (prefix,)


def all_prefixes(directions: Sequence[str]) -> list[str]:
    """Return the prefixes of tensor names for all halves, from the bottom up."""
    return [p for layer, direction in enumerate(directions) for p in prefixes(layer, direction)]


def required(directions: Sequence[str], *, readout: bool) -> list[str]:
    """Return the names of the required tensors."""
    names = [prefix + w for prefix in all_prefixes(directions) for w in ("W_xh", "W_hh")]
    return names + [W_HY] * readout


def optional(directions: Sequence[str], *, readout: bool) -> list[str]:
    """Return the names of the optional tensors."""
    return [*biases(directions, readout=readout), *VECTORS]


def biases(directions: Sequence[str], *, readout: bool) -> list[str]:
    """Return the names of the biases."""
    return [f"{prefix}b_h" for prefix in all_prefixes(directions)] + [B_Y] * readout


def all_tensors(directions: Sequence[str]) -> list[str]:
    """Return the names of all tensors, required and optional, with a readout."""
    return required(directions, readout=True) + optional(directions, readout=True)


def defining(directions: Sequence[str]) -> list[str]:
    """Return the names of the matrices whose shapes determine the sizes of a network."""
    first = [prefixes(layer, direction)[0] for layer, direction in enumerate(directions)]
    return [*(f"{prefix}W_xh" for prefix in first), W_HY]


def sizes_of(
    directions: Sequence[str], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[int, tuple[int, ...], int]:
    """Return the sizes of inputs, layers and outputs, from the shapes of the defining matrices.

    The halves of a layer have one size.
    """
    *layers, _ = defining(directions)
    hidden = tuple(shapes[name][0] for name in layers)
    top = hidden[-1] * len(prefixes(len(hidden) - 1, directions[-1]))
    return shapes["layers.0.W_xh"][1], hidden, shapes[W_HY][0] if W_HY in shapes else top


def shapes_of(
    directions: Sequence[str], inputs: int, hidden: Sequence[int], outputs: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all required and optional tensors, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    below, state = inputs, 0
    for layer, (direction, size) in enumerate(zip(directions, hidden, strict=True)):
        both = prefixes(layer, direction)
        for prefix in both:
            shapes[f"{prefix}W_xh"] = (size, below)
            shapes[f"{prefix}W_hh"] = (size, size)
            shapes[f"{prefix}b_h"] = (size,)
        below = len(both) * size
        state += below
    shapes[W_HY] = (outputs, below)
    shapes[B_Y] = (outputs,)
    shapes["initial_state"] = (state,)
    for name in SCALING:
        shapes[name] = (inputs if name.startswith("input") else outputs,)
    return shapes


def too_large(
    dtype: str, inputs: int, hidden: Sequence[int], outputs: int | None, directions: Sequence[str]
) -> str:
    """Return the message for matrices that do not fit in memory, with their size in bytes."""
    shapes = shapes_of(directions, inputs, hidden, outputs or 0)
    numbers = {
        name: shapes[name][0] * shapes[name][1]
        for name in required(directions, readout=outputs is not None)
    }
    total = sum(numbers.values()) * {"float32": 4, "float64": 8}[dtype]
    largest = max(numbers, key=lambda name: numbers[name])
    return (
        f"weights: expected to fit in memory, got {total:,} bytes:"
        f" the largest matrix is {largest} {shapes[largest]}"
    )
