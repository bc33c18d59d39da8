"""Check that a graph which sorts its sequences by length puts all of them back.

Exports of `pack_padded_sequence` and `pad_packed_sequence` sort x and the lengths, run the RNN, and
put its outputs back. As every step of an expression is the same for all sequences, the two orders
cancel, if nothing reads sorted and unsorted values together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.errors import UnsupportedModelError
from elman.interop.onnx.values import Field, Length

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elman.interop.onnx.graph import Graph, Node
    from elman.interop.onnx.values import Value

__all__ = ["check_orders"]


def check_orders(graph: Graph, values: Mapping[str, Value]) -> None:
    """Raise an UnsupportedModelError unless every output has the order of the inputs."""
    sorts = [node for node in graph.nodes if node.operator == "TopK"]
    if not sorts:
        return
    if len(sorts) > 1:
        raise UnsupportedModelError(f"{sorts[1]}: expected sequences that are sorted once")
    orders = dict.fromkeys([*graph.inputs, *graph.defaults], "unsorted")  # of what depends on x
    for node in graph.nodes:
        order = _order(node, values, {orders[name] for name in node.inputs if name in orders})
        if order is None:
            continue
        for name in node.outputs:
            if not _order_in(values.get(name)):
                orders[name] = order
    for name in graph.outputs:
        if orders.get(name) == "sorted":
            raise UnsupportedModelError(
                f"output {name!r}: expected the order of the inputs, got that of the sorted lengths"
            )


def _order(node: Node, values: Mapping[str, Value], read: set[str]) -> str | None:
    """Return the order of what a node computes, None if it is the same for all sequences."""
    if node.operator == "If":
        raise UnsupportedModelError(f"{node}: branches behind sorted lengths are not supported")
    if node.operator == "Shape" or not read:
        return None
    if len(read) > 1:
        raise UnsupportedModelError(f"{node}: it reads sequences in two orders")
    (order,) = read
    wanted = next(filter(None, (_order_in(values.get(name)) for name in node.inputs)), "")
    if node.operator == "TopK":
        becomes = "sorted"
    elif node.operator == "Gather" and wanted:
        becomes = wanted
    else:
        return order
    if order == becomes:
        raise UnsupportedModelError(f"{node}: it reads sequences that are {order} already")
    return becomes


def _order_in(value: Value | None) -> str:
    """Return the order that a tensor of places stands for, "" if it is none."""
    item = next(value.items.flat, None) if isinstance(value, Field) else None
    return item.rows if isinstance(item, Length) and "sorted" in item.rows else ""
