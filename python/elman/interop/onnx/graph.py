"""A model's graph as plain Python: its inputs, its constants, and the nodes that are used."""

from __future__ import annotations

import graphlib
import heapq
import itertools
import reprlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.errors import ModelFormatError, UnsupportedModelError
from elman.interop.onnx.file import WIDENED, check_tensor, type_name

if TYPE_CHECKING:
    from elman._typing import Array

    Proto = Any  # of onnx, which has no types

_BRANCHES = (("If", "then_branch"), ("If", "else_branch"))
_MAX_DEPTH = 4  # of inner graphs
_show = reprlib.Repr()
_show.maxstring = _show.maxother = 60


class Node(NamedTuple):
    """A node with a standard operator."""

    place: int  # among the graph's nodes
    operator: str
    name: str
    inputs: list[str]  # "" is an omitted input
    outputs: list[str]
    attributes: dict[str, Any]
    version: int  # of the operator

    def __str__(self) -> str:
        return f"node {self.place} ({_label(self.operator, self.name)})"


class Branch(NamedTuple):
    """The inner graph of a node, which may read the values of the graph around it."""

    nodes: list[Node]
    constants: dict[str, Array]
    outputs: list[str]


class Tensor(NamedTuple):
    """The declaration of an input: ONNX's name of its type, and its sizes (None if free)."""

    type: str
    sizes: list[int | None] | None

    @property
    def is_integer(self) -> bool:
        """Whether it holds integers."""
        return self.type in ("INT32", "INT64")

    @property
    def is_float(self) -> bool:
        """Whether it holds real numbers."""
        return self.type in ("FLOAT", "DOUBLE", *WIDENED)


class Graph(NamedTuple):
    """The computation of a model."""

    inputs: dict[str, Tensor]  # without the initializers
    defaults: dict[str, Tensor]  # inputs that are also initializers
    constants: dict[str, Array]
    nodes: list[Node]  # those that the outputs depend on, in order
    outputs: list[str]
    metadata: dict[str, str]  # user metadata

    @property
    def is_unrolled(self) -> bool:
        """Whether no node is recurrent by itself."""
        return not any(node.operator == "RNN" for node in self.nodes)


class Meaning(NamedTuple):
    """An interpretation of the inputs of a graph."""

    x: str
    x_kinds: str  # of the axes of x
    ids: bool  # whether x has integers, for which the network reads vectors
    states: dict[str, str]  # inputs that are states, and the kinds of their axes


def read_graph(model: Proto) -> Graph:
    """Return the graph of a model that has all its data."""
    opset = _opset(model)
    proto = model.graph
    if len(model.functions):
        name = _show.repr(model.functions[0].name)
        raise UnsupportedModelError(f"functions in the model, such as {name}, are not supported")
    if len(proto.sparse_initializer):
        raise UnsupportedModelError("sparse initializers are not supported")
    live = _live(proto)
    nodes = [_node(index, proto.node[index], opset) for index in live]
    used = {name for node in nodes for name in node.inputs} | {o.name for o in proto.output}
    used = used.union(*(_free_names(proto.node[index]) for index in live))
    constants = {}
    for tensor in proto.initializer:
        if tensor.name in constants:
            raise ModelFormatError(f"initializer {_show.repr(tensor.name)} is defined twice")
        if tensor.name in used:
            constants[tensor.name] = read_tensor(tensor)
    inputs = {i.name: _input(i) for i in proto.input}
    if not proto.output or not inputs:
        raise ModelFormatError("expected a graph with inputs and outputs, got one without")
    names = {tensor.name for tensor in proto.initializer}
    defaults = {name: about for name, about in inputs.items() if name in names}
    return Graph(
        {name: about for name, about in inputs.items() if name not in names},
        defaults,
        constants,
        nodes,
        [output.name for output in proto.output],
        {p.key[5:]: p.value for p in model.metadata_props if p.key.startswith("user.")},
    )


