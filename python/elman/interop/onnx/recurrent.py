"""The operator RNN: its attributes, weights and outputs."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.activation import TABLE, Activation
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop.onnx.activations import FUNCTIONS
from elman.interop.onnx.fields import Context, OnnxHalf, as_field, operator, settled, uniform
from elman.interop.onnx.values import (
    Field,
    Fixed,
    Function,
    Given,
    Length,
    decimal,
    objects,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elman._typing import Array
    from elman.interop.onnx.graph import Node
    from elman.interop.onnx.values import Value, Vector, When


_DIRECTIONS = {
    "forward": ("forward",),
    "reverse": ("reverse",),
    "bidirectional": ("forward", "reverse"),
}
_NAMES = {name.lower(): name for name in FUNCTIONS}


class Attributes(NamedTuple):
    """The attributes of an RNN node."""

    directions: tuple[str, ...]
    functions: tuple[Function, ...]  # one for each direction
    layout: int
    hidden_size: int | None


def read_attributes(attributes: Mapping[str, Any]) -> Attributes:
    """Check the attributes of an RNN, with the defaults of the specification.

    Their float32 values are read as the shortest decimals, so that an alpha of 0.1 is read as 0.1.
    """
    direction = attributes.get("direction", "forward")
    if direction not in _DIRECTIONS:
        raise ModelFormatError(f"expected a direction of RNN, got {reprlib.repr(direction)}")
    layout = attributes.get("layout", 0)
    if layout not in (0, 1):
        raise ModelFormatError(f"expected layout 0 or 1, got {layout}")
    directions = _DIRECTIONS[direction]
    functions = _functions(attributes, len(directions))
    return Attributes(directions, functions, layout, attributes.get("hidden_size"))


def _functions(attributes: Mapping[str, Any], count: int) -> tuple[Function, ...]:
    """Return the activations; the default is a list of two even for one direction."""
    given = attributes.get("activations", ["Tanh"] * count)
    names = [_NAMES.get(name.lower(), "") for name in given]
    if len(names) != count or "" in names:
        raise UnsupportedModelError(
            f"expected {count} of the activations {', '.join(FUNCTIONS)}, got {reprlib.repr(given)}"
        )
    clip = attributes.get("clip")
    if clip is not None and not clip > 0:
        raise ModelFormatError(f"expected a clip above 0, got {clip}")
    alphas = _parameters(names, attributes.get("activation_alpha", []), "alpha")
    betas = _parameters(names, attributes.get("activation_beta", []), "beta")
    return tuple(
        Function(FUNCTIONS[name], alpha, beta, None if clip is None else decimal(np.float32(clip)))
        for name, alpha, beta in zip(names, alphas, betas, strict=True)
    )


def _parameters(names: list[str], given: list[float], key: str) -> list[float | None]:
    """Give each activation its alpha or beta.

    By the specification, activations consume the values in order; some exporters write one for each
    activation, needed or not.
    """
    takers = [name for name in names if key in TABLE[FUNCTIONS[name]].numbers]
    if len(given) not in (len(takers), len(names), 0):
        raise UnsupportedModelError(
            f"expected {len(takers)} values of activation_{key}, got {len(given)}"
        )
    values = iter(given)
    result: list[float | None] = []
    for name in names:
        parameters = TABLE[FUNCTIONS[name]].numbers
        skipped = len(given) == len(names) > len(takers)
        value = next(values, None) if name in takers or skipped else None
        if key not in parameters:
            result.append(None)
        elif value is None and parameters[key] is None:
            raise UnsupportedModelError(f"{name} has no default {key}, and none is given")
        else:
            result.append(decimal(np.float32(parameters[key] if value is None else value)))
    return result


class Weights(NamedTuple):
    """The arrays of one direction."""

    W_xh: Array
    W_hh: Array
    biases: tuple[Array, ...]


def split_weights(W: Array, R: Array, B: Array | None, attributes: Attributes) -> list[Weights]:
    """Check the shapes of an RNN's weights, and return them by direction."""
    D = len(attributes.directions)
    if W.ndim != 3 or len(W) != D:
        raise ModelFormatError(f"expected W of the shape ({D}, hidden, input), got {W.shape}")
    H = W.shape[1]
    if attributes.hidden_size not in (None, H):
        raise ModelFormatError(f"expected a hidden_size of {H}, got {attributes.hidden_size}")
    if R.shape != (D, H, H):
        raise ModelFormatError(f"expected R of the shape {(D, H, H)}, got {R.shape}")
    if B is not None and B.shape != (D, 2 * H):
        raise ModelFormatError(f"expected B of the shape {(D, 2 * H)}, got {B.shape}")
    return [Weights(W[d], R[d], () if B is None else (B[d, :H], B[d, H:])) for d in range(D)]


def activation_of(function: Function) -> Activation:
    """Return elman's activation."""
    if function.name == "affine" and (function.alpha, function.beta) == (1, 0):
        function = Function("identity", clip=function.clip)
    given = {key: value for key, value in function._asdict().items() if value is not None}
    try:
        return Activation(**given)
    except ArgumentError as error:
        raise UnsupportedModelError(f"the activation {function.name}: {error}") from error


