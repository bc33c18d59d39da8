"""Read and write model files: file format 1, which is safetensors and holds nothing but data.

A file is the length of a header (8 bytes), the header (JSON), and the tensors one after the other.
Loading runs no code, opens no other file and takes memory in proportion to the file's size: every
part is checked here, by name, before it is used. Saving replaces a file whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import reprlib
import secrets
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple  # free: NumPy imports `typing` at the first model

from elman.activation import Activation
from elman.errors import ArgumentError, LimitError, ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from elman.network import Network

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    LayerActivation = Activation | tuple[Activation, Activation]  # two of a bidirectional layer
    Json = Any  # whatever a file may hold: its type is checked before its value is used

__all__ = ["dumps", "load", "loads", "restore", "save"]

FORMAT_VERSION = 1

# A JSON parser makes up to 35 bytes of Python objects from one byte of text: this keeps a hostile
# header below 10 MiB of memory, and has room for more than 2000 tensors.
MAX_HEADER_BYTES = 256 * 1024
MAX_TENSORS = 1024  # more than 300 layers

_ACTIVATIONS = (
    *("tanh", "relu", "sigmoid", "identity", "leaky_relu", "elu", "thresholded_relu"),
    *("hard_sigmoid", "softsign", "softplus", "scaled_tanh", "affine"),
)
_OUTPUT_ACTIVATIONS = (*_ACTIVATIONS, "softmax")
_DIRECTIONS = ("forward", "reverse", "bidirectional")
_WEIGHTS = ("W_xh", "W_hh", "b_h")
_VECTORS = ("initial_state", "input_shift", "input_scale", "output_shift", "output_scale")
_ITEM_BYTES = {"F32": 4, "F64": 8}

# Other kinds of files that people may try to load, by their first bytes.
_OTHER_KINDS = (
    (rb"PK\x03\x04", "a zip archive, such as a PyTorch .pt or .keras file; pickle is not read"),
    (rb"\x80[\x02-\x05]", "a pickle, such as an old PyTorch .pt file; pickle is not read"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file, such as a Keras .h5 file"),
    (rb"\x08[\x03-\x20][\x12\x1a\x3a\x42]", "an ONNX file"),
)

_reprlib = reprlib.Repr()
_reprlib.maxstring = 80


class _Tensor(NamedTuple):
    """What a header says of one tensor; its data are the bytes from begin to end."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class _Header(NamedTuple):
    """A header that passed every check."""

    tensors: dict[str, _Tensor]
    directions: list[str]
    activations: list[LayerActivation]
    output_activation: Activation | None  # None without a readout
    metadata: dict[str, str]  # the user's own


# --- reading --------------------------------------------------------------------------------------


def load(path: Path, *, allow_nonfinite: bool = False, verify: bool = False) -> Network:
    """Load a network from a model file.

    Parameters
    ----------
    path
        The file, written by `Network.save`.
    allow_nonfinite
        Accept NaN and infinities among the weights.
    verify
        Run the example that the file holds (`net.save(path, golden=x)`), and refuse the network if
        it gives something else: other bits, or, where the file comes from a build with other
        numerics, more than rounding allows.

    Returns
    -------
    Network
        The network, which keeps nothing of the file open.

    Raises
    ------
    ModelFormatError
        If the file is damaged, is not a regular file, changes while it is read, or holds something
        that does not belong there; or has no example to verify.
    VerificationError
        If the network does not give what the example says.
    UnsupportedModelError
        If the file is of a newer format version, or of another kind (PyTorch, HDF5, ONNX).
    OSError
        If the file does not exist, is a directory, or cannot be read.

    Examples
    --------
    >>> import elman, tempfile
    >>> net = elman.Network(input_size=2, hidden_size=3, output_size=1, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/model.safetensors")
    ...     elman.load(f"{folder}/model.safetensors") == net
    True
    """
    path = os.fsdecode(path)
    with _naming(path):
        data = _read_file(path, _read_header)
    net = loads(data, allow_nonfinite=allow_nonfinite, source=path)
    if verify:
        from elman import golden

        with _naming(path):
            golden.check(net, data)
    return net


def is_own(path: Path) -> bool:
    """Say whether a safetensors file is in elman's format, or too damaged to tell."""
    path = os.fsdecode(path)
    try:
        return metadata_of(_read_file(path, None)).get("format") == "elman"
    except ModelFormatError:
        return True


