"""Hold a network against the model that it came from, run by the framework that it came from."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments
from elman._structure import Structure
from elman.errors import ArgumentError, ElmanError, ShapeError
from elman.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike

    from elman._typing import Array
    from elman.interop.imported import Imported
    from elman.interop.running import Trace


__all__ = ["Comparison", "compare"]

# Two right implementations differ by rounding alone, which a contractive network does not enlarge.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
_SUFFIXES = {
    ".pt": "torch file",
    ".pth": "torch file",
    ".safetensors": "torch file",
    ".keras": "keras",
    ".h5": "keras",
    ".onnx": "onnx",
}
_OUTPUT_ACTIVATIONS = ("identity", "sigmoid", "softmax", "tanh", "relu")


class Comparison(NamedTuple):
    """How far a network and its source are apart, as shares of the largest number where above 1.

    Attributes
    ----------
    framework : str
        Who ran the source.
    output : float
        The largest difference of the outputs.
    layers : list of float or None
        The largest difference of the states of each layer; None where the source does not show
        them.
    tolerance : float
        The largest difference that counts as rounding.
    causes : list of str
        What is likely to be wrong, where the difference is more than that.
    """

    framework: str
    output: float
    layers: list[float | None]
    tolerance: float
    causes: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing differs by more than the tolerance."""
        return all(
            d is None or d <= self.tolerance  # a NaN is not
            for d in (*self.layers, self.output)
        )

    def __str__(self) -> str:
        shown = ["not shown" if d is None else f"{d:.2g}" for d in self.layers]
        parts = [f"layer {i} {d}" for i, d in enumerate(shown)] + [f"output {self.output:.2g}"]
        said = "agrees with" if self.ok else "differs from"
        text = f"the network {said} {self.framework} (tolerance {self.tolerance:.2g}): "
        text += ", ".join(parts)
        if not self.ok:
            text += f"; likely: {', '.join(self.causes) or 'no cause was found'}"
        return text


def compare(
    net: Network,
    source: Any,
    x: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    masked: str = "hold",
    tolerance: float | None = None,
    external_data: bool = False,
) -> Comparison:
    """Run a network and the model that it came from on the same inputs, and compare them.

    Parameters
    ----------
    net : Network
        The network.
    source : module, sequence of modules, Keras model, ONNX model or path
        What PyTorch, Keras or ONNX Runtime can run (each must be installed): a PyTorch module or
        modules in their order, or the path of a `.pt` or safetensors file, whose tensors are put
        into modules with the network's sizes and activations; a Keras model, or the path of a
        `.keras` or `.h5` file, which Keras loads in its safe mode; an ONNX model or its path.
    x : array_like, shape (T, I) or (B, T, I)
        Inputs.
    mask, masked
        Which steps are real, for Keras; as for `Network.run`.
    tolerance : float, optional
        The largest difference that counts as rounding; by default 1e-5 in float32 and 1e-12 in
        float64, absolute or relative to the largest number, whichever is larger.
    external_data : bool
        For ONNX, as for `elman.from_onnx`.

    Returns
    -------
    Comparison
        `ok`, the differences of each layer and of the output, and likely causes.

    Raises
    ------
    ImportError
        If the framework is missing.
    ShapeError, ArgumentError, UnsupportedModelError
        If the source cannot be run on these inputs, or is not understood.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> elman.compare(net, elman.to_onnx(net), np.ones((10, 3))).ok
    True
    """
    inputs = _arguments.array("x", x)
    if inputs.ndim not in (2, 3) or inputs.shape[-1] != net.input_size:
        raise ShapeError(
            f"x: expected (T, {net.input_size}) or (B, T, {net.input_size}), got {inputs.shape}"
        )
    if inputs.ndim == 2:
        inputs = inputs[np.newaxis]
        mask = None if mask is None else np.asarray(mask)[np.newaxis]
    inputs = inputs.astype(net.dtype)
    kind = _kind(source)
    trace = _interruptible(lambda: _trace(kind, source, net, inputs, mask, external_data))
    ours = _ours(net, inputs, mask, masked)
    if trace.output.shape[-1] != ours.output.shape[-1] or len(trace.hidden) not in (
        0,
        len(ours.hidden),
    ):
        raise ShapeError(
            f"source: expected {len(ours.hidden)} layers and {net.output_size} outputs, got"
            f" {len(trace.hidden)} and {trace.output.shape[-1]}"
        )
    result = Comparison(
        trace.framework,
        _difference(ours.output, trace.output),
        [
            None if theirs is None else _difference(states, theirs)
            for states, theirs in zip(
                ours.hidden, trace.hidden or [None] * len(ours.hidden), strict=True
            )
        ],
        TOLERANCES[net.dtype.name] if tolerance is None else tolerance,
        [],
    )
    if not result.ok:
        agrees = _agreement(trace, result.tolerance)
        result.causes.extend(_causes(net, kind, source, trace, external_data))
        result.causes.extend(_behaviours(net, inputs, mask, masked, agrees))
    return result


