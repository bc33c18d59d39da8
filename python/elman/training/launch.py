"""The call that trains: its arguments are checked, and a run is made of them and let go."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from elman import _arguments, _core
from elman.errors import ArgumentError
from elman.training import data, optimizers
from elman.training.checkpoint import Saver
from elman.training.progress import bar
from elman.training.run import Plan, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from elman._network import Network
    from elman.training.checkpoint import Path
    from elman.training.data import Data, Validation
    from elman.training.history import Epoch, TrainResult
    from elman.training.optimizers import Optimizer, Schedule

    Callback = Callable[[Epoch, Callable[[], Network]], object]

Number = TypeVar("Number", int, float)


def train(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    loss: str = "mse",
    optimizer: str | Optimizer = "adam",
    learning_rate: float | None = None,
    epochs: int = 100,
    batch_size: int = 32,
    outputs: str = "all",
    lengths: ArrayLike | None = None,
    state: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    step_weight: ArrayLike | None = None,
    bptt_steps: int | None = None,
    update_every: int | None = None,
    carry_state: bool = False,
    shuffle: bool = True,
    seed: int | None = 0,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    weight_decay: float | None = None,
    schedule: Schedule | None = None,
    train_initial_state: bool = False,
    validation: Validation | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1,
    progress: bool = False,
    callback: Callback | None = None,
    threads: int = 1,
) -> TrainResult:
    """Train a network by back-propagation through time, and return the trained one.

    The network that is passed in never changes. Everything is computed in its dtype in C++, one
    call an epoch; the result is the same bits for any number of threads.

    Parameters
    ----------
    net : Network
        Where training begins.
    x : array_like, shape (..., T, I), or list of array_like, shape (T_i, I)
        Inputs: any leading batch axes, then time, then features; or sequences of any lengths. An
        array (T, I) is one long series.
    y : array_like, shape (..., T, O), or (..., O) for the last; without O for classes
        Targets in the scale of the network's outputs; for "cross_entropy" classes 0 to O - 1. A
        list of arrays if `x` is one and `outputs` is "all".
    loss, outputs, lengths, state, sample_weight, step_weight
        What is to become small: as for `loss_and_gradients`.
    optimizer : str or SGD, Adam, AdamW, RMSprop, Adagrad
        "sgd", "adam", "adamw", "rmsprop" or "adagrad" with PyTorch's defaults, or one with its
        settings, such as `elman.SGD(0.1, momentum=0.9)`.
    learning_rate, weight_decay : float, optional
        Replace the optimizer's own.
    epochs : int
        How many times to go through the data.
    batch_size : int
        How many sequences share an update; the last batch of an epoch may be smaller.
    bptt_steps, update_every : int, optional
        Walk through the sequences of a batch in windows of m = `update_every` steps, one update
        each, the state carried over from window to window; the errors of a window flow back k =
        `bptt_steps` steps from its end. By default m = k (Williams and Peng's BPTT(k; m); Keras:
        `stateful`). `bptt_steps=1` is Elman's own training: the context is an input. With the last
        output alone there are no windows, and its errors flow back k steps. By default one update
        for a batch and errors that flow back to the beginning.
    carry_state : bool
        Begin each epoch with the states in which the last one ended, as for a stream that has no
        beginning.
    shuffle : bool
        Whether to take the sequences in a new order every epoch.
    seed : int, optional
        Decides the order, and what is held out; None: a new one, not with `checkpoint`.
    clip_norm, clip_value : float, optional
        The largest norm of all gradients together (PyTorch: `clip_grad_norm_`), and the largest
        size of each number (PyTorch: `clip_grad_value_`), which is clipped first.
    schedule : {"constant", "cosine", "linear"} or callable, optional
        Factor of the learning rate as a function of the share of all updates that has been made, 0
        to 1. "cosine" and "linear" go down to 0.
    train_initial_state : bool
        Whether the network's initial state is a parameter too.
    validation : (x, y), mapping or float, optional
        Data that are not trained on, or the arguments of such data by name (`x`, `y`, `lengths`,
        `state`, `sample_weight`, `step_weight`), or the share of the sequences to hold out, chosen
        by the seed; of a single series, the end. The best network by its loss is returned.
    patience : int, optional
        Stop after so many epochs without a lower loss: that of the validation data, or without
        them that of training. The best network is returned (Keras: `EarlyStopping`).
    min_delta : float
        By how much a loss must be lower to be the best.
    checkpoint : path, optional
        A file that is written as training goes on and from which the same call goes on to the same
        bits. More `epochs` continue a run with a constant schedule.
    checkpoint_every : int
        How many epochs lie between two checkpoints; the end of training always has one.
    progress : bool
        Show the progress on the terminal, if standard error is one.
    callback : callable, optional
        callback(epoch, network) after each epoch: `epoch.epoch`, `.loss`, `.validation_loss`,
        `.learning_rate`, and a function `network()` that returns the network as it is now. True
        ends training.
    threads : int
        How many threads share the sequences of a batch.

    Returns
    -------
    TrainResult
        `network`, `history`, `stopped` ("epochs", "patience", "callback" or "interrupt": Ctrl-C
        ends training and returns what it has) and `updates`.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If an argument is not what this network, loss and optimizer take, before any work.
    DivergenceError
        If a loss is not finite.

    Examples
    --------
    >>> import numpy as np, elman
    >>> x = np.sin(np.arange(200) / 5)[:, None]
    >>> net = elman.Network(
    ...     input_size=1, hidden_size=8, output_size=1, output_activation="identity", seed=0
    ... )
    >>> result = elman.train(net, x[:-1], x[1:], epochs=50, learning_rate=0.01, bptt_steps=20)
    >>> result.history.loss[-1] < result.history.loss[0] / 10
    True
    """
    data.check_network(net)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: expected a function, got {_arguments.kind(callback)}")
    if seed is None and checkpoint is not None:
        raise ArgumentError("seed: expected a number with checkpoint, to go on from it, got None")
    chosen = optimizers.choose(optimizer, learning_rate, weight_decay)
    plan = Plan(
        epochs=_arguments.size("epochs", epochs, least=0),
        batch_size=_arguments.size("batch_size", batch_size),
        bptt_steps=_if_given(_arguments.size, "bptt_steps", bptt_steps),
        update_every=_if_given(_arguments.size, "update_every", update_every),
        carry_state=bool(carry_state),
        shuffle=bool(shuffle),
        seed=_arguments.seed(seed),
        learning_rate=chosen.learning_rate,
        schedule=optimizers.check_schedule(schedule),
        watched=_watched(validation, patience),
        patience=_if_given(_arguments.size, "patience", patience),
        min_delta=_arguments.number("min_delta", min_delta, zero=True),
        threads=_arguments.size("threads", threads),
    )
    rules: dict[str, Any] = {
        "clip_norm": _if_given(_arguments.number, "clip_norm", clip_norm),
        "clip_value": _if_given(_arguments.number, "clip_value", clip_value),
        "train_initial_state": bool(train_initial_state),
    }
    if train_initial_state and state is not None:
        raise ArgumentError("state: expected None with train_initial_state, got a state")

    given = data.collect(x, y, outputs, lengths, state, sample_weight, step_weight)
    examples = data.require_weight(data.examples(net, given, loss, outputs))
    held_out = None
    if validation is not None:
        given, apart = data.with_validation(given, validation, outputs, plan.seed)
        examples = data.require_weight(data.examples(net, given, loss, outputs))
        with data.within("validation"):
            held_out = data.require_weight(data.examples(net, apart, loss, outputs))

    settings = {
        "network": _description(net),
        "data": _shapes(given),
        "validation": None if held_out is None else _shapes(apart),
        "loss": loss,
        "outputs": outputs,
        "optimizer": {"name": chosen.name, **chosen.settings()},
        **rules,
        **plan.settings(),
    }
    start = _with_initial_state(net) if train_initial_state else net
    trainer = _core.trainer(start._core, chosen.name, chosen.settings(), **rules)
    run = Run(net, trainer, examples, held_out, plan)
    saver = Saver(checkpoint, _arguments.size("checkpoint_every", checkpoint_every), settings)
    if (found := saver.read()) is not None:
        run.resume(found)
    return _go(run, saver, callback, progress)


def _go(run: Run, saver: Saver, callback: Callback | None, progress: bool) -> TrainResult:
    """Let a run go on to its end."""

    def after_epoch(record: Epoch) -> object:
        saver.keep(run)
        show(record)
        return callback is not None and callback(record, run.network)

    try:
        with bar(progress, run.plan.epochs) as show:
            stopped = run.go(after_epoch)
    finally:
        saver.flush()
    return run.result(stopped)


def _if_given(
    check: Callable[[str, object], Number], argument: str, value: object
) -> Number | None:
    return None if value is None else check(argument, value)


def _watched(validation: Validation | None, patience: int | None) -> str | None:
    """Name the losses of the history that say which epoch is the best."""
    if validation is not None:
        return "validation_loss"
    return None if patience is None else "loss"


def _with_initial_state(net: Network) -> Network:
    """Return the same network with an initial state to train."""
    if net.initial_state is not None:
        return net
    tensors = {"initial_state": np.zeros(net.state_size, net.dtype)}
    return net.replace(tensors=tensors, allow_nonfinite=True)


def _description(net: Network) -> dict[str, Any]:
    """Return what a checkpoint says of the network: all but what is trained."""
    scaling = (net.input_mean, net.input_std, net.output_mean, net.output_std)
    return {
        "sizes": [net.input_size, *net.hidden_sizes, net.output_size],
        "activations": [str(f) for f in (*net.activations, net.output_activation)],
        "dtype": net.dtype.name,
        "scaling": [
            None if a is None else hashlib.sha256(a.tobytes()).hexdigest() for a in scaling
        ],
    }


def _shapes(batch: Data) -> list[tuple[int, ...] | None]:
    return [None if part is None else part.shape for part in batch]
