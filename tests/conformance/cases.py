"""Cases for the ONNX operator RNN: nodes of each kind, their inputs and expected outputs.

Every case has several steps and a recurrent matrix that matters: `tests/test_onnx_conformance.py`
checks that each input and attribute of a case affects its outputs.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from conformance import reference

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h")
_PARAMETERS: dict[str, dict[str, list[float]]] = {
    "LeakyRelu": {"activation_alpha": [0.3]},
    "ThresholdedRelu": {"activation_alpha": [0.4]},
    "HardSigmoid": {"activation_alpha": [0.35], "activation_beta": [0.4]},
    "Elu": {"activation_alpha": [1.7]},
    "Affine": {"activation_alpha": [0.6], "activation_beta": [0.1]},
    "ScaledTanh": {"activation_alpha": [1.5], "activation_beta": [0.7]},
}


class Case(NamedTuple):
    """A node, its inputs, and the requested outputs."""

    group: str
    name: str
    attributes: dict[str, Any]
    inputs: dict[str, Array]
    outputs: tuple[str, ...] = ("Y", "Y_h")
    opset: int = 22

    def expected(self) -> dict[str, Array]:
        """Return the specified outputs, in float64."""
        values = reference.rnn(self.attributes, self.inputs)
        return {name: values[name] for name in self.outputs}

    def model(self) -> onnx.ModelProto:
        """Return a model of this one node, whose weights are initializers."""
        return _model(self)


def _make(
    group: str,
    name: str,
    *options: str,
    dtype: str = "float32",
    direction: str = "forward",
    sizes: tuple[int, int, int, int] = (5, 3, 4, 6),
    lengths: tuple[int, ...] | None = None,
    layout: int = 0,
    outputs: tuple[str, ...] = ("Y", "Y_h"),
    opset: int = 22,
    **attributes: Any,
) -> Case:
    """Return a case with random values; `sizes` are T steps, N sequences, I inputs, H units.

    Its options are "bias", "initial_h" and "no hidden_size".
    """
    T, N, I, H = sizes
    D = 2 if direction == "bidirectional" else 1
    rng = np.random.default_rng([ord(c) for c in f"{group} {name}"])

    def numbers(*shape: int) -> Array:
        return rng.uniform(-1, 1, shape).astype(dtype)

    scale = np.dtype(dtype).type(1.2 / np.sqrt(H))  # a contraction for most activations
    inputs = {"X": 2 * numbers(T, N, I), "W": numbers(D, H, I), "R": scale * numbers(D, H, H)}
    if "bias" in options:
        inputs["B"] = numbers(D, 2 * H) / 2
    if lengths is not None:
        inputs["sequence_lens"] = np.array(lengths, np.int32)
    if "initial_h" in options:
        inputs["initial_h"] = numbers(D, N, H)
    if layout:
        attributes["layout"] = layout
        for key in ("X", "initial_h"):
            if key in inputs:
                inputs[key] = np.ascontiguousarray(inputs[key].swapaxes(0, 1))
    if direction != "forward":
        attributes["direction"] = direction
    if "no hidden_size" not in options:
        attributes["hidden_size"] = H
    return Case(group, name, attributes, inputs, outputs, opset)


@functools.cache
def cases() -> tuple[Case, ...]:
    """Return all cases."""
    made = [*_plain(), *_activations(), *_clips(), *_lengths(), *_directions(), *_layouts()]
    made += [*_doubles(), *_together()]
    assert len({(case.group, case.name) for case in made}) == len(made)
    return tuple(made)


def _plain() -> list[Case]:
    group = "plain"
    return [
        _make(group, "X, W, R"),
        _make(group, "bias", "bias"),
        _make(group, "initial_h", "initial_h"),
        _make(group, "bias, initial_h", "bias", "initial_h"),
        _make(group, "hidden_size left out", "bias", "no hidden_size"),
        _make(group, "only Y", "bias", outputs=("Y",)),
        _make(group, "only Y_h", "bias", outputs=("Y_h",)),
        _make(group, "one step", "bias", "initial_h", sizes=(1, 3, 4, 6)),
        _make(group, "forty steps", "bias", sizes=(40, 2, 3, 5)),
        _make(group, "one sequence", "bias", sizes=(7, 1, 4, 6)),
        _make(group, "one input, one unit", "bias", "initial_h", sizes=(6, 2, 1, 1)),
        _make(group, "seventeen units", "bias", "initial_h", sizes=(4, 2, 9, 17)),
        _make(group, "opset 7", "bias", "initial_h", opset=7),
        _make(group, "opset 14", "bias", "initial_h", opset=14),
    ]


def _activations() -> list[Case]:
    group = "activations"
    made = []
    for name in reference.ACTIVATIONS:
        for direction in ("forward", "reverse"):
            title = f"{name} {direction}"
            options = ("bias", "initial_h")
            with_parameters = _PARAMETERS.get(name, {})
            if with_parameters:
                made.append(
                    _make(
                        group,
                        f"{title}, parameters",
                        *options,
                        direction=direction,
                        activations=[name],
                        **with_parameters,
                    )
                )
            if name not in ("Affine", "ScaledTanh"):  # which have no defaults
                made.append(_make(group, title, *options, direction=direction, activations=[name]))
    return made


def _clips() -> list[Case]:
    return [
        _make(
            "clip",
            f"{name} {direction}",
            "bias",
            direction=direction,
            clip=0.6,
            activations=[name] * directions,
        )
        for direction, directions in (("forward", 1), ("reverse", 1), ("bidirectional", 2))
        for name in ("Tanh", "Relu", "Sigmoid")
    ]


def _lengths() -> list[Case]:
    group = "sequence_lens"
    lengths = {
        "all": (5, 5, 5, 5),
        "falling": (5, 4, 2, 1),
        "rising": (1, 2, 4, 5),
        "with 0": (3, 0, 5, 1),
        "all shorter": (2, 3, 1, 2),
    }
    return [
        _make(
            group,
            f"{name} {direction}{', initial_h' if start else ''}",
            "bias",
            *(["initial_h"] if start else []),
            direction=direction,
            lengths=n,
            sizes=(5, 4, 3, 5),
        )
        for (name, n), direction, start in itertools.product(
            lengths.items(), ("forward", "reverse", "bidirectional"), (False, True)
        )
    ]


def _directions() -> list[Case]:
    group = "direction"
    made = [
        _make(group, f"{direction}{title}", *options, direction=direction)
        for direction in ("reverse", "bidirectional")
        for title, options in (
            ("", ()),
            (", bias", ("bias",)),
            (", bias, initial_h", ("bias", "initial_h")),
        )
    ]
    pairs = [("Tanh", "Relu"), ("Sigmoid", "Tanh"), ("Softsign", "Softplus")]
    made += [
        _make(
            group,
            f"bidirectional {f} and {g}",
            "bias",
            direction="bidirectional",
            activations=[f, g],
        )
        for f, g in pairs
    ]
    made.append(
        _make(
            group,
            "bidirectional, two alphas",
            "bias",
            direction="bidirectional",
            activations=["LeakyRelu", "Elu"],
            activation_alpha=[0.25, 1.5],
        )
    )
    made.append(
        _make(
            group,
            "bidirectional, two alphas and betas",
            "bias",
            direction="bidirectional",
            activations=["HardSigmoid", "ScaledTanh"],
            activation_alpha=[0.3, 1.2],
            activation_beta=[0.45, 0.8],
        )
    )
    return made


def _layouts() -> list[Case]:
    return [
        _make(
            "layout 1",
            f"{direction}{', lengths' if lengths else ''}",
            "bias",
            "initial_h",
            layout=1,
            direction=direction,
            lengths=lengths,
        )
        for direction in ("forward", "reverse", "bidirectional")
        for lengths in (None, (5, 0, 3))
    ]


def _doubles() -> list[Case]:
    made = [
        _make(
            "float64",
            f"{direction}{', lengths' if lengths else ''}",
            "bias",
            "initial_h",
            dtype="float64",
            direction=direction,
            lengths=lengths,
        )
        for direction in ("forward", "reverse", "bidirectional")
        for lengths in (None, (5, 0, 3))
    ]
    made += [
        _make(
            "float64",
            name,
            "bias",
            dtype="float64",
            activations=[name],
            **_PARAMETERS.get(name, {}),
        )
        for name in reference.ACTIVATIONS
    ]
    return made


def _together() -> list[Case]:
    """Return cases that combine all options."""
    return [
        _make(
            "together",
            f"{f} and {g}, layout {layout}, {dtype}",
            "bias",
            "initial_h",
            dtype=dtype,
            layout=layout,
            direction="bidirectional",
            lengths=(4, 0, 6, 1),
            sizes=(6, 4, 3, 5),
            clip=1.1,
            activations=[f, g],
            **parameters,
        )
        for f, g, parameters in (
            ("Tanh", "Tanh", {}),
            ("Relu", "Sigmoid", {}),
            ("LeakyRelu", "Elu", {"activation_alpha": [0.2, 0.9]}),
        )
        for layout in (0, 1)
        for dtype in ("float32", "float64")
    ]


def _model(case: Case) -> onnx.ModelProto:
    import onnx
    from onnx import helper, numpy_helper

    element = helper.np_dtype_to_tensor_dtype(case.inputs["X"].dtype)
    fed = [name for name in _INPUTS if name in case.inputs and name not in ("W", "R", "B")]
    node = helper.make_node(
        "RNN",
        [name if name in case.inputs else "" for name in _INPUTS],
        [name if name in case.outputs else "" for name in ("Y", "Y_h")],
        **case.attributes,
    )
    graph = helper.make_graph(
        [node],
        "rnn",
        [
            helper.make_tensor_value_info(
                name,
                onnx.TensorProto.INT32 if name == "sequence_lens" else element,
                case.inputs[name].shape,
            )
            for name in fed
        ],
        [helper.make_tensor_value_info(name, element, None) for name in case.outputs],
        [
            numpy_helper.from_array(case.inputs[name], name)
            for name in ("W", "R", "B")
            if name in case.inputs
        ],
    )
    ir_version = 10 if case.opset > 20 else 8
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=ir_version
    )


def fed(case: Case) -> dict[str, Array]:
    """Return the inputs of the graph: all but the weights."""
    return {name: a for name, a in case.inputs.items() if name not in ("W", "R", "B")}