def loads(data: bytes, *, allow_nonfinite: bool = False, source: str = "model") -> Network:
    """Return the network that `dumps` turned into bytes; errors call the bytes by `source`.

    Raises
    ------
    TypeError
        If `data` is not of the type bytes.
    ModelFormatError, UnsupportedModelError
        As for `load`.
    """
    from elman.network import Network

    if not isinstance(data, bytes):
        raise TypeError(f"data: expected bytes, got {type(data).__name__}")
    with _naming(source):
        weights = _parse(data, allow_nonfinite=allow_nonfinite)
    try:
        return Network.from_weights(**weights, allow_nonfinite=allow_nonfinite)
    except ArgumentError as error:  # a number of an activation that the dtype does not hold
        raise ModelFormatError(f"{source}: {error}") from error


def restore(data: bytes) -> Network:
    """Return the network from the bytes in a pickle; its weights were accepted once before."""
    return loads(data, allow_nonfinite=True, source="pickled network")


@contextlib.contextmanager
def _naming(source: str) -> Iterator[None]:
    """Put the name of the file in front of what is wrong with it."""
    try:
        yield
    except (ModelFormatError, UnsupportedModelError) as error:
        raise type(error)(f"{source}: {error}") from error.__cause__


def _read_file(path: str, check: Callable[[bytes, int], object] | None) -> bytes:
    """Return a regular file's bytes, `check(header, file_bytes)` called before the rest is read.

    Without a check the bytes are those of the header alone.
    """
    _require_regular(os.stat(path), path)  # before open: opening a device may already do something
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        _require_regular(status, path)
        head = file.read(min(8, status.st_size))  # nothing from a file of unknown size, as in /proc
        head += file.read(_header_length(head, status.st_size))
        if check is None:
            return head
        check(head, status.st_size)
        file.seek(0)
        data = file.read(status.st_size + 1)
    if len(data) != status.st_size:
        raise ModelFormatError(
            f"the file changed while it was read: expected {status.st_size} bytes, got"
            f" {'more' if len(data) > status.st_size else len(data)}"
        )
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a FIFO would wait for a writer


