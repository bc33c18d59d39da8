"""Model file format 1: reading, writing and checks."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from elman import _container, _files, _structure
from elman._container import check_keys
from elman._core import build_info
from elman._parameters import structure_of
from elman._structure import Structure
from elman._table import Table
from elman._text import show
from elman.activation import TABLE, Activation
from elman.errors import ArgumentError, IsaError, ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from elman._container import Entry, Read
    from elman._files import Path
    from elman._parameters import Parameters

    Array = NDArray[Any]
    Json = Any  # untrusted: its type is checked before its value is used

VERSION = 1
CHECKPOINT = "elman-checkpoint"  # the format of the other files that are elman's
_KEYS = ("format", "format_version", "network", "table", "golden")  # of metadata, besides user.*
_EXAMPLE = "golden."  # prefix of the names of an example's tensors
_WRITERS = {  # of other formats, by suffix
    ".onnx": "elman.to_onnx(net, path)",
    ".pt": "torch.save with elman.to_torch(net)",
    ".pth": "torch.save with elman.to_torch(net)",
    ".ckpt": "torch.save with elman.to_torch(net)",
    ".pt2": "torch.save with elman.to_torch(net)",
    ".th": "torch.save with elman.to_torch(net)",
    ".keras": "a Keras model with the weights elman.to_keras(net)",
    ".h5": "a Keras model with the weights elman.to_keras(net)",
    ".hdf5": "a Keras model with the weights elman.to_keras(net)",
    ".npz": "np.savez(path, **net.tensors())",
    ".npy": "np.savez(path, **net.tensors())",
    ".pkl": "pickle.dump(net, file)",
    ".pickle": "pickle.dump(net, file)",
    ".joblib": "joblib.dump(net, path)",
}
_OTHERS = (  # that a network cannot be written in, or that hold data
    *(".csv", ".gz", ".json", ".mat", ".parquet", ".pb", ".tar", ".tflite", ".tsv", ".txt"),
    *(".toml", ".xml", ".yaml", ".yml", ".zip"),
)

_OUTPUT_ACTIVATIONS = tuple(TABLE)
_ACTIVATIONS = tuple(name for name, kind in TABLE.items() if kind.in_layers)
DTYPES = {"F32": "float32", "F64": "float64"}


class Example(NamedTuple):
    """Example inputs and the network's results, saved in a file."""

    x: Array  # (..., T, I)
    output: Array  # (..., T, O)
    hidden: Array  # (..., T, state_size)


class Contents(NamedTuple):
    """The contents of a file: the checked structure and the tensors."""

    structure: Structure
    dtype: str
    metadata: dict[str, str]  # user metadata
    table: Table | None  # the meaning of the columns
    tensors: dict[str, Array]
    example: dict[str, Array]  # its tensors, unchecked, by their names in the file
    rules: str | None  # numerics of the build that computed it: JSON, unchecked


def read(read_next: Read, file_bytes: int) -> Contents:
    """Read a file; read_next(n) returns its next n bytes.

    The tensors are read after everything else has been checked.
    """
    header = _container.read_header(read_next, file_bytes, _KIND)
    network, metadata = _check_metadata(header.metadata)
    structure = _check_network(network)
    table = header.metadata.get("table")
    about = None if table is None else Table.from_json(table)
    dtype = _check_entries(header.entries)
    entries = {n: e for n, e in header.entries.items() if not n.startswith(_EXAMPLE)}
    _check_names(entries, structure)
    _check_shapes(entries, structure)
    arrays = _container.read_arrays(read_next, header)
    example = {name: arrays.pop(name) for name in header.entries if name not in entries}
    rules = header.metadata.get("golden")
    return Contents(structure, dtype, metadata, about, arrays, example, rules)


def dumps(net: Parameters, example: Example | None = None) -> bytes:
    """Return a network as the bytes of a model file; equal networks give equal bytes.

    Raises
    ------
    LimitError
        If the number of layers, or the length of metadata or names, exceeds what a reader accepts.
    """
    tensors, kept = net.tensors(), None
    if example is not None:
        tensors |= {_EXAMPLE + name: array for name, array in example._asdict().items()}
        kept = json.dumps(rules())
    return _container.write(tensors, _fields(net, kept))


