"""The parameters of a network: layers, readout, sizes and scaling."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from elman import _arguments, _core, _foreign, _structure
from elman._structure import Structure
from elman.activation import of_core
from elman.errors import ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, NoReturn, Self, TypeVar

    import numpy as np
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from elman._arguments import HalvesOrLayer, LayerActivation, ReadoutWeights
    from elman._core import Network as Core
    from elman._table import Table
    from elman.activation import Activation

    Array = NDArray[Any]
    T = TypeVar("T")


def _view(array: Array | None) -> Array | None:
    """Return a view, because the shape and dtype of even a read-only array can be set in place."""
    return None if array is None else array.view()


def _is_set(thing: object, slot: str) -> bool:
    try:
        object.__getattribute__(thing, slot)
    except AttributeError:
        return False
    return True


class _Constant:
    """Base of immutable classes: each attribute is set once."""

    __slots__ = ()

    def _fill(self, **attributes: object) -> None:
        """Set all attributes of a new object at once."""
        if hasattr(self, next(iter(attributes))):
            raise AttributeError("__init__ was already called: networks are immutable")
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__slots__ or hasattr(self, name):
            raise AttributeError(
                f"{type(self).__name__}.{name} cannot be set: networks are immutable"
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted")


class Layer(_Constant):
    """One recurrent layer: `W_xh` (H, I), `W_hh` (H, H), `b_h` (H,) or None, and its activation.

    `direction` is "forward", "reverse" or "bidirectional". For a bidirectional layer, these are
    the forward half's weights, and `reverse` is the other half, a Layer; otherwise it is None.
    """

    __slots__ = ("_W_hh", "_W_xh", "_b_h", "activation", "direction", "reverse")

    _W_xh: Array
    _W_hh: Array
    _b_h: Array | None
    activation: Activation
    direction: str
    reverse: Layer | None

    def __init__(
        self,
        W_xh: Array,
        W_hh: Array,
        b_h: Array | None,
        activation: Activation,
        direction: str = "forward",
        reverse: Layer | None = None,
    ) -> None:
        self._fill(
            _W_xh=W_xh,
            _W_hh=W_hh,
            _b_h=b_h,
            activation=activation,
            direction=direction,
            reverse=reverse,
        )

    @property
    def W_xh(self) -> Array:
        """The input weights, shape (H, I)."""
        return self._W_xh.view()

    @property
    def W_hh(self) -> Array:
        """The recurrent weights, shape (H, H)."""
        return self._W_hh.view()

    @property
    def b_h(self) -> Array | None:
        """The biases, shape (H,), or None."""
        return _view(self._b_h)

    def __repr__(self) -> str:
        return f"Layer({self.W_xh.shape[1]} -> {_words(self)})"

    def _repr_html_(self) -> str:
        from elman import _html

        halves = {"": self} if self.reverse is None else {"": self, "reverse.": self.reverse}
        named = {
            prefix + name: getattr(half, name)
            for prefix, half in halves.items()
            for name in _structure.WEIGHTS
        }
        return _html.arrays(named) + _html.text(repr(self))


class Readout(_Constant):
    """The readout: `W_hy` (O, H), `b_y` (O,) or None, and the output activation."""

    __slots__ = ("_W_hy", "_b_y", "activation")

    _W_hy: Array
    _b_y: Array | None
    activation: Activation

    def __init__(self, W_hy: Array, b_y: Array | None, activation: Activation) -> None:
        self._fill(_W_hy=W_hy, _b_y=b_y, activation=activation)

    @property
    def W_hy(self) -> Array:
        """The weights, shape (O, H)."""
        return self._W_hy.view()

    @property
    def b_y(self) -> Array | None:
        """The biases, shape (O,), or None."""
        return _view(self._b_y)

    def __repr__(self) -> str:
        O, H = self.W_hy.shape
        return f"Readout({H} -> {O} {self.activation})"

    def _repr_html_(self) -> str:
        from elman import _html

        named = {"W_hy": self.W_hy, "b_y": self.b_y}
        return _html.arrays(named) + _html.text(repr(self))


class Parameters:
    """The immutable parameters of a network; `Network` adds the calls."""

    __slots__ = (
        "__weakref__",
        "_core",
        "_layers",
        "_masked",
        "_metadata",
        "_readout",
        "_table",
        "_tensors",
    )

    _core: Core
    _layers: tuple[Layer, ...]
    _readout: Readout | None
    _tensors: dict[str, Array]
    _masked: str
    _metadata: Mapping[str, str]
    _table: Table | None

    @classmethod
    @_foreign.keywords("Network.from_weights")
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
        input_mean: ArrayLike | None = None,
        input_std: ArrayLike | None = None,
        output_mean: ArrayLike | None = None,
        output_std: ArrayLike | None = None,
        metadata: Mapping[str, str] | None = None,
        masked: str = "hold",
        table: Table | None = None,
        allow_nonfinite: bool = False,
    ) -> Self:
        """Build a network from weights, which are copied.

        Parameters
        ----------
        layers : iterable of (W_xh, W_hh, b_h)
            For each layer, from the bottom up, arrays (H, I), (H, H) and (H,); b_h may be None. I
            is the size of the input or of the output of the layer below. A bidirectional layer
            takes a pair of such triples, forward and reverse.
        readout : (W_hy, b_y) or None
            Arrays (O, H) and (O,); b_y may be None. None: the output is the top layer's state.
        dtype : dtype, optional
            float32 or float64; by default the common dtype of the arrays.
        allow_nonfinite : bool
            Accept NaN and infinities.
        activation, output_activation, direction, initial_state, input_mean, input_std, \
