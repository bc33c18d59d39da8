"""A small input kept in a model file with what the network must give for it.

Whoever loads the file can hold his own build to it: by bits, where both compute by the same rules,
and otherwise by the bound that rounding sets.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments, _container, reference
from elman._core import build_info
from elman.errors import ModelFormatError, ShapeError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from elman.network import Network

    Array = NDArray[Any]

__all__ = ["check", "record"]

_TENSORS = ("golden.x", "golden.output", "golden.hidden")


def record(net: Network, x: ArrayLike) -> tuple[dict[str, Array], str]:
    """Return the tensors of an example with inputs (..., T, I), and the rules of its numbers."""
    inputs = _arguments.array("golden", x)
    if inputs.ndim < 2 or inputs.shape[-1] != net.input_size or not inputs.size:
        raise ShapeError(
            f"golden: expected (..., T, {net.input_size}) with at least a step, got {inputs.shape}"
        )
    inputs = inputs.astype(net.dtype)
    run = net.run(inputs, return_hidden=True)
    return dict(zip(_TENSORS, (inputs, run.output, run.hidden), strict=True)), json.dumps(_rules())


def check(net: Network, data: bytes) -> str:
    """Run the example in a model file's bytes and say in a sentence how it was judged.

    Raises
    ------
    VerificationError
        If the network gives something else.
    ModelFormatError
        If the file has no example, or one that does not fit the network.
    """
    header = _container.parse_header(data)
    tensors = _container.arrays(data, header)
    theirs = _parse(header.metadata.get("golden", ""))
    x, output, hidden = _example(net, tensors)
    steps = x.size // net.input_size
    run = net.run(x, return_hidden=True)
    if theirs == _rules() and theirs["fused"]:
        for name, ours, wanted in (
            ("hidden states", run.hidden, hidden),
            ("outputs", run.output, output),
        ):
            if not np.array_equal(ours, wanted, equal_nan=True):
                raise VerificationError(
                    f"the example of the file: expected its {name} bit for bit over {steps} steps,"
                    f" got {np.sum(ours != wanted)} other numbers"
                )
        return f"the example of the file, {steps} steps: equal bits"
    for states, numbers in ((hidden, output), (run.hidden, run.output)):
        report = reference.verify(net, x, numbers, states)
        if not report.ok:
            raise VerificationError(f"the example of the file: {report}")
    return f"the example of the file, {steps} steps: within the bound of rounding"


def _example(net: Network, tensors: Mapping[str, Array]) -> list[Array]:
    """Return the inputs, outputs and states of an example that fits a network."""
    for name, size in zip(_TENSORS, (net.input_size, net.output_size, net.state_size), strict=True):
        steps = tensors[_TENSORS[0]].shape[:-1] if _TENSORS[0] in tensors else ()
        if name not in tensors:
            raise ModelFormatError(f"expected an example to verify, got no tensor {name!r}")
        if not steps or tensors[name].shape != (*steps, size):
            raise ModelFormatError(
                f"tensor {name!r}: expected the shape (..., T, {size}), got {tensors[name].shape}"
            )
    return [tensors[name] for name in _TENSORS]


def _rules() -> dict[str, Any]:
    """Return what decides on the bits of a result: two builds that agree in it give the same."""
    info = build_info()
    return {"numerics": info["numerics"], "fused": "D5" in info["promises"]}


def _parse(text: str) -> dict[str, Any]:
    if not text:
        raise ModelFormatError("expected an example to verify (save(..., golden=x)), got none")
    try:
        rules = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError("metadata 'golden': expected JSON") from error
    if not isinstance(rules, dict) or set(rules) != {"numerics", "fused"}:
        raise ModelFormatError("metadata 'golden': expected the keys 'numerics' and 'fused'")
    return rules
