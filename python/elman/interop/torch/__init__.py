"""Networks from PyTorch: live modules, a state_dict, `.pt` and safetensors files.

PyTorch is never imported here: a module can only come from a PyTorch that is loaded already, and
everything else is read without it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from elman import _arguments, _files
from elman.errors import ArgumentError, DTypeError, ShapeError, UnsupportedModelError
from elman.interop import files, tensor_file
from elman.interop.imported import Imported, Row
from elman.interop.torch.file import SAVE, read_pt
from elman.interop.torch.names import find_readout, find_recurrent, of_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import DTypeLike

    from elman._typing import Array
    from elman.interop.torch.names import Recurrent, Source
    from elman.network import Network


__all__ = ["from_torch", "read"]


def from_torch(
    source: object,
    *,
    activation: str | Sequence[str] | None = None,
    output_activation: str | None = None,
    prefix: str | Sequence[str] | None = None,
    readout: str | bool | None = None,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> Network:
    """Make a network of what was trained with PyTorch's `nn.RNN` or `nn.RNNCell`.

    What your module does in `forward` beyond its RNN and one `nn.Linear` cannot be seen here: hold
    a few outputs against PyTorch's.

    Parameters
    ----------
    source : module, sequence of modules, mapping or path
        A module that holds one `nn.RNN`, or a `ModuleList` of `nn.RNNCell`, and perhaps one
        `nn.Linear`; or such modules in their order, `(rnn, linear)`, `(cell, cell, linear)`; or a
        `state_dict` (or a checkpoint that holds one) of tensors or arrays; or the path of a
        safetensors file or of a `.pt` file, which is read without PyTorch and without running its
        pickle. Half precision is widened to float32.
    activation : str or sequence of str, optional
        `nonlinearity` of the RNNs, "tanh" or "relu". Modules know it; a `state_dict` and a file do
        not, and then it must be given.
    output_activation : str, optional
        What the model applies to its readout: "identity" (numbers, or logits), "sigmoid",
        "softmax", "tanh" or "relu". It must be given where there is a readout; a last module such
        as `nn.Sigmoid()` in a sequence of modules gives it too.
    prefix : str or sequence of str, optional
        The name of the RNN (`"encoder.rnn"`), or of several, from the bottom up, where there is
        more than one. `module.` and `_orig_mod.` may be left out.
    readout : str or False, optional
        The name of the readout, where it is not clear. False: none, the output is the top layer's
        state.
    dtype : dtype, optional
        float32 or float64; by default the common one of the weights.
    metadata : mapping of str to str, optional
        Your own words, as for `Network`.
    allow_nonfinite : bool
        Accept NaN and infinities among the weights.

    Returns
    -------
    Network
        With b_h = bias_ih + bias_hh, added in float64 and rounded once.

    Raises
    ------
    ArgumentError
        If something must be said (an activation, which of several RNNs), is contradicted by the
        source, or is not found.
    UnsupportedModelError
        If the source is an LSTM, a GRU, or a file of another kind.
    ModelFormatError, LimitError, OSError
        If a file is damaged, too large, or cannot be read.

    Examples
    --------
    >>> import numpy as np, elman
    >>> state_dict = {
    ...     "rnn.weight_ih_l0": np.ones((4, 2)), "rnn.weight_hh_l0": np.eye(4) / 2,
    ...     "rnn.bias_ih_l0": np.zeros(4), "rnn.bias_hh_l0": np.zeros(4),
    ...     "fc.weight": np.ones((1, 4)), "fc.bias": np.zeros(1),
    ... }
    >>> elman.from_torch(state_dict, activation="tanh", output_activation="identity")
    Network(2 -> 4 tanh -> 1 identity, float64, 33 parameters)
    """
    return read(
        source,
        activation=activation,
        output_activation=output_activation,
        prefix=prefix,
        readout=readout,
        dtype=dtype,
        metadata=metadata,
        allow_nonfinite=allow_nonfinite,
    ).network


def read(
    source: object,
    *,
    activation: str | Sequence[str] | None = None,
    output_activation: str | None = None,
    prefix: str | Sequence[str] | None = None,
    readout: str | bool | None = None,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> Imported:
    """Return the network of `from_torch`, and what became of each part of the source."""
    from elman.network import Network

    found = _collect(source, prefix)
    stack = find_recurrent(found, prefix)
    head = find_readout(found, stack, readout, alone=prefix is not None)
    names = [*(name for layer in stack for name in layer.names), *(head or ())]
    arrays = {name: _array(name, found.tensors[name]) for name in names if name is not None}
    for layer in stack:
        _check_shapes(layer, arrays)
    directions = ["bidirectional" if layer.reverse else "forward" for layer in stack]
    return Imported(
        Network.from_weights(
            [_layer(layer, arrays) for layer in stack],
            head and _readout(head, stack[-1], arrays),
            activation=_activations(activation, stack, found),
            direction=directions,
            output_activation=_output_activation(output_activation, head, found),
            dtype=_arguments.common_dtype(arrays) if dtype is None else dtype,
            metadata=metadata,
            allow_nonfinite=allow_nonfinite,
        ),
        _rows(found, stack, head),
    )


# --- what the source holds ---


def _collect(source: object, prefix: str | Sequence[str] | None) -> Source:
    """Return the tensors of a source by name, and what its modules say."""
    if isinstance(source, (str, bytes, os.PathLike)):
        return of_mapping(_read_file(os.fsdecode(source)), prefix)
    if "torch" in sys.modules:
        from elman.interop.torch.modules import is_module, of_module, of_sequence

        if is_module(source):
            return of_module(source)
        if isinstance(source, (tuple, list)):
            return of_sequence(source)
    if hasattr(source, "items"):
        return of_mapping(source, prefix)
    raise TypeError(
        "source: expected a torch module, several such as (rnn, linear), a state_dict or a path,"
        f" got {_arguments.kind(source)}"
    )


def _read_file(path: str) -> dict[str, Any]:
    with _files.naming(path):
        data = files.read_file(path)
        if data.startswith(b"PK\x03\x04"):
            return read_pt(data)
        if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            raise UnsupportedModelError(
                "expected a .pt file of PyTorch 1.6 or later, got a pickle, which is not read:"
                f" {SAVE}"
            )
        return tensor_file.read(data)


def _array(name: str, tensor: Any) -> Array:
    """Return the numbers of a tensor, half precision as float32 where NumPy has no such type."""
    import numpy as np

    try:
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu()
            tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        array = np.asarray(tensor)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"{name}: expected a dense tensor with numbers ({reason})") from error
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        raise DTypeError(f"{name}: expected floating-point numbers, got {array.dtype}")
    return array


# --- what elman makes of it ---


def _check_shapes(layer: Recurrent, arrays: dict[str, Array]) -> None:
    """Refuse the gates of other cells, which have the same names."""
    shape = arrays[layer.W_hh].shape
    if len(shape) == 2 and shape[0] != shape[1]:
        for gates, cell in ((4, "an LSTM"), (3, "a GRU")):
            if shape[0] == gates * shape[1]:
                raise UnsupportedModelError(
                    f"{layer.W_hh}: expected the (H, H) of a simple RNN, got {shape}:"
                    f" {layer.unit or 'this'} is {cell}"
                )
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ShapeError(f"{layer.W_hh}: expected (H, H), got {shape}")
    H = shape[0]
    for name in (layer.W_ih, *(layer.biases or ())):
        got = arrays[name].shape
        if got[:1] != (H,) or len(got) != (2 if name == layer.W_ih else 1):
            expected = f"({H}, I)" if name == layer.W_ih else f"({H},)"
            raise ShapeError(f"{name}: expected {expected}, got {got}")


def _layer(layer: Recurrent, arrays: dict[str, Array]) -> Any:
    """Return (W_xh, W_hh, b_h), or a pair of them for both directions."""
    biases = layer.biases and (arrays[name] for name in layer.biases)
    triple = (arrays[layer.W_ih], arrays[layer.W_hh], biases and _sum(*biases))
    return (triple, _layer(layer.reverse, arrays)) if layer.reverse else triple


def _sum(bias_ih: Array, bias_hh: Array) -> Array:
    """Return the sum in float64, and a bias to which zero is added as it is: -0 stays -0."""
    import numpy as np

    total = bias_ih.astype(np.float64)
    total[bias_hh != 0] += bias_hh[bias_hh != 0]
    return total


def _readout(
    head: tuple[str, str | None], top: Recurrent, arrays: dict[str, Array]
) -> tuple[Array, Array | None]:
    weight, bias = head
    H = arrays[top.W_hh].shape[0] * (2 if top.reverse else 1)
    if arrays[weight].shape[1:] != (H,):
        raise ShapeError(
            f"{weight}: expected (O, {H}), a readout of {top.unit or 'the RNN'},"
            f" got {arrays[weight].shape}"
        )
    return arrays[weight], None if bias is None else arrays[bias]


def _activations(
    given: str | Sequence[str] | None, stack: list[Recurrent], found: Source
) -> list[Any]:
    """Return the activation of every layer, from the modules or as it was said."""
    known = [found.nonlinearities.get(layer.unit) for layer in stack]
    if given is None:
        for layer, name in zip(stack, known, strict=True):
            if name is None:
                raise ArgumentError(
                    "activation: expected 'tanh' or 'relu', the nonlinearity of"
                    f" {layer.unit or 'the RNN'}, which its weights do not say, got none"
                )
        return known
    names = _arguments.activations(given, ["forward"] * len(stack))  # that of both halves
    for layer, said, is_ in zip(stack, names, known, strict=True):
        if is_ is not None and said != is_:
            raise ArgumentError(
                f"activation: expected {is_!r}, the nonlinearity of {layer.unit or 'the RNN'},"
                f" got {str(said)!r}"
            )
    return names


def _output_activation(
    given: str | None, head: tuple[str, str | None] | None, found: Source
) -> str | None:
    """Return the activation of the readout, which nothing but the user's word can say."""
    known = found.output_activation
    if head is None:
        if given is not None:
            raise ArgumentError(
                f"output_activation: expected none, as there is no readout, got {str(given)!r}"
            )
        return None
    if given is None and known is None:
        raise ArgumentError(
            "output_activation: expected what the model applies to its readout"
            f" {head[0].removesuffix('.weight')!r}, 'identity' (numbers or logits), 'sigmoid',"
            " 'softmax', 'tanh' or 'relu', which its weights do not say, got none"
        )
    if given is not None and known is not None and given != known:
        raise ArgumentError(
            f"output_activation: expected {known!r}, the last module, got {str(given)!r}"
        )
    return given or known


