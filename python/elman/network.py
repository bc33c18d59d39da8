"""The network as Python sees it: what it is made of, and the calls that run it in C++."""

from __future__ import annotations

from collections import namedtuple
from types import MappingProxyType
from typing import TYPE_CHECKING

from elman import _arguments, _core, _foreign, _structure
from elman.activation import Activation
from elman.errors import ArgumentTypeError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn

    import numpy as np
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from elman._arguments import HalvesOrLayer, LayerActivation, ReadoutWeights
    from elman._core import Network as Core
    from elman._core import Stream
    from elman.initialization import Initialization
    from elman.reference import VerificationReport

    Array = NDArray[Any]

Run = namedtuple("Run", ["output", "state", "hidden"])
Run.__doc__ = """What `Network.run` returns.

Attributes
----------
output : ndarray, shape (..., T, O) or (..., O)
    The output of every step, or of the last real one.
state : ndarray, shape (..., state_size)
    The state after the last real step.
hidden : ndarray, shape (..., T, state_size), or None
    The state after every step, if it was asked for.
"""


def _view(array: Array | None) -> Array | None:
    """Return a view: the shape and the dtype of a read-only array itself could be set in place."""
    return None if array is None else array.view()


class _Constant:
    """What it is made of is set once: a network never changes."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__slots__ or hasattr(self, name):
            raise AttributeError(
                f"{type(self).__name__}.{name} cannot be set: networks are constant"
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted")


class Layer(_Constant):
    """One recurrent layer: `W_xh` (H, I), `W_hh` (H, H), `b_h` (H,) or None, and how it acts.

    `direction` is "forward", "reverse" or "bidirectional". What stands here of a bidirectional
    layer is its half that runs forward; `reverse` is the other half, a Layer too, and else None.
    """

    __slots__ = ("_W_hh", "_W_xh", "_b_h", "activation", "direction", "reverse")

    def __init__(
        self,
        W_xh: Array,
        W_hh: Array,
        b_h: Array | None,
        activation: Activation,
        direction: str = "forward",
        reverse: Layer | None = None,
    ) -> None:
        self._W_xh = W_xh
        self._W_hh = W_hh
        self._b_h = b_h
        self.activation = activation
        self.direction = direction
        self.reverse = reverse

    @property
    def W_xh(self) -> Array:
        """The weights of what the layer reads, shape (H, I)."""
        return self._W_xh.view()

    @property
    def W_hh(self) -> Array:
        """The weights of its states one step before, shape (H, H)."""
        return self._W_hh.view()

    @property
    def b_h(self) -> Array | None:
        """The biases, shape (H,), or None."""
        return _view(self._b_h)

    def __repr__(self) -> str:
        return f"Layer({self.W_xh.shape[1]} -> {_words(self)})"


class Readout(_Constant):
    """The readout: `W_hy` (O, H), `b_y` (O,) or None, and the output activation."""

    __slots__ = ("_W_hy", "_b_y", "activation")

    def __init__(self, W_hy: Array, b_y: Array | None, activation: Activation) -> None:
        self._W_hy = W_hy
        self._b_y = b_y
        self.activation = activation

    @property
    def W_hy(self) -> Array:
        """The weights of the top layer's states, shape (O, H)."""
        return self._W_hy.view()

    @property
    def b_y(self) -> Array | None:
        """The biases, shape (O,), or None."""
        return _view(self._b_y)

    def __repr__(self) -> str:
        O, H = self.W_hy.shape
        return f"Readout({H} -> {O} {self.activation})"


