"""Conversion and checks of arguments.

NumPy is imported inside functions, so that importing `elman.Network` does not import it.
"""

from __future__ import annotations

import math
import os
from operator import index
from typing import TYPE_CHECKING

from elman import _foreign, _structure
from elman._text import show
from elman.errors import ArgumentError, ArgumentTypeError, DTypeError, LimitError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, TypeAlias, TypeGuard

    import numpy as np
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from elman._core import Network as Core
    from elman.activation import Activation

    Array = NDArray[Any]
    LayerWeights: TypeAlias = tuple[ArrayLike, ArrayLike, ArrayLike | None]
    HalvesOrLayer: TypeAlias = LayerWeights | tuple[LayerWeights, LayerWeights]
    LayerActivation: TypeAlias = str | Activation | tuple[str | Activation, str | Activation]
    CoreActivation: TypeAlias = tuple[str, float | None, float | None, float | None]
    ReadoutWeights: TypeAlias = tuple[ArrayLike, ArrayLike | None]

UNUSABLE = (ShapeError, DTypeError)  # the errors of an array
_INITIALIZERS = ("uniform", "glorot", "identity", "echo_state")
_MOST_LAYERS = 100_000  # a longer list of sizes takes time and memory, and is a mistake


def is_list_of_sequences(x: object) -> TypeGuard[Sequence[ArrayLike]]:
    """Return whether x is a list or tuple of arrays (T, I) or of data frames.

    Lists of numbers are one array.
    """
    if not isinstance(x, list | tuple) or not x:
        return False
    return getattr(x[0], "ndim", None) == 2 or hasattr(x[0], "columns")


def require_one_array(argument: str, x: object, remedy: str) -> None:
    """Raise for a list of sequences."""
    if is_list_of_sequences(x):
        raise ShapeError(
            f"{argument}: expected one array (..., T, I), got a list of sequences: {remedy}"
        )


def integer(argument: str, value: object) -> int:
    """Return an integer of any type as an int."""
    try:
        if not isinstance(value, bool):  # which NumPy's bool is not either
            return index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise ArgumentTypeError(f"{argument}: expected an integer, got {kind(value)}")


def size(argument: str, value: object, least: int = 1) -> int:
    """Return an integer of at least `least` and below 2**63."""
    number = value if type(value) is int else integer(argument, value)
    if number < least:
        raise ArgumentError(f"{argument}: expected at least {least}, got {show(number)}")
    if number >= 2**63:
        raise LimitError(f"{argument}: expected less than 2**63, got {show(number)}")
    return number


def too_many(argument: str, rows: int, size: int, dtype: np.dtype[Any]) -> str:
    """Return the message for rows of this size that do not fit in memory, with their bytes."""
    total = rows * size * dtype.itemsize
    return f"{argument}: expected rows that fit in memory, got {rows:,} of {size} = {total:,} bytes"


def too_long(start: ArrayLike, steps: int, net: Core) -> str:
    """Return the message for generated outputs that do not fit in memory, with their bytes."""
    import numpy as np

    sequences = math.prod(np.shape(start)[:-2])
    return too_many("steps", sequences * steps, net.output_size, np.dtype(net.dtype))


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def real(argument: str, value: object) -> float:
    """Return a real number of any type as a float."""
    try:
        if not isinstance(value, str | bytes):
            return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ArgumentError(f"{argument}: expected a number, got {show(value)}") from None
    except (TypeError, ValueError):
        pass
    raise ArgumentTypeError(f"{argument}: expected a number, got {kind(value)}") from None


def number(argument: str, value: object, *, zero: bool = False, below_1: bool = False) -> float:
    """Return a finite number above 0 (or at least 0) and optionally below 1."""
    result = real(argument, value)
    enough = result >= 0 if zero else result > 0
    if not enough or not result < (1.0 if below_1 else math.inf):
        expected = "at least 0" if zero else "above 0"
        if below_1:
            expected += " and below 1"
        raise ArgumentError(f"{argument}: expected a number {expected}, got {result:g}")
    return result


def name(argument: str, value: object) -> str:
    """Return a string, with escapes in place of what is not Unicode."""
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{argument}: expected a name, got {kind(value)}")
    return value.encode(errors="backslashreplace").decode()