def _require_regular(status: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFormatError("expected a regular file, got a FIFO, a socket or a device")


def _parse(data: bytes, *, allow_nonfinite: bool) -> dict[str, Any]:
    """Return the arguments of `Network.from_weights` from the bytes of a file."""
    header = _read_header(data, len(data))
    arrays = read_tensors(data)
    if not allow_nonfinite:
        _require_finite({name: arrays[name] for name in header.tensors})
    weights: dict[str, Any] = {
        "layers": [_weights(arrays, i, direction) for i, direction in enumerate(header.directions)],
        "readout": None,
        "direction": header.directions,
        "activation": header.activations,
        "metadata": header.metadata,
    }
    if header.output_activation is not None:
        weights["readout"] = (arrays["readout.W_hy"], arrays.get("readout.b_y"))
        weights["output_activation"] = header.output_activation
    weights.update((name, arrays[name]) for name in _VECTORS if name in arrays)
    return weights


def _weights(arrays: dict[str, NDArray[Any]], index: int, direction: str) -> tuple[Any, ...]:
    """Return the weights of a layer, or the pair of those of its halves."""
    halves = [tuple(arrays.get(p + w) for w in _WEIGHTS) for p in _prefixes(index, direction)]
    return tuple(halves) if len(halves) > 1 else halves[0]


def read_tensors(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of checked bytes; the library checks them once more."""
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ModelFormatError(f"safetensors does not read it: {error}") from error


def metadata_of(data: bytes) -> dict[str, Json]:
    """Return the metadata of a safetensors file, of any format."""
    start = 8 + _header_length(data, len(data))
    metadata = _json_object(data[8:start], "the header").get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}


def _require_finite(arrays: dict[str, NDArray[Any]]) -> None:
    import numpy as np

    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelFormatError(
                f"tensor {name!r}: expected finite numbers, got NaN or infinity"
                " (allow_nonfinite=True accepts them)"
            )


# --- the header -----------------------------------------------------------------------------------


def _read_header(data: bytes, file_bytes: int) -> _Header:
    """Check everything but the tensors' values; `data` begins with the whole header."""
    start = 8 + _header_length(data, file_bytes)
    fields = _json_object(data[8:start], "the header")
    network, metadata = _check_metadata(fields.pop("__metadata__", {}))
    directions, activations, output_activation = _check_network(network)
    if len(fields) > MAX_TENSORS:
        raise ModelFormatError(f"expected at most {MAX_TENSORS} tensors, got {len(fields)}")
    tensors = {name: _check_tensor(name, about) for name, about in fields.items()}
    _check_layout(tensors, file_bytes - start)
    tensors = {n: tensor for n, tensor in tensors.items() if not n.startswith("golden.")}
    _check_names(tensors, directions, readout=output_activation is not None)
    _check_shapes(tensors, directions)
    return _Header(tensors, directions, activations, output_activation, metadata)


def _header_length(data: bytes, file_bytes: int) -> int:
    """Return the header's length, from the first 8 bytes."""
    length = int.from_bytes(data[:8], "little")
    if file_bytes < 8 or length > MAX_HEADER_BYTES:
        for pattern, kind in _OTHER_KINDS:
            if re.match(pattern, data[:8], re.DOTALL):
                raise UnsupportedModelError(f"expected a model in safetensors format, got {kind}")
    if file_bytes < 8:
        raise ModelFormatError(f"expected at least 8 bytes, got {file_bytes}")
    if length > MAX_HEADER_BYTES:
        raise ModelFormatError(
            f"expected a header of at most {MAX_HEADER_BYTES} bytes, got a length of {length}:"
            " this is not a safetensors file"
        )
    if length > file_bytes - 8:
        raise ModelFormatError(
            f"expected a header of {length} bytes, got {file_bytes - 8}: the file is truncated"
        )
    return length


def _check_metadata(metadata: Json) -> tuple[str, dict[str, str]]:
    """Return the description of the network, still JSON, and the user's own strings."""
    if not isinstance(metadata, dict):
        raise ModelFormatError(f"metadata: expected an object, got {_show(metadata)}")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ModelFormatError(f"metadata {_show(key)}: expected a string, got {_show(value)}")
    _check_format(metadata)
    if "network" not in metadata:
        raise ModelFormatError("metadata: the key 'network' is missing")
    user = {key: value for key, value in metadata.items() if key.startswith("user.")}
    for key in metadata:
        if key not in user and key not in ("format", "format_version", "network", "golden"):
            raise ModelFormatError(f"metadata: the key {_show(key)} is unknown")
    return metadata["network"], {key.removeprefix("user."): user[key] for key in user}


def _check_format(metadata: dict[str, str]) -> None:
    """Refuse the files of others, and those of later versions."""
    if metadata.get("format") != "elman":
        got = _show(metadata["format"]) if "format" in metadata else "none"
        raise ModelFormatError(f"metadata: expected the format 'elman', got {got}")
    version = metadata.get("format_version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise ModelFormatError(
            f"metadata: expected the format version {FORMAT_VERSION}, got {_show(version)}"
        )
    if int(version) > FORMAT_VERSION:
        raise UnsupportedModelError(
            f"expected format version {FORMAT_VERSION}, got {version}: a newer elman wrote it"
        )


def _check_network(text: str) -> tuple[list[str], list[LayerActivation], Activation | None]:
    """Return the layers' directions, their activations, and that of the output, if any."""
    network = _json_object(text, "network")
    _check_keys(network, "network", ("layers", "output_activation"))
    layers, output = network["layers"], network["output_activation"]
    if not isinstance(layers, list) or not layers:
        raise ModelFormatError(f"network: expected a list of layers, got {_show(layers)}")
    directions, activations = [], []
    for index, layer in enumerate(layers):
        direction, activation = _check_layer(layer, index)
        directions.append(direction)
        activations.append(activation)
    if output is None:
        return directions, activations, None
    what = "network: the output activation"
    return directions, activations, _check_activation(output, what, _OUTPUT_ACTIVATIONS)


def _check_layer(layer: Json, index: int) -> tuple[str, LayerActivation]:
    """Return the direction of a layer and its activation, a pair for a bidirectional one."""
    both = isinstance(layer, dict) and layer.get("direction") == "bidirectional"
    keys = ("activation", "direction")
    _check_keys(layer, f"network: layer {index}", (*keys, *["reverse_activation"] * both))
    what = f"network: the direction of layer {index}"
    direction = _check_choice(layer["direction"], what, _DIRECTIONS)
    what = f"activation of layer {index}"
    forward = _check_activation(layer["activation"], f"network: the {what}", _ACTIVATIONS)
    if not both:
        return direction, forward
    reverse = layer["reverse_activation"]
    return direction, (
        forward,
        _check_activation(reverse, f"network: the reverse {what}", _ACTIVATIONS),
    )


def _check_activation(fields: Json, what: str, names: tuple[str, ...]) -> Activation:
    _check_keys(fields, what, ("name",), optional=("alpha", "beta", "clip"))
    name = _check_choice(fields["name"], what, names)
    numbers = {key: value for key, value in fields.items() if key != "name"}
    for key, value in numbers.items():
        if type(value) not in (int, float) or abs(value) > sys.float_info.max:
            raise ModelFormatError(f"{what}, {key}: expected a finite number, got {_show(value)}")
    try:
        return Activation(name, **numbers)
    except ArgumentError as error:
        raise ModelFormatError(f"{what}, {error}") from error


def _check_choice(value: Json, what: str, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ModelFormatError(f"{what}: expected {' or '.join(choices)}, got {_show(value)}")
    return value


def _check_keys(
    fields: Json, what: str, keys: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    """Refuse what is not a JSON object with exactly these keys, and perhaps optional ones."""
    if not isinstance(fields, dict):
        raise ModelFormatError(f"{what}: expected an object, got {_show(fields)}")
    for key in keys:
        if key not in fields:
            raise ModelFormatError(f"{what}: the key {key!r} is missing")
    for key in fields:
        if key not in keys and key not in optional:
            raise ModelFormatError(f"{what}: the key {_show(key)} is unknown")


def _check_tensor(name: str, about: Json) -> _Tensor:
    """Check what the header says of one tensor, for itself."""
    what = f"tensor {_show(name)}"
    _check_keys(about, what, ("dtype", "shape", "data_offsets"))
    dtype, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    _check_choice(dtype, f"{what}: dtype", tuple(_ITEM_BYTES))
    if not _are_integers(shape, minimum=1) or not 1 <= len(shape) <= 8:
        raise ModelFormatError(f"{what}: expected a shape of positive sizes, got {_show(shape)}")
    if not _are_integers(offsets, minimum=0) or len(offsets) != 2:
        raise ModelFormatError(f"{what}: expected two data offsets, got {_show(offsets)}")
    expected = math.prod(shape) * _ITEM_BYTES[dtype]  # exact: Python's integers do not wrap
    if offsets[1] - offsets[0] != expected:
        raise ModelFormatError(
            f"{what}: expected {_show(expected)} bytes for the shape {_show(shape)}, got the data"
            f" offsets {_show(offsets)}"
        )
    return _Tensor(dtype, tuple(shape), offsets[0], offsets[1])


def _are_integers(values: Json, minimum: int) -> bool:
    """Say whether this is a list of integers of 63 bits; True and 2.0 are none."""
    return isinstance(values, list) and all(
        type(value) is int and minimum <= value < 2**63 for value in values
    )


def _check_layout(tensors: dict[str, _Tensor], data_bytes: int) -> None:
    """Demand one dtype, and data without holes, overlaps, or bytes that belong to no tensor."""
    end, first = 0, None
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].begin):
        first = first or tensor
        if tensor.begin != end:
            raise ModelFormatError(
                f"tensor {_show(name)}: expected data from byte {end}, got {_show(tensor.begin)}:"
                " the tensors overlap or leave a hole"
            )
        if tensor.dtype != first.dtype:
            raise ModelFormatError(
                f"tensor {_show(name)}: expected the dtype of the others, {first.dtype},"
                f" got {tensor.dtype}"
            )
        end = tensor.end
    if end != data_bytes:
        problem = "the file is truncated" if end > data_bytes else "the file goes on after them"
        raise ModelFormatError(
            f"expected {_show(end)} bytes of tensors, got {data_bytes}: {problem}"
        )


def _prefixes(index: int, direction: str) -> list[str]:
    """Return how the names of a layer's tensors begin, for each of its halves."""
    prefix = f"layers.{index}."
    return [prefix, f"{prefix}reverse."] if direction == "bidirectional" else [prefix]


def _check_names(tensors: dict[str, _Tensor], directions: list[str], *, readout: bool) -> None:
    """Demand the weights of every layer, and nothing that is unknown."""
    prefixes = [p for index, d in enumerate(directions) for p in _prefixes(index, d)]
    required = [prefix + w for prefix in prefixes for w in ("W_xh", "W_hh")]
    required += ["readout.W_hy"] * readout
    for name in required:
        if name not in tensors:
            raise ModelFormatError(f"tensor {name!r} is missing")
    optional = [f"{prefix}b_h" for prefix in prefixes]
    optional += ["readout.b_y"] * readout
    known = {*required, *optional, *_VECTORS}
    for name in tensors:
        if name not in known:
            count = len(directions)
            network = f"a network of {count} layers {'and a' if readout else 'without'} readout"
            raise ModelFormatError(f"tensor {_show(name)} is unknown in {network}")


def _check_shapes(tensors: dict[str, _Tensor], directions: list[str]) -> None:
    """Demand shapes that fit together."""

    def demand(name: str, *expected: int | str) -> None:
        tensor = tensors.get(name)
        if tensor is not None and tensor.shape != expected:
            shown = ", ".join(map(str, expected)) + "," * (len(expected) == 1)
            raise ModelFormatError(
                f"tensor {name!r}: expected the shape ({shown}), got {_show(tensor.shape)}"
            )

    def matrix(name: str, columns: int | None) -> tuple[int, int]:
        shape = tensors[name].shape
        if len(shape) != 2:
            demand(name, "rows", "columns" if columns is None else columns)
        if columns is not None:
            demand(name, shape[0], columns)
        return shape[0], shape[1]

    below: int | None = None
    inputs = outputs = state = 0
    for index, direction in enumerate(directions):
        prefixes = _prefixes(index, direction)
        hidden, reads = matrix(f"{prefixes[0]}W_xh", below)
        inputs = inputs or reads
        for prefix in prefixes:
            demand(f"{prefix}W_xh", hidden, reads)
            demand(f"{prefix}W_hh", hidden, hidden)
            demand(f"{prefix}b_h", hidden)
        below = outputs = len(prefixes) * hidden
        state += outputs
    if "readout.W_hy" in tensors:
        outputs, _ = matrix("readout.W_hy", below)
        demand("readout.b_y", outputs)
    demand("initial_state", state)
    for name in ("input_shift", "input_scale"):
        demand(name, inputs)
    for name in ("output_shift", "output_scale"):
        demand(name, outputs)


def _json_object(text: str | bytes, what: str) -> dict[str, Json]:
    """Parse JSON strictly: no key twice, no NaN, and an object."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
            # safetensors demands the brace at once; what Python calls white space is more.
            if not text.startswith("{"):
                raise ModelFormatError(f"{what}: expected a JSON object, got {_show(text[:20])}")
        result = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ModelFormatError(f"{what}: the JSON is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{what}: expected UTF-8, got {error.reason}") from error
    except ModelFormatError:
        raise
    except ValueError as error:
        raise ModelFormatError(f"{what}: expected JSON: {error}") from error
    if not isinstance(result, dict):
        raise ModelFormatError(f"{what}: expected a JSON object, got {_show(result)}")
    return result


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for key, value in pairs:
        if key in result:
            raise ModelFormatError(f"the key {_show(key)} stands twice in one JSON object")
        result[key] = value
    return result


def _refuse_constant(name: str) -> None:
    raise ModelFormatError(f"{name} is not a JSON number")


def _show(value: Json) -> str:
    """Return what came from a file for a message: on one line and never long."""
    return _reprlib.repr(value)


# --- writing --------------------------------------------------------------------------------------


def dumps(net: Network, *, golden: ArrayLike | None = None) -> bytes:
    """Return a network as the bytes of a model file; the same network gives the same bytes.

    Raises
    ------
    LimitError
        If the network has more layers, or its metadata are longer, than `loads` accepts.
    ShapeError, DTypeError
        If `golden` is no input of the network.
    """
    network = {
        "layers": [
            {"activation": _fields(layer.activation), "direction": layer.direction}
            | ({"reverse_activation": _fields(layer.reverse.activation)} if layer.reverse else {})
            for layer in net.layers
        ],
        "output_activation": net.readout and _fields(net.readout.activation),
    }
    metadata = {
        "format": "elman",
        "format_version": str(FORMAT_VERSION),
        "network": json.dumps(network),
        **{f"user.{key}": value for key, value in net.metadata.items()},
    }
    tensors = _tensors(net)
    if golden is not None:
        from elman import golden as examples

        example, metadata["golden"] = examples.record(net, golden)
        tensors |= example
    return _serialize(tensors, metadata)


def _fields(activation: Activation) -> dict[str, str | float]:
    """Return what a file says of an activation: its name, and the numbers that it has."""
    fields = {key: getattr(activation, key) for key in ("name", "alpha", "beta", "clip")}
    return {key: value for key, value in fields.items() if value is not None}


def _tensors(net: Network) -> dict[str, NDArray[Any]]:
    """Return the network's arrays by their names in the file."""
    tensors = {name: getattr(net, name) for name in _VECTORS}
    for index, layer in enumerate(net.layers):
        prefixes = _prefixes(index, layer.direction)
        for prefix, half in zip(prefixes, (layer, layer.reverse), strict=False):
            for name in _WEIGHTS:
                tensors[prefix + name] = getattr(half, name)
    if net.readout is not None:
        tensors["readout.W_hy"] = net.readout.W_hy
        tensors["readout.b_y"] = net.readout.b_y
    return {name: array for name, array in tensors.items() if array is not None}


def _serialize(tensors: dict[str, NDArray[Any]], metadata: dict[str, str]) -> bytes:
    """Lay out a safetensors file, which is what its library would write but for the order.

    The library writes the metadata in a new random order every time. A model's bytes should depend
    on the model alone: they are hashed, compared and cached.
    """
    header: dict[str, Json] = {"__metadata__": dict(sorted(metadata.items()))}
    data = []
    end = 0
    for name, array in sorted(tensors.items()):
        begin, end = end, end + array.nbytes
        dtype = {4: "F32", 8: "F64"}[array.itemsize]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (begin, end)}
        data.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    if len(tensors) > MAX_TENSORS:
        raise LimitError(f"layers: expected at most {MAX_TENSORS} tensors, got {len(tensors)}")
    if len(text) > MAX_HEADER_BYTES:
        raise LimitError(
            f"metadata: expected a file header of at most {MAX_HEADER_BYTES} bytes,"
            f" got {len(text)}: store long texts elsewhere"
        )
    return b"".join([len(text).to_bytes(8, "little"), text, *data])


def save(net: Network, path: Path, *, golden: ArrayLike | None = None) -> None:
    """Write a network to a model file, which is replaced whole or not at all.

    The bytes go to a temporary file `.elman-*.tmp` in the same folder, which takes the file's place
    when they are on the disk: a process that is killed, or a machine that loses power, leaves the
    old file or the new one (and perhaps the temporary file, which may be deleted). An old file's
    permission bits are kept. If `path` is a symbolic link, the file that it points to is replaced.

    Parameters
    ----------
    net
        The network.
    path
        The file; `.safetensors` is the usual ending.
    golden
        Inputs (T, I) or (B, T, I), kept in the file with what the network gives for them, so that
        `load(path, verify=True)` and `elman verify` can hold another build or machine to it.

    Raises
    ------
    LimitError
        If `load` would refuse the file: too many layers, or metadata too long.
    ShapeError, DTypeError
        If `golden` is no input of the network.
    OSError
        If the file cannot be written, is write-protected, or is not a regular file.
    """
    replace_file(path, dumps(net, golden=golden))


def replace_file(path: Path, data: bytes) -> None:
    """Make bytes the content of a file, as `save` describes it."""
    path = os.fsdecode(path)
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    mode = _mode_to_keep(target, path)
    temporary = os.path.join(folder, f".elman-{secrets.token_hex(8)}.tmp")
    try:
        _write(temporary, data, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _mode_to_keep(target: str, path: str) -> int | None:
    """Return the permission bits of the file to be replaced, None if there is none."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        os.stat(os.path.dirname(target))  # a missing folder is an error that names it
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, "Not a regular file", path)
    if not os.access(target, os.W_OK):  # the folder's permission would be enough to replace it
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return stat.S_IMODE(status.st_mode)


def _write(path: str, data: bytes, mode: int | None) -> None:
    """Create a file with these permission bits, by default those of any new file, and sync it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666 if mode is None else 0o600)
    with open(descriptor, "wb") as file:
        if mode is not None:
            os.chmod(path, mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    """Make a renaming last; Windows does that itself and cannot open a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
