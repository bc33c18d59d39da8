"""`Trainer`: a network in training, updated batch by batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _arguments, _core, _foreign
from elman._network import network_of, require_network
from elman._parameters import core_of
from elman.errors import ArgumentError, ArgumentTypeError, DivergenceError
from elman.training import data, optimizers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from elman._network import Network
    from elman.training.optimizers import Optimizer

    Array = NDArray[Any]
    Windows = tuple[int | None, int | None]  # bptt_steps, update_every
    Rate = float | Callable[[int], float]

_LEARNING_RATE, _UPDATES = "learning_rate", "updates"  # beside the arrays of the core in a state


class Trainer:
    """A network in training: one update of its weights per call, with new data each time.

    For a training loop of your own; `elman.train` is the loop that is usually wanted, and makes the
    same updates to the same bits. A trainer belongs to one thread at a time: a call that comes
    during another one is a `BusyError`.

    Parameters
    ----------
    net : Network
        Where training begins. It never changes: `trainer.network` is the trained one.
    loss : {"mse", "bce", "cross_entropy"}
        The loss, as for `loss_and_gradients`.
    outputs : {"all", "last"}
        Whether every real step counts, or the last real one alone.
    optimizer : str or SGD, Adam, AdamW, RMSprop, Adagrad
        "sgd", "adam", "adamw", "rmsprop" or "adagrad" with PyTorch's defaults, or one with its
        settings, such as `elman.SGD(0.1, momentum=0.9)`.
    learning_rate : float or callable, optional
        Replaces the optimizer's own. A function is a schedule: it takes how many updates have been
        made, 0 before the first, and returns the learning rate of the next.
    weight_decay : float, optional
        Replaces the optimizer's own.
    clip_norm, clip_value : float, optional
        The largest norm of all gradients together (PyTorch: `clip_grad_norm_`), and the largest
        size of each number (PyTorch: `clip_grad_value_`), which is clipped first.
    train_initial_state : bool
        Whether to train the network's initial state as well.
    threads : int
        How many threads share the sequences of a batch; the bits are the same for any number.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not what this network and optimizer take.

    Examples
    --------
    New sequences at every update: remember the first of five numbers.

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
        outputs: str = "all",
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
        self._outputs = data.outputs_name(outputs)
        self._learning_rate: Rate = (
            learning_rate if callable(learning_rate) else chosen.learning_rate
        )
        self._threads = _arguments.size("threads", threads)
        rules: dict[str, Any] = {
            "clip_norm": None if clip_norm is None else _arguments.number("clip_norm", clip_norm),
            "clip_value": (
                None if clip_value is None else _arguments.number("clip_value", clip_value)
            ),
            "train_initial_state": bool(train_initial_state),
        }
        start = _with_initial_state(net) if train_initial_state else net
        self._core = _core.trainer(core_of(start), chosen.name, chosen.settings(), **rules)
        self._settings = {  # of a checkpoint
            "loss": loss,
            "outputs": outputs,
            "optimizer": {"name": chosen.name, **chosen.settings()},
            "learning_rate": chosen.learning_rate,
            **rules,
        }

    def __repr__(self) -> str:
        return f"Trainer({self._net!r}, {self.updates} updates)"

    def __reduce__(self) -> tuple[object, ...]:
        raise ArgumentTypeError(
            "a Trainer cannot be pickled or copied: save trainer.state() and restore it"
        )

    @property
    def network(self) -> Network:
        """The network as it is now, a new `Network` each time."""
        return network_of(self._core.network(), like=self._net)

    @property
    def updates(self) -> int:
        """The number of updates made."""
        return self._core.updates

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update; may be set, to a function too."""
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
        """Make one update of the weights, with all the sequences of a batch.

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
            Begin where the sequences of the last such update ended, without errors that flow back
            into it: for long sequences that are cut in pieces. The first one begins at `state` or
            the initial state, and so does the one after `reset()`.

        Returns
        -------
        float
            The loss of the batch before the update.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If an argument is not what this network and loss take; then nothing has changed.
        DivergenceError
            If the loss is not finite, and nothing has changed; or if the weights no longer are.
        """
        batch = data.collect(
            self._net, x, y, self._outputs, lengths, state, sample_weight, step_weight
        )
        examples = self._examples(batch)
        rates, number, B = np.array([self.learning_rate]), self.updates + 1, examples.sequences
        losses, _ = self._train(examples, np.arange(B), B, rates, (None, None), bool(carry_state))
        loss = float(losses[0])
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
        """Return the loss of a batch, and change nothing.

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
            If an argument is not what this network and loss take.
        """
        batch = data.collect(
            self._net, x, y, self._outputs, lengths, state, sample_weight, step_weight
        )
        return self._loss_of(self._examples(batch))

    def reset(self) -> None:
        """Forget where sequences ended: the next update with `carry_state` starts afresh."""
        self._core.forget()

    def state(self) -> dict[str, Array]:
        """Return copies of all that the next update depends on, as arrays by name.

        Returns
        -------
        dict of ndarray
            The parameters, the optimizer's moments, the number of updates, the learning rate unless
            it is a function, and carried states: `np.savez(path, **trainer.state())` saves them.
        """
        state = self._core.state()
        state[_UPDATES] = np.array(self._core.updates)
        if not callable(self._learning_rate):
            state[_LEARNING_RATE] = np.array(self._learning_rate)
        return state

    def restore(self, state: Mapping[str, ArrayLike]) -> None:
        """Go back to a state: that of this trainer, or of another one with the same arguments.

        Parameters
        ----------
        state : mapping of array_like
            What `state` returned: `trainer.restore(np.load(path))`.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If it is of another network or optimizer; then nothing has changed.

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
                raise ArgumentError(f"{name}: expected one of {', '.join(sorted(known))}")
        updates = _arguments.size(_UPDATES, _scalar(arrays, _UPDATES), least=0)
        rate: Rate = self._learning_rate
        if _LEARNING_RATE in arrays and not callable(rate):
            rate = _arguments.number(_LEARNING_RATE, _scalar(arrays, _LEARNING_RATE))
        own = {name: a for name, a in arrays.items() if name not in (_UPDATES, _LEARNING_RATE)}
        self._core.restore(own, updates)
        self._learning_rate = rate

    # --- for runs over many epochs ---

    def _examples(self, batch: data.Data) -> _core.Examples:
        """Convert and check a batch."""
        examples = data.examples(self._net, batch, self._loss, self._outputs, reachable=True)
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
        """Go through the sequences in an order once; return losses and weights of the updates.

        A loss that is not finite is the last one, and made no update.
        """
        return self._core.train(examples, order, batch_size, rates, *windows, carry, self._threads)

    def _count_updates(
        self, examples: _core.Examples, order: Array, batch_size: int, windows: Windows
    ) -> int:
        """Return how many updates `_train` will make."""
        return self._core.updates_of(examples, order, batch_size, *windows)

    def _loss_of(self, examples: _core.Examples) -> float:
        return self._core.loss(examples, self._threads)

    def _require_finite(self, loss: float | None, when: str) -> None:
        """Refuse to go on with a loss, or with weights, that are not finite."""
        what = None
        if loss is not None and not math.isfinite(loss):
            what = f"loss: expected a finite number, got {loss} {when}"
        elif not self._core.finite:
            what = f"weights: expected finite numbers, got others {when}"
        if what is not None:
            raise DivergenceError(
                f"{what}: try a learning_rate below {self.learning_rate:g}, or clip_norm=1"
            )


def _with_initial_state(net: Network) -> Network:
    """Return the same network with an initial state to train."""
    if net.initial_state is not None:
        return net
    tensors = {"initial_state": np.zeros(net.state_size, net.dtype)}
    return net.replace(tensors=tensors, allow_nonfinite=True)


def _scalar(arrays: dict[str, Array], name: str) -> object:
    """Return the single number of an array by name."""
    if name not in arrays:
        raise ArgumentError(f"{name}: expected a number, got none")
    if arrays[name].size != 1:
        raise ArgumentError(f"{name}: expected one number, got {arrays[name].size}")
    return arrays[name].item()