def require_suffix(path: Path, own: str = ".safetensors", whose: str = "elman's") -> None:
    """Raise if the suffix belongs to another format than the one that is written."""
    suffix = os.path.splitext(_files.name_of(path))[1].lower()
    writers = _WRITERS | {".safetensors": "net.save(path)"} | dict.fromkeys(_OTHERS, f"*{own}")
    if suffix != own and suffix in writers:
        raise ArgumentError(
            f"path: expected {whose} format, *{own}, got *{suffix}: use {writers[suffix]}"
        )


def rules() -> dict[str, Any]:
    """Return what determines the bits of results: builds with equal rules give equal bits."""
    info = build_info()
    return {"numerics": info["numerics"], "fused": "D5" in info["promises"]}


def require_rules(expected: dict[str, Any]) -> None:
    """Raise if this process, a worker, gives other bits than the one with these rules."""
    if rules() != expected:
        theirs, ours = (_shown(given) for given in (expected, rules()))
        raise IsaError(
            f"worker: expected the rules of the process that it works for, {theirs}, got {ours}:"
            " install one version of elman, and set ELMAN_ISA=scalar where a processor has no fused"
            " multiply-add"
        )


def _shown(given: dict[str, Any]) -> str:
    return f"numerics {given['numerics']} {'with' if given['fused'] else 'without'} fused products"


def _fields(net: Parameters, example: str | None) -> dict[str, str]:
    """Return the metadata of a file."""
    structure = structure_of(net)
    of_halves = iter(structure.activations)
    layers = []
    for direction in structure.directions:
        layer = {"activation": _activation(next(of_halves)), "direction": direction}
        if direction == "bidirectional":
            layer["reverse_activation"] = _activation(next(of_halves))
        layers.append(layer)
    g = structure.output_activation
    network = {
        "layers": layers,
        "output_activation": None if g is None else _activation(g),
        **({} if structure.masked == "hold" else {"masked": structure.masked}),
    }
    return {
        "format": "elman",
        "format_version": str(VERSION),
        "network": json.dumps(network),
        **({} if net.table is None else {"table": net.table.to_json()}),
        **({} if example is None else {"golden": example}),
        **{f"user.{key}": value for key, value in net.metadata.items()},
    }


def _activation(activation: Activation) -> Json:
    """Return an activation's JSON: its name and the parameters that it has."""
    said = {key: getattr(activation, key) for key in ("name", "alpha", "beta", "clip")}
    return {key: value for key, value in said.items() if value is not None}


# --- checks ---------------------------------------------------------------------------------------


def _check_metadata(metadata: Json) -> tuple[str, dict[str, str]]:
    """Return the JSON of the network, unparsed, and the user metadata."""
    if not isinstance(metadata, dict):
        raise ModelFormatError(f"metadata: expected an object, got {show(metadata)}")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ModelFormatError(f"metadata {show(key)}: expected a string, got {show(value)}")
    _check_format(metadata)
    if "network" not in metadata:
        raise ModelFormatError("metadata: the key 'network' is missing")
    user = {key: value for key, value in metadata.items() if key.startswith("user.")}
    for key in metadata:
        if key not in user and key not in _KEYS:
            raise ModelFormatError(f"metadata: the key {show(key)} is unknown")
    return metadata["network"], {key.removeprefix("user."): user[key] for key in user}


def _check_format(metadata: dict[str, str]) -> None:
    """Raise for other formats and later versions."""
    if metadata.get("format") != "elman":
        got = show(metadata["format"]) if "format" in metadata else "none"
        remedy = "elman.from_torch reads PyTorch's tensors"
        if metadata.get("format") == CHECKPOINT:
            remedy = "elman.train(net, ..., checkpoint=path) resumes the run"
        raise ModelFormatError(f"metadata: expected the format 'elman', got {got}: {remedy}")
    version = metadata.get("format_version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise ModelFormatError(
            f"metadata: expected the format version {VERSION}, got {show(version)}"
        )
    if int(version) > VERSION:
        raise UnsupportedModelError(
            f"expected format version {VERSION}, got {version}: it was written by a newer elman"
        )