def flag(argument: str, value: object) -> bool:
    """Return True or False, also of NumPy, as a bool."""
    if isinstance(value, bool) or kind(value) in ("bool", "bool_"):
        return bool(value)
    raise ArgumentTypeError(f"{argument}: expected True or False, got {kind(value)}")


def require_one_of(argument: str, value: object, names: tuple[str | None, ...]) -> None:
    """Raise unless a value is one of these names, or None if that is among them."""
    if not (value is None or isinstance(value, str)) or value not in names:
        raise ArgumentError(
            f"{argument}: expected {' or '.join(map(repr, names))}, got {show(value)}"
            f"{_foreign.value(value, names)}"
        )


def kind(value: object) -> str:
    """Return the name of a value's type, for errors."""
    return type(value).__name__


def listed(argument: str, values: Iterable[Any], expected: str) -> list[Any]:
    """Return an iterable as a list."""
    try:
        return list(values)
    except TypeError:
        raise ArgumentTypeError(f"{argument}: expected {expected}, got {kind(values)}") from None


def hidden_sizes(hidden_size: int | Sequence[int], num_layers: int | None) -> list[int]:
    """Return the sizes of the layers."""
    if hasattr(hidden_size, "__index__") and getattr(hidden_size, "ndim", 0) == 0:
        count = 1 if num_layers is None else size("num_layers", num_layers)
        if count > _MOST_LAYERS:
            raise LimitError(f"num_layers: expected at most {_MOST_LAYERS:,}, got {show(count)}")
        return [size("hidden_size", hidden_size)] * count
    sizes = listed("hidden_size", hidden_size, "an integer or a sequence of them")  # type: ignore[arg-type]
    if not sizes:
        raise ArgumentError("hidden_size: expected at least one layer, got none")
    if num_layers is not None and size("num_layers", num_layers) != len(sizes):
        raise ArgumentError(
            f"num_layers: expected {len(sizes)}, the length of hidden_size, got {num_layers}"
        )
    return [size(f"hidden_size[{i}]", value) for i, value in enumerate(sizes)]


def activation(argument: str, value: str | Activation) -> CoreActivation:
    """Return an activation in the form that the core takes."""
    from elman.activation import TABLE, Activation

    if isinstance(value, Activation):
        return value.name, value.alpha, value.beta, value.clip
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{argument}: expected a name or an Activation, got {kind(value)}")
    given = name(argument, value)
    if given not in TABLE:
        usable = [other for other in TABLE if argument != "activation" or TABLE[other].in_layers]
        _foreign.require_activation(argument, given, TABLE, usable)
    return given, None, None, None


def directions(direction: str | Sequence[str], num_layers: int) -> list[str]:
    """Return the direction of each layer."""
    if isinstance(direction, str):
        return [_direction(0, direction)] * num_layers
    several = _for_layers("direction", direction, "a name or a sequence of them", num_layers)
    return [_direction(layer, value) for layer, value in enumerate(several)]


def _direction(layer: int, value: object) -> str:
    known = _structure.DIRECTIONS
    if (given := name("direction", value)) not in known:
        raise ArgumentError(
            f"direction of layer {layer}: expected {', '.join(known[:-1])} or {known[-1]}, got"
            f" {show(given)}{_foreign.value(given, known)}"
        )
    return given


def initializer(value: str) -> str:
    """Return the name of an initializer."""
    if (given := name("init", value)) not in _INITIALIZERS:
        raise ArgumentError(
            f"init: expected {', '.join(_INITIALIZERS[:-1])} or {_INITIALIZERS[-1]}, got"
            f" {show(given)}{_foreign.value(given, _INITIALIZERS)}"
        )
    return given


def masked(value: object) -> str:
    """Return what the outputs of masked steps are: "hold" or "zero"."""
    require_one_of("masked", value, _structure.MASKED)
    return name("masked", value)


def activations(
    activation: LayerActivation | Sequence[LayerActivation], directions: Sequence[str]
) -> list[str | Activation]:
    """Return the activation of each half of each layer."""
    from elman.activation import Activation

    if isinstance(activation, str | Activation):
        several: list[LayerActivation] = [activation] * len(directions)
    else:
        expected = "a name, an Activation or a sequence of them"
        several = _for_layers("activation", activation, expected, len(directions))
    halves: list[str | Activation] = []
    for value, direction in zip(several, directions, strict=True):
        if direction != "bidirectional":
            halves.append(value)  # type: ignore[arg-type]  # checked individually
        elif isinstance(value, str | Activation):
            halves += [value, value]
        else:
            pair = listed("activation", value, "a name, an Activation or a pair of them")
            if len(pair) != 2:
                raise ArgumentError(
                    f"activation: expected one or a pair for a bidirectional layer, got {len(pair)}"
                )
            halves += pair
    return halves


