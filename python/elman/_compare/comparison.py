"""The comparison itself, and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from elman import _arguments, _frame, _html
from elman._compare import causes, steps
from elman._compare.opening import open_source
from elman._interrupt import in_thread
from elman._network import Network, require_network
from elman.errors import ArgumentError, ElmanError, ShapeError, UnsupportedModelError
from elman.reference.forward import sizes_of_layers
from elman.reference.judge import errors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike

    from elman._compare.opening import Opened
    from elman._typing import Array
    from elman.interop._source import Imported, Trace

_T = TypeVar("_T")


__all__ = ["Comparison", "compare"]

# What counts as rounding where there is no bound, and between two runs that do not drift apart.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
_LONGEST_WORDS = 300  # of a framework


class Comparison(NamedTuple):
    """Differences between a network and its source, relative where values exceed 1.

    Every step is judged by itself, from the source's own states before it.

    Attributes
    ----------
    framework : str
        The framework that ran the source.
    output : float
        The largest difference of the outputs at a step.
    layers : list of float or None
        The largest difference of each layer's states at a step; None where the source does not
        expose them.
    worst_ratio : float
        The largest ratio of a difference to what rounding explains; at most 1 if `ok`.
    free_running_difference : float
        The largest difference of the outputs of two runs, each on its own states. It is not judged:
        a chaotic network amplifies every rounding error.
    not_judged : int
        The number of values for which no bound exists: sums that may overflow the source's dtype,
        and what follows a number that is not finite.
    causes : list of str
        Likely causes of a larger difference.
    """

    framework: str
    output: float
    layers: list[float | None]
    worst_ratio: float
    free_running_difference: float
    not_judged: int
    causes: list[str]

    @property
    def ok(self) -> bool:
        """Whether rounding explains all differences."""
        return self.worst_ratio <= 1.0  # False for NaN

    def __str__(self) -> str:
        shown = ["not shown" if d is None else f"{d:.2g}" for d in self.layers]
        parts = [f"layer {i} {d}" for i, d in enumerate(shown)] + [f"output {self.output:.2g}"]
        text = f"the network {'agrees with' if self.ok else 'differs from'} {self.framework}"
        text += f" ({self.worst_ratio:.2g} times what rounding explains): {', '.join(parts)}"
        if not self.ok:
            text += f"; likely: {', '.join(self.causes) or 'no cause was found'}"
        elif self.free_running_difference > TOLERANCES["float32"]:
            text += (
                f"; run on its own it drifts apart, by {self.free_running_difference:.2g}, because"
                " it amplifies rounding"
            )
        if self.not_judged:
            text += f"; {self.not_judged} values without a bound (overflow, NaN) were not judged"
        return text

    def _repr_html_(self) -> str:
        parts = [*((f"layer {i}", d) for i, d in enumerate(self.layers)), ("output", self.output)]
        rows = [(name, "not shown" if d is None else f"{d:.2g}") for name, d in parts]
        return _html.table(("", "largest difference"), rows) + _html.text(str(self))


def compare(
    net: Network,
    source: Any,
    x: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    masked: str | None = None,
    tolerance: float | None = None,
    **options: Any,
) -> Comparison:
    """Run a network and its source model on the same inputs and compare them step by step.

    Each step starts from the source's own states, and must agree within the rounding bound of
    `elman.reference.verify`, with the roundings that a framework adds: 16 in a sum, and 16 units of
    the last place in an activation. A source in half precision is assumed to add up in float32 and
    to round to half precision. A layer whose states the source does not give is computed in
    float64, and it and what is above it are judged by the tolerance.

    Parameters
    ----------
    net : Network
        The network.
    source : module, sequence of modules, Keras model, ONNX model or path
        A model that PyTorch, Keras or ONNX Runtime can run (which must be installed): a PyTorch
        module or modules in order (also a cell that is written by hand, of forward(x_t, h) ->
        (y_t, h) and with a `hidden_size`, or of forward(x)), or the path of a `.pt` or safetensors
        file, whose tensors are loaded into modules with the network's activations; a Keras model,
        or the path of a file of Keras, which Keras loads in its safe mode, without what it was
        compiled with, or whose weights are loaded into layers of Keras; an ONNX model or its path;
        a file of elman, which the NumPy reference runs. The result of a reader in `elman.interop`
        is not read again.
    x : array_like, shape (T, I) or (B, T, I)
        Inputs. A source with an embedding in front is given the indices of one-hot inputs, or of
        the rows of its table.
    mask, masked
        Which steps are real, as for `Network.run`; only with Keras. Outputs at the others are not
        judged where no network has those of the source: hidden Dense layers behind an RNN whose
        masked outputs are zero, or that has no mask of its own.
    tolerance : float, optional
        The largest difference that counts as rounding where there is no bound, absolute or relative
        to values above 1; by default 1e-5 in float32 and 1e-12 in float64. If given, it also counts
        as rounding where it is larger than the bound.
    **options
        What the source does not say, such as `prefix`, `readout`, `initial_state`, `layers`,
        `embedding` and `external_data`: as for `elman.from_torch`, `from_keras` and `from_onnx`.
        The activations are the network's, unless they are given.

    Returns
    -------
    Comparison
        `ok`, the differences of each layer and of the output, and likely causes.

    Raises
    ------
    ImportError
        If the framework is missing.
    ShapeError, ArgumentError, UnsupportedModelError
        If the source is not supported, or cannot be run on these inputs.

    Examples
    --------
    >>> import numpy as np, elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> elman.compare(net, elman.to_onnx(net), np.ones((10, 3))).ok
    True
    """
    require_network(net)
    inputs = _arguments.array("x", _frame.read_one(net, "x", x))
    if inputs.ndim not in (2, 3) or inputs.shape[-1] != net.input_size:
        raise ShapeError(
            f"x: expected (T, {net.input_size}) or (B, T, {net.input_size}), got {inputs.shape}"
        )
    if not inputs.size:
        raise ShapeError(f"x: expected at least one sequence and one step, got {inputs.shape}")
    if inputs.ndim == 2:
        inputs = inputs[np.newaxis]
        mask = None if mask is None else np.asarray(mask)[np.newaxis]
    inputs = inputs.astype(net.dtype)
    opened = open_source(net, source, options)
    return _compared(net, opened, inputs, mask, masked, tolerance)


def check(net: Network, name: str, source: Imported, x: Callable[[int, int], Array]) -> Comparison:
    """Compare on inputs x(B, T) of 3 sequences and 50 steps, or of the source's fixed numbers.

    A source that reads indices instead makes its own of the inputs. Errors name it.
    """
    opened = open_source(net, source, {})._replace(name=name)
    sizes = _framework(opened, opened.runs.sizes)
    B, T = (n if size is None else size for n, size in zip((3, 50), sizes, strict=True))
    return _compared(net, opened, x(B, T).astype(net.dtype), None, None, None, own=True)


def _compared(
    net: Network,
    opened: Opened,
    x: Array,
    mask: ArrayLike | None,
    masked: str | None,
    tolerance: float | None,
    *,
    own: bool = False,
) -> Comparison:
    runs = opened.runs
    real = None if mask is None else np.asarray(mask, dtype=bool)
    kind = net.masked if masked is None else masked
    if real is not None and runs.framework != "keras":
        raise ArgumentError(f"mask: expected None for {runs.framework}, which has no masks")
    trace = _framework(opened, lambda: _run(opened, x, real))
    if trace.x is not None:
        used = trace.x.astype(net.dtype)
        if not own and not np.array_equal(used, x):
            raise ArgumentError(
                "x: expected one-hot inputs, or rows of the table of the source's embedding, got"
                " others"
            )
        x = used
    real = real if trace.mask is None else trace.mask
    sizes = [None if states is None else states.shape[-1] for states in trace.hidden]
    if not sizes or (trace.by_hand and sizes != sizes_of_layers(net)):
        trace = trace._replace(hidden=[None] * net.num_layers)
    if trace.output.shape[-1] != net.output_size or len(trace.hidden) != net.num_layers:
        raise ShapeError(
            f"source: expected {net.num_layers} layers and {net.output_size} outputs, got"
            f" {len(trace.hidden)} and {trace.output.shape[-1]}"
        )
    found = steps.judge(net, x, trace, real, kind, tolerance, masks=opened.masks)
    own_steps = net.verify(x, mask=real, masked=kind)
    ours = net.run(steps.rounded(x, trace.dtype), mask=real, masked=kind).output
    result = Comparison(
        trace.framework,
        found.output,
        found.layers,
        max(found.worst_ratio, own_steps.worst_ratio),
        _difference(ours, trace, None if opened.masks else real),
        found.not_judged,
        [],
    )
    if not result.ok:

        def agrees(other: Network, output_of: Callable[[Array], Array], kind: str = kind) -> bool:
            turned = trace._replace(output=output_of(trace.output))
            found = steps.judge(other, x, turned, real, kind, tolerance, masks=opened.masks)
            return found.worst_ratio <= 1.0

        if not own_steps.ok:
            result.causes.append(f"the network itself is {own_steps}")
        has_mask = real is not None
        result.causes.extend(causes.of_network(net, opened.read, trace))
        result.causes.extend(causes.of_behaviour(net, opened.read, has_mask, kind, agrees))
    return result


# --- running the source ---------------------------------------------------------------------------


def _run(opened: Opened, x: Array, mask: Array | None) -> Trace:
    """Run a source, in parts of its fixed number of sequences if it has one."""
    B, T = opened.runs.sizes()
    if T not in (None, x.shape[1]):
        raise ShapeError(f"x: expected {T} steps, which the source fixes, got {x.shape[1]}")
    if B in (None, x.shape[0]):
        return opened.runs.run(x, mask, opened.taps)
    count = len(x)
    index = np.arange(-(-count // B) * B) % count  # the last part is filled up
    parts = [
        opened.runs.run(x[i], None if mask is None else mask[i], opened.taps)
        for i in index.reshape(-1, B)
    ]

    def joined(arrays: Iterable[Array | None]) -> Any:
        found = [array for array in arrays if array is not None]
        return np.concatenate(found)[:count] if found else None

    return parts[0]._replace(
        output=joined(part.output for part in parts),
        hidden=[joined(layer) for layer in zip(*(part.hidden for part in parts), strict=True)],
        mask=joined(part.mask for part in parts),
        x=joined(part.x for part in parts),
    )


def _framework(opened: Opened, work: Callable[[], _T]) -> _T:
    """Run a framework in a thread, so that Ctrl-C interrupts even if it ignores signals.

    Its own errors become one sentence.
    """
    try:
        return in_thread(work, daemon=True)
    except (ElmanError, ImportError, MemoryError):
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        if len(words) > _LONGEST_WORDS:
            words = f"{words[:_LONGEST_WORDS]} ..."
        name = {"torch": "PyTorch", "keras": "Keras", "onnx": "ONNX Runtime"}
        raise UnsupportedModelError(
            f"{opened.name}: {name.get(opened.runs.framework, 'elman')} cannot run it"
            f" ({type(error).__name__}: {words})"
        ) from error


def _difference(ours: Array, trace: Trace, judged: Array | None) -> float:
    """Return the largest difference of the outputs, relative to the largest if it exceeds 1.

    `judged`, if not all, are the steps (B, T) whose outputs count.
    """
    theirs = trace.output
    if theirs.ndim == ours.ndim - 1:
        ours = ours[..., trace.step, :]
    with np.errstate(all="ignore"):
        apart = errors_of(ours.astype(np.float64), theirs.astype(np.float64))
        if judged is not None:
            apart = apart[judged] if apart.ndim == 3 else apart[judged[:, trace.step]]
        scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0)))
    return float(apart.max(initial=0) / scale)
