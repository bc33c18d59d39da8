"""Import from PyTorch (modules, a state_dict, `.pt` and safetensors files), and export to it.

Reading never imports PyTorch: a module can only come from a PyTorch that is already loaded, and
everything else is read without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.interop._source import Said
from elman.interop.torch.reading import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike

    from elman._network import Network

__all__ = ["from_torch", "read"]


def from_torch(
    source: object,
    *,
    activation: str | Sequence[str] | None = None,
    output_activation: str | None = None,
    prefix: str | Sequence[str] | None = None,
    readout: str | bool | None = None,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> Network:
    """Read a network from PyTorch's `nn.RNN` or `nn.RNNCell`: modules, a state_dict or a file.

    Whatever `forward` does beyond the RNN and one `nn.Linear` is not seen: compare a few outputs
    with PyTorch's.

    Parameters
    ----------
    source : module, sequence of modules, mapping or path
        A module with one `nn.RNN` or a `ModuleList` of `nn.RNNCell`, and optionally one
        `nn.Linear`; or such modules in order, `(rnn, linear)`, `(cell, cell, linear)`; or a
        `state_dict` (or a checkpoint with one) of tensors or arrays; or the path of a safetensors
        or `.pt` file, which is read without PyTorch and without running its pickle. Half precision
        is widened to float32.
    activation : str or sequence of str, optional
        `nonlinearity` of the RNNs, "tanh" or "relu". Required for a `state_dict` or a file, which
        do not store it.
    output_activation : str, optional
        Activation after the readout: "identity" (values or logits), "sigmoid", "softmax", "tanh"
        or "relu". Required if there is a readout, unless a sequence of modules ends with one such
        as `nn.Sigmoid()`.
    prefix : str or sequence of str, optional
        Name of the RNN (`"encoder.rnn"`), or names of several from the bottom up, if the choice is
        ambiguous. `module.` and `_orig_mod.` may be left out.
    readout : str or False, optional
        Name of the readout, if it is ambiguous. False: no readout; the output is the top layer's
        state.
    dtype : dtype, optional
        float32 or float64; by default the common one of the weights.
    metadata : mapping of str to str, optional
        User metadata, as for `Network`.
    allow_nonfinite : bool
        Accept weights that are NaN or infinite.

    Returns
    -------
    Network
        b_h is bias_ih + bias_hh, added in float64 and rounded once.

    Raises
    ------
    ArgumentError
        If a required option is missing, contradicts the source, or does not match anything.
    UnsupportedModelError
        If the source is an LSTM, a GRU, or an unsupported file.
    ModelFormatError, LimitError, OSError
        If a file is damaged, too large or unreadable.

    Examples
    --------
    >>> import numpy as np, elman
    >>> state_dict = {
    ...     "rnn.weight_ih_l0": np.ones((4, 2)), "rnn.weight_hh_l0": np.eye(4) / 2,
    ...     "rnn.bias_ih_l0": np.zeros(4), "rnn.bias_hh_l0": np.zeros(4),
    ...     "fc.weight": np.ones((1, 4)), "fc.bias": np.zeros(1),
    ... }
    >>> elman.from_torch(state_dict, activation="tanh", output_activation="identity")
    Network(2 -> 4 tanh -> 1 identity, float64, 33 parameters)
    """
    said = Said(
        activation=activation,
        output_activation=output_activation,
        prefix=prefix,
        readout=readout,
        dtype=dtype,
        metadata=metadata,
        allow_nonfinite=allow_nonfinite,
    )
    return read(source, said).network
