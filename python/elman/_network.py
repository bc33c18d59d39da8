"""The network. Modules that a first call does not need are imported inside functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload  # NumPy imports `typing` too

from elman import _arguments, _core, _foreign, _structure
from elman._parameters import Parameters
from elman._run import Run
from elman.errors import ArgumentError, ArgumentTypeError, LimitError, ModelFormatError, ShapeError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from elman._arguments import LayerActivation
    from elman._core import Network as Core
    from elman._core import Stream, StreamPool
    from elman._format import Contents, Example
    from elman._table import Table
    from elman.activation import Activation
    from elman.initialization import Initialization
    from elman.reference import VerificationReport
    from elman.trace import Trace

    Array = NDArray[Any]
    Sequences = list[NDArray[Any]] | tuple[NDArray[Any], ...]  # each (T_i, I)


class Network(Parameters):
    """An Elman recurrent network: stacked simple recurrent layers and a readout.

        h_t = f(W_hh h_(t-1) + W_xh x_t + b_h)      each layer, reading the one below
        y_t = g(W_hy h_t + b_y)

    The constructor draws random weights; `from_weights` takes given ones and `elman.load` reads a
    file. A network is immutable, so any number of threads may share one. Every argument except
    `seed` and `init` is also an attribute.

    Parameters
    ----------
    input_size : int
        I, the number of features of an input.
    hidden_size : int or sequence of int
        H of each layer, from the bottom up; an int for layers of one size.
    output_size : int or None
        O, the number of outputs. None: no readout, the output is the top layer's state.
    num_layers : int, optional
        Number of layers; by default one, or the number of sizes in `hidden_size`.
    seed : int, optional
        0 to 2**64 - 1. The same seed gives the same network on every platform. None: a random one.
    activation : str or elman.Activation, or a sequence of them
        f: "tanh", "relu", "sigmoid", "identity" or another name in `elman.Activation`, or an
        Activation with parameters; one for all layers or one for each (PyTorch: `nonlinearity`).
        The halves of a bidirectional layer may differ: give a pair.
    output_activation : str or elman.Activation
        g: "sigmoid", "identity", "softmax", "log_softmax" or any activation of a layer.
    direction : str or sequence of str
        "forward", "reverse" or "bidirectional", for all layers or one for each. A reverse layer
        reads each sequence from its last real step to its first, with h_(t+1) in place of h_(t-1).
        A bidirectional layer runs both ways, with H units and separate weights for each direction,
        and its output is [forward | reverse], 2H values (PyTorch: `bidirectional=True`; Keras:
        `Bidirectional`). Reverse and bidirectional layers need the whole sequence: such networks
        have no stream, cannot generate, and cannot be trained here.
    dtype : dtype
        float32 or float64, for weights, arithmetic and results.
    bias : bool
        Whether the layers and the readout have biases.
    init : str, elman.Identity or elman.EchoState
        The initializer. "uniform": all weights and biases in [-1/sqrt(H), 1/sqrt(H)], as in
        PyTorch's `nn.RNN` and `nn.Linear`. "glorot": Glorot uniform W_xh and W_hy, random
        orthogonal W_hh and zero biases, as in Keras. "identity": W_hh = I and small values
        elsewhere, for long memory with "relu". "echo_state": a sparse reservoir for
        `elman.ridge_readout`. `elman.Identity` and `elman.EchoState` are the last two with
        settings.
    initial_state : array_like, shape (state_size,), optional
        State in which sequences and streams begin; zeros by default.
    input_mean, input_std : array_like, shape (I,), optional
        Scaling of the inputs: the first layer reads (x - input_mean) / input_std, computed as a
        product with 1 / input_std, which is rounded once. Either may be left out.
    output_mean, output_std : array_like, shape (O,), optional
        Scaling of the outputs: the network returns y * output_std + output_mean. Standard
        deviations are above 0; use 1 for a constant column.
    masked : {"hold", "zero"}
        What the outputs of masked steps are: those of the held states, or the readout of zeros
        (see `Network.run`).
    metadata : mapping of str to str, optional
        User metadata, saved in files and pickles.
    table : elman.Table, optional
        The meaning of the data's columns; with it, data frames are accepted in place of arrays.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError, DTypeError
        If an argument is invalid.
    LimitError
        If the weights do not fit in memory.

    Examples
    --------
    One to one: a sequence of one step.

    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> net(np.ones((1, 3))).shape
    (1, 2)

    Many to many: an output for every step, with any leading batch axes.

    >>> net(np.ones((5, 100, 3))).shape
    (5, 100, 2)

    Many to one: only the last output.

    >>> net(np.ones((5, 100, 3)), outputs="last").shape
    (5, 2)

    One to many: the network's own outputs become its inputs.

    >>> loop = elman.Network(input_size=2, hidden_size=[8, 4], output_size=2, seed=0)
    >>> loop.generate(np.ones((1, 2)), steps=50).shape
    (50, 2)
    """

    __slots__ = ()

    @_foreign.keywords("Network")
    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        output_size: int | None,
        *,
        num_layers: int | None = None,
        seed: int | None = None,
        activation: LayerActivation | Sequence[LayerActivation] = "tanh",
        output_activation: str | Activation = "sigmoid",
        direction: str | Sequence[str] = "forward",
        dtype: DTypeLike = "float32",
        bias: bool = True,
        init: Initialization = "uniform",
        initial_state: ArrayLike | None = None,
        input_mean: ArrayLike | None = None,
        input_std: ArrayLike | None = None,
        output_mean: ArrayLike | None = None,
        output_std: ArrayLike | None = None,
        masked: str = "hold",
        metadata: Mapping[str, str] | None = None,
        table: Table | None = None,
    ) -> None:
        hidden_sizes = _arguments.hidden_sizes(hidden_size, num_layers)
        directions = _arguments.directions(direction, len(hidden_sizes))
        optional = (initial_state, input_mean, input_std, output_mean, output_std)
        arguments = (
            _arguments.dtype_name(dtype),
            _arguments.size("input_size", input_size),
            hidden_sizes,
            None if output_size is None else _arguments.size("output_size", output_size),
            directions,
            _arguments.core_activations(activation, directions),
            _arguments.activation("output_activation", output_activation),
            _arguments.flag("bias", bias),
            _arguments.seed(seed),
            _arguments.arrays(zip(_structure.VECTORS, optional, strict=True)),
            *_start(init),
        )
        try:
            core = _core.Network.random(*arguments)
        except (MemoryError, LimitError):
            raise LimitError(_structure.too_large(*arguments[:5])) from None
        self._adopt(core, _arguments.metadata(metadata), table, _arguments.masked(masked))
        _arguments.require_finite(self._tensors)

    # --- running it ---

    @overload
    def __call__(self, x: Sequences, outputs: str | None = None) -> list[Array]: ...
    @overload
    def __call__(
        self, x: ArrayLike, outputs: str | None = None, *, out: Array | None = None
    ) -> Array: ...
    @_core.fast_call
    def __call__(
        self, x: ArrayLike | Sequences, outputs: str | None = None, *, out: Array | None = None
    ) -> Array | list[Array]:
        """Run whole sequences (..., T, I): batch axes first, then time, then features.

        Parameters
        ----------
        x : array_like, shape (..., T, I), or list of arrays (T_i, I), or data frame or list of them
            Inputs: any leading batch axes, then time, then features (PyTorch: `batch_first=True`).
            Real numbers of any width are converted to the network's dtype; values beyond its range
            become infinite, with NumPy's warning. A list or tuple of arrays (T_i, I) is one
            sequence each, whether or not their lengths are equal. Of a data frame the network's
            table names the columns to read; it is one sequence of T rows, or several if the table
            names their column. A list may also hold frames, of one sequence each.
        outputs : {"all", "last"}, optional
            Return the output of every step or only the last; by default "all", or for a data
            frame the table's setting.
        out : ndarray, optional
            Array to write the outputs to, of exactly their shape and dtype, sharing no memory
            with `x`.

        Returns
        -------
        ndarray, shape (..., T, O), or (..., O) for the last
            The outputs, or `out`. With T = 0 the last output is zeros. For a list of sequences, a
            list with the same bits as one call for each sequence. For a data frame with a column of
            sequences, (R, O) in the order of its rows, or (B, O) for the last in the order in which
            the sequences first appear.

        Raises
        ------
        ShapeError, DTypeError
            If `x` or `out` has the wrong shape or dtype.
        ArgumentError
            If `x` is a data frame without the columns of the network's table, or with missing
            names of sequences.
        """
        try:
            y = self._core.call(x, outputs, out)
        except (TypeError, ValueError) as error:
            raise _arguments.explained(error, x, self.input_size, outputs) from error.__cause__
        if y is not NotImplemented:
            return y
        from elman import _frame, _ragged

        values, outputs = _frame.read(self, "x", x, outputs)
        return _ragged.call(self._core, values, outputs, out)

    @overload
    def run(
        self,
        x: Sequences,
        *,
        state: ArrayLike | None = None,
        mask: Sequence[ArrayLike] | None = None,
        masked: str | None = None,
        outputs: str | None = None,
        return_hidden: bool = False,
        threads: int = 1,
    ) -> list[Run]: ...
    @overload
    def run(
        self,
        x: ArrayLike,
        *,
        state: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        masked: str | None = None,
        outputs: str | None = None,
        return_hidden: bool = False,
        threads: int = 1,
        out: Array | None = None,
    ) -> Run: ...
    @_foreign.keywords("net.run")
    def run(
        self,
        x: ArrayLike | Sequences,
        *,
        state: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        mask: ArrayLike | Sequence[ArrayLike] | None = None,
        masked: str | None = None,
        outputs: str | None = None,
        return_hidden: bool = False,
        threads: int = 1,
        out: Array | None = None,
    ) -> Run | list[Run]:
        """Run whole sequences, with states, lengths, masks and threads.

        Parameters
        ----------
        x : array_like, shape (..., T, I), or list of arrays (T_i, I)
            Inputs, as for `Network.__call__`. A list is run as one batch: `mask` is a list too. For
            a data frame of several sequences the mask has a value for each row, and so have outputs
            and `hidden`; `keys` of the result names the sequences.
        state : array_like, shape (..., state_size), optional
            State to begin with, broadcast over the batch axes (PyTorch: `hx`, Keras:
            `initial_state`); by default the network's initial state.
        lengths : array_like of int, shape (...), optional
            Number of real steps of each sequence, 0 to T. The rest is padding: whatever it
            contains, the state is unchanged and the outputs are zeros.
        offsets : array_like of int, shape (B + 1,), optional
            `x` is flat, (R, I): the steps of B sequences one after another, as Arrow stores lists.
            Sequence b has the rows offsets[b] to offsets[b + 1] - 1. Outputs and `hidden` are also
            flat, (R, ...), and zero in rows outside all sequences; the last outputs and the state
            are (B, ...).
        mask : array_like of bool, broadcasting to shape (..., T), optional
            Which steps are real, instead of `lengths`. Steps that are not (False) are skipped
            whatever they contain; the state carries over to the next real step.
        masked : {"hold", "zero"}, optional
            The output at masked steps; by default `Network.masked`. "hold": that of the held states
            (Keras' default); if all layers run forward, it repeats the output of the last real
            step. "zero": the readout of zeros in place of the top layer's states, which is
            g(b_y), scaled (ONNX; Keras: `zero_output_for_mask=True`, and always in a
            `Bidirectional`).
        outputs : {"all", "last"}, optional
            Return the output of every step or only the last: with a mask that of the last step,
            otherwise that of the last real one (zeros if there is none); by default as for
            `Network.__call__`.
        return_hidden : bool
            Whether to return the state after every step. A reverse layer reaches step t from
            t + 1, and holds its state over steps that are not real in that order.
        threads : int
            Number of threads. They share the sequences or, if there are more threads than
            sequences, the rows of wide layers, or the layers of each. The results have the same
            bits for any number.
        out : ndarray, optional
            Array to write the outputs to, as for `Network.__call__`.

        Returns
        -------
        Run
            `output` (..., T, O) or (..., O), `state` (..., state_size) after the last real step
            (the first for a reverse layer), `hidden` (..., T, state_size) or None, and `keys`. For
            a list of sequences, a list of runs.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If an argument is invalid.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        >>> x = np.ones((2, 10, 3), np.float32)
        >>> first, second = net.run(x[:, :4]), net.run(x[:, 4:], state=net.run(x[:, :4]).state)
        >>> bool((second.output == net(x)[:, 4:]).all())
        True
        """
        count = _arguments.size("threads", threads)
        hidden = _arguments.flag("return_hidden", return_hidden)
        kind = self._masked if masked is None else _arguments.masked(masked)
        rest = (hidden, count, out, "x", mask, kind, offsets)
        try:
            run = self._core.run(x, state, lengths, outputs, *rest)
        except (TypeError, ValueError) as error:
            others = {"outputs": outputs, "state": state, "lengths": lengths, "mask": mask}
            raise _arguments.explained(error, x, self.input_size, **others) from error.__cause__
        if run is not NotImplemented:
            return Run(*run)
        from elman import _frame, _ragged

        values, outputs = _frame.read(self, "x", x, outputs)
        return _ragged.run_any(self._core, values, state, lengths, outputs, *rest)

    def generate(
        self,
        start: ArrayLike,
        steps: int,
        *,
        feedback: Callable[[Array], ArrayLike] | None = None,
        state: ArrayLike | None = None,
    ) -> Array:
        """Run on the network's own outputs: one to many.

        Parameters
        ----------
        start : array_like, shape (..., T0, I)
            The first inputs, at least one step. The first output returned is that of its last row.
        steps : int
            Number of outputs to return.
        feedback : callable, optional
            feedback(y) maps outputs (..., O) to the next inputs (..., I). It is called for every
            output except the last, after which there is no input. By default each output is the
            next input, which requires O == I.
        state : array_like, shape (..., state_size), optional
            State to begin with; by default the network's initial state.

        Returns
        -------
        ndarray, shape (..., steps, O)

        Raises
        ------
        ShapeError
            If a shape is wrong, or O differs from I and there is no `feedback`.
        ArgumentError
            If a layer does not run forward.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=1, hidden_size=8, output_size=1, seed=0)
        >>> net.generate([[0.5]], steps=3).shape
        (3, 1)
        """
        from elman import _feedback, _frame

        count = _arguments.size("steps", steps, least=0)
        self._core.require_forward("generate", "an output is the next input")
        _arguments.require_one_array("start", start, "generate from each one")
        start = _frame.read_one(self, "start", start)
        if feedback is None:
            try:
                return self._core.generate(start, count, state)
            except (MemoryError, LimitError):
                raise LimitError(_arguments.too_long(start, count, self._core)) from None
        if not callable(feedback):
            raise ArgumentTypeError(
                f"feedback: expected a function, got {_arguments.kind(feedback)}"
            )
        return _feedback.generate(self, self._core, feedback, start, count, state)

    def stream(self, state: ArrayLike | None = None, *, nonfinite: str = "raise") -> Stream:
        """Return a stream, which runs one sequence step by step and keeps its state.

        Parameters
        ----------
        state : array_like, shape (state_size,), optional
            State to begin with; by default the network's initial state.
        nonfinite : {"raise", "hold", "propagate"}
            What a sample with a NaN or an infinity does. What counts is the value that the first
            layer reads, after rounding to the network's dtype and scaling. "raise": it is refused
            with an `ArgumentError`; the state is unchanged. "hold": it is skipped like a masked
            step; the state is unchanged, and the output is computed from it again.
            "propagate": it is computed with, as in arrays; the state usually stays NaN from then
            on.

        Returns
        -------
        Stream

        Raises
        ------
        ArgumentError
            If a layer does not run forward: it would need future inputs. If `nonfinite` is unknown,
            or `state` is not finite and `nonfinite` is not "propagate".

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        >>> stream = net.stream()
        >>> x = np.ones((4, 3), np.float32)
        >>> bool((np.stack([stream.step(x_t) for x_t in x]) == net(x)).all())
        True
        """
        stream = _core.stream(self._core, self, nonfinite)
        if state is not None:
            stream.state = state
        return stream

    def streams(
        self, n: int, state: ArrayLike | None = None, *, nonfinite: str = "raise"
    ) -> StreamPool:
        """Return a pool of streams, which advance together.

        Parameters
        ----------
        n : int
            Number of rows, each an independent sequence; 0 or more.
        state : array_like, shape (n, state_size) or (state_size,), optional
            States to begin with, or one for all; by default the network's initial state.
        nonfinite : {"raise", "hold", "propagate"}
            What a row's sample with a NaN or an infinity does, as for `stream`. "raise": the call
            is refused, and no row advances. "hold": the row holds its state, and its output is
            computed from it again; the others advance. "propagate": it is computed with.

        Returns
        -------
        StreamPool

        Raises
        ------
        ArgumentError, LimitError
            As for `stream`; if `n` is negative, or the states of the rows do not fit in memory.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        >>> pool = net.streams(100)
        >>> x = np.ones((100, 4, 3), np.float32)
        >>> steps = [pool.step(x[:, t]) for t in range(4)]
        >>> bool((np.stack(steps, axis=1) == net(x)).all())
        True
        """
        pool = _core.streams(self._core, self, _arguments.size("n", n, 0), nonfinite)
        if state is not None:
            pool.state = state
        return pool

    def trace(
        self,
        x: ArrayLike | Sequences,
        *,
        state: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | Sequence[ArrayLike] | None = None,
        masked: str | None = None,
        threads: int = 1,
    ) -> Trace:
        """Run whole sequences and return every number of every step.

        Parameters
        ----------
        x, state, lengths, mask, masked, threads
            As for `run`. Several sequences in a list or a data frame are padded to a batch.

        Returns
        -------
        Trace
            The sums before every activation, the states and the outputs, with the bits that `run`
            computes. `trace.explain(t, unit=3)` is the equation of a unit with its numbers.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            As for `run`.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        >>> trace = net.trace(np.ones((100, 3)))
        >>> trace.layers[0].a.shape, trace.readout.a.shape, trace.y.shape
        ((100, 8), (100, 2), (100, 2))
        """
        from elman import _frame
        from elman.trace import recording

        x, lengths, mask = _frame.padded(self, x, lengths, mask)
        given: dict[str, Any] = {"state": state, "lengths": lengths, "mask": mask, "masked": masked}
        run = self.run(x, **given, return_hidden=True, threads=threads)
        return recording.record(self, x, run, **given, threads=threads)

    def verify(
        self,
        x: ArrayLike,
        *,
        state: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        masked: str | None = None,
    ) -> VerificationReport:
        """Run in C++ and check every step against the NumPy reference.

        Each step is recomputed in float64 from the core's own previous state and compared within
        the rounding bound (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
        section 3.1), so that even chaotic networks can be verified.

        Parameters
        ----------
        x, state, lengths, mask, masked
            As for `Network.run`.

        Returns
        -------
        VerificationReport
            The largest error as a fraction of its bound, its location, and the free-running
            difference, which is reported but not checked.

        Raises
        ------
        VerificationError
            If an error exceeds its bound.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        >>> net.verify(np.ones((100, 3))).ok
        True
        """
        from elman import _frame, reference
        from elman.errors import VerificationError

        _arguments.require_one_array("x", x, "verify each one")
        x, lengths, mask = _frame.padded(self, x, lengths, mask)
        given: dict[str, Any] = {"state": state, "lengths": lengths, "mask": mask, "masked": masked}
        run = self.run(x, **given, return_hidden=True)
        assert run.hidden is not None
        report = reference.verify(self, x, run.output, run.hidden, **given)
        if not report.ok:
            raise VerificationError(str(report))
        return report

    # --- copies and files ---

    def save(self, path: str | os.PathLike[str], *, golden: ArrayLike | None = None) -> None:
        """Write a model file (safetensors), atomically.

        `elman.load` restores it bit for bit. `golden`, inputs (T, I) or (B, T, I), is saved as an
        example with the network's outputs; `elman.load(path, verify=True)` checks them on another
        machine.

        A killed process leaves the old file or the new one, and perhaps a temporary file
        `.elman-0.tmp`, which the next save in the folder removes. Permission bits are kept, and
        symbolic links are followed.

        Raises
        ------
        ArgumentError
            If the suffix belongs to another format, as in `model.onnx`.
        LimitError
            If `load` would refuse the file: too many layers, or metadata too long.
        ShapeError, DTypeError
            If `golden` is not a valid input of the network.
        OSError
            If the file cannot be written, is write-protected, or is not a regular file.
        """
        from elman import _files, _format

        _format.require_suffix(path)
        example = None if golden is None else self._example(golden)
        _files.replace(path, _format.dumps(self, example))

    def _example(self, x: ArrayLike) -> Example:
        """Return the example to save: the inputs and the results of running them."""
        from elman import _format, _frame

        inputs = _arguments.reals("golden", _frame.read_one(self, "golden", x))
        if inputs.ndim < 2 or inputs.shape[-1] != self.input_size or not inputs.size:
            raise ShapeError(
                f"golden: expected (..., T, {self.input_size}) with at least one step, got"
                f" {inputs.shape}"
            )
        inputs = inputs.astype(self.dtype)
        output, _, hidden = self._core.run(inputs, None, None, "all", True, 1, None)
        return _format.Example(inputs, output, hidden)

    def __reduce__(self) -> tuple[Callable[[bytes], Network], tuple[bytes]]:
        from elman import _format

        return _restore, (_format.dumps(self),)

    def __copy__(self) -> Network:
        return self

    def __deepcopy__(self, memo: object) -> Network:
        return self


def _start(init: Initialization) -> tuple[str, dict[str, float]]:
    """Return the name and the settings of an initializer."""
    if isinstance(init, str):
        return _arguments.initializer(init), {}
    from elman import initialization

    return initialization.named(init)


def require_network(net: object) -> None:
    """Raise unless `net` is a network."""
    if not isinstance(net, Network):
        got = f"{_arguments.kind(net)}{_arguments.network_remedy(net)}"
        raise ArgumentTypeError(f"net: expected an elman.Network, got {got}")


def network_of(core: Core, like: Network | None = None) -> Network:
    """Wrap a network of the extension, with the metadata, table and `masked` of `like`."""
    net = object.__new__(Network)
    rest = ({}, None, "hold") if like is None else (like._metadata, like._table, like._masked)
    net._adopt(core, *rest)
    return net


def network_of_contents(contents: Contents, *, allow_nonfinite: bool) -> Network:
    """Return the network of a model file."""
    if not allow_nonfinite and (found := _arguments.nonfinite(contents.tensors)):
        raise ModelFormatError(f"tensor {found} (allow_nonfinite=True accepts it)")
    try:
        return Network.from_tensors(
            contents.tensors,
            direction=contents.structure.directions,
            activation=contents.structure.layer_activations,
            output_activation=contents.structure.output_activation,
            dtype=contents.dtype,
            masked=contents.structure.masked,
            metadata=contents.metadata,
            table=contents.table,
            allow_nonfinite=True,
        )
    except ArgumentError as error:  # a parameter of an activation overflows the dtype
        raise ModelFormatError(str(error)) from error


def loads(data: bytes, *, allow_nonfinite: bool = False, source: str = "model") -> Network:
    """Return the network in the bytes of a model file; errors name them `source`."""
    from elman import _container, _files, _format

    with _files.naming(source):
        contents = _format.read(_container.memory(data), len(data))
        return network_of_contents(contents, allow_nonfinite=allow_nonfinite)


def _restore(data: bytes) -> Network:
    """Return the network in a pickle; nonfinite weights were already accepted once."""
    if not isinstance(data, bytes):
        raise ArgumentTypeError(f"a pickled network: expected bytes, got {_arguments.kind(data)}")
    return loads(data, allow_nonfinite=True, source="pickled network")
