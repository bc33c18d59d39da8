"""ONNX models: read into networks, and written from them.

A graph is read in symbols (`values`, `fields`, `operators`): what each tensor is in terms of the
inputs and the weights. Recurrent layers come from RNN nodes (`recurrent`) or from a recurrence that
was written out step by step (`unrolled`), and `assembling` makes a network of them or refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from elman._network import Network
    from elman._typing import Array
    from elman.interop._source import Imported, Trace

    Proto = Any  # of onnx, whose types are not read

__all__ = ["from_onnx", "read", "to_onnx"]


def read(
    source: str | os.PathLike[str] | bytes | Proto, *, external_data: bool = False
) -> Imported:
    """Return the network of an ONNX model, and where each of its parts came from.

    The arguments and errors are those of `elman.from_onnx`.
    """
    from elman.interop._source import Imported, Source
    from elman.interop.onnx.file import load
    from elman.interop.onnx.graph import read_graph
    from elman.interop.onnx.reading import read_network
    from elman.interop.onnx.table import with_table

    model = load(source, external_data=external_data)
    graph = read_graph(model)
    reading = read_network(graph)

    def run(x: Array, mask: Array | None) -> Trace:
        from elman.interop.onnx import running

        return running.run(model, reading, frozen, x)

    sizes = graph.inputs[reading.parts.x].sizes or [None] * 3
    known = dict(zip(reading.parts.x_kinds, sizes, strict=False))
    frozen = known.get("B", 1), known.get("T")
    return Imported(with_table(reading.network, model), reading.rows, Source("onnx", run, frozen))


def from_onnx(
    source: str | os.PathLike[str] | bytes | Proto, *, external_data: bool = False
) -> Network:
    """Read a network from an ONNX model.

    Chains of RNN nodes are read with whatever reshapes stand between them and with a readout of one
    linear map and one activation, for every step or for the last alone, from any exporter. So are
    graphs in which a recurrence is written out step by step, as PyTorch's present exporter
    (`torch.onnx.export(..., dynamo=True)`) leaves them: the steps are proven to be alike and are
    rolled up, so that a model that was exported for 14 steps runs over any number, and as a stream.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
        The model.
    external_data : bool
        Read tensors that are kept in other files, as PyTorch's exporter does in `NAME.onnx.data`.
        Only regular files in the model's own folder are opened, and only those it names.

    Returns
    -------
    Network
        Its x is (..., T, I) in whatever order the graph has time and batch. Where the graph gives
        the last step alone, call `net(x, outputs="last")`; where it reads a state, give `net.run`
        one. It has the metadata and the table of a network that `to_onnx` wrote.

    Raises
    ------
    UnsupportedModelError
        If the model holds anything that a `Network` cannot express, with the node and the reason;
        or data in other files without `external_data`.
    ModelFormatError, LimitError
        If the model is damaged, or is beyond what is read.
    ImportError
        If onnx is missing.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> elman.from_onnx(elman.to_onnx(net)) == net
    True
    """
    return read(source, external_data=external_data).network


def to_onnx(net: Network, path: str | os.PathLike[str] | None = None) -> Proto | None:
    """Return the network as an ONNX model, or write it to a file, whole or not at all.

    The graph has an RNN node for each layer, the inputs `x` (T, B, I) and `state`
    (B, state_size) and the outputs `y` (T, B, O) and `next_state` (B, state_size), with T and B
    free. To stream, feed `next_state` back as `state`. `state` may be left out: it is an
    initializer as well, one row of the network's `initial_state` (zeros if there is none),
    repeated for every sequence. ONNX keeps activations' parameters in float32 and has one
    `clip` for both directions. ONNX Runtime runs RNN in float32 alone:
    `elman.to_onnx(net.astype("float32"))`. The network's metadata and its table are among the
    model's own, as `user.*` and `elman.table`.

    Parameters
    ----------
    path : path, optional
        Where to write the model. None: it is returned.

    Returns
    -------
    onnx.ModelProto or None
        The model, if it is not written; `elman.from_onnx` makes the network of it again.

    Raises
    ------
    ArgumentError
        If the two directions of a layer clip differently.
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
    from elman import _files
    from elman._network import require_network
    from elman.interop.onnx.writing import write

    require_network(net)
    model = write(net)
    if path is None:
        return model
    _files.replace(path, model.SerializeToString(deterministic=True))
    return None