output_mean, output_std, masked, metadata, table
            As for `Network`; None as `output_activation` is "identity".

        Returns
        -------
        Network

        Raises
        ------
        ShapeError, DTypeError
            If the shapes are inconsistent, or an array does not hold real numbers.
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
        layers = _arguments.listed("layers", layers, "a list of (W_xh, W_hh, b_h)")
        directions = _arguments.directions(direction, len(layers))
        for prefix, weights in _arguments.halves(layers, directions):
            named += zip((prefix + name for name in _structure.WEIGHTS), weights, strict=True)
        if readout is not None:
            names = (_structure.W_HY, _structure.B_Y)
            named += zip(names, _arguments.pair(readout), strict=True)
        optional = (initial_state, input_mean, input_std, output_mean, output_std)
        named += zip(_structure.VECTORS, optional, strict=True)
        return cls.from_tensors(
            dict(named),
            direction=directions,
            activation=activation,
            output_activation=output_activation,
            dtype=dtype,
            masked=masked,
            metadata=metadata,
            table=table,
            allow_nonfinite=allow_nonfinite,
        )

    @classmethod
    @_foreign.keywords("Network.from_tensors")
    def from_tensors(
        cls,
        tensors: Mapping[str, ArrayLike | None],
        *,
        activation: LayerActivation | Sequence[LayerActivation] = "tanh",
        output_activation: str | Activation | None = "sigmoid",
        direction: str | Sequence[str] = "forward",
        dtype: DTypeLike | None = None,
        metadata: Mapping[str, str] | None = None,
        masked: str = "hold",
        table: Table | None = None,
        allow_nonfinite: bool = False,
    ) -> Self:
        """Build a network from named tensors, which are copied: the inverse of `tensors`.

        Parameters
        ----------
        tensors : mapping of array_like
            Named as in the file format: `layers.0.W_xh` (H, I), `layers.0.W_hh` (H, H),
            `layers.0.b_h` (H,), and so on from the bottom up, with `layers.0.reverse.W_xh` etc. for
            the reverse half of a bidirectional layer; `readout.W_hy` (O, H) and `readout.b_y`
            (O,); `initial_state`, `input_mean`, `input_std`, `output_mean` and `output_std`. Only
            W_xh and W_hh are required. None is the same as a missing tensor.
        dtype : dtype, optional
            float32 or float64; by default the common dtype of the arrays.
        allow_nonfinite : bool
            Accept NaN and infinities.
        activation, output_activation, direction, masked, metadata, table
            As for `Network`; None as `output_activation` is "identity".

        Returns
        -------
        Network

        Raises
        ------
        ShapeError, DTypeError
            If the shapes are inconsistent, or an array does not hold real numbers.
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

        arrays = _arguments.named_tensors(tensors)
        directions = _arguments.directions(direction, _arguments.num_layers(arrays))
        _arguments.require_known(arrays, directions)
        activations = _arguments.core_activations(activation, directions)
        net = object.__new__(cls)
        name = (
            _arguments.common_dtype(arrays.values())
            if dtype is None
            else _arguments.dtype_name(dtype)
        )
        g = None
        if _structure.W_HY in arrays:
            said = "identity" if output_activation is None else output_activation
            g = _arguments.activation("output_activation", said)
        with np.errstate(over="ignore"):  # require_finite reports it
            core = _core.Network.from_tensors(name, arrays, directions, activations, g)
        net._adopt(core, _arguments.metadata(metadata), table, _arguments.masked(masked))
        if not _arguments.flag("allow_nonfinite", allow_nonfinite):
            _arguments.require_finite(net._tensors, " (allow_nonfinite=True accepts it)")
        return net

    @_foreign.keywords("net.replace")
    def replace(
        self,
        *,
        tensors: Mapping[str, ArrayLike | None] | None = None,
        dtype: DTypeLike | None = None,
        masked: str | None = None,
        metadata: Mapping[str, str] | None = None,
        table: Table | None = None,
        allow_nonfinite: bool = False,
    ) -> Self:
        """Return a copy with other tensors, another dtype, other metadata or another table.

        Parameters
        ----------
        tensors : mapping of array_like, optional
            The tensors to replace, by name; None removes one. Shapes may change if they remain
            consistent.
        dtype : dtype, optional
            float32 or float64; by default this network's.
        masked : {"hold", "zero"}, optional
            By default this network's.
        metadata : mapping of str, optional
            By default this network's.
        table : elman.Table, optional
            By default this network's; an empty `elman.Table()` removes it.
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
        structure = structure_of(self)
        return self.from_tensors(
            self._tensors | _arguments.mapping("tensors", {} if tensors is None else tensors),
            direction=structure.directions,
            activation=structure.layer_activations,
            output_activation=structure.output_activation,
            dtype=self.dtype if dtype is None else dtype,
            masked=structure.masked if masked is None else masked,
            metadata=self._metadata if metadata is None else metadata,
            table=self._table if table is None else table,
            allow_nonfinite=allow_nonfinite,
        )

    def astype(self, dtype: DTypeLike) -> Self:
        """Return a copy with the weights converted to float32 or float64.

        Raises
        ------
        ArgumentError
            If a finite weight becomes infinite.
        """
        nonfinite = _arguments.nonfinite(self._tensors) is not None
        return self.replace(dtype=_arguments.dtype_name(dtype), allow_nonfinite=nonfinite)

    def _adopt(
        self, core: Core, metadata: Mapping[str, str], table: Table | None, masked: str
    ) -> None:
        if _is_set(self, "_core"):
            raise AttributeError("__init__ was already called: networks are immutable")
        self._core = core
        # Views, so that the `base` of a view of one is the array behind it.
        self._tensors = tensors = {name: a.view() for name, a in core.tensors().items()}
        self._masked = masked
        self._metadata = MappingProxyType(dict(metadata))
        if table is not None:
            from elman import _table

            table = _table.for_network(table, core.input_size, core.output_size)
        self._table = table
        activations = [of_core(*a) for a in core.activations]
        self._layers = _layers(tensors, core.directions, activations)
        self._readout = None
        if (g := core.output_activation) is not None:
            self._readout = Readout(
                tensors[_structure.W_HY], tensors.get(_structure.B_Y), of_core(*g)
            )

    def __getattr__(self, name: str) -> NoReturn:
        if name in Parameters.__slots__:
            raise ArgumentTypeError("this Network was created without its constructor")
        raise AttributeError(_foreign.attribute(name))

    def tensors(self) -> dict[str, Array]:
        """Return the tensors, read-only, named as in `from_tensors`."""
        return {name: array.view() for name, array in self._tensors.items()}

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
    def hidden_size(self) -> int | tuple[int, ...]:
        """H if all layers have the same, otherwise H of each layer."""
        return _one_or_all(self.hidden_sizes)

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """H of each layer, from the bottom up; for a bidirectional layer, H of each direction."""
        return tuple(self._core.hidden_sizes)

    @property
    def output_size(self) -> int:
        """O, the number of outputs; without a readout, the size of the top layer's output."""
        return self._core.output_size

    @property
    def num_layers(self) -> int:
        """The number of recurrent layers."""
        return len(self._layers)

    @property
    def state_size(self) -> int:
        """The sum of the hidden sizes, with bidirectional layers counted twice."""
        return sum(len(half.W_hh) for half in _halves(self))

    @property
    def num_parameters(self) -> int:
        """The total number of weights and biases."""
        return sum(a.size for name, a in self._tensors.items() if name not in _structure.VECTORS)

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of one step: the elements of all matrices of weights."""
        names = _structure.required(self.directions, readout=self._readout is not None)
        return sum(self._tensors[name].size for name in names)

    @property
    def nbytes(self) -> int:
        """The bytes of the weights packed for `isa`, which a step reads.

        All streams of a network share them. The tensors are kept besides.
        """
        return self._core.nbytes

    @property
    def activation(self) -> LayerActivation | tuple[LayerActivation, ...]:
        """The activation if all layers have the same, otherwise that of each layer.

        Among several, a bidirectional layer has a pair.
        """
        structure = structure_of(self)
        same = all(f == structure.activations[0] for f in structure.activations)
        return structure.activations[0] if same else tuple(structure.layer_activations)

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The layers' activations, from the bottom up; `layer.reverse` has the reverse half's."""
        return tuple(layer.activation for layer in self._layers)

    @property
    def direction(self) -> str | tuple[str, ...]:
        """The direction if all layers have the same, otherwise that of each layer."""
        return _one_or_all(self.directions)

    @property
    def directions(self) -> tuple[str, ...]:
        """The layers' directions, from the bottom up."""
        return tuple(layer.direction for layer in self._layers)

    @property
    def output_activation(self) -> Activation | None:
        """The readout's activation; None without a readout."""
        return None if self._readout is None else self._readout.activation

    @property
    def bias(self) -> bool:
        """Whether all layers and the readout have biases."""
        structure = structure_of(self)
        names = _structure.biases(self.directions, readout=structure.output_activation is not None)
        return all(name in self._tensors for name in names)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return next(iter(self._tensors.values())).dtype

    @property
    def isa(self) -> str:
        """The instruction set for which the weights were packed."""
        return self._core.isa

    @property
    def masked(self) -> str:
        """What the outputs of masked steps are: "hold" or "zero"."""
        return self._masked

    @property
    def metadata(self) -> Mapping[str, str]:
        """The user metadata, strings by name."""
        return self._metadata

    @property
    def table(self) -> Table | None:
        """The meaning of the data's columns, or None."""
        return self._table

    @property
    def initial_state(self) -> Array | None:
        """The state in which sequences begin, shape (state_size,); None means zeros."""
        return _view(self._tensors.get("initial_state"))

    @property
    def input_mean(self) -> Array | None:
        """The mean subtracted from inputs, shape (I,), or None."""
        return _view(self._tensors.get("input_mean"))

    @property
    def input_std(self) -> Array | None:
        """The standard deviation by which centred inputs are divided, shape (I,), or None."""
        return _view(self._tensors.get("input_std"))

    @property
    def output_mean(self) -> Array | None:
        """The mean added to scaled outputs, shape (O,), or None."""
        return _view(self._tensors.get("output_mean"))

    @property
    def output_std(self) -> Array | None:
        """The standard deviation by which outputs are multiplied, shape (O,), or None."""
        return _view(self._tensors.get("output_std"))

    def split_state(self, state: ArrayLike) -> list[Array]:
        """Split states by layer and direction.

        Parameters
        ----------
        state : array_like, shape (..., state_size)
            States, such as `run.state`, `run.hidden` or `stream.state`.

        Returns
        -------
        list of ndarray, each (..., H)
            Views, from the bottom up, forward before reverse.

        Raises
        ------
        ShapeError, DTypeError
            If the last axis is not `state_size` long, or these are not real numbers.

        Examples
        --------
        >>> import numpy as np, elman
        >>> net = elman.Network(3, [8, 5], 2, seed=0)
        >>> [h.shape for h in net.split_state(net.run(np.ones((10, 3))).state)]
        [(8,), (5,)]
        """
        array = _arguments.states(state)
        if array.ndim == 0 or array.shape[-1] != self.state_size:
            raise ShapeError(f"state: expected (..., {self.state_size}), got {array.shape}")
        return list(_structure.split(array, [len(half.W_hh) for half in _halves(self)]))

    def _content(self) -> tuple[object, ...]:
        """Return everything that equality compares: all but metadata, table and instruction set."""
        weights = {name: (a.shape, a.tobytes()) for name, a in self._tensors.items()}
        return self.dtype.str, *vars(structure_of(self)).values(), tuple(weights.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parameters):
            return NotImplemented
        return self._content() == other._content()

    def __repr__(self) -> str:
        masked = "" if self._masked == "hold" else f", masked={self._masked!r}"
        return f"Network({sizes(self)}, {self.dtype}, {self.num_parameters:,} parameters{masked})"

    def _repr_html_(self) -> str:
        from elman import _html

        rows: list[list[object]] = []
        for i, layer in enumerate(self.layers):
            H, I = layer.W_xh.shape
            units = H if layer.reverse is None else f"2 x {H}"
            rows.append([f"layer {i}", I, units, _activations(layer), layer.direction])
        if self.readout is not None:
            O, H = self.readout.W_hy.shape
            rows.append(["readout", H, O, self.readout.activation, ""])
        table = _html.table(["", "inputs", "units", "activation", "direction"], rows)
        return table + _html.text(repr(self))

    def __hash__(self) -> int:
        return hash(self._content())


