"""Check of a network against the example in its model file.

Results are compared bit for bit if both builds have the same numerics, otherwise within the
rounding bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _container, _format
from elman.errors import ModelFormatError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from elman._format import Contents
    from elman._network import Network

    Array = NDArray[Any]

__all__ = ["check"]

_TENSORS = ("golden.x", "golden.output", "golden.hidden")


def check(net: Network, contents: Contents) -> str:
    """Run the example in a model file and return a sentence about how it was checked.

    Raises
    ------
    VerificationError
        If the results differ.
    ModelFormatError
        If the example is missing or does not fit the network.
    """
    theirs = _parse(contents.rules)
    x, output, hidden = _example(net, contents.example)
    steps = x.size // net.input_size
    run = net.run(x, return_hidden=True)
    assert run.hidden is not None
    if theirs == _format.rules() and theirs["fused"]:
        for name, ours, wanted in (
            ("hidden states", run.hidden, hidden),
            ("outputs", run.output, output),
        ):
            if not np.array_equal(ours, wanted, equal_nan=True):
                raise VerificationError(
                    f"the example in the file: expected equal {name} over {steps} steps, got"
                    f" {np.sum(ours != wanted)} different values"
                )
        return f"the example in the file, {steps} steps: equal bits"
    from elman import reference  # only here: importing it takes longer than loading a file

    for states, numbers in ((hidden, output), (run.hidden, run.output)):
        report = reference.verify(net, x, numbers, states)
        if not report.ok:
            raise VerificationError(f"the example in the file: {report}")
    return f"the example in the file, {steps} steps: within the rounding bound"


def _example(net: Network, tensors: Mapping[str, Array]) -> list[Array]:
    """Check and return the inputs, outputs and states of an example."""
    for name, size in zip(_TENSORS, (net.input_size, net.output_size, net.state_size), strict=True):
        steps = tensors[_TENSORS[0]].shape[:-1] if _TENSORS[0] in tensors else ()
        if name not in tensors:
            raise ModelFormatError(f"expected an example to verify, got no tensor {name!r}")
        if not steps or tensors[name].shape != (*steps, size):
            raise ModelFormatError(
                f"tensor {name!r}: expected the shape (..., T, {size}), got {tensors[name].shape}"
            )
    return [tensors[name] for name in _TENSORS]


def _parse(text: str | None) -> dict[str, Any]:
    if not text:
        raise ModelFormatError("expected an example to verify (save(..., golden=x)), got none")
    rules = _container.json_object(text, "metadata 'golden'")
    if set(rules) != {"numerics", "fused"}:
        raise ModelFormatError("metadata 'golden': expected the keys 'numerics' and 'fused'")
    return rules