def core_activations(
    several: LayerActivation | Sequence[LayerActivation], directions: Sequence[str]
) -> list[CoreActivation]:
    """Return the activation of each half of each layer, in the form that the core takes."""
    return [activation("activation", half) for half in activations(several, directions)]


def _for_layers(argument: str, values: Iterable[Any], expected: str, num_layers: int) -> list[Any]:
    """Return a list of one value for each layer."""
    several = listed(argument, values, expected)
    if len(several) != num_layers:
        raise ArgumentError(
            f"{argument}: expected one for each of {num_layers} layers, got {len(several)}"
        )
    return several


def dtype_name(dtype: DTypeLike) -> str:
    """Check a dtype; return "float32" or "float64"."""
    import numpy as np

    try:
        name = "None" if dtype is None else np.dtype(dtype).name
    except (TypeError, ValueError):
        name = show(dtype)
    if name not in ("float32", "float64"):
        raise DTypeError(f"dtype: expected float32 or float64, got {name}")
    return name


def seed(value: int | None) -> int:
    """Return a 64-bit seed; a random one for None."""
    if value is None:
        import os

        return int.from_bytes(os.urandom(8), "little")
    number = integer("seed", value)
    if not 0 <= number < 2**64:
        raise ArgumentError(f"seed: expected 0 to 2**64 - 1, got {show(number)}")
    return number


def halves(
    layers: list[HalvesOrLayer], directions: list[str]
) -> Iterable[tuple[str, LayerWeights]]:
    """Yield the name prefix and the weights of each half of each layer."""
    if not layers:
        raise ArgumentError("layers: expected at least one layer, got none")
    for i, (weights, direction) in enumerate(zip(layers, directions, strict=True)):
        if direction != "bidirectional":
            yield _structure.prefixes(i, direction)[0], triple(f"layers[{i}]", weights)
            continue
        both = listed(f"layers[{i}]", weights, "a pair of (W_xh, W_hh, b_h)")
        if len(both) != 2:
            raise ArgumentError(
                f"layers[{i}]: expected a pair of (W_xh, W_hh, b_h), for a bidirectional layer,"
                f" got {len(both)}"
            )
        for half, prefix in enumerate(_structure.prefixes(i, direction)):
            yield prefix, triple(f"layers[{i}][{half}]", both[half])


def triple(argument: str, weights: Iterable[Any]) -> LayerWeights:
    """Return the weights of a layer, or of a half of one."""
    triple = tuple(listed(argument, weights, "(W_xh, W_hh, b_h)"))
    if len(triple) != 3:
        raise ArgumentError(f"{argument}: expected (W_xh, W_hh, b_h), got {len(triple)} arrays")
    return triple


def pair(readout: ReadoutWeights) -> ReadoutWeights:
    """Return the weights of a readout."""
    pair = tuple(listed("readout", readout, "(W_hy, b_y)"))
    if len(pair) != 2:
        raise ArgumentError(f"readout: expected (W_hy, b_y), got {len(pair)} arrays")
    if pair[0] is None:
        raise ArgumentError(f"{_structure.W_HY}: expected a tensor, got none")
    return pair


def num_layers(tensors: dict[str, Array]) -> int:
    """Return the number of layers to which named tensors belong."""
    count = 0
    while any(name.startswith(_structure.prefixes(count, "forward")) for name in tensors):
        count += 1
    if count == 0:
        pytorch = any(name.rpartition(".")[2].startswith("weight_hh") for name in tensors)
        remedy = ": elman.from_torch reads a state_dict" if pytorch else ""
        raise ArgumentError(f"layers: expected at least one layer, got none{remedy}")
    return count


def named_tensors(tensors: Mapping[str, ArrayLike | None]) -> dict[str, Array]:
    """Return the tensors by name, without those that are None."""
    return arrays(mapping("tensors", tensors).items())