def _check_network(text: str) -> Structure:
    """Return the structure in the value of the key 'network'."""
    network = _container.json_object(text, "network")
    check_keys(network, "network", ("layers", "output_activation"), optional=("masked",))
    layers, output = network["layers"], network["output_activation"]
    if not isinstance(layers, list) or not layers:
        raise ModelFormatError(f"network: expected a list of layers, got {show(layers)}")
    directions: list[str] = []
    activations: list[Activation] = []
    for index, layer in enumerate(layers):
        direction, of_halves = _check_layer(layer, index)
        directions.append(direction)
        activations += of_halves
    g = None
    if output is not None:
        g = _check_activation(output, "network: the output activation", _OUTPUT_ACTIVATIONS)
    masked = _check_choice(network.get("masked", "hold"), "network: masked", _structure.MASKED)
    return Structure(tuple(directions), tuple(activations), g, masked)


def _check_layer(layer: Json, index: int) -> tuple[str, list[Activation]]:
    """Return the direction of a layer and the activations of its halves."""
    both = isinstance(layer, dict) and layer.get("direction") == "bidirectional"
    keys = ("activation", "direction")
    check_keys(layer, f"network: layer {index}", (*keys, *["reverse_activation"] * both))
    what = f"network: the direction of layer {index}"
    direction = _check_choice(layer["direction"], what, _structure.DIRECTIONS)
    what = f"activation of layer {index}"
    halves = [_check_activation(layer["activation"], f"network: the {what}", _ACTIVATIONS)]
    if both:
        reverse = layer["reverse_activation"]
        halves.append(_check_activation(reverse, f"network: the reverse {what}", _ACTIVATIONS))
    return direction, halves


def _check_activation(said: Json, what: str, names: tuple[str, ...]) -> Activation:
    check_keys(said, what, ("name",), optional=("alpha", "beta", "clip"))
    name = _check_choice(said["name"], what, names)
    numbers = {key: value for key, value in said.items() if key != "name"}
    for key, value in numbers.items():
        if type(value) not in (int, float) or abs(value) > sys.float_info.max:
            raise ModelFormatError(f"{what}, {key}: expected a finite number, got {show(value)}")
    try:
        return Activation(name, **numbers)
    except ArgumentError as error:
        raise ModelFormatError(f"{what}, {error}") from error


def _check_choice(value: Json, what: str, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ModelFormatError(f"{what}: expected {' or '.join(choices)}, got {show(value)}")
    return value


def _check_entries(entries: Mapping[str, Entry]) -> str:
    """Raise unless all arrays are nonempty and share one dtype; return it."""
    first = None
    for name, entry in entries.items():
        what = f"tensor {show(name)}"
        if not 1 <= len(entry.shape) <= 8 or 0 in entry.shape:
            raise ModelFormatError(
                f"{what}: expected a shape of positive sizes, got {show(list(entry.shape))}"
            )
        first = first or entry.dtype
        if entry.dtype != first:
            raise ModelFormatError(
                f"{what}: expected the dtype of the others, {first}, got {entry.dtype}"
            )
    return DTYPES[first or "F32"]


def _check_names(entries: Mapping[str, Entry], structure: Structure) -> None:
    """Raise if a weight is missing or a tensor unknown."""
    directions, readout = structure.directions, structure.output_activation is not None
    required = _structure.required(directions, readout=readout)
    for name in required:
        if name not in entries:
            raise ModelFormatError(f"tensor {name!r} is missing")
    known = {*required, *_structure.optional(directions, readout=readout)}
    for name in entries:
        if name not in known:
            count = len(directions)
            network = f"a network of {count} layers {'and a' if readout else 'without a'} readout"
            raise ModelFormatError(f"tensor {show(name)} is unknown in {network}")


def _check_shapes(entries: Mapping[str, Entry], structure: Structure) -> None:
    """Raise if the shapes are inconsistent."""
    shapes = {name: entry.shape for name, entry in entries.items()}
    for name in _structure.defining(structure.directions):
        if name in shapes and len(shapes[name]) != 2:
            raise ModelFormatError(
                f"tensor {name!r}: expected the shape (rows, columns), got {show(shapes[name])}"
            )
    sizes = _structure.sizes_of(structure.directions, shapes)
    expected = _structure.shapes_of(structure.directions, *sizes)
    for name in expected:
        if name in shapes and shapes[name] != expected[name]:
            raise ModelFormatError(
                f"tensor {name!r}: expected the shape {expected[name]}, got {show(shapes[name])}"
            )


_KIND = _container.Kind(tuple(DTYPES), _check_metadata)
