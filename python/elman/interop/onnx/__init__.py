"""Read ONNX models into networks, and write networks as ONNX models.

A graph is evaluated symbolically (`values`, `fields`, `arithmetic`, `axes`): each tensor becomes an
expression of the inputs and the weights. Recurrent layers come from RNN nodes (`recurrent`) or from
a recurrence unrolled step by step (`unrolled`). `assembling` builds the network, or refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from elman._network import Network
    from elman._typing import Array
    from elman.interop._source import Imported, Taps, Trace

    Proto = Any  # of onnx, whose types are not read

__all__ = ["from_onnx", "read", "to_onnx"]


def read(
    source: str | os.PathLike[str] | bytes | Proto,
    *,
    external_data: bool = False,
    embedding: str = "one_hot",
) -> Imported:
    """Return the network of an ONNX model, with a row for each part of the source.

    Arguments and errors are as for `elman.from_onnx`.
    """
    from elman.interop._source import Imported, Source, require_embedding
    from elman.interop.onnx.file import load
    from elman.interop.onnx.graph import read_graph
    from elman.interop.onnx.reading import read_network
    from elman.interop.onnx.table import with_props

    require_embedding(embedding)
    model = load(source, external_data=external_data)
    graph = read_graph(model)
    reading = read_network(graph, rows=embedding == "rows")

    def run(x: Array, mask: Array | None, taps: Taps) -> Trace:
        from elman.interop.onnx import running

        return running.run(model, reading, x, taps)

    x_name, kinds, *_ = reading.model.inputs
    known = dict(zip(kinds, graph.inputs[x_name].sizes or [None] * 3, strict=False))
    frozen = known.get("B", 1), known.get("T")
    source = Source("onnx", run, lambda: frozen)
    network = with_props(reading.network, model)
    return Imported(network, reading.rows, source, tuple(reading.taps))


def from_onnx(
    source: str | os.PathLike[str] | bytes | Proto,
    *,
    external_data: bool = False,
    embedding: str = "one_hot",
) -> Network:
    """Read a network from an ONNX model.

    Chains of RNN nodes from any exporter are read, with the reshapes, linear maps, scalings and
    activations in front, between and behind, for every step or only the last. So are graphs whose
    recurrence is unrolled step by step, as PyTorch's exporter
    (`torch.onnx.export(..., dynamo=True)`) writes them: the steps are proven equal and rolled up,
    so that a model exported for 14 steps runs over any number, and as a stream.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
        The model.
    external_data : bool
        Read tensors stored in other files, such as the `NAME.onnx.data` of PyTorch's exporter.
        Only regular files that the model names, in its own folder, are opened.
    embedding : {"one_hot", "rows"}
        What the network of a model with an embedding, which reads integers, reads instead: one-hot
        vectors of the vocabulary, or rows of the table, which must then be looked up.

    Returns
    -------
    Network
        Its x is (..., T, I), whatever the order of time and batch in the graph. If the graph
        returns only the last step, call `net(x, outputs="last")`; if it reads a state, pass one to
        `net.run`. Metadata and table written by `to_onnx` are restored.

    Raises
    ------
    UnsupportedModelError
        If a `Network` cannot express the model (the message names the node and the reason), or if
        it has data in other files and `external_data` is False.
    ModelFormatError, LimitError
        If the model is damaged, or exceeds the limits.
    ImportError
        If onnx is missing.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> elman.from_onnx(elman.to_onnx(net)) == net
    True
    """
    return read(source, external_data=external_data, embedding=embedding).network


def to_onnx(net: Network, path: str | os.PathLike[str] | None = None) -> Proto | None:
    """Return the network as an ONNX model, or write it to a file atomically.

    The graph has an RNN node for each layer, the inputs `x` (T, B, I) and `state`
    (B, state_size), and the outputs `y` (T, B, O) and `next_state` (B, state_size); T and B are
    free. To stream, feed `next_state` back as `state`. `state` is optional: it is also an
    initializer, one row of the network's `initial_state` (or zeros), repeated for every sequence.
    ONNX stores the parameters of activations in float32 and has one `clip` for both directions.
    ONNX Runtime runs RNN in float32 only: `elman.to_onnx(net.astype("float32"))`. The network's
    metadata, table and `masked` become the model's metadata `user.*`, `elman.table` and
    `elman.masked`.

    Parameters
    ----------
    path : path, optional
        File to write. None: return the model.

    Returns
    -------
    onnx.ModelProto or None
        The model, if `path` is None; `elman.from_onnx` returns the same network.

    Raises
    ------
    ArgumentError
        If the two directions of a layer have different `clip` values, or the suffix of the path
        belongs to another format.
    OSError
        If the file cannot be written.
    ImportError
        If onnx is missing.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> [output.name for output in elman.to_onnx(net).graph.output]
    ['y', 'next_state']
    """
    from elman import _files, _format
    from elman._network import require_network
    from elman.interop.onnx.writing import write

    require_network(net)
    if path is not None:
        _format.require_suffix(path, ".onnx", "ONNX's")
    model = write(net)
    if path is None:
        return model
    _files.replace(path, model.SerializeToString(deterministic=True))
    return None
