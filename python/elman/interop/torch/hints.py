"""The message for tensors without an RNN: the call to write if they are a cell by hand."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from elman.interop._source import listed
from elman.interop.torch.names import parent

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_HAND = re.compile(
    r"(?:.*\.)?(?:\w*(?:[xhi]2h|2hidden|to_h|[wu]_?[xhi]{1,2}h?|rnn|cell)\w*.*|[uvw])",
    re.I | re.DOTALL,
)


def no_rnn(tensors: Mapping[str, Any]) -> str:
    """Return the message for tensors without an RNN, with the call to write for them."""
    message = (
        "source: expected the weights of an nn.RNN or nn.RNNCell (weight_ih_l0, weight_hh_l0),"
        f" got {listed(tensors)}"
    )
    if any(_BY_HAND.fullmatch(name) for name in tensors):
        cell, readout = _guessed(tensors)
        said = f'cell={_spelled(cell)}{readout}, activation="tanh", output_activation="identity"'
        if not cell:
            said = (
                'cell={"W_xh": name, "W_hh": name, "b_h": name} or, for one matrix of (x, h)'
                ' joined, cell={"W_xh W_hh": name, "b_h": name}'
            )
        message += (
            "; if they are those of a cell written by hand, say which is which:"
            f" elman.from_torch(source, {said}), with the order and the activations of its forward"
        )
    return message


def _guessed(tensors: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the options for tensors of these names and shapes; none if they do not tell."""
    matrices = {
        name: tuple(tensor.shape)
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2 and 1 not in tensor.shape
    }
    squares = [name for name, (rows, columns) in matrices.items() if rows == columns]
    hh = next((n for n in squares if re.search(r"h2h|hh|hidden2hidden|rec", n, re.I)), None)
    hh = hh or (squares[0] if len(squares) == 1 else None)
    if hh is not None:
        return _guessed_apart(tensors, matrices, hh)
    joined = next((n for n in matrices if re.search(r"2h|hidden|cell|rnn", n, re.I)), None)
    if joined is None or matrices[joined][0] >= matrices[joined][1]:
        return {}, ""
    cell = {"W_xh W_hh": joined} | _bias(tensors, joined, "b_h")
    H, columns = matrices[joined]
    others = [name for name in matrices if name != joined]
    old = [name for name in others if matrices[name][1] == columns]
    if len(old) == 1:
        cell |= {"W_xo W_ho": old[0]} | _bias(tensors, old[0], "b_o")
        above = [name for name in others if matrices[name][1] == H + matrices[old[0]][0]]
        if len(above) != 1:
            return cell, ""
        said = {"W_hy W_oy": above[0]} | _bias(tensors, above[0], "b_y")
        return cell, f", readout={_spelled(said)}"
    reads = [name for name in others if matrices[name][1] == H]
    return cell, _readout(tensors, reads, "")


def _guessed_apart(
    tensors: Mapping[str, Any], matrices: dict[str, tuple[int, ...]], hh: str
) -> tuple[dict[str, Any], str]:
    H = matrices[hh][0]
    others = [name for name in matrices if name != hh and H in matrices[name]]
    inputs = [name for name in others if re.search(r"2h|x_?h|i_?h|in", _own(name), re.I)]
    if not others:
        return {}, ""
    xh = (inputs or others)[0]
    linear = xh.endswith("weight")
    turned = ".T" if not linear and matrices[xh][0] != H else ""
    biases = [*_bias(tensors, xh, "b").values(), *_bias(tensors, hh, "b").values()]
    if not biases:
        biases = [n for n, t in tensors.items() if t.shape and math.prod(t.shape) == H][:1]
    cell: dict[str, Any] = {"W_xh": f"{xh}{turned}", "W_hh": f"{hh}{turned}"}
    if biases:
        cell["b_h"] = biases if len(biases) > 1 else biases[0]
    reads = [name for name in others if name != xh]
    left = {n: t for n, t in tensors.items() if n not in biases}
    return cell, _readout(left, reads, turned)


def _own(name: str) -> str:
    """Return the end of a name that says most: "i2h" of "rnn.i2h.weight"."""
    return name.removesuffix(".weight").rpartition(".")[2]


def _bias(tensors: Mapping[str, Any], weight: str, kind: str) -> dict[str, Any]:
    name = f"{parent(weight)}.bias".lstrip(".")
    return {kind: name} if weight.endswith("weight") and name in tensors else {}


def _readout(tensors: Mapping[str, Any], reads: list[str], turned: str) -> str:
    if len(reads) != 1:
        return ""
    (name,) = reads
    if name.endswith(".weight"):
        return f', readout="{parent(name)}"'
    shape = tensors[name].shape
    O = shape[1] if turned else shape[0]
    biases = [n for n, t in tensors.items() if t.shape and math.prod(t.shape) == O]
    said = {"W_hy": f"{name}{turned}"} | ({"b_y": biases[0]} if biases else {})
    return f", readout={_spelled(said)}"


def _spelled(said: Mapping[str, Any]) -> str:
    return str(dict(said)).replace("'", '"')
