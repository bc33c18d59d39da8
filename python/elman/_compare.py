"""Comparison of a network with its source model, run by the model's own framework."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments, _frame, _structure
from elman._network import Network, require_network
from elman._parameters import structure_of
from elman.errors import ArgumentError, ArgumentTypeError, ElmanError, ShapeError
from elman.interop import formats, keras, onnx, torch
from elman.interop._source import Imported, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike

    from elman._typing import Array
    from elman.interop._source import Source, Taps, Trace


__all__ = ["Comparison", "compare"]

# Correct implementations differ only by rounding, which a contractive network does not amplify.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
_OUTPUT_ACTIVATIONS = ("identity", "sigmoid", "softmax", "log_softmax", "tanh", "relu")


class Comparison(NamedTuple):
    """Largest differences between a network and its source, relative where values exceed 1.

    Attributes
    ----------
    framework : str
        The framework that ran the source.
    output : float
        The largest difference of the outputs.
    layers : list of float or None
        The largest difference of each layer's states; None where the source does not expose them.
    tolerance : float
        The largest difference that counts as rounding.
    causes : list of str
        Likely causes of a larger difference.
    """

    framework: str
    output: float
    layers: list[float | None]
    tolerance: float
    causes: list[str]

    @property
    def ok(self) -> bool:
        """Whether all differences are within the tolerance."""
        return all(
            d is None or d <= self.tolerance  # False for NaN
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
    masked: str | None = None,
    tolerance: float | None = None,
    external_data: bool = False,
) -> Comparison:
    """Run a network and its source model on the same inputs and compare the results.

    Parameters
    ----------
    net : Network
        The network.
    source : module, sequence of modules, Keras model, ONNX model or path
        A model that PyTorch, Keras or ONNX Runtime can run (which must be installed): a PyTorch
        module or modules in order, or the path of a `.pt` or safetensors file, whose tensors are
        loaded into modules with the network's activations; a Keras model, or the path of a `.keras`
        or `.h5` file, which Keras loads in its safe mode; an ONNX model or its path. The result of
        a reader in `elman.interop` is not read again.
    x : array_like, shape (T, I) or (B, T, I)
        Inputs.
    mask, masked
        Which steps are real, as for `Network.run`; only with Keras.
    tolerance : float, optional
        The largest difference that counts as rounding; by default 1e-5 in float32 and 1e-12 in
        float64, absolute or relative to the largest value, whichever is larger.
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
        If the source is not supported, or cannot be run on these inputs.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> elman.compare(net, elman.to_onnx(net), np.ones((10, 3))).ok
    True
    """
    require_network(net)
    inputs = _arguments.array("x", _frame.read_one(net, "x", x))
    if inputs.ndim not in (2, 3) or inputs.shape[-1] != net.input_size:
        raise ShapeError(
            f"x: expected (T, {net.input_size}) or (B, T, {net.input_size}), got {inputs.shape}"
        )
    if inputs.ndim == 2:
        inputs = inputs[np.newaxis]
        mask = None if mask is None else np.asarray(mask)[np.newaxis]
    inputs = inputs.astype(net.dtype)
    real = None if mask is None else np.asarray(mask, dtype=bool)
    masked = net.masked if masked is None else masked
    runs, taps, read = _opened(net, source, external_data)
    if mask is not None and runs.framework != "keras":
        raise ArgumentError(f"mask: expected None for {runs.framework}, which has no masks")
    for what, size, got in zip(("sequences", "steps"), runs.sizes(), inputs.shape[:2], strict=True):
        if size not in (None, got):
            raise ShapeError(f"x: expected {size} {what}, which the source fixes, got {got}")
    trace = _interruptible(lambda: runs.run(inputs, real, taps))
    theirs = trace.hidden or [None] * net.num_layers
    if trace.output.shape[-1] != net.output_size or len(theirs) != net.num_layers:
        raise ShapeError(
            f"source: expected {net.num_layers} layers and {net.output_size} outputs, got"
            f" {len(trace.hidden)} and {trace.output.shape[-1]}"
        )
    ours = net.run(inputs, mask=real, masked=masked, return_hidden=True)
    assert ours.hidden is not None
    sizes = [
        hidden * len(_structure.prefixes(0, direction))
        for hidden, direction in zip(net.hidden_sizes, net.directions, strict=True)
    ]
    result = Comparison(
        trace.framework,
        _difference(ours.output, trace.output),
        [
            None if wanted is None else _difference(states, wanted)
            for states, wanted in zip(_structure.split(ours.hidden, sizes), theirs, strict=True)
        ],
        TOLERANCES[net.dtype.name] if tolerance is None else tolerance,
        [],
    )
    if not result.ok:

        def agrees(output: Array) -> bool:
            return _difference(output, trace.output) <= result.tolerance

        result.causes.extend(_causes(net, read, trace))
        result.causes.extend(_behaviours(net, inputs, real, masked, agrees))
    return result


# --- running both ---------------------------------------------------------------------------------


def _difference(ours: Array, theirs: Array) -> float:
    """Return the largest difference; `theirs` may contain only the last step."""
    if theirs.ndim == ours.ndim - 1:
        ours = ours[..., -1, :]
    if theirs.shape != ours.shape:
        raise ShapeError(f"source: expected results of the shape {ours.shape}, got {theirs.shape}")
    apart = np.abs(ours.astype(np.float64) - theirs)
    return float((apart / max(1.0, float(np.abs(theirs).max(initial=0)))).max(initial=0))


def _opened(
    net: Network, source: Any, external_data: bool
) -> tuple[Source, Taps, Callable[[], Imported]]:
    """Return a runner and a reader of a source; a live model is read only after a difference."""
    imported = None
    if isinstance(source, Imported):
        imported = source
    elif isinstance(source, str | os.PathLike):
        imported = _read_file(net, os.fsdecode(source), external_data)
    elif isinstance(source, bytes) or type(source).__name__ == "ModelProto":
        imported = onnx.read(source, external_data=external_data)
    elif _is_live(source, "keras", "Model"):  # first: it may be a torch module too
        return keras.reading.runs(source), None, lambda: keras.read(source)
    elif isinstance(source, tuple | list) or _is_live(source, "torch.nn", "Module"):
        g = net.output_activation
        said = Said(output_activation=None if g is None else str(g))
        return torch.reading.modules(source), None, lambda: torch.read(source, said)
    else:
        raise ArgumentTypeError(
            "source: expected a torch module, a Keras model, an ONNX model or a path, got"
            f" {_arguments.kind(source)}"
        )
    if imported.source is None:
        raise ArgumentError(
            "source: expected a model that another framework can run, got only weights or an elman"
            " file: check the latter with net.verify(x)"
        )
    return imported.source, imported.taps, lambda: imported


def _is_live(source: object, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(source, getattr(loaded, name))


def _read_file(net: Network, path: str, external_data: bool) -> Imported:
    """Read a file; for files of weights only, take the activations from the network."""
    options: dict[str, Any] = {}
    framework = formats.framework_of(path)
    if framework == "torch" or path.endswith(".weights.h5"):
        options["activation"] = structure_of(net).layer_activations
        options["output_activation"] = net.output_activation
    elif framework == "onnx":
        options["external_data"] = external_data
    return formats.read(path, **options)


def _interruptible(work: Callable[[], Trace]) -> Trace:
    """Run a framework in a thread, so that Ctrl-C interrupts even if it ignores signals."""
    done: Future[Trace] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), daemon=True).start()
    return done.result()


# --- likely causes --------------------------------------------------------------------------------


def _causes(net: Network, read: Callable[[], Imported], trace: Trace) -> Iterator[str]:
    """Yield how the network differs from a new reading of the source."""
    try:
        theirs = read().network
    except (ElmanError, TypeError) as error:
        yield f"the source is not supported ({error})"
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

    def close(a: Array, b: Array) -> bool:
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6)

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
        yield f"{name} has different values"


def _behaviours(
    net: Network, x: Array, mask: Array | None, masked: str, agrees: Callable[[Array], bool]
) -> Iterator[str]:
    """Yield how the source behaves differently with the same weights."""
    if agrees(net.run(x, mask=mask, masked=masked).output[:, ::-1]):
        yield "the source returns its outputs in reverse order of time (go_backwards)"
    if mask is not None:
        other = {"hold": "zero", "zero": "hold"}[masked]
        if agrees(net.run(x, mask=mask, masked=other).output):
            words = {"hold": "held", "zero": "zero"}
            yield f"masked outputs are {words[other]} in the source, {words[masked]} in the network"
    g = net.output_activation
    for name in _OUTPUT_ACTIVATIONS if g is not None else ():
        if name != g and agrees(_with_output(net, name).run(x, mask=mask, masked=masked).output):
            yield _output_cause(name, net)


def _output_cause(theirs: object, net: Network) -> str:
    return f"the source used {theirs} for its outputs, the network {net.output_activation}"


def _with_output(net: Network, activation: str) -> Network:
    """Return the network with another output activation."""
    structure = structure_of(net)
    return Network.from_tensors(
        net.tensors(),
        direction=structure.directions,
        activation=structure.layer_activations,
        output_activation=activation,
        dtype=net.dtype,
        masked=net.masked,
        allow_nonfinite=True,
    )