class Network:
    """An Elman recurrent network: stacked simple recurrent layers and a readout.

        h_t = f(W_hh h_(t-1) + W_xh x_t + b_h)      each layer, reading the one below
        y_t = g(W_hy h_t + b_y)

    This constructor makes a network with random weights; `from_weights` takes given ones and
    `elman.load` reads a file. A network never changes, so any number of threads may share one.

    Parameters
    ----------
    input_size : int
        I, the number of features of an input.
    hidden_size : int or sequence of int
        H of each layer, from the bottom up; one number for one layer.
    output_size : int or None
        O, the number of outputs. None: no readout, the output is the top layer's state.
    num_layers : int, optional
        How many layers of one `hidden_size` there are; by default one, or as many as sizes.
    seed : int, optional
        0 to 2**64 - 1. A seed gives the same network everywhere and for ever. None: a new one.
    activation : str or elman.Activation, or a sequence of them
        f: "tanh", "relu", "sigmoid", "identity" or another name of `elman.Activation`, which also
        takes numbers, for all layers or one for each (PyTorch: `nonlinearity`). A pair in place of
        one is for the two halves of a bidirectional layer.
    output_activation : str or elman.Activation
        g: "sigmoid", "identity", "softmax" or any other of them.
    direction : str or sequence of str
        "forward", "reverse" or "bidirectional", for all layers or one for each. In reverse a layer
        reads each sequence from its last real step to the first, h_(t+1) in place of h_(t-1). A
        bidirectional layer does both, with H units and weights of their own for each direction,
        and gives [forward | reverse], 2H numbers (PyTorch: `bidirectional=True`; Keras:
        `Bidirectional`). Whoever looks back from the end of a sequence needs it whole: such
        networks have no stream, cannot run on their own outputs, and are not trained here.
    dtype : dtype
        float32 or float64: of the weights, the arithmetic and the results.
    bias : bool
        Whether the layers and the readout have biases.
    init : str, elman.Identity or elman.EchoState
        Where training starts. "uniform": all weights and biases in [-1/sqrt(H), 1/sqrt(H)], as
        PyTorch's `nn.RNN` and `nn.Linear` have them. "glorot": Glorot's uniform numbers in W_xh and
        W_hy, a random orthogonal W_hh and biases of 0, as Keras has them. "identity": W_hh = I and
        small numbers elsewhere, for long memory with "relu". "echo_state": a sparse reservoir for
        `elman.ridge_readout`. The last two have settings: see `elman.Identity`, `elman.EchoState`.
    initial_state : array_like, shape (state_size,), optional
        Where sequences and streams begin; zeros by default.
    input_shift, input_scale : array_like, shape (I,), optional
        Units of the inputs: (x - input_shift) * input_scale is what the first layer reads.
    output_shift, output_scale : array_like, shape (O,), optional
        Units of the outputs: y * output_scale + output_shift is what the network returns.
    metadata : mapping of str to str, optional
        Your own words, kept in files and pickles.

    Examples
    --------
    One to one: a sequence of one step.

    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> net(np.ones((1, 3))).shape
    (1, 2)

    Many to many: an output for every step, for any leading batch axes.

    >>> net(np.ones((5, 100, 3))).shape
    (5, 100, 2)

    Many to one: the last output alone.

    >>> net(np.ones((5, 100, 3)), outputs="last").shape
    (5, 2)

    One to many: the network's own outputs become its inputs.

    >>> loop = elman.Network(input_size=2, hidden_size=[8, 4], output_size=2, seed=0)
    >>> loop.generate(np.ones((1, 2)), steps=50).shape
    (50, 2)
    """

    __slots__ = ("__weakref__", "_core", "_layers", "_metadata", "_readout", "_tensors")

    _core: Core
    _layers: tuple[Layer, ...]
    _readout: Readout | None
    _tensors: dict[str, Array]
    _metadata: Mapping[str, str]

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
        input_shift: ArrayLike | None = None,
        input_scale: ArrayLike | None = None,
        output_shift: ArrayLike | None = None,
        output_scale: ArrayLike | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        hidden_sizes = _arguments.hidden_sizes(hidden_size, num_layers)
        directions = _arguments.directions(direction, len(hidden_sizes))
        optional = (initial_state, input_shift, input_scale, output_shift, output_scale)
        core = _core.Network.random(
            _arguments.dtype_name(dtype),
            _arguments.size("input_size", input_size),
            hidden_sizes,
            None if output_size is None else _arguments.size("output_size", output_size),
            directions,
            _for_core(_arguments.activations(activation, directions)),
            _arguments.activation("output_activation", output_activation),
            bool(bias),
            _arguments.seed(seed),
            _arguments.arrays(zip(_structure.VECTORS, optional, strict=True)),
            *_start(init),
        )
        self._adopt(core, _arguments.metadata(metadata))
        _arguments.require_finite(self._tensors)

    @classmethod
    def from_weights(
        cls,
        layers: Iterable[HalvesOrLayer],
        readout: ReadoutWeights | None,
        *,
        activation: LayerActivation | Sequence[LayerActivation] = "tanh",
        output_activation: str | Activation | None = "sigmoid",
        direction: str | Sequence[str] = "forward",
        dtype: DTypeLike | None = None,
        initial_state: ArrayLike | None = None,
        input_shift: ArrayLike | None = None,
        input_scale: ArrayLike | None = None,
        output_shift: ArrayLike | None = None,
        output_scale: ArrayLike | None = None,
        metadata: Mapping[str, str] | None = None,
        allow_nonfinite: bool = False,
    ) -> Network:
        """Make a network of given weights, which are copied.

        Parameters
        ----------
        layers : iterable of (W_xh, W_hh, b_h)
            For each layer, from the bottom up, arrays (H, I), (H, H) and (H,); b_h may be None. I
            is the size of the input or of what the layer below gives. A bidirectional layer has a
            pair of them, the forward half's and the reverse half's.
        readout : (W_hy, b_y) or None
            Arrays (O, H) and (O,); b_y may be None. None: the output is the top layer's state.
        dtype : dtype, optional
            float32 or float64; by default the common one of the arrays.
        allow_nonfinite : bool
            Accept NaN and infinities.
        activation, output_activation, direction, initial_state, input_shift, input_scale, \
output_shift, output_scale, metadata
            As for `Network`.

        Returns
        -------
        Network

        Raises
        ------
        ShapeError, DTypeError
            If an array does not fit the others, or holds something else than real numbers.
        ArgumentError
            If a weight is not finite.

        Examples
        --------
        >>> import numpy as np, elman
        >>> W_xh, W_hh, b_h = np.ones((4, 2)), np.eye(4) / 2, np.zeros(4)
        >>> W_hy, b_y = np.ones((1, 4)), np.zeros(1)
        >>> elman.Network.from_weights([(W_xh, W_hh, b_h)], (W_hy, b_y))
        Network(2 -> 4 tanh -> 1 sigmoid, float64, 33 parameters)
        """
        named: list[tuple[str, ArrayLike | None]] = []
        layers = _arguments.listed("layers", layers, "several (W_xh, W_hh, b_h)")
        directions = _arguments.directions(direction, len(layers))
        for prefix, weights in _arguments.halves(layers, directions):
            named += zip((prefix + name for name in _structure.WEIGHTS), weights, strict=True)
        if readout is not None:
            names = (_structure.W_HY, _structure.B_Y)
            named += zip(names, _arguments.pair(readout), strict=True)
        optional = (initial_state, input_shift, input_scale, output_shift, output_scale)
        named += zip(_structure.VECTORS, optional, strict=True)
        return cls.from_tensors(
            dict(named),
            direction=directions,
            activation=activation,
            output_activation=output_activation,
            dtype=dtype,
            metadata=metadata,
            allow_nonfinite=allow_nonfinite,
        )

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, ArrayLike | None],
        *,
        activation: LayerActivation | Sequence[LayerActivation] = "tanh",
        output_activation: str | Activation | None = "sigmoid",
        direction: str | Sequence[str] = "forward",
        dtype: DTypeLike | None = None,
        metadata: Mapping[str, str] | None = None,
        allow_nonfinite: bool = False,
    ) -> Network:
        """Make a network of tensors by name, which are copied: the inverse of `tensors`.

        Parameters
        ----------
        tensors : mapping of array_like
            By the names of the file format: `layers.0.W_xh` (H, I), `layers.0.W_hh` (H, H),
            `layers.0.b_h` (H,), and so on from the bottom up, `layers.0.reverse.W_xh` ... for the
            half of a bidirectional layer that runs in reverse; `readout.W_hy` (O, H) and
            `readout.b_y` (O,); `initial_state`, `input_shift`, `input_scale`, `output_shift` and
            `output_scale`. Biases and what follows the readout are optional, and so is the readout.
            None stands for a tensor that is not there.
        dtype : dtype, optional
            float32 or float64; by default the common one of the arrays.
        allow_nonfinite : bool
            Accept NaN and infinities.
        activation, output_activation, direction, metadata
            As for `Network`.

        Returns
        -------
        Network

        Raises
        ------
        ShapeError, DTypeError
            If an array does not fit the others, or holds something else than real numbers.
        ArgumentError
            If a tensor is missing or unknown, or a weight is not finite.

        Examples
        --------
        >>> import elman
        >>> net = elman.Network(input_size=2, hidden_size=4, output_size=1, seed=0)
        >>> elman.Network.from_tensors(net.tensors()) == net
        True
        """
        import numpy as np

        arrays = _arguments.arrays(tensors.items())
        directions = _arguments.directions(direction, _arguments.num_layers(arrays))
        activations = _arguments.activations(activation, directions)
        net = object.__new__(cls)
        name = _arguments.common_dtype(arrays) if dtype is None else _arguments.dtype_name(dtype)
        g = None
        if _structure.W_HY in arrays:
            g = _arguments.activation("output_activation", output_activation or "identity")
        with np.errstate(over="ignore"):  # require_finite says more
            core = _core.Network.from_tensors(name, arrays, directions, _for_core(activations), g)
        net._adopt(core, _arguments.metadata(metadata))
        if not allow_nonfinite:
            _arguments.require_finite(net._tensors, " (allow_nonfinite=True accepts it)")
        return net

    def _adopt(self, core: Core, metadata: Mapping[str, str]) -> None:
        tensors = core.tensors()
        self._core = core
        self._tensors = tensors
        self._metadata = MappingProxyType(dict(metadata))
        activations = [Activation(*a) for a in core.activations]
        self._layers = _layers(tensors, core.directions, activations)
        self._readout = None
        if (g := core.output_activation) is not None:
            self._readout = Readout(
                tensors[_structure.W_HY], tensors.get(_structure.B_Y), Activation(*g)
            )

    def tensors(self) -> dict[str, Array]:
        """Return the tensors, read-only, by the names of the file format: see `from_tensors`."""
        return {name: array.view() for name, array in self._tensors.items()}

    def replace(
        self,
        *,
        tensors: Mapping[str, ArrayLike | None] | None = None,
        dtype: DTypeLike | None = None,
        metadata: Mapping[str, str] | None = None,
        allow_nonfinite: bool = False,
    ) -> Network:
        """Return this network with other tensors, another dtype or other metadata.

        Parameters
        ----------
        tensors : mapping of array_like, optional
            Those that take the place of this network's, by name; None takes one away. The shapes
            may be others, if they fit together.
        dtype : dtype, optional
            float32 or float64; by default this network's.
        metadata : mapping of str, optional
            By default this network's.
        allow_nonfinite : bool
            Accept NaN and infinities.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            As for `from_tensors`.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=2, hidden_size=4, output_size=1, seed=0)
        >>> net.replace(tensors={"readout.b_y": np.ones(1)}).readout.b_y
        array([1.], dtype=float32)
        """
        structure = _structure.Structure.of(self)
        return self.from_tensors(
            self._tensors | dict(tensors or {}),
            direction=structure.directions,
            activation=structure.layer_activations,
            output_activation=structure.output_activation,
            dtype=self.dtype if dtype is None else dtype,
            metadata=self._metadata if metadata is None else metadata,
            allow_nonfinite=allow_nonfinite,
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name in Network.__slots__:
            raise ArgumentTypeError("this Network was made without its constructor")
        raise AttributeError(_foreign.attribute(name))

    # --- what it is made of ---

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers from the bottom up; their arrays are read-only."""
        return self._layers

    @property
    def readout(self) -> Readout | None:
        """The readout, or None."""
        return self._readout

    @property
    def input_size(self) -> int:
        """I, the number of features of an input."""
        return self._core.input_size

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """H of each layer, from the bottom up; of a bidirectional one for each direction."""
        return tuple(self._core.hidden_sizes)

    @property
    def output_size(self) -> int:
        """O, the number of outputs; without a readout what the top layer gives."""
        return self._core.output_size

    @property
    def num_layers(self) -> int:
        """The number of recurrent layers."""
        return len(self._layers)

    @property
    def state_size(self) -> int:
        """The sum of the hidden sizes, those of bidirectional layers twice."""
        return sum(_output_size(layer) for layer in self._layers)

    @property
    def num_parameters(self) -> int:
        """How many numbers the weights and biases are."""
        return sum(a.size for name, a in self._tensors.items() if name not in _structure.VECTORS)

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The layers' activations, from the bottom up; `layer.reverse` has the second half's."""
        return tuple(layer.activation for layer in self._layers)

    @property
    def _half_activations(self) -> list[Activation]:
        halves = (half for layer in self._layers for half in (layer, layer.reverse))
        return [half.activation for half in halves if half is not None]

    @property
    def directions(self) -> tuple[str, ...]:
        """The layers' directions, from the bottom up."""
        return tuple(layer.direction for layer in self._layers)

    @property
    def output_activation(self) -> Activation | None:
        """The readout's activation; None without a readout."""
        return None if self._readout is None else self._readout.activation

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._tensors["layers.0.W_hh"].dtype

    @property
    def isa(self) -> str:
        """The instruction set that this network was packed for."""
        return self._core.isa

    @property
    def metadata(self) -> Mapping[str, str]:
        """The user's own strings."""
        return self._metadata

    @property
    def initial_state(self) -> Array | None:
        """Where sequences begin, shape (state_size,); None means zeros."""
        return _view(self._tensors.get("initial_state"))

    @property
    def input_shift(self) -> Array | None:
        """Subtracted from inputs, shape (I,), or None."""
        return _view(self._tensors.get("input_shift"))

    @property
    def input_scale(self) -> Array | None:
        """Multiplies inputs after the shift, shape (I,), or None."""
        return _view(self._tensors.get("input_scale"))

    @property
    def output_shift(self) -> Array | None:
        """Added to outputs last, shape (O,), or None."""
        return _view(self._tensors.get("output_shift"))

    @property
    def output_scale(self) -> Array | None:
        """Multiplies outputs, shape (O,), or None."""
        return _view(self._tensors.get("output_scale"))

    # --- running it ---

    def __call__(self, x: ArrayLike, outputs: str = "all", *, out: Array | None = None) -> Array:
        """Run whole sequences from the start and return their outputs.

        Parameters
        ----------
        x : array_like, shape (..., T, I)
            Inputs: any leading batch axes, then time, then features (PyTorch: `batch_first=True`).
            Real numbers of any width are converted to the network's dtype; those beyond its range
            become infinite, with NumPy's warning.
        outputs : {"all", "last"}
            The output of every step, or of the last one alone.
        out : ndarray, optional
            Where to write the outputs: an array of exactly their shape and dtype that shares no
            memory with `x`.

        Returns
        -------
        ndarray, shape (..., T, O), or (..., O) for the last
            The outputs, or `out`. The last output of no step at all (T = 0) is zeros.

        Raises
        ------
        ShapeError, DTypeError
            If `x` or `out` is not what this network takes.
        """
        return self._core.call(x, outputs, out)

    def run(
        self,
        x: ArrayLike,
        *,
        state: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        masked: str = "hold",
        outputs: str = "all",
        return_hidden: bool = False,
        threads: int = 1,
        out: Array | None = None,
    ) -> Run:
        """Run whole sequences with everything there is to say and to get.

        Parameters
        ----------
        x : array_like, shape (..., T, I)
            Inputs, as for `Network.__call__`.
        state : array_like, shape (..., state_size), optional
            Where to begin, broadcast over the batch axes (PyTorch: `hx`, Keras: `initial_state`);
            by default the network's initial state.
        lengths : array_like of int, shape (...), optional
            How many steps of each sequence are real, 0 to T. Padded steps hold the state and give
            zeros, whatever stands in the padding.
        mask : array_like of bool, broadcasting to shape (..., T), optional
            Which steps are real, instead of `lengths`. Those that are not do not exist for the
            recurrence, whatever stands in them: the next real step goes on from the last one.
        masked : {"hold", "zero"}
            The output of steps that the mask leaves out: that of the states held there (Keras'
            default), which is the output of the last real step before if all layers run forward;
            or zeros (Keras: `zero_output_for_mask=True`, and always of a `Bidirectional`).
        outputs : {"all", "last"}
            The output of every step, or of the last real one alone (zeros if there is none).
        return_hidden : bool
            Whether to return the state after every step. A layer that runs in reverse comes to
            step t from t + 1, and steps that are not real hold its state in that order.
        threads : int
            How many threads share the sequences or, where there are more threads than sequences,
            the layers of each. The results are the same bits for any number.
        out : ndarray, optional
            Where to write the outputs, as for `Network.__call__`.

        Returns
        -------
        Run
            `output` (..., T, O) or (..., O), `state` (..., state_size) after the last real step
            (the first one for a layer that runs in reverse), and `hidden` (..., T, state_size) or
            None.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If an argument is not what this network takes.

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
        run = self._core.run(
            x,
            state,
            lengths,
            outputs,
            bool(return_hidden),
            count,
            out,
            mask=mask,
            masked=masked,
        )
        return Run(*run)

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
            What is fed in first, at least one step. The first output is the one after its last row.
        steps : int
            How many outputs to return.
        feedback : callable, optional
            feedback(y) turns outputs (..., O) into the next inputs (..., I). By default an output
            is the next input as it is, which takes O == I.
        state : array_like, shape (..., state_size), optional
            Where to begin; by default the network's initial state.

        Returns
        -------
        ndarray, shape (..., steps, O)

        Raises
        ------
        ShapeError
            If O differs from I and there is no `feedback`, or a shape is not what is due.
        ArgumentError
            If a layer does not run forward.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=1, hidden_size=8, output_size=1, seed=0)
        >>> net.generate([[0.5]], steps=3).shape
        (3, 1)
        """
        count = _arguments.size("steps", steps, least=0)
        self._core.require_forward("generate", "an output is the next input")
        if feedback is None:
            return self._core.generate(start, count, state)
        return self._generate_through(feedback, start, count, state)

    def _generate_through(
        self,
        feedback: Callable[[Array], ArrayLike],
        start: ArrayLike,
        steps: int,
        state: ArrayLike | None,
    ) -> Array:
        import numpy as np

        from elman.errors import LimitError, ShapeError

        x = _arguments.array("start", start)
        if x.ndim >= 2 and x.shape[-2] == 0:
            raise ShapeError(f"start: expected at least one step, got {x.shape}")
        y, state = self._last(x, state, "start")
        try:
            result = np.empty((*y.shape[:-1], steps, self.output_size), self.dtype)
        except ValueError:
            raise LimitError(f"steps: {steps} are more than memory can address") from None
        next_shape = (*y.shape[:-1], self.input_size)
        for t in range(steps):
            result[..., t, :] = y
            if t + 1 < steps:
                x = _arguments.array("feedback", feedback(y))
                if x.shape != next_shape:
                    raise ShapeError(f"feedback: expected {next_shape}, got {x.shape}")
                y, state = self._last(x[..., None, :], state, "feedback")
        return result

    def _last(self, x: Array, state: ArrayLike | None, argument: str) -> tuple[Array, Array]:
        """Run and return the last output and state; errors call x by `argument`."""
        y, state, _ = self._core.run(x, state, None, "last", False, 1, None, argument)
        return y, state

    def stream(self, state: ArrayLike | None = None) -> Stream:
        """Return a stream: one sequence in real time, whose state stays inside.

        Parameters
        ----------
        state : array_like, shape (state_size,), optional
            Where to begin; by default the network's initial state.

        Returns
        -------
        Stream

        Raises
        ------
        ArgumentError
            If a layer does not run forward: a stream does not know the future.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
        >>> stream = net.stream()
        >>> x = np.ones((4, 3), np.float32)
        >>> bool((np.stack([stream.step(x_t) for x_t in x]) == net(x)).all())
        True
        """
        stream = _core.stream(self._core)
        if state is not None:
            stream.state = state
        return stream

    def verify(
        self,
        x: ArrayLike,
        *,
        state: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        masked: str = "hold",
    ) -> VerificationReport:
        """Run in C++ and hold every step against the NumPy reference.

        Each step is judged from the core's own previous state, in float64, against the bound that
        rounding sets (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
        section 3.1), so that chaotic networks can be verified too.

        Parameters
        ----------
        x, state, lengths, mask, masked
            As for `Network.run`.

        Returns
        -------
        VerificationReport
            The largest error as a share of its bound, where it is, and the free-running
            difference, which is reported and not judged.

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
        from elman import reference
        from elman.errors import VerificationError

        run = self.run(
            x, state=state, lengths=lengths, mask=mask, masked=masked, return_hidden=True
        )
        report = reference.verify(
            self, x, run.output, run.hidden, state, lengths, mask=mask, masked=masked
        )
        if not report.ok:
            raise VerificationError(str(report))
        return report

    # --- copies and files ---

    def save(self, path: str | os.PathLike[str], *, golden: ArrayLike | None = None) -> None:
        """Write a model file (safetensors), which is replaced whole or not at all.

        `elman.load` reads it back to equal bits. `golden` are inputs (T, I) or (B, T, I) that are
        kept in the file with what the network gives for them: `elman.load(path, verify=True)` holds
        another machine to it.

        The bytes go to a temporary file `.elman-*.tmp` in the same folder, which takes the file's
        place when they are on the disk: a process that is killed, or a machine that loses power,
        leaves the old file or the new one (and perhaps the temporary file, which may be deleted).
        An old file's permission bits are kept. If `path` is a symbolic link, the file that it
        points to is replaced.

        Raises
        ------
        ArgumentError
            If the name is that of another format's file, such as `model.onnx`.
        LimitError
            If `load` would refuse the file: too many layers, or metadata too long.
        ShapeError, DTypeError
            If `golden` is no input of the network.
        OSError
            If the file cannot be written, is write-protected, or is not a regular file.
        """
        from elman import _loading

        _loading.save(self, path, golden=golden)

    def astype(self, dtype: DTypeLike) -> Network:
        """Return this network with its weights converted to float32 or float64.

        Raises
        ------
        ArgumentError
            If a finite weight becomes infinite.
        """
        nonfinite = _arguments.nonfinite(self._tensors) is not None
        return self.replace(dtype=_arguments.dtype_name(dtype), allow_nonfinite=nonfinite)

    def with_units(
        self,
        *,
        input_shift: ArrayLike | None = None,
        input_scale: ArrayLike | None = None,
        output_shift: ArrayLike | None = None,
        output_scale: ArrayLike | None = None,
    ) -> Network:
        """Return this network with these units in place of its own.

        A network that was trained on standardised numbers takes and gives raw ones with
        input_shift=mean, input_scale=1/std, output_shift=mean and output_scale=std.

        Parameters
        ----------
        input_shift, input_scale, output_shift, output_scale : array_like, optional
            As for `Network`; None: none.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If one of them is no vector of finite numbers of the right size.

        Examples
        --------
        >>> import elman
        >>> net = elman.Network(input_size=1, hidden_size=4, output_size=1, seed=0)
        >>> scaled = net.with_units(input_scale=[0.5])
        >>> bool((scaled([[2.0]]) == net([[1.0]])).all())
        True
        """
        scaling = (input_shift, input_scale, output_shift, output_scale)
        return self.replace(tensors=dict(zip(_structure.SCALING, scaling, strict=True)))

    def __reduce__(self) -> tuple[Callable[[bytes], Network], tuple[bytes]]:
        from elman import _loading

        return _loading.restore, (_loading.dumps(self),)

    def __copy__(self) -> Network:
        return self

    def __deepcopy__(self, memo: object) -> Network:
        return self

    def _content(self) -> tuple[object, ...]:
        """Return what makes two networks equal: all but the metadata and the instruction set."""
        weights = {name: (a.shape, a.tobytes()) for name, a in self._tensors.items()}
        acts = (self.directions, tuple(self._half_activations), self.output_activation)
        return self.dtype.str, *acts, tuple(weights.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __repr__(self) -> str:
        return f"Network({_sizes(self)}, {self.dtype}, {self.num_parameters:,} parameters)"


def _for_core(
    activations: Iterable[str | Activation],
) -> list[tuple[str, float | None, float | None, float | None]]:
    return [_arguments.activation("activation", activation) for activation in activations]


def _layers(
    tensors: dict[str, Array], directions: list[str], activations: list[Activation]
) -> tuple[Layer, ...]:
    """Return the layers that these tensors are; `activations` has one for each half."""
    of_halves = iter(activations)

    def half(prefix: str, f: Activation, direction: str, reverse: Layer | None = None) -> Layer:
        W_xh, W_hh = tensors[f"{prefix}W_xh"], tensors[f"{prefix}W_hh"]
        return Layer(W_xh, W_hh, tensors.get(f"{prefix}b_h"), f, direction, reverse)

    layers = []
    for i, direction in enumerate(directions):
        (first, *second), f = _structure.prefixes(i, direction), next(of_halves)
        reverse = half(second[0], next(of_halves), "reverse") if second else None
        layers.append(half(first, f, direction, reverse))
    return tuple(layers)


def _output_size(layer: Layer) -> int:
    """Return how many numbers a layer gives."""
    H: int = len(layer.W_hh)
    return H if layer.reverse is None else 2 * H


def _words(layer: Layer) -> str:
    """Return what a layer is, such as `32 tanh` or `32 tanh bidirectional`."""
    activation = str(layer.activation)
    if layer.reverse is not None and layer.reverse.activation != layer.activation:
        activation += f" and {layer.reverse.activation}"
    words = f"{len(layer.W_hh)} {activation}"
    return words if layer.direction == "forward" else f"{words} {layer.direction}"


def _start(init: Initialization) -> tuple[str, dict[str, float]]:
    """Return the name of an initialisation and its settings."""
    if isinstance(init, str):
        return init, {}
    from elman import initialization

    return initialization.named(init)


# --- what the extension asks for ---


def _sizes(net: Network) -> str:
    """Return the sizes from input to output, such as `16 -> 32 tanh -> 4 sigmoid`."""
    layers = [_words(layer) for layer in net.layers]
    readout = [] if net.readout is None else [f"{net.output_size} {net.output_activation}"]
    return " -> ".join([str(net.input_size), *layers, *readout])


def network_of(core: Core, metadata: Mapping[str, str] = MappingProxyType({})) -> Network:
    """Return a network of the extension as one of Python."""
    net = object.__new__(Network)
    net._adopt(core, metadata)
    return net


def _restore_stream(net: Network, state: ArrayLike) -> Stream:
    if not isinstance(net, Network):
        raise ArgumentTypeError(f"a pickled stream: expected a Network, got {_arguments.kind(net)}")
    return net.stream(state)


def _reduce_stream(stream: Stream) -> tuple[object, ...]:
    return _restore_stream, (network_of(stream._network), stream.state)


def _repr_stream(stream: Stream) -> str:
    return f"Stream({_sizes(network_of(stream._network))})"