def _rows(found: Source, stack: list[Recurrent], head: tuple[str, str | None] | None) -> list[Row]:
    """Say what became of every tensor and setting."""
    targets: dict[str, tuple[str, str]] = {}
    for index, layer in enumerate(stack):
        targets |= _targets(layer, f"layers.{index}.")
        if layer.reverse:
            targets |= _targets(layer.reverse, f"layers.{index}.reverse.")
    if head is not None:
        targets[head[0]] = ("readout.W_hy", "")
        if head[1] is not None:
            targets[head[1]] = ("readout.b_y", "")
    rows = [Row(name, *targets.get(name, ("", "left out"))) for name in found.tensors]
    for index, layer in enumerate(stack):
        if name := found.nonlinearities.get(layer.unit):
            setting = f"{layer.unit}.nonlinearity".lstrip(".")
            rows.append(Row(setting, f"layers.{index}.activation", name))
    return rows + found.rows


def _targets(layer: Recurrent, place: str) -> dict[str, tuple[str, str]]:
    targets = {layer.W_ih: (f"{place}W_xh", ""), layer.W_hh: (f"{place}W_hh", "")}
    if layer.biases:
        ih, hh = layer.biases
        targets[ih] = (f"{place}b_h", f"added to {hh.rpartition('.')[2]} in float64, rounded once")
        targets[hh] = (f"{place}b_h", f"added to {ih.rpartition('.')[2]} in float64, rounded once")
    return targets
