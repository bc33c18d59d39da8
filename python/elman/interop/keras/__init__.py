"""Networks from Keras: `.keras`, `.weights.h5` and the legacy `.h5`, read without Keras."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from elman import _arguments
from elman._files import naming
from elman.errors import ArgumentError, ModelFormatError, UnsupportedModelError
from elman.interop.files import read_file
from elman.interop.imported import Imported, Row
from elman.interop.keras.files import open_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from elman._arguments import LayerActivation
    from elman.activation import Activation
    from elman.interop.keras.files import Find, Weights
    from elman.interop.keras.model import Cell, Dense, Model, Recurrent
    from elman.network import Network

    Activations = LayerActivation | Sequence[LayerActivation]
    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

__all__ = ["from_keras", "read"]


def from_keras(
    path: Path,
    *,
    activation: Activations | None = None,
    output_activation: str | Activation | None = None,
    layers: Sequence[str] | None = None,
    readout: str | bool | None = None,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> Network:
    """Make a network of a model that Keras saved; needs h5py (extra `keras`), and never Keras.

    A file is data here: nothing in it is run, no other file is opened, and the memory taken is in
    proportion to its size. The HDF5 library parses it.

    The model may be Sequential, or functional with one chain: SimpleRNN, RNN of SimpleRNNCell or of
    several, Bidirectional (concat), then perhaps Dense (or TimeDistributed of it, or an Activation
    after it). Dropout and noise act in training only; `read` says what became of every part.

    - Below `return_sequences=False` the last output is meant: `net(x, outputs="last")`.
    - `Masking` becomes the `mask` of `Network.run`; Keras repeats the output before a masked step
      (`masked="hold"`), or gives zeros with `zero_output_for_mask` (`"zero"`).
    - `go_backwards` becomes a layer that reads in reverse. Keras returns its outputs in the order
      of reading, elman in the order of time: Keras' last output is elman's first.
    - A bidirectional RNN with `return_sequences=False` joins the last states of both directions,
      which is no output of any step: `readout=False` reads it without its Dense layer, and
      `net.run(x).state` ends with what Keras returns.

    Parameters
    ----------
    path : path
        A `.keras` file, a legacy `.h5` file, or `.weights.h5`, which holds no activations and no
        order of layers of different classes.
    activation, output_activation : str or Activation, optional
        For `.weights.h5` they must be given; elsewhere the file says them.
    layers : sequence of str, optional
        For `.weights.h5`: the names of the recurrent layers in the file, from the bottom up
        (`["bidirectional", "simple_rnn"]`), where there are several classes.
    readout : str or False, optional
        False: without the Dense layer, the output is the top layer's state. For `.weights.h5` also
        the name of the Dense layer.
    dtype : dtype, optional
        float32 or float64; by default the common one of the weights.
    metadata : mapping of str to str, optional
        Your own words, as for `Network`.
    allow_nonfinite : bool
        Accept NaN and infinities among the weights.

    Returns
    -------
    Network

    Raises
    ------
    UnsupportedModelError
        If a layer is something else, such as LSTM or Lambda: the message says which, and why.
    ArgumentError
        If something must be said, or is contradicted by the file.
    ModelFormatError, LimitError, OSError
        If a file is damaged, too large, or cannot be read.
    ImportError
        If h5py is missing.

    Examples
    --------
    >>> import elman
    >>> net = elman.from_keras("model.keras")                               # doctest: +SKIP
    """
    return read(
        path,
        activation=activation,
        output_activation=output_activation,
        layers=layers,
        readout=readout,
        dtype=dtype,
        metadata=metadata,
        allow_nonfinite=allow_nonfinite,
    ).network


def read(
    path: Path,
    *,
    activation: Activations | None = None,
    output_activation: str | Activation | None = None,
    layers: Sequence[str] | None = None,
    readout: str | bool | None = None,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> Imported:
    """Return the network of `from_keras`, and what became of each part of the file."""
    from elman.network import Network

    path = os.fsdecode(path)
    with naming(path):
        model, find = open_model(read_file(path), layers, readout)
        if readout is False:
            model = model._replace(dense=None)
        _require_steps(model)
        single = [part for layer in model.recurrent for part in _unstacked(layer)]
        parts = [_part(layer, find) for layer in single]
        head = None if model.dense is None else find(model.dense, model.dense.cell)
        _check_shapes(parts, head)
    arrays = {
        name: array for part in parts for half in part.halves for name, array in half.values()
    }
    arrays |= dict(head.values()) if head else {}
    directions = _directions(model)
    return Imported(
        Network.from_weights(
            [part.weights for part in parts],
            None if head is None else _readout(head),
            activation=_activations(activation, parts, directions),
            output_activation=_output_activation(output_activation, model.dense),
            direction=directions,
            dtype=_arguments.common_dtype(arrays) if dtype is None else dtype,
            metadata=metadata,
            allow_nonfinite=allow_nonfinite,
        ),
        [*_weight_rows(parts, head), *_step_rows(model, directions), *model.rows],
    )


def _readout(head: Weights) -> tuple[NDArray[Any], NDArray[Any] | None]:
    return head["kernel"][1].T, head["bias"][1] if "bias" in head else None


class _Part(NamedTuple):
    """A layer of elman: the weights of one direction or of both, and their activations."""

    name: str
    cells: list[Cell]
    halves: list[Weights]

    @property
    def weights(self) -> Any:
        """The entry of `Network.from_weights`."""
        triples = [
            (half["kernel"][1].T, half["recurrent_kernel"][1].T, half["bias"][1])
            if "bias" in half
            else (half["kernel"][1].T, half["recurrent_kernel"][1].T, None)
            for half in self.halves
        ]
        return triples[0] if len(triples) == 1 else tuple(triples)


def _unstacked(layer: Recurrent) -> list[Recurrent]:
    """Return a layer of Keras as layers of one cell."""
    return [layer._replace(cells=[cell]) for cell in layer.cells]


def _part(layer: Recurrent, find: Find) -> _Part:
    cells = layer.cells if layer.backward is None else [*layer.cells, layer.backward]
    return _Part(layer.name, cells, [find(layer, cell) for cell in cells])


# --- what elman makes of it -----------------------------------------------------------------------


def _check_shapes(parts: list[_Part], head: Weights | None) -> None:
    """Refuse the gates of other cells, and kernels that do not fit."""
    below = None
    for part in parts:
        for cell, half in zip(part.cells, part.halves, strict=True):
            path, recurrent = half["recurrent_kernel"]
            U = recurrent.shape[0] if recurrent.ndim else 0
            for gates, kind in ((4, "LSTM"), (3, "GRU")):
                if recurrent.shape == (U, gates * U):
                    raise UnsupportedModelError(
                        f"{path}: expected the (U, U) of SimpleRNN, got {recurrent.shape}: {kind}"
                    )
            U = cell.units or U
            I = half["kernel"][1].shape[0] if below is None and half["kernel"][1].ndim else below
            for kind, shape in (("kernel", (I, U)), ("recurrent_kernel", (U, U)), ("bias", (U,))):
                _require_shape(half, kind, shape)
        below = len(part.halves) * U
    if head is not None:
        _require_shape(head, "kernel", (below, *head["kernel"][1].shape[1:2]))
        _require_shape(head, "bias", head["kernel"][1].shape[1:])


def _require_shape(weights: Weights, kind: str, shape: tuple[int | None, ...]) -> None:
    if kind in weights and weights[kind][1].shape != shape:
        path, array = weights[kind]
        raise ModelFormatError(f"{path}: expected {shape}, got {array.shape}")


def _require_steps(model: Model) -> None:
    """Refuse outputs that belong to no step, or whose halves are not in the order of time."""
    reversed_ = False
    for layer in model.recurrent:
        reversed_ ^= layer.go_backwards
        if layer.backward is not None and reversed_:
            raise UnsupportedModelError(
                f"layer {layer.name!r}: expected a bidirectional layer that reads in the order of"
                " time, got one above go_backwards"
            )
    top = model.recurrent[-1]
    if top.backward is not None and not top.return_sequences and model.dense is not None:
        raise UnsupportedModelError(
            f"layer {top.name!r}: expected return_sequences=True, got False, which joins the last"
            " states of both directions: readout=False reads the model without its Dense layer, and"
            " net.run(x).state ends with these states"
        )


def _directions(model: Model) -> list[str]:
    """Return how each layer reads, in the order of time: go_backwards turns all that follows."""
    directions = []
    reversed_ = False
    for layer in model.recurrent:
        reversed_ ^= layer.go_backwards
        one = "reverse" if reversed_ else "forward"
        directions += ["bidirectional" if layer.backward else one] * len(layer.cells)
    return directions


def _activations(given: Activations | None, parts: list[_Part], directions: list[str]) -> Any:
    """Return the activations as `Network.from_weights` takes them: known, or as they were said."""
    cells = [(part, cell) for part in parts for cell in part.cells]
    if cells[0][1].activation is None:
        if given is None:
            raise ArgumentError(
                "activation: expected the activation of the layers, which a file of weights does"
                " not hold, got none"
            )
        return given
    if given is not None:
        said = _arguments.activations(given, directions)
        for (part, cell), name in zip(cells, said, strict=True):
            if cell.activation != name:
                raise ArgumentError(
                    f"activation: expected {str(cell.activation)!r}, as the file says of"
                    f" {part.name!r}, got {str(name)!r}"
                )
    known = [[cell.activation for cell in part.cells] for part in parts]
    return [names[0] if len(names) == 1 else names for names in known]


def _output_activation(given: str | Activation | None, dense: Dense | None) -> Any:
    if dense is None:
        if given is not None:
            raise ArgumentError(
                f"output_activation: expected none, as there is no readout, got {str(given)!r}"
            )
        return None
    known = dense.cell.activation
    if given is None and known is None:
        raise ArgumentError(
            f"output_activation: expected the activation of {dense.name!r}, which a file of weights"
            " does not hold, got none"
        )
    if None not in (given, known) and given != known:
        raise ArgumentError(
            f"output_activation: expected {str(known)!r}, as the file says, got {str(given)!r}"
        )
    return known if given is None else given


def _weight_rows(parts: list[_Part], head: Weights | None) -> list[Row]:
    targets = {"kernel": "W_xh", "recurrent_kernel": "W_hh", "bias": "b_h"}
    rows = []
    for index, part in enumerate(parts):
        for place, half in zip(("", "reverse."), part.halves, strict=False):
            for kind, (path, _) in half.items():
                note = "" if kind == "bias" else "transposed"
                rows.append(Row(path, f"layers.{index}.{place}{targets[kind]}", note))
    for kind, (path, _) in (head or {}).items():
        target = "readout.b_y" if kind == "bias" else "readout.W_hy"
        rows.append(Row(path, target, "" if kind == "bias" else "transposed"))
    return rows


def _step_rows(model: Model, directions: list[str]) -> list[Row]:
    """Say which step is meant, and in which order Keras returns the steps."""
    top = model.recurrent[-1]
    backwards = directions[-1] == "reverse"
    if top.backward is not None and not top.return_sequences:
        return [Row(f"{top.name}.return_sequences=False", "", "the end of net.run(x).state")]
    if not top.return_sequences:
        how = "net(x)[..., 0, :]" if backwards else "net(x, outputs='last')"
        return [Row(f"{top.name}.return_sequences=False", "", f"{how} gives this output")]
    if backwards:
        return [Row(f"{top.name}.go_backwards", "", "Keras' y[t] is elman's y[T - 1 - t]")]
    return []
