"""`elman info` and `elman verify`: describe a model file, and verify its results."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import elman
from elman import _golden, _loading
from elman._format import VERSION
from elman._text import printable
from elman.cli import models
from elman.cli.text import tell
from elman.files import running
from elman.files.arrays import ArraySource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman._network import Network

RANDOM_SHAPE = (4, 250)  # sequences, steps


def info(model: str, as_json: bool) -> None:
    """Print a description of the network in a model file."""
    net = models.load(model)
    file = {"file": model, "file_format": VERSION, "bytes": os.path.getsize(model)}
    facts: dict[str, Any] = {**file, **describe(net)}
    if as_json:
        print_json(facts)
        return
    versions = facts["versions"]
    build = [f"{key} {versions['build'][key]}" for key in ("compiler", "eigen", "pybind11")]
    scaled = [end for end in ("input", "output") if facts[f"{end}_scaling"]]
    lines = {
        "file": f"{model} (format {VERSION}, {facts['bytes']} bytes)",
        "sizes": sizes(net),
        "parameters": f"{net.num_parameters} in {net.dtype}",
        "a step": f"{net.multiply_adds:,} multiply-adds",
        "memory": _memory(net, facts["stream_bytes"]),
        "activations": ", ".join(map(str, net.activations))
        + (f"; output {net.output_activation}" if net.output_activation else "; no readout"),
        **({} if set(net.directions) == {"forward"} else {"directions": ", ".join(net.directions)}),
        "scaling": " and ".join(scaled) or "none",
        "initial state": "zeros" if net.initial_state is None else "stored",
        **({} if net.masked == "hold" else {"masked": net.masked}),
        "instruction set": net.isa,
        "versions": ", ".join(f"{key} {versions[key]}" for key in ("elman", "numpy", "python")),
        "built with": ", ".join(build),
        **{f"table.{field}": _said(value) for field, value in _table(net).items() if value},
        **{f"user.{key}": value for key, value in sorted(net.metadata.items())},
    }
    width = max(map(len, lines)) + 2
    for key, value in lines.items():
        print(f"{printable(key):{width}}{printable(value)}")


def describe(net: Network) -> dict[str, Any]:
    """Return a description of a network, ready for JSON."""
    return {
        "input_size": net.input_size,
        "hidden_sizes": list(net.hidden_sizes),
        "output_size": net.output_size,
        "num_layers": net.num_layers,
        "state_size": net.state_size,
        "num_parameters": net.num_parameters,
        "multiply_adds": net.multiply_adds,
        "packed_bytes": net.nbytes,
        "stream_bytes": net.stream().nbytes if set(net.directions) == {"forward"} else None,
        "activations": [str(f) for f in net.activations],
        "output_activation": net.output_activation and str(net.output_activation),
        "directions": list(net.directions),
        "dtype": str(net.dtype),
        "input_scaling": net.input_mean is not None or net.input_std is not None,
        "output_scaling": net.output_mean is not None or net.output_std is not None,
        "initial_state": net.initial_state is not None,
        "masked": net.masked,
        "isa": net.isa,
        "table": _table(net) or None,
        "metadata": dict(net.metadata),
        "versions": {
            "elman": elman.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "build": elman.build_info(),
        },
    }


def _memory(net: Network, stream_bytes: int | None) -> str:
    streams = "no streams" if stream_bytes is None else f"{stream_bytes:,} bytes per stream"
    return f"{net.nbytes:,} bytes of packed weights, {streams}"


def _table(net: Network) -> dict[str, Any]:
    """Return the network's table, ready for JSON; empty if it has none."""
    fields: dict[str, Any] = {} if net.table is None else json.loads(net.table.to_json())
    return fields


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def sizes(net: Network) -> str:
    """Return the sizes from the input to the output, as in "1 > 16 > 1" or "1 > 2 x 16 > 1"."""
    both = ["2 x " if direction == "bidirectional" else "" for direction in net.directions]
    layers = [f"{twice}{H}" for twice, H in zip(both, net.hidden_sizes, strict=True)]
    readout = [] if net.readout is None else [str(net.output_size)]
    return " > ".join([str(net.input_size), *layers, *readout])


def verify(
    model: str,
    source: str | None,
    sequence: str | None,
    missing: str | None,
    seed: int,
    as_json: bool,
) -> bool:
    """Check the core against the NumPy reference, print the report, return True if it passed.

    The verification example in the file, if any, is checked too.
    """
    net = models.load(model, source)
    lengths = None
    if source is None:
        x = random_inputs(net, RANDOM_SHAPE, seed)
    else:
        x, lengths = read_inputs(net, source, sequence, missing)
    try:
        report = net.verify(x, lengths=lengths)
        example = _check_example(net, model)
    except elman.VerificationError as error:
        if as_json:
            print_json({"ok": False, "message": str(error)})
        else:
            print(f"elman: {printable(str(error))}", file=sys.stderr)
        return False
    if as_json:
        print_json({**report._asdict(), "example": example})
    else:
        print(report if example is None else f"{report}\n{example}")
    return True


def read_inputs(
    net: Network, source: str, sequence: str | None, missing: str | None
) -> tuple[NDArray[Any], list[int] | None]:
    """Return the inputs in a file, and for a table the lengths of its sequences."""
    with running.open_source(net, source, sequence, missing) as table:
        if isinstance(table, ArraySource):
            return table.whole(net.input_size), None
        tell(table.notes)
        sequences = running.sequences(net, table)
    lengths = list(map(len, sequences))
    padded = np.zeros((len(lengths), max(lengths), net.input_size))
    for values, rows in zip(padded, sequences, strict=True):
        values[: len(rows)] = rows
    return padded, lengths


def _check_example(net: Network, model: str) -> str | None:
    """Check the verification example of a model file; return the result, or None without one."""
    contents = _loading.read(model)
    return None if contents.rules is None else _golden.check(net, contents)


def random_inputs(net: Network, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Return normally distributed inputs (*shape, I), in the scale of the network's inputs."""
    x = np.random.default_rng(seed).standard_normal((*shape, net.input_size))
    if net.input_std is not None:
        x = x * net.input_std
    return x if net.input_mean is None else x + net.input_mean


def print_json(facts: dict[str, Any]) -> None:
    """Print facts as JSON."""
    print(json.dumps(facts, indent=2))
