"""Run Keras models in Keras, and record the states of their layers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from elman.errors import ArgumentError, UnsupportedModelError
from elman.interop._ids import ids_of
from elman.interop._source import Trace
from elman.interop.keras import filling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elman._network import Network
    from elman._typing import Array
    from elman.interop._source import Taps

_RNN = keras.layers.RNN  # SimpleRNN is one


class Runner:
    """A model, or a file: Keras loads it, or its weights are loaded into layers of Keras."""

    def __init__(self, source: Any, net: Network | None) -> None:
        self._note = ""
        self._filled = False  # whether its layers are those of a network
        self.model = source
        if isinstance(source, str):
            self.model = self._opened(source, net)
            for _, layer in _layers(self.model):  # Keras forgets some that are nested in .h5 files
                if isinstance(layer, keras.layers.Normalization):
                    layer.finalize_state()

    def _opened(self, path: str, net: Network | None) -> Any:
        if path.endswith(".weights.h5"):
            model = filling.model_of(net)
            try:
                model.load_weights(path)
            except Exception:  # it was saved from layers of other names or classes
                filling.fill(model, net)
            self._filled = True
            return model
        try:
            return keras.saving.load_model(path, compile=False)
        except Exception:
            if net is None:
                raise
        self._note = ", which cannot load the file: its weights in new layers"
        self._filled = True
        model = filling.model_of(net)
        filling.fill(model, net)
        return model

    def sizes(self) -> tuple[int | None, int | None]:
        """Return the fixed numbers of sequences and of steps."""
        shape = self._shape()
        B, T, *_ = (*shape, None, None) if shape else (None, None)
        return B, T

    def _shape(self) -> tuple[int | None, ...] | None:
        """Return the shape of the input that is not an initial state, if it is known."""
        shapes = [tensor.shape for tensor in getattr(self.model, "inputs", None) or ()]
        return next((s for s in shapes if len(s) == 3), shapes[0] if shapes else None)

    def _with_states(self, inputs: Any) -> Any:
        """Return the inputs of a model, with zeros for initial states."""
        given = getattr(self.model, "inputs", None) or ()
        if len(given) < 2:
            return inputs
        main = next((i for i, one in enumerate(given) if len(one.shape) == 3), 0)
        flat = [keras.ops.zeros((len(inputs), *one.shape[1:]), one.dtype) for one in given]
        flat[main] = inputs
        return keras.tree.pack_sequence_as(self.model.input, flat)

    def run(self, x: Array, mask: Array | None, taps: Taps) -> Trace:
        """Run the model on inputs (B, T, I); `mask` (B, T) is passed as Keras' mask."""
        layers = dict(_layers(self.model))
        units = {name: layer for name, layer in layers.items() if _halves(layer)}
        if taps is None or self._filled:
            cells = {name: len(_cells(_halves(layer)[0])) for name, layer in units.items()}
            taps = tuple(f"{name}[{k}]" for name, count in cells.items() for k in range(count))
        inputs, used = self._inputs(layers, x)
        tensors = self._with_states(keras.ops.convert_to_tensor(inputs))
        if used is not None and mask is not None:
            raise ArgumentError("mask: expected None for a model with an Embedding, which makes it")
        masks = {} if mask is None else {"mask": keras.ops.convert_to_tensor(mask)}
        rnns = [half for layer in units.values() for half in _halves(layer)]
        heard = _Heard()
        with contextlib.ExitStack() as stack:
            for rnn in rnns:
                stack.enter_context(heard.to(rnn, last=not rnn.return_sequences))
                stack.enter_context(_set(rnn, "return_sequences", True))
                if len(_cells(rnn)) > 1:
                    stack.enter_context(_set(rnn, "unroll", True))
                    for cell in _cells(rnn):
                        stack.enter_context(heard.to(cell))
            for tap in taps:
                name = str(tap).partition("[")[0]
                if name in layers and name not in units:
                    stack.enter_context(heard.to(layers[name]))
            result = self._result(tensors, masks, rnns)
        if any(r.zero_output_for_mask and not r.return_sequences for r in rnns):
            result = self._result(tensors, masks, rnns)  # unrolled, it would be the held output
        output = _array(keras.tree.flatten(result)[0])
        hidden, backwards, last = self._states(layers, heard, taps, x.shape[1])
        joined = last is not None and output.ndim == 2 and len(_halves(last)) == 2
        if joined and not _halves(last)[0].return_sequences:
            output = hidden[-1]  # the last states of both directions, which are of no one step
        elif backwards and output.ndim == 3:
            output = output[:, ::-1]
        vectors = [_array(w) for layer in units.values() for w in layer.weights if w.ndim == 1]
        return Trace(
            f"Keras {keras.__version__} on {keras.backend.backend()}{self._note}",
            hidden,
            output.astype(np.float32) if output.dtype.kind not in "f" else output,
            vectors,
            used,
            _dtype(units.values(), result),
            0 if backwards else -1,
            heard.mask,
        )

    def _result(self, tensors: Any, masks: dict[str, Any], rnns: list[Any]) -> Any:
        """Return what the model returns from zero states, in full precision."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_exact())
            for rnn in rnns:
                stack.enter_context(_without_states(rnn))
            return self.model(tensors, training=False, **masks)

    def _inputs(self, layers: dict[str, Any], x: Array) -> tuple[Array, Array | None]:
        """Return what the model reads: x, or the indices of an Embedding in front."""
        found = [part for part in layers.values() if isinstance(part, keras.layers.Embedding)]
        shape = self._shape()
        if not found or (shape and len(shape) == 3):
            if shape and len(shape) == 2:
                x = x.reshape(x.shape[:2])  # (B, T): one feature, which a Reshape adds
            return x, None
        ids, used = ids_of(x, _array(found[0].embeddings), first=int(found[0].mask_zero))
        return ids.astype(np.int32), used

    def _states(
        self, layers: dict[str, Any], heard: _Heard, taps: Taps, T: int
    ) -> tuple[list[Any], bool, Any]:
        """Return the states of each tap in the order of time, whether time runs backwards above."""
        hidden: list[Any] = []
        backwards, last = False, None
        for tap in taps or ():
            name, _, rest = str(tap).partition("[")
            layer = layers.get(name) if tap is not None else None
            halves = _halves(layer)
            if layer is None or not (halves or layer in heard):
                hidden.append(None)
                continue
            if halves and layer is not last:
                last = layer
                backwards ^= len(halves) == 1 and halves[0].go_backwards
            k = int(rest.rstrip("]")) if rest else -1
            parts = []
            for half in halves or [layer]:
                cell = _cells(half)[k] if halves else None
                if cell in heard:  # step by step, after a trial
                    states = np.stack([_array(one) for one in heard[cell][-T:]], axis=1)
                else:
                    states = _array(heard[half][0])
                turned = half.go_backwards if len(halves) == 2 else backwards
                parts.append(states[:, ::-1] if turned and states.ndim == 3 else states)
            hidden.append(np.concatenate(parts, axis=-1))
        return hidden, backwards, last


def _layers(model: Any, start: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every layer of a model and of the models nested in it, with its name."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer, f"{start}{layer.name}/")
        else:
            yield start + layer.name, layer


def _halves(layer: Any) -> list[Any]:
    """Return the RNN layers of a layer: itself, or the two of Bidirectional."""
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer] if isinstance(layer, _RNN) else []


def _cells(rnn: Any) -> list[Any]:
    return list(getattr(rnn.cell, "cells", (rnn.cell,)))


class _Heard:
    """What layers returned, call by call: the first of their results."""

    def __init__(self) -> None:
        self._results: dict[int, list[Any]] = {}
        self.mask: Array | None = None  # of the RNN layers

    def __contains__(self, layer: Any) -> bool:
        return id(layer) in self._results

    def __getitem__(self, layer: Any) -> list[Any]:
        return self._results[id(layer)]

    @contextlib.contextmanager
    def to(self, layer: Any, *, last: bool = False) -> Iterator[None]:
        """Listen to a layer; it returns only the last step if `last` is true."""
        call: Callable[..., Any] = layer.call

        def listening(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            first, *rest = result if isinstance(result, tuple | list) else (result,)
            first = keras.tree.flatten(first)[0]
            self._results.setdefault(id(layer), []).append(first)
            mask = kwargs.get("mask") if isinstance(layer, _RNN) else None
            if mask is not None:
                self.mask = np.asarray(keras.ops.convert_to_numpy(mask), dtype=bool)
            if last:
                return (first[:, -1], *rest) if rest else first[:, -1]
            return result

        vars(layer)["call"] = listening
        try:
            yield
        finally:
            del vars(layer)["call"]


@contextlib.contextmanager
def _set(layer: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(layer, name)
    setattr(layer, name, value)
    try:
        yield
    finally:
        setattr(layer, name, before)


@contextlib.contextmanager
def _without_states(rnn: Any) -> Iterator[None]:
    """Start a stateful layer from zeros; afterwards it has the states it had."""
    states = keras.tree.flatten(rnn.states) if rnn.stateful and rnn.states is not None else []
    before = [keras.ops.convert_to_numpy(state) for state in states]
    for state, value in zip(states, before, strict=True):
        state.assign(np.zeros_like(value))
    try:
        yield
    finally:
        for state, value in zip(states, before, strict=True):
            state.assign(value)


@contextlib.contextmanager
def _exact() -> Iterator[None]:
    """Compute products in full precision, also where a GPU would shorten them."""
    if keras.backend.backend() == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
    elif keras.backend.backend() == "torch":
        from elman.interop.torch.running import exact

        with exact():
            yield
    else:
        yield


def _array(value: Any) -> Array:
    """Return a tensor as an array, half precision as float32."""
    array = keras.ops.convert_to_numpy(value)
    half = array.dtype.name in ("float16", "bfloat16")
    return np.asarray(array.astype(np.float32) if half else array)


def _dtype(layers: Any, result: Any) -> str:
    """Return the coarsest dtype in which layers compute."""
    kinds = [layer.compute_dtype for layer in layers]
    kinds.append(keras.backend.standardize_dtype(keras.tree.flatten(result)[0].dtype))
    order = ("bfloat16", "float16", "float32", "float64")
    found = [kind for kind in order if kind in kinds]
    if not found:
        raise UnsupportedModelError(f"source: expected layers that compute in floats, got {kinds}")
    return "float32" if found[0] == "float64" and not _has_float64() else found[0]


def _has_float64() -> bool:
    """Return whether products have double precision: Keras 3.15 on PyTorch has none."""
    number = 1 + 2.0**-40
    product = keras.ops.matmul(np.full((1, 1), number), np.ones((1, 1)))
    return float(keras.ops.convert_to_numpy(product)[0, 0]) == number