# --- running both ---


class _Ours(NamedTuple):
    hidden: list[Array]
    output: Array


def _ours(net: Network, x: Array, mask: ArrayLike | None, masked: str) -> _Ours:
    run = net.run(x, mask=mask, masked=masked, return_hidden=True)
    sizes = [len(layer.W_hh) * (1 if layer.reverse is None else 2) for layer in net.layers]
    return _Ours(np.split(run.hidden, np.cumsum(sizes)[:-1], axis=-1), run.output)


def _difference(ours: Array, theirs: Array) -> float:
    """Return the largest difference; theirs may be of the last step alone."""
    if theirs.ndim == ours.ndim - 1:
        ours = ours[..., -1, :]
    if theirs.shape != ours.shape:
        raise ShapeError(f"source: expected results of the shape {ours.shape}, got {theirs.shape}")
    apart = np.abs(ours.astype(np.float64) - theirs)
    return float((apart / max(1.0, float(np.abs(theirs).max(initial=0)))).max(initial=0))


def _kind(source: Any) -> str:
    """Return which framework runs a source."""
    if isinstance(source, str | os.PathLike):
        suffix = os.path.splitext(os.fspath(source))[1]
        if suffix in _SUFFIXES and not os.fspath(source).endswith(".weights.h5"):
            return _SUFFIXES[suffix]
        raise ArgumentError(
            f"source: expected a file *{', *'.join(_SUFFIXES)}, got {os.fspath(source)!r}"
        )
    if isinstance(source, bytes) or type(source).__name__ == "ModelProto":
        return "onnx"
    if isinstance(source, tuple | list):
        return "torch"
    for kind, name in (("torch", "torch.nn"), ("keras", "keras")):
        base = {"torch": "Module", "keras": "Model"}[kind]
        module = sys.modules.get(name)
        if module is not None and isinstance(source, getattr(module, base)):
            return kind
    raise TypeError(
        "source: expected a torch module, a Keras model, an ONNX model or a path, got"
        f" {_arguments.kind(source)}"
    )


def _interruptible(work: Callable[[], Trace]) -> Trace:
    """Let a thread run a framework, which looks for no signals: Ctrl-C ends the wait for it."""
    done: list[Trace] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _trace(
    kind: str,
    source: Any,
    net: Network,
    x: Array,
    mask: ArrayLike | None,
    external_data: bool,
) -> Trace:
    if mask is not None and kind != "keras":
        raise ArgumentError(f"mask: expected None for a source of {kind}, which has no masks")
    if kind == "torch":
        from elman.interop.running import torch

        return torch.run(source, x)
    if kind == "torch file":
        from elman.interop.running import torch

        return torch.run_file(
            os.fspath(source), net, _read(kind, source, net, external_data).rows, x
        )
    if kind == "keras":
        from elman.interop.running import keras

        return keras.run(source, x, None if mask is None else np.asarray(mask, dtype=bool))
    from elman.interop.running import onnx

    return onnx.run(source, x, external_data)