def _branch(proto: Proto, opset: int, what: str, depth: int) -> Branch:
    """Return one branch of an If."""
    if depth > _MAX_DEPTH:
        raise UnsupportedModelError(f"{what}: its inner graphs are nested too deeply")
    if len(proto.input) or len(proto.sparse_initializer):
        raise UnsupportedModelError(f"{what}: expected branches without inputs of their own")
    nodes = [_node(index, node, opset, depth) for index, node in enumerate(proto.node)]
    constants = {tensor.name: read_tensor(tensor) for tensor in proto.initializer}
    return Branch(nodes, constants, [output.name for output in proto.output])


def _free_names(proto: Proto, depth: int = 0) -> set[str]:
    """Return the names that the inner graphs of a node read from outside."""
    import onnx

    names: set[str] = set()
    for attribute in proto.attribute if proto.op_type == "If" else ():
        if attribute.type == onnx.AttributeProto.GRAPH and depth <= _MAX_DEPTH:
            made = {tensor.name for tensor in attribute.g.initializer}
            for node in attribute.g.node:
                names |= ({*node.input} | _free_names(node, depth + 1)) - made - {""}
                made.update(node.output)
            names |= {output.name for output in attribute.g.output} - made
    return names


def _opset(model: Proto) -> int:
    """Return the version of the standard operators."""
    import onnx

    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        domains = [_show.repr(entry.domain)[1:-1] for entry in model.opset_import]
        raise ModelFormatError(
            "opset_import: expected the version of the standard operators, without which no node"
            f" has a meaning, got {domains}"
        )
    if len(versions) != 1 or versions[0] < 1:
        raise ModelFormatError(f"expected one version of the standard operators, got {versions}")
    newest = onnx.defs.onnx_opset_version()
    if versions[0] > newest:
        raise UnsupportedModelError(
            f"expected opset {newest} at most, which the installed onnx knows, got {versions[0]}"
        )
    version: int = versions[0]
    return version


def _live(proto: Proto) -> list[int]:
    """Return the indices of the nodes that the outputs depend on, each after those it reads.

    Converters append nodes that earlier ones read, and engines put them in order.
    """
    made: set[str] = {name.name for name in proto.input} | {t.name for t in proto.initializer}
    makers: dict[str, int] = {}
    for index, node in enumerate(proto.node):
        for name in filter(None, node.output):
            if name in made or name in makers:
                raise ModelFormatError(
                    f"{_what(index, node)}: {_show.repr(name)} is computed twice"
                )
            makers[name] = index
    missing = {output.name for output in proto.output} - made - makers.keys()
    if missing:
        raise ModelFormatError(f"no node computes the output {_show.repr(min(missing))}")
    read = [[*filter(None, node.input), *sorted(_free_names(node))] for node in proto.node]
    for index, node in enumerate(proto.node):
        for name in read[index]:
            if name not in made and name not in makers:
                raise _unmade(index, node, name)
    before: dict[int, set[int]] = {}  # the nodes that each live node reads
    left = [makers[output.name] for output in proto.output if output.name in makers]
    while left:
        index = left.pop()
        if index not in before:
            before[index] = {makers[name] for name in read[index] if name in makers}
            left += before[index]
    try:
        return _in_order(before)
    except graphlib.CycleError as error:
        cycle = error.args[1]  # each node is read by the next
        maker, index = max(itertools.pairwise(cycle), key=lambda pair: pair[0] - pair[1])
        name = next(name for name in read[index] if makers.get(name) == maker)
        raise _unmade(index, proto.node[index], name) from None


def _in_order(before: dict[int, set[int]]) -> list[int]:
    """Return nodes in the order of the graph as far as each comes after those before it."""
    sorter = graphlib.TopologicalSorter(before)
    sorter.prepare()
    ready: list[int] = []
    ordered = []
    while sorter.is_active():
        for index in sorter.get_ready():
            heapq.heappush(ready, index)
        ordered.append(heapq.heappop(ready))
        sorter.done(ordered[-1])
    return ordered


def _what(index: int, node: Proto) -> str:
    return f"node {index} ({_label(node.op_type, node.name)})"