def mapping(argument: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with string keys as a dictionary."""
    try:
        named = dict(values)
    except (TypeError, ValueError):
        raise ArgumentTypeError(
            f"{argument}: expected a mapping of arrays, got {kind(values)}"
        ) from None
    for key in named:
        name(argument, key)
    return named


def require_known(tensors: dict[str, Array], directions: Sequence[str]) -> None:
    """Raise if a network with these directions has no tensor of a given name."""
    readout = _structure.W_HY in tensors
    known = _structure.required(directions, readout=readout)
    known += _structure.optional(directions, readout=readout)
    unknown = tensors.keys() - set(known)
    if unknown:
        from difflib import get_close_matches

        given = min(unknown)
        close = get_close_matches(given, known, n=1)
        remedy = f": use {close[0]!r}" if close else ""
        if given in _structure.all_tensors(["bidirectional"] * len(directions)):
            remedy = ': use direction="bidirectional"'
        raise ArgumentError(
            f"tensors: expected names of this network's tensors, got {show(given)}{remedy}"
        )


def arrays(named: Iterable[tuple[str, ArrayLike | None]]) -> dict[str, Array]:
    """Return the arrays by name, without those that are None."""
    return {name: array(name, values) for name, values in named if values is not None}


def array(argument: str, values: ArrayLike) -> Array:
    """Return an array_like as an array of its own dtype; a masked array stays one."""
    import numpy as np

    try:
        given = np.asanyarray(values)
    except ValueError as error:
        got = "rows of different lengths" if "inhomogeneous" in str(error) else str(error)
        raise ShapeError(f"{argument}: expected a regular array of numbers, got {got}") from error
    except TypeError:
        if not hasattr(values, "bfloat16"):
            raise
        # PyTorch's bfloat16, which NumPy does not have, widens without rounding.
        given = np.asanyarray(values.float())  # type: ignore[union-attr]
    if type(given) is np.ndarray or isinstance(given, np.ma.MaskedArray):
        return given
    return np.asarray(given)


def states(values: ArrayLike) -> Array:
    """Return states as an array of their own dtype."""
    try:
        return reals("state", values)
    except UNUSABLE as error:
        raise explained(error, None, 0, state=values) from error.__cause__


def network_remedy(net: object) -> str:
    """Return the way from something to its network, for the end of a sentence; "" if unknown."""
    if isinstance(net, str | os.PathLike):
        return "; elman.load reads a model file"
    for name in ("network", "network_"):  # of a TrainResult or a Trainer; of an estimator
        if hasattr(net, name):
            return f"; use its .{name}"
    return "; elman.from_torch converts a module" if hasattr(net, "state_dict") else ""


def explained(
    error: Exception, x: object, input_size: int, outputs: object = None, **others: object
) -> Exception:
    """Return an error of a call with a remedy, if one is known, or else itself."""
    said = str(error)
    if type(error) is ValueError and "inhomogeneous" in said:  # NumPy's, of other than lists
        wrong = _irregular(x=x, **others)
        said = f"{wrong}: expected a regular array of numbers, got rows of different lengths"
        error = ShapeError(said)
    remedy = ""
    if said.startswith("outputs: "):
        remedy = _outputs_remedy(outputs)
    elif said.startswith("x: ") and isinstance(error, UNUSABLE):
        remedy = inputs_remedy(x, input_size)
    elif said.startswith("state: ") and hasattr(others.get("state"), "state"):
        remedy = "; use its .state"  # a Run or a Stream
    return type(error)(said + remedy) if remedy else error


def _irregular(**arguments: object) -> str:
    """Return the name of the first argument that NumPy cannot make an array of, or that of x."""
    import numpy as np

    for name, value in arguments.items():
        try:
            np.asarray(value)
        except ValueError:
            return name
    return "x"


def _outputs_remedy(outputs: object) -> str:
    if hasattr(outputs, "shape"):
        return ": net.run(x, state=...) takes a state"
    return _foreign.value(outputs, ("all", "last"))


def inputs_remedy(x: Any, input_size: int) -> str:  # noqa: ANN401
    """Return the remedy for inputs of a wrong shape, for the end of a sentence; "" if unknown."""
    import numpy as np

    if isinstance(x, list | tuple) and x and all(getattr(part, "ndim", 0) == 1 for part in x):
        parts = "[part[:, None] for part in x]" if input_size == 1 else "arrays of two axes"
        return f": a list of sequences has arrays (T, I), use {parts}"
    if hasattr(x, "__next__") or (_is_container(x) and _are_sequences(x)):
        return ": for several sequences use list(x)"
    try:
        shape = np.asarray(x).shape
    except ValueError:
        several = isinstance(x, list | tuple) and _are_sequences(x)
        return ": for several sequences use [np.asarray(part) for part in x]" if several else ""
    if input_size == 1 and shape and shape[-1] != 1:
        return (
            f": add an axis for the feature, {'x[:, None]' if len(shape) == 1 else 'x[..., None]'}"
        )
    if shape == (input_size,):
        return ": for one step use x[None]"
    if len(shape) >= 2 and shape[-2] == input_size:
        return ": time comes before features, use x.swapaxes(-1, -2)"
    return ""


def _is_container(x: object) -> bool:
    """Return whether this holds parts, other than in a list: a deque, or an array of objects."""
    if isinstance(x, list | tuple):
        return False
    return not hasattr(x, "dtype") or getattr(x.dtype, "kind", None) == "O"


def _are_sequences(parts: Iterable[Any]) -> bool:
    """Return whether these are arrays (T, I), of any lengths."""
    import numpy as np

    try:
        return all(np.asarray(part).ndim == 2 for part in parts)
    except (TypeError, ValueError):  # a part has rows of different lengths
        return False


def reals(argument: str, values: ArrayLike) -> Array:
    """Return real numbers as an array of their own dtype."""
    numbers = unmasked(argument, values)
    if numbers.dtype.kind not in "buif":
        raise DTypeError(f"{argument}: expected real numbers, got dtype {numbers.dtype}")
    return numbers


def unmasked(argument: str, values: ArrayLike) -> Array:
    """Return an array without masked elements, whose masks a concatenation would lose."""
    import numpy as np

    numbers = array(argument, values)
    if numbers.dtype.names is not None:
        raise DTypeError(f"{argument}: expected real numbers, got dtype {numbers.dtype}")
    if isinstance(numbers, np.ma.MaskedArray) and (count := np.count_nonzero(numbers.mask)):
        raise DTypeError(
            f"{argument}: expected an array without masked elements, got {count} masked"
            "; call .filled(value) first"
        )
    return np.asarray(numbers)


def weights(argument: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return weights that are finite and at least 0, broadcast to a shape."""
    import numpy as np

    numbers = reals(argument, values)
    wrong = numbers[~(np.isfinite(numbers) & (numbers >= 0))]
    if wrong.size:
        raise ArgumentError(f"{argument}: expected finite numbers of at least 0, got {wrong[0]}")
    try:
        return np.broadcast_to(numbers, shape)
    except ValueError:
        raise ShapeError(f"{argument}: expected {shape}, got {numbers.shape}") from None


def common_dtype(arrays: Iterable[Array]) -> str:
    """Return "float32" if it can represent every array's dtype, otherwise "float64"."""
    import numpy as np

    wide = any(not np.can_cast(a.dtype, np.float32) for a in arrays)
    return "float64" if wide else "float32"


def nonfinite(tensors: dict[str, Array]) -> str | None:
    """Return the message for the first NaN or infinity, None if there is none."""
    import numpy as np

    for name, array in tensors.items():
        if array.dtype.kind == "f" and np.count_nonzero(np.isfinite(array)) < array.size:
            return f"{name}: expected finite numbers, got {array[~np.isfinite(array)][0]}"
    return None


def require_finite(tensors: dict[str, Array], remedy: str = "") -> None:
    """Raise if a tensor contains NaN or infinities."""
    if found := nonfinite(tensors):
        raise ArgumentError(found + remedy)


def metadata(strings: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return a mapping of strings as a dictionary."""
    try:
        checked = {} if strings is None else dict(strings)
    except (TypeError, ValueError):
        raise ArgumentTypeError(
            f"metadata: expected a mapping of strings, got {kind(strings)}"
        ) from None
    for key, value in checked.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentTypeError(f"metadata: expected strings, got {key!r}: {value!r}")
        try:
            f"{key}{value}".encode()
        except UnicodeEncodeError as error:
            raise ArgumentError(
                f"metadata: expected Unicode text, got {key!r}: {value!r} ({error.reason})"
            ) from None
    return checked
