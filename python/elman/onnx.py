"""Run ONNX models on elman, as the package onnx and its tests call a backend.

`elman.from_onnx` is what turns a model into a network. This module is the interface of
`onnx.backend.base`, for tools that compare backends: inputs and outputs are those of the graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import onnx
    from onnx.backend.base import Backend, BackendRep, Device, DeviceType
except ModuleNotFoundError as error:
    if error.name != "onnx":
        raise
    raise ModuleNotFoundError(
        "elman.onnx needs onnx: pip install 'elman[onnx]'", name=error.name
    ) from error

from elman.errors import ArgumentError, ElmanError
from elman.interop.onnx.files import External, load_proto
from elman.interop.onnx.running import runner

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Proto = Any  # of onnx, whose types are not read

__all__ = ["ElmanBackend", "is_compatible", "prepare", "run_model", "run_node", "supports_device"]


class PreparedModel(BackendRep):  # type: ignore[misc]
    """A model that is ready to run."""

    def __init__(self, model: Proto, *, external_data: bool = False) -> None:
        proto, folder = load_proto(model)
        self._runner = runner(proto, External(folder, allowed=external_data))

    def run(self, inputs: Sequence[Any] | Mapping[str, Any], **kwargs: object) -> tuple[Any, ...]:
        """Return the outputs of the graph.

        Parameters
        ----------
        inputs : sequence or mapping of array_like
            The graph's inputs in its order, or by name.
        **kwargs
            Ignored, as backends do.

        Returns
        -------
        tuple of ndarray
            The graph's outputs in its order.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If an input is not what the graph takes.
        """
        return tuple(self._runner.run(inputs))


class ElmanBackend(Backend):  # type: ignore[misc]
    """The backend: graphs of one RNN with everything it has, and what `from_onnx` reads."""

    @classmethod
    def is_compatible(cls, model: Proto, device: str = "CPU", **kwargs: object) -> bool:
        """Say whether a model can be run."""
        try:
            cls.prepare(model, device)
        except ElmanError:
            return False
        return True

    @classmethod
    def prepare(
        cls,
        model: os.PathLike[str] | str | bytes | Proto,
        device: str = "CPU",
        *,
        external_data: bool = False,
        **kwargs: object,
    ) -> PreparedModel:
        """Return a model that is ready to run.

        Parameters
        ----------
        model : path, bytes or onnx.ModelProto
            A graph of one node RNN, any inputs of which may be inputs of the graph; or a model
            that `elman.from_onnx` reads.
        device : str
            "CPU".
        external_data : bool
            As for `elman.from_onnx`.
        **kwargs
            Ignored, as backends do.

        Returns
        -------
        PreparedModel
            Its `run` takes the graph's inputs and returns its outputs.

        Raises
        ------
        UnsupportedModelError, ModelFormatError, LimitError
            As for `elman.from_onnx`.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        >>> prepared = elman.onnx.prepare(net.to_onnx())
        >>> y, state = prepared.run([np.ones((10, 5, 3), np.float32)])
        >>> y.shape, state.shape
        ((10, 5, 2), (5, 8))
        """
        if not cls.supports_device(device):
            raise ArgumentError(f"device: expected 'CPU', got {device!r}")
        return PreparedModel(model, external_data=external_data)

    @classmethod
    def run_node(
        cls,
        node: Proto,
        inputs: Sequence[Any],
        device: str = "CPU",
        outputs_info: object = None,
        **kwargs: object,
    ) -> tuple[NDArray[Any], ...]:
        """Run one node on the inputs that it names."""
        arrays = [np.asarray(value) for value in inputs]
        helper = onnx.helper
        values = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in zip([n for n in node.input if n], arrays, strict=True)
        ]
        outputs = [
            helper.make_tensor_value_info(n, values[0].type.tensor_type.elem_type, None)
            for n in node.output
            if n
        ]
        model = helper.make_model(helper.make_graph([node], "node", values, outputs))
        return cls.prepare(model, device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Say whether this is the processor."""
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


is_compatible = ElmanBackend.is_compatible
prepare = ElmanBackend.prepare
run_model = ElmanBackend.run_model
run_node = ElmanBackend.run_node
supports_device = ElmanBackend.supports_device
