"""The cases: the work, its shape, and the peers that take part. Some modules have more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import elman
from elman.cli.timing import SIZES

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH_SIZES = SIZES[2:7]
DEEP_SIZES = ((16, 64, 8), (64, 256, 16))
LENGTHS = {"step": {"T": 200}, "batch": {"T": 100, "B": 64}}  # unless a case says otherwise


class Case(NamedTuple):
    """One column of the results: a kind of work, and its B sequences of T steps."""

    group: str
    work: str
    I: int
    H: int
    O: int
    T: int = 1000
    B: int = 1
    layers: int = 1
    dtype: str = "float32"
    threads: int = 1

    @property
    def peers(self) -> tuple[str, ...] | None:
        """The names of the peers that take part; None for all."""
        return {"threads": ("elman",), "isa": ("elman", "numpy")}.get(self.group)

    @property
    def bytes(self) -> int:
        """The size of the weights, which a step reads once."""
        return weights(self) * {"float32": 4, "float64": 8}[self.dtype]

    def network(self, isa: str | None = None) -> elman.Network:
        """Return the network of this case, packed for an instruction set."""
        with elman.use_isa(isa or elman.isa()):
            return elman.Network(
                self.I, self.H, self.O, num_layers=self.layers, dtype=self.dtype, seed=0
            )


def weights(case: Case) -> int:
    """Return the number of weights of a case, equal to the number of multiply-adds in a step."""
    I, H, O = case.I, case.H, case.O
    return I * H + H * H + (case.layers - 1) * 2 * H * H + H * O


def each(group: str, work: str, sizes: Iterable[tuple[int, int, int]], **more: Any) -> list[Case]:
    """Return a case for each of the sizes (I, H, O)."""
    return [Case(group, work, *size, **LENGTHS.get(work, {}) | more) for size in sizes]


GROUPS = {
    "step": each("step", "step", SIZES),
    "sequence": each("sequence", "sequence", SIZES),
    "batch": each("batch", "batch", BATCH_SIZES),
    "deep": each("deep", "sequence", DEEP_SIZES, layers=2)
    + each("deep", "batch", DEEP_SIZES, layers=2),
    "float64": each("float64", "sequence", SIZES, dtype="float64")
    + each("float64", "batch", BATCH_SIZES, dtype="float64"),
    "threads": each("threads", "batch", [(64, 256, 16)], threads=2)
    + each("threads", "sequence", SIZES[5:], threads=2)
    + each("threads", "sequence", [(64, 256, 16)], threads=2, layers=2),
    "isa": each("isa", "step", SIZES)
    + each("isa", "sequence", SIZES)
    + each("isa", "batch", BATCH_SIZES),
}
MOST_SCALAR = 10_000  # weights: a batch or an update of more takes `scalar` a second


def sets(count: int) -> list[str]:
    """Return the sets compared on a network of `count` weights: the one in use, then others."""
    isas = elman.available_isas()
    up_to = isas[: isas.index(elman.isa()) + 1]
    return [isa for isa in reversed(up_to) if isa != "scalar" or count <= MOST_SCALAR]
