"""`Trainer`: a network in training, updated batch by batch."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman import _arguments, _core, _foreign, _frame
from elman._network import Network, network_of, require_network
from elman._parameters import core_of
from elman.errors import ArgumentError, ArgumentTypeError, BusyError, DivergenceError
from elman.training import data, optimizers, scaling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from numpy.typing import ArrayLike, NDArray

    from elman.training.optimizers import Optimizer

    Array = NDArray[Any]
    Windows = tuple[int | None, int | None]  # bptt_steps, update_every
    Part = tuple[float, Array | None, Array | None]  # loss, gradients, kept states
    Rate = float | Callable[[int], float]

_LEARNING_RATE, _UPDATES = "learning_rate", "updates"  # in a state, beside the core's arrays


class Request(NamedTuple):
    """Which examples of a part of a minibatch to compute, and what of them: as for the core."""

    rows: Array
    window: tuple[int, int, int, int]
    truncation: tuple[int, int] | None
    states: Array | None
    normalizer: float
    gradients: bool
    keep: bool


class Trainer:
    """A network in training: each call makes one update, with new data each time.

    For your own training loop; `elman.train` is the usual loop and makes the same updates, bit for
    bit. Use a trainer from one thread at a time: a call during another one raises `BusyError`.

    Parameters
    ----------
    net : Network
        The network to start from. It does not change: `trainer.network` is the trained one.
    loss : {"mse", "bce", "cross_entropy"}
        The loss, as for `loss_and_gradients`.
    outputs : {"all", "last"}, optional
        Whether the loss covers every real step or only the last; by default "all", or for data
        frames the setting of the network's table.
    optimizer : str or SGD, Adam, AdamW, RMSprop, Adagrad
        "sgd", "adam", "adamw", "rmsprop" or "adagrad" with PyTorch's defaults, or an optimizer with
        settings, such as `elman.SGD(0.1, momentum=0.9)`.
    learning_rate : float or callable, optional
        Overrides that of the optimizer. A function is a schedule: it maps the number of updates
        made so far to the learning rate of the next update.
    weight_decay : float, optional
        Overrides that of the optimizer.
    clip_norm, clip_value : float, optional
        The largest norm of all gradients together (PyTorch: `clip_grad_norm_`), and the largest
        magnitude of each element (PyTorch: `clip_grad_value_`), which is clipped first.
    train_initial_state : bool
        Whether to train the initial state as well.
    threads : int
        Number of threads, which share the sequences of a batch. Results have the same bits for any.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is invalid for this network and optimizer.

    Examples
    --------
    Learn to remember the first of five values, with new sequences at every update:

    >>> import numpy as np, elman
    >>> rng = np.random.default_rng(0)
    >>> net = elman.Network(1, 8, 1, output_activation="identity", seed=0)
    >>> trainer = elman.Trainer(net, outputs="last", learning_rate=0.01)
    >>> for _ in range(300):
    ...     x = rng.uniform(-1, 1, (32, 5, 1))
    ...     loss = trainer.update(x, x[:, 0])
    >>> x = rng.uniform(-1, 1, (100, 5, 1))
    >>> trainer.loss(x, x[:, 0]) < 0.01
    True
    >>> trainer.network
    Network(1 -> 8 tanh -> 1 identity, float32, 89 parameters)
    """

    __slots__ = (
        "__weakref__",
        "_core",
        "_judged",
        "_learning_rate",
        "_loss",
        "_net",
        "_outputs",
        "_settings",
        "_threads",
    )

    @_foreign.keywords("Trainer")
    def __init__(
        self,
        net: Network,
        *,
        loss: str = "mse",
        outputs: str | None = None,
        optimizer: str | Optimizer = "adam",
        learning_rate: Rate | None = None,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        train_initial_state: bool = False,
        threads: int = 1,
    ) -> None:
        require_network(net)
        rate = None if callable(learning_rate) else learning_rate
        chosen = optimizers.choose(optimizer, rate, weight_decay)
        self._net = net
        self._loss = data.loss_name(loss)
        self._outputs = None if outputs is None else data.outputs_name(outputs)
        self._learning_rate: Rate = (
            learning_rate if callable(learning_rate) else chosen.learning_rate
        )
        self._threads = _arguments.size("threads", threads)
        self._judged = False  # the scale of the first data
        rules: dict[str, Any] = {
            "clip_norm": None if clip_norm is None else _arguments.number("clip_norm", clip_norm),
            "clip_value": (
                None if clip_value is None else _arguments.number("clip_value", clip_value)
            ),
            "train_initial_state": _arguments.flag("train_initial_state", train_initial_state),
        }
        start = _with_initial_state(net) if train_initial_state else net
        settings = chosen.settings()
        self._core = _core.trainer(core_of(start), chosen.name, settings, **rules)
        self._settings = {  # of a checkpoint
            "loss": loss,
            "outputs": outputs,
            "optimizer": {"name": chosen.name, **settings},
            "learning_rate": chosen.learning_rate,
            **rules,
        }

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(Network, name) and not name.startswith("_"):
            said = f"'Trainer' object has no attribute {name!r}: use trainer.network.{name}"
            raise AttributeError(said)
        raise AttributeError(_foreign.of_trainer(name))

    def __repr__(self) -> str:
        return f"Trainer({self._net!r}, {self.updates} updates)"

    def __reduce__(self) -> tuple[object, ...]:
        raise ArgumentTypeError(
            "a Trainer cannot be pickled or copied: save trainer.state() and restore it"
        )

    @property
    def network(self) -> Network:
        """The current network, a new `Network` each time."""
        return network_of(self._core.network(), like=self._net)

    @property
    def updates(self) -> int:
        """The number of updates made."""
        return self._core.updates

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update; can be set to a number or a function."""
        if not callable(self._learning_rate):
            return self._learning_rate
        return _arguments.number(
            "learning_rate", self._learning_rate(self._core.updates), zero=True
        )

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if not callable(value):
            value = _arguments.number("learning_rate", value)
        self._learning_rate = value

    def update(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        state: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        step_weight: ArrayLike | None = None,
        carry_state: bool = False,
    ) -> float:
        """Make one update of the weights, with all sequences of a batch.

        Parameters
        ----------
        x : array_like, shape (..., T, I), or list of array_like, shape (T_i, I)
            Inputs: any leading batch axes, then time, then features; or sequences of any lengths.
        y : array_like, shape (..., T, O), or (..., O) for the last; without O for classes
            Targets in the scale of the network's outputs; for "cross_entropy" classes 0 to O - 1. A
            list of arrays if `x` is one and `outputs` is "all".
        lengths, state, sample_weight, step_weight
            As for `loss_and_gradients`.
        carry_state : bool
            Begin in the states in which the last such update ended, for long sequences cut into
            pieces; gradients do not flow back across the cut. The first update, and the first after
            `reset()`, begins in `state` or the initial state.

        Returns
        -------
        float
            The loss of the batch before the update.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If an argument is invalid for this network and loss; the trainer is then unchanged.
        DivergenceError
            If the loss is not finite, with the trainer unchanged, or a weight no longer is.

        Warns
        -----
        ScalingWarning
            In the first update, as `elman.train`.
        """
        carried = _arguments.flag("carry_state", carry_state)
        outputs = _frame.outputs_for(self._net, x, self._outputs)
        batch = data.collect(self._net, x, y, outputs, lengths, state, sample_weight, step_weight)
        examples = self._examples(batch, outputs)
        self._judge_scale(batch, outputs)
        rates, number, B = np.array([self.learning_rate]), self.updates + 1, examples.sequences
        losses, _ = self._train(examples, np.arange(B), B, rates, (None, None), carried)
        loss = float(losses[0])
        with contextlib.suppress(BusyError):  # of another thread by now: the update is made
            self._require_finite(loss, f"in update {number}")
        return loss

    def loss(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        state: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        step_weight: ArrayLike | None = None,
    ) -> float:
        """Return the loss of a batch without an update.

        Parameters
        ----------
        x, y, lengths, state, sample_weight, step_weight
            As for `update`.

        Returns
        -------
        float

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If an argument is invalid for this network and loss.
        """
        outputs = _frame.outputs_for(self._net, x, self._outputs)
        batch = data.collect(self._net, x, y, outputs, lengths, state, sample_weight, step_weight)
        return self._loss_of(self._examples(batch, outputs))

    def reset(self) -> None:
        """Discard carried states: the next update begins in its `state` or the initial state."""
        self._core.forget()

    def state(self) -> dict[str, Array]:
        """Return copies of everything that the next update depends on, as arrays by name.

        Returns
        -------
        dict of ndarray
            The parameters, the optimizer's moments, the number of updates, the learning rate unless
            it is a function, and carried states: `np.savez(path, **trainer.state())` saves them.
        """
        updates, state = self._core.updates, self._core.state()
        if self._core.updates != updates:
            raise BusyError(
                "the trainer is in use by another thread; call its methods one at a time"
            )
        state[_UPDATES] = np.array(updates)
        if not callable(self._learning_rate):
            state[_LEARNING_RATE] = np.array(self._learning_rate)
        return state

    def restore(self, state: Mapping[str, ArrayLike]) -> None:
        """Restore a state of this trainer, or of one with the same arguments.

        Parameters
        ----------
        state : mapping of array_like
            The arrays that `state` returned, as in `trainer.restore(np.load(path))`.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If the state belongs to another network or optimizer; the trainer is then unchanged.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(1, 8, 1, output_activation="identity", seed=0)
        >>> trainer, other = elman.Trainer(net), elman.Trainer(net)
        >>> loss = trainer.update(np.ones((5, 10, 1)), np.zeros((5, 10, 1)))
        >>> other.restore(trainer.state())
        >>> other.network == trainer.network
        True
        """
        arrays = _arguments.arrays(_arguments.mapping("state", state).items())
        known = self.state().keys() | {"carried", _LEARNING_RATE}
        for name in arrays:
            if name not in known:
                raise ArgumentError(
                    f"state: expected names among {', '.join(sorted(known))}, got {name!r}"
                )
        updates = _arguments.size(_UPDATES, _scalar(arrays, _UPDATES), least=0)
        rate: Rate = self._learning_rate
        if _LEARNING_RATE in arrays and not callable(rate):
            rate = _arguments.number(_LEARNING_RATE, _scalar(arrays, _LEARNING_RATE), zero=True)
        own = {name: a for name, a in arrays.items() if name not in (_UPDATES, _LEARNING_RATE)}
        self._core.restore(own, updates)
        self._learning_rate = rate

    # --- for `elman.train` ---

    def _judge_scale(self, batch: data.Data, outputs: str | None = None) -> None:
        """Warn, for the first data only, if they are far from the scale of the network."""
        if not self._judged:
            self._judged = True
            scaling.warn(self._net, batch, self._loss, outputs or self._outputs or "all")

    def _examples(self, batch: data.Data, outputs: str | None = None) -> _core.Examples:
        """Convert and check a batch."""
        examples = data.examples(
            self._net, batch, self._loss, outputs or self._outputs or "all", reachable=True
        )
        return data.require_weight(examples)

    def _train(
        self,
        examples: _core.Examples,
        order: Array,
        batch_size: int,
        rates: Array,
        windows: Windows,
        carry: bool,
    ) -> tuple[Array, Array]:
        """Train on the sequences once, in the given order; return each update's loss and weight.

        A loss that is not finite is the last one, and its update is not made.
        """
        return self._core.train(examples, order, batch_size, rates, *windows, carry, self._threads)

    def _count_updates(
        self, examples: _core.Examples, order: Array, batch_size: int, windows: Windows
    ) -> int:
        """Return the number of updates that `_train` will make."""
        return self._core.updates_of(examples, order, batch_size, *windows)

    def _loss_of(self, examples: _core.Examples) -> float:
        return self._core.loss(examples, self._threads)

    def _part(self, examples: _core.Examples, weights: Array, request: Request) -> Part:
        """Compute a part of a minibatch, for these weights, which replace the trainer's own."""
        return self._core.part(examples, weights, *request, self._threads)

    def _require_finite(self, loss: float | None, when: str) -> None:
        """Raise if the loss or the weights are not finite."""
        what = None
        if loss is not None and not math.isfinite(loss):
            what = f"loss: expected a finite number, got {loss} {when}"
        elif not self._core.finite:
            what = f"weights: expected finite numbers, got NaN or infinities {when}"
        if what is not None:
            raise DivergenceError(f"{what}: try a learning_rate below {self.learning_rate:g}")


def _with_initial_state(net: Network) -> Network:
    """Return the network with an initial state to train."""
    if net.initial_state is not None:
        return net
    tensors = {"initial_state": np.zeros(net.state_size, net.dtype)}
    return net.replace(tensors=tensors, allow_nonfinite=True)


def _scalar(arrays: dict[str, Array], name: str) -> object:
    """Return the single element of a named array."""
    if name not in arrays:
        raise ArgumentError(f"{name}: expected a number, got none")
    if arrays[name].size != 1:
        raise ArgumentError(f"{name}: expected one number, got {arrays[name].size}")
    return arrays[name].item()