def _one_or_all(values: Iterable[T]) -> T | tuple[T, ...]:
    """Return the value that all layers have in common, or the values of all layers."""
    several = tuple(values)
    return several[0] if all(value == several[0] for value in several) else several


def core_of(net: Parameters) -> Core:
    """Return the extension's network behind a Python network."""
    return net._core


def _halves(net: Parameters) -> list[Layer]:
    """Return the halves of all layers, from the bottom up, forward before reverse."""
    both = (half for layer in net.layers for half in (layer, layer.reverse))
    return [half for half in both if half is not None]


def structure_of(net: Parameters) -> Structure:
    """Return the structure of a network."""
    activations = tuple(half.activation for half in _halves(net))
    return Structure(net.directions, activations, net.output_activation, net.masked)


def _layers(
    tensors: dict[str, Array], directions: list[str], activations: list[Activation]
) -> tuple[Layer, ...]:
    """Build the layers from tensors and one activation for each half."""
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


def sizes(net: Parameters) -> str:
    """Describe the sizes from input to output, as in `16 -> 32 tanh -> 4 sigmoid`."""
    layers = [_words(layer) for layer in net.layers]
    readout = [] if net.readout is None else [f"{net.output_size} {net.output_activation}"]
    return " -> ".join([str(net.input_size), *layers, *readout])


def _words(layer: Layer) -> str:
    """Describe a layer, as in `32 tanh` or `32 tanh bidirectional`."""
    words = f"{len(layer.W_hh)} {_activations(layer)}"
    return words if layer.direction == "forward" else f"{words} {layer.direction}"


def _activations(layer: Layer) -> str:
    """Name the activation of a layer, or both of a bidirectional one."""
    if layer.reverse is None or layer.reverse.activation == layer.activation:
        return str(layer.activation)
    return f"{layer.activation} and {layer.reverse.activation}"