# --- what may be wrong ---


def _read(
    kind: str,
    source: Any,
    net: Network,
    external_data: bool,
) -> Imported:
    """Return what the reader of a framework makes of the source."""
    if kind.startswith("torch"):
        from elman.interop import torch

        g = net.output_activation
        return torch.read(
            source,
            activation=[str(f) for f in net.activations] if kind == "torch file" else None,
            output_activation=None if g is None else str(g),
        )
    if kind == "keras":
        from elman.interop import keras

        return keras.read(source)
    from elman.interop import onnx

    return onnx.read(source, external_data=external_data)


def _causes(
    net: Network,
    kind: str,
    source: Any,
    trace: Trace,
    external_data: bool,
) -> Iterator[str]:
    """Yield how the network differs from what the source says of itself."""
    try:
        theirs = _read(kind, source, net, external_data).network
    except (ElmanError, TypeError) as error:
        yield f"the source is not understood ({error})"
        return
    for i, (f, g) in enumerate(zip(net.activations, theirs.activations, strict=True)):
        if f != g:
            yield f"the source used {g} in layer {i}, the network {f}"
    if net.output_activation != theirs.output_activation:
        yield _output_cause(theirs.output_activation, net)
    ours = net.tensors()
    for name, wanted in theirs.tensors().items():
        yield from _weights(name, ours.get(name), wanted, trace.vectors)


def _weights(name: str, ours: Array | None, theirs: Array, vectors: list[Array]) -> Iterator[str]:
    """Yield how a tensor differs from the source's."""
    close: Callable[[Array, Array], bool] = lambda a, b: (  # noqa: E731
        a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-5, atol=1e-6))
    )
    mine = np.zeros_like(theirs) if ours is None else ours
    if close(mine, theirs):
        return
    if mine.ndim == 2 and close(mine.T, theirs):
        yield f"{name} is transposed"
    elif name.endswith("b_h") and any(close(theirs - mine, vector) for vector in vectors):
        yield f"the second bias is missing in {name}"
    elif mine.shape != theirs.shape:
        yield f"{name} is {mine.shape}, the source has {theirs.shape}"
    else:
        yield f"{name} has other numbers"


def _agreement(trace: Trace, tolerance: float) -> Callable[[Array], bool]:
    def agrees(output: Array) -> bool:
        return _difference(output, trace.output) <= tolerance

    return agrees


def _behaviours(
    net: Network,
    x: Array,
    mask: ArrayLike | None,
    masked: str,
    agrees: Callable[[Array], bool],
) -> Iterator[str]:
    """Yield what the source does otherwise with the same weights."""
    output = _ours(net, x, mask, masked).output
    if agrees(output[:, ::-1]):
        yield "its outputs come in reversed order of time (go_backwards)"
    if mask is not None:
        other = {"hold": "zero", "zero": "hold"}[masked]
        if agrees(_ours(net, x, mask, other).output):
            words = {"hold": "hold", "zero": "are zero"}
            yield f"masked steps {words[other]} there and {words[masked]} here"
    g = net.output_activation
    for name in _OUTPUT_ACTIVATIONS if g is not None else ():
        if name != g and agrees(_with_output(net, name).run(x, mask=mask, masked=masked).output):
            yield _output_cause(name, net)


def _output_cause(theirs: object, net: Network) -> str:
    return f"the source used {theirs} for its outputs, the network {net.output_activation}"


def _with_output(net: Network, activation: str) -> Network:
    """Return the network with another activation of its readout."""
    structure = Structure.of(net)
    return Network.from_tensors(
        net.tensors(),
        direction=structure.directions,
        activation=structure.layer_activations,
        output_activation=activation,
        dtype=net.dtype,
        allow_nonfinite=True,
    )