@operator("RNN", 22, lengths=True)
def _rnn(
    node: Node,
    context: Context,
    X: Value,
    W: Value,
    R: Value,
    B: Value | None = None,
    lengths: Value | None = None,
    initial: Value | None = None,
) -> list[Value]:
    """Keep the halves of the layer, and return Y and Y_h."""
    attributes = read_attributes(node.attributes)
    if not isinstance(W, np.ndarray) or not isinstance(R, np.ndarray):
        raise UnsupportedModelError("its weights are not constant")
    if B is not None and not isinstance(B, np.ndarray):
        raise UnsupportedModelError("its biases are not constant")
    if any(a is not None and a.dtype.kind != "f" for a in (W, R, B)):
        raise ModelFormatError("expected weights and biases of real numbers")
    context.lengths.add(_lengths(lengths, context))
    source, batch = _source(X, attributes.layout, context)
    weights = split_weights(W, R, B, attributes)
    if source.size != weights[0].W_xh.shape[1]:
        expected = weights[0].W_xh.shape[1]
        raise ModelFormatError(f"expected {expected} features, got {source.size}")
    starts = _starts(initial, attributes, len(weights[0].W_hh), context)
    first = len(context.halves)
    for d, (part, start) in enumerate(zip(weights, starts, strict=True)):
        names = [_part_name(name, d, len(weights)) for name in (*node.inputs, "")[1:4]]
        weight = context.symbols.weight
        context.halves.append(
            OnnxHalf(
                str(node),
                source,
                attributes.directions[d],
                weight(part.W_xh, names[0]),
                weight(part.W_hh, names[1]),
                tuple(weight(b, names[2]) for b in part.biases),
                attributes.functions[d],
                start,
                node.outputs[0] or None,
            )
        )
    return _outputs(first, batch, attributes, context)


def _lengths(value: Value | None, context: Context) -> str | None:
    """Return the input that holds the lengths of the sequences, None if all steps are read."""
    own = value.vector if isinstance(value, Field) and value.kinds == ("B",) else None
    if isinstance(own, Length) and own.is_plain:
        return own.name
    if value is None:
        return None
    known = isinstance(value, np.ndarray) and context.steps is not None
    if known and np.all(value == context.steps):
        return None
    raise UnsupportedModelError("its sequence_lens are neither an input nor all the steps")


def _outputs(first: int, batch: str, attributes: Attributes, context: Context) -> list[Value]:
    H = context.halves[first].W_hh.array.shape[0]
    every, last = [], []
    for index in range(first, len(context.halves)):
        every.append(context.symbols.hidden(H, index, "each"))
        final = final_when(context.halves[index].direction, padded=context.lengths != {None})
        last.append(context.symbols.hidden(H, index, final))
    extra = (1,) * batch.count("K")
    D = len(every)
    if attributes.layout == 0:
        Y = Field(("T", "K", batch, "F"), objects(every, (D, *extra)))
        return [Y, Field(("K", batch, "F"), objects(last, (D, *extra)))]
    Y = Field((batch, "T", "K", "F"), objects(every, (*extra, D)))
    return [Y, Field((batch, "K", "F"), objects(last, (*extra, D)))]


def final_when(direction: str, *, padded: bool = False) -> When:
    """Return the step of a direction's final state; `padded` sequences have lengths."""
    return "first" if direction == "reverse" else "end" if padded else "last"


def _source(X: Value, layout: int, context: Context) -> tuple[Vector, str]:
    """Return the input of an RNN at every step, and the kind of its batch axis."""
    field = settled(as_field(X, context.symbols))
    time, batch = (0, 1) if layout == 0 else (1, 0)
    if len(field.kinds) != 3 or field.kinds[time] != "T" or field.kinds[2] != "F":
        order = "(time, batch, features)" if layout == 0 else "(batch, time, features)"
        raise UnsupportedModelError(f"expected X as {order}, got the axes {field.kinds}")
    kind = field.kinds[batch]
    if kind == "K":
        if field.items.size != 1:
            raise UnsupportedModelError("its batch axis does not hold sequences")
        return field.vector, kind
    if kind != "B":
        raise UnsupportedModelError(f"expected sequences along axis {batch} of X, got {kind}")
    return field.vector, kind


def _starts(
    initial: Value | None, attributes: Attributes, H: int, context: Context
) -> list[Vector | None]:
    """Return the initial state of each direction."""
    D = len(attributes.directions)
    if initial is None:
        return [None] * D
    field = settled(as_field(initial, context.symbols))
    batch = 1 if attributes.layout == 0 else 0
    if len(field.kinds) != 3 or field.vector.size != H:
        raise UnsupportedModelError(f"expected initial_h of 3 axes with {H} features")
    if field.kinds[batch] == "K":
        field = uniform(field, batch)
    elif field.kinds[batch] == "B":
        field = Field(field.kinds[:batch] + field.kinds[batch + 1 :], field.items)
    if field.kinds != ("K", "F") or field.items.shape != (D,):
        raise UnsupportedModelError(f"expected initial_h for {D} directions, got other axes")
    return [start_of(vector) for vector in field.items]


def start_of(vector: Vector) -> Vector | None:
    """Return an initial state, or None for zeros."""
    if isinstance(vector, Fixed):
        return vector if vector.weight.array.any() else None
    if isinstance(vector, Given):
        return vector
    raise UnsupportedModelError("its initial state is neither an input nor a constant")


def _part_name(name: str, index: int, count: int) -> str:
    return f"{name}[{index}]" if count > 1 else name
