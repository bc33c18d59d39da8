"""Import from PyTorch (modules, a state_dict, `.pt` and safetensors files), and export to it.

Reading never imports PyTorch: a module can only come from a PyTorch that is already loaded, and
everything else is read without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _lazy
from elman.interop._source import Said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, DTypeLike

    from elman._network import Network
    from elman.activation import Activation
    from elman.interop.torch.reading import read

__all__ = ["from_torch", "read"]

__getattr__, __dir__ = _lazy.names(__name__, __all__, "reading")


def from_torch(
    source: object,
    *,
    activation: str | Sequence[str] | None = None,
    output_activation: str | Activation | Sequence[str | Activation] | None = None,
    prefix: str | Sequence[str] | None = None,
    readout: str | bool | Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
    embedding: str | None = None,
    initial_state: ArrayLike | str | None = None,
    cell: Mapping[str, str | Sequence[str]] | None = None,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> Network:
    """Read a network from PyTorch's `nn.RNN` or `nn.RNNCell`: modules, a state_dict or a file.

    What `forward` does between the modules is not seen: compare a few outputs with PyTorch's.

    Parameters
    ----------
    source : module, sequence of modules, mapping or path
        A module with one `nn.RNN` or a `ModuleList` of `nn.RNNCell`, and optionally its readout,
        an `nn.Linear` or an `nn.Sequential`; or modules from the input to the output, such as
        `(rnn, linear)` or `(embedding, cell, cell, linear, nn.ReLU(), linear)`; or a `state_dict`
        (or a checkpoint with one) of tensors or arrays; or the path of a safetensors file or of one
        that `torch.save` wrote (`.pt`, `.pth`, `.ckpt`), by any PyTorch since 0.1.10. A file is
        read without PyTorch and without running its pickle: whatever stands beside the weights is
        read past, and a module that was saved whole is read by the names of its parameters. Half
        precision is widened to float32. Normalized and pruned weights are computed, as in
        evaluation mode.
    activation : str or sequence of str, optional
        `nonlinearity` of the RNNs, "tanh" or "relu". Required for a `state_dict` or a file, which
        do not store it, unless the module was saved whole.
    output_activation : str, Activation or sequence of them, optional
        Activation after the readout: "identity" (values or logits), "sigmoid", "softmax" or another
        of `Activation`. Required if there is a readout, unless its last module is one such as
        `nn.Sigmoid()`. A sequence for a `readout` of several linear maps: one for each.
    prefix : str or sequence of str, optional
        Name of the RNN (`"encoder.rnn"`) or of what contains it (`"best_model"`), or names of
        several from the bottom up, if the choice is ambiguous; with `cell` of what contains it. The
        end of a name is enough; `module.` and `_orig_mod.` may be left out.
    readout : str, sequence of str, mapping or False, optional
        Name of the readout, if it is ambiguous; several names from the bottom up,
        `["fc1", "bn", "fc2"]`. False: no readout; the output is the top layer's state. With `cell`
        also the names of its tensors, `{"W_hy": "Why.T", "b_y": "by"}`.
    embedding : {"one_hot", "rows"}, optional
        With an `nn.Embedding` in front, the network reads one-hot vectors (the default for modules)
        or rows of the table.
    initial_state : str, array_like or False, optional
        Name of a learned start state in the source, of all layers or the same for each, or its
        numbers, layer by layer. False: there is one and it is left out. Required if a tensor may be
        one.
    cell : mapping of str to str, optional
        For a cell that is written by hand: the names of the tensors that hold its matrices,
        `{"W_xh": "i2h.weight", "W_hh": "h2h.weight", "b_h": ["i2h.bias", "h2h.bias"]}` (biases are
        added up). `"W_xh W_hh": "i2h.weight"` is one matrix of x and h joined in this order,
        `"W_hh W_xh"` of h and x; `"Wxh.T"` is the transpose of `Wxh`, for code such as `x @ Wxh`.
        `"W_xo W_ho"` and `"b_o"` are those of an output that reads x_t and the state before the
        step, as `i2o` of PyTorch's tutorial; then `readout={"W_hy W_oy": "o2o.weight"}` reads h_t
        and this output, and without a readout it is the result. The network then has more units,
        and with another `activation` than "identity" and "relu" it is bidirectional, which cannot
        stream.
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
        If the source is an LSTM, a GRU, or an unsupported file, or holds a module that no network
        can express.
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
    from elman.interop.torch.reading import read

    said = Said(
        activation=activation,
        output_activation=output_activation,
        prefix=prefix,
        readout=readout,
        embedding=embedding,
        initial_state=initial_state,
        cell=cell,
        dtype=dtype,
        metadata=metadata,
        allow_nonfinite=allow_nonfinite,
    )
    return read(source, said).network