def _unmade(index: int, node: Proto, name: str) -> ModelFormatError | UnsupportedModelError:
    """Return the error for a node that reads what is not computed before it."""
    reason = f"{_show.repr(name)}, which no earlier node computes"
    if name in node.input:
        return ModelFormatError(f"{_what(index, node)}: it reads {reason}")
    return UnsupportedModelError(f"{_what(index, node)}: its inner graphs read {reason}")


def _node(index: int, proto: Proto, opset: int, depth: int = 0) -> Node:
    import onnx

    what = _what(index, proto)
    if "quantize" in proto.op_type.lower() or proto.op_type.endswith("Integer"):
        raise UnsupportedModelError(
            f"{what}: the model is quantized: it rounds its values to 8 bits or so, which no"
            " network does; give the model from before it was quantized"
        )
    if proto.domain not in ("", "ai.onnx"):
        domain = _show.repr(proto.domain)
        raise UnsupportedModelError(f"{what}: operators of the domain {domain} are not supported")
    if not onnx.defs.has(proto.op_type, ""):
        raise UnsupportedModelError(f"{what}: no standard operator has this name")
    try:
        schema = onnx.defs.get_schema(proto.op_type, opset, "")
    except onnx.defs.SchemaError:
        raise UnsupportedModelError(f"{what}: opset {opset} has no such operator") from None
    graphs = onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS
    for attribute in proto.attribute:
        name = _show.repr(attribute.name)
        if attribute.type in graphs and (proto.op_type, attribute.name) not in _BRANCHES:
            raise UnsupportedModelError(f"{what}: nodes with inner graphs are not supported")
        if attribute.ref_attr_name:
            raise ModelFormatError(f"{what}: an attribute refers to a missing function")
        if attribute.name not in schema.attributes:
            raise UnsupportedModelError(f"{what}: the attribute {name} is unknown")
        if attribute.type != schema.attributes[attribute.name].type.value:
            raise ModelFormatError(f"{what}: the attribute {name} has the wrong type")
    attributes = {
        a.name: _branch(a.g, opset, what, depth + 1) if a.type in graphs else _attribute(a)
        for a in proto.attribute
    }
    return Node(
        index,
        proto.op_type,
        proto.name,
        list(proto.input),
        list(proto.output),
        attributes,
        schema.since_version,
    )


def _attribute(proto: Proto) -> Proto | Array:
    import onnx

    if proto.type == onnx.AttributeProto.TENSOR:
        return read_tensor(proto.t)
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return [entry.decode("utf-8", "replace") for entry in value]
    return value


def _input(proto: Proto) -> Tensor:
    import onnx

    if not proto.type.HasField("tensor_type"):
        raise UnsupportedModelError(f"input {_show.repr(proto.name)}: expected a tensor")
    about = proto.type.tensor_type
    sizes = None
    if about.HasField("shape"):
        sizes = [d.dim_value if d.HasField("dim_value") else None for d in about.shape.dim]
    if sizes and any(size is not None and size < 0 for size in sizes):
        raise ModelFormatError(f"input {_show.repr(proto.name)}: it has negative sizes")
    return Tensor(type_name(onnx.TensorProto, about.elem_type), sizes)


def read_tensor(proto: Proto) -> Array:
    """Return a tensor as an array; 16-bit floats are widened to float32."""
    import onnx

    what = f"tensor {_show.repr(proto.name)}"
    kind = check_tensor(proto, what)
    if proto.data_location != onnx.TensorProto.DEFAULT:
        raise ModelFormatError(f"{what}: its data location is unknown")
    try:
        array: Array = onnx.numpy_helper.to_array(proto)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelFormatError(f"{what}: its data do not fit its shape ({error})") from error
    if array.shape != tuple(proto.dims):
        raise ModelFormatError(f"{what}: expected {tuple(proto.dims)}, got {array.shape}")
    return array.astype(np.float32) if kind in WIDENED else array


def _label(operator: str, name: str) -> str:
    shown = _show.repr(operator)[1:-1] or "no operator"
    return f"{shown} {_show.repr(name)}" if name else shown
