"""What is known of a PyTorch model: its tensors, and what its modules compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elman.activation import Activation
    from elman.interop._source import Row


class PickledModule(dict[str, Any]):
    """The state_dict of a module in a pickle, and the nonlinearities of PyTorch's RNNs in it."""

    def __init__(self) -> None:
        super().__init__()
        self.nonlinearities: dict[str, str] = {}  # by the name of the RNN


class TorchPart(NamedTuple):
    """What one module computes."""

    # "rnn", "linear", "norm", "embedding", "function", "nothing", or "other": no network has it
    kind: str
    name: str  # of the module
    what: str  # "nn.ReLU"
    activation: Activation | None = None  # of a function
    eps: float = 1e-5  # of a norm
    refused: str = ""  # why a network has no such module


class TorchModel(NamedTuple):
    """Tensors by name, and what is known of their modules."""

    tensors: dict[str, Any]
    rows: list[Row] = []  # noqa: RUF012 - never modified
    nonlinearities: Mapping[str, str | None] = {}  # by the name of the RNN
    parts: Mapping[str, tuple[TorchPart, ...]] | None = (
        None  # by the name of a module; None if unknown
    )
    parameters: frozenset[str] = frozenset()  # the names of the tensors that are no buffers
    chain: tuple[TorchPart, ...] | None = None  # the modules, if the source gives their order
    modules: Any = None  # for PyTorch to run
    beside: Mapping[str, Any] = {}  # tensors in dictionaries that hold no RNN


KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # the tensors of one direction of a layer


class TorchLayer(NamedTuple):
    """The names of one layer's tensors, by the `KINDS` that it has."""

    unit: str  # the name of the RNN
    halves: tuple[dict[str, str], ...]  # one, or those of both directions
    # of a cell that is written by hand: how many units of each half start at its one state
    starts: tuple[int, ...] = ()

    @property
    def names(self) -> list[str]:
        """All tensor names."""
        return [name for half in self.halves for name in half.values()]
