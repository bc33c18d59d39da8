"""Networks from PyTorch: live modules, a state_dict, `.pt` and safetensors files; and back.

PyTorch is never imported to read: a module can only come from a PyTorch that is loaded already, and
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

    What your module does in `forward` beyond its RNN and one `nn.Linear` cannot be seen here: hold
    a few outputs against PyTorch's.

    Parameters
    ----------
    source : module, sequence of modules, mapping or path
        A module that holds one `nn.RNN`, or a `ModuleList` of `nn.RNNCell`, and perhaps one
        `nn.Linear`; or such modules in their order, `(rnn, linear)`, `(cell, cell, linear)`; or a
        `state_dict` (or a checkpoint that holds one) of tensors or arrays; or the path of a
        safetensors file or of a `.pt` file, which is read without PyTorch and without running its
        pickle. Half precision is widened to float32.
    activation : str or sequence of str, optional
        `nonlinearity` of the RNNs, "tanh" or "relu". Modules know it; a `state_dict` and a file do
        not, and then it must be given.
    output_activation : str, optional
        What the model applies to its readout: "identity" (numbers, or logits), "sigmoid",
        "softmax", "tanh" or "relu". It must be given where there is a readout; a last module such
        as `nn.Sigmoid()` in a sequence of modules gives it too.
    prefix : str or sequence of str, optional
        The name of the RNN (`"encoder.rnn"`), or of several, from the bottom up, where there is
        more than one. `module.` and `_orig_mod.` may be left out.
    readout : str or False, optional
        The name of the readout, where it is not clear. False: none, the output is the top layer's
        state.
    dtype : dtype, optional
        float32 or float64; by default the common one of the weights.
    metadata : mapping of str to str, optional
        Your own words, as for `Network`.
    allow_nonfinite : bool
        Accept NaN and infinities among the weights.

    Returns
    -------
    Network
        With b_h = bias_ih + bias_hh, added in float64 and rounded once.

    Raises
    ------
    ArgumentError
        If something must be said (an activation, which of several RNNs), is contradicted by the
        source, or is not found.
    UnsupportedModelError
        If the source is an LSTM, a GRU, or a file of another kind.
    ModelFormatError, LimitError, OSError
        If a file is damaged, too large, or cannot be read.

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
