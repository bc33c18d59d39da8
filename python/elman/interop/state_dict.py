"""The weights of a network under the names of another framework's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman import _arguments
from elman._network import require_network
from elman.errors import ArgumentError

if TYPE_CHECKING:
    from elman._network import Network
    from elman._typing import Array


__all__ = ["state_dict"]


def state_dict(
    net: Network,
    framework: str = "torch",
    *,
    prefix: str | None = None,
    readout: str | None = None,
    fold_scaling: bool = False,
) -> dict[str, Array]:
    """Return copies of the weights under the names of another framework's model.

    Parameters
    ----------
    framework : str
        "torch": for `load_state_dict`; `bias_ih` is b_h and `bias_hh` is zero. Layers that differ
        are numbered (`rnn.0.weight_ih_l0`, `rnn.1.weight_ih_l0`). "keras": in Keras' layouts,
        (I, H) and (H, O), and in the order of `to_keras`.
    prefix, readout : str, optional
        Names of the RNN and the readout in your model; by default "rnn" and "fc", or
        "simple_rnn" and "dense". Use "" for a PyTorch module that is not part of another.
    fold_scaling : bool
        As for `to_torch`.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    UnsupportedModelError, ArgumentError
        As for `to_torch`; activations are not checked.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=3, hidden_size=8, output_size=2, seed=0)
    >>> for name, array in elman.state_dict(net, "torch").items():
    ...     print(name, array.shape)
    rnn.weight_ih_l0 (8, 3)
    rnn.weight_hh_l0 (8, 8)
    rnn.bias_ih_l0 (8,)
    rnn.bias_hh_l0 (8,)
    fc.weight (2, 8)
    fc.bias (2,)
    """
    from elman.interop.keras import writing as keras
    from elman.interop.torch import writing as torch

    require_network(net)
    if _arguments.name("framework", framework) not in ("torch", "keras"):
        raise ArgumentError(f"framework: expected 'torch' or 'keras', got {framework!r}")
    rnn, head = ("rnn", "fc") if framework == "torch" else ("simple_rnn", "dense")
    make = torch.state_dict if framework == "torch" else keras.state_dict
    return make(
        net,
        prefix=rnn if prefix is None else _arguments.name("prefix", prefix),
        readout=head if readout is None else _arguments.name("readout", readout),
        fold_scaling=fold_scaling,
    )
