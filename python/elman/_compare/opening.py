"""Open a source: what runs it, the parts to listen to, and a new reading of it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from elman import _arguments, _files
from elman._parameters import structure_of
from elman.errors import ArgumentError, ArgumentTypeError, ElmanError
from elman.interop import formats, keras, onnx, torch
from elman.interop._source import Imported, Said, Source, Trace
from elman.reference.forward import by_layer, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from elman._network import Network
    from elman._typing import Array
    from elman.interop._source import Taps


class Opened(NamedTuple):
    """A source that can be run."""

    name: str
    runs: Source
    taps: Taps
    read: Callable[[], Imported]  # raises if the source is not supported
    masks: bool = True  # as in Imported


def open_source(net: Network, source: Any, options: dict[str, Any]) -> Opened:
    """Open a source; a live model that cannot be read can still be run."""
    name = type(source).__name__
    if isinstance(source, Imported):
        return _of_imported(net, "the source", source)
    if isinstance(source, str | os.PathLike):
        path = _files.name_of(source, "source")
        return _of_imported(net, path, _read_file(net, path, options))
    if isinstance(source, bytes) or name == "ModelProto":
        formats.check_options(options, "onnx", "the ONNX model")
        found = onnx.read(source, **options)
        return _of_imported(net, "the ONNX model", found)
    if _is_live(source, "keras", "Model"):  # first: it may be a torch module too
        formats.check_options(options, "keras", name)
        return _of_live(
            net, name, keras.reading.runs(source), lambda: keras.read(source, Said(**options))
        )
    if isinstance(source, tuple | list) or _is_live(source, "torch.nn", "Module"):
        formats.check_options(options, "torch", name)
        g = net.output_activation
        said = Said(**({"output_activation": None if g is None else str(g)} | options))

        def read() -> Imported:
            try:
                return torch.read(source, said)
            except ArgumentError:
                with contextlib.suppress(ElmanError):
                    return torch.read(source, Said(**options))  # its own head is another
                raise

        return _of_live(net, name, torch.reading.modules(source), read)
    raise ArgumentTypeError(
        "source: expected a torch module, a Keras model, an ONNX model or a path, got"
        f" {_arguments.kind(source)}"
    )


def _of_imported(net: Network, name: str, imported: Imported) -> Opened:
    runs, taps = imported.source or _own(imported.network), imported.taps
    if taps is not None and len(taps) != net.num_layers:
        taps = None  # the network has other layers
    return Opened(name, runs, taps, lambda: imported, imported.masks)


def _of_live(net: Network, name: str, runs: Source, read: Callable[[], Imported]) -> Opened:
    try:
        imported = read()
    except (ElmanError, TypeError):
        return Opened(name, runs, None, read)
    return _of_imported(net, name, imported._replace(source=imported.source or runs))


def _own(net: Network) -> Source:
    """Return a network of an elman file as a source, which the NumPy reference runs."""

    def of_reference(x: Array, mask: Array | None, taps: Taps) -> Trace:
        ours = run(net, x, mask=mask)
        hidden = list(by_layer(net, ours.hidden))
        return Trace("the NumPy reference", hidden, ours.output, [])

    return Source("elman", of_reference)


def _is_live(source: object, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(source, getattr(loaded, name))


def _read_file(net: Network, path: str, options: dict[str, Any]) -> Imported:
    """Read a file; for files of weights only, take the activations from the network."""
    known = options_of(net, path)
    if "activation" in known and isinstance(options.get("readout"), list | tuple):
        known |= _of_several(net)  # the parts of the readout are layers of the network
    return formats.read(path, **(known | options))


def _of_several(net: Network) -> dict[str, Any]:
    """Return the activations of the recurrent layers, and of all others with the readout's."""
    layers: list[Any] = []
    above: list[Any] = []
    for layer, activation in zip(net.layers, structure_of(net).layer_activations, strict=True):
        (layers if layer.W_hh.any() else above).append(activation)
    return {"activation": layers, "output_activation": [*above, net.output_activation]}


def options_of(net: Network, path: str) -> dict[str, Any]:
    """Return the options for reading a file: what it does not store is as in the network."""
    if formats.framework_of(path) != "torch" and not path.endswith(".weights.h5"):
        return {}
    activations = structure_of(net).layer_activations
    return {"activation": activations, "output_activation": net.output_activation}
