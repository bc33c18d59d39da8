"""Networks from Keras: a live model, `.keras`, `.weights.h5` and the legacy `.h5`; and back.

No file is read with Keras: a live model can only come from a Keras that is loaded already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.interop._source import Said
from elman.interop.keras.reading import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike

    from elman._network import Network
    from elman.activation import Activation
    from elman.interop._source import Activations

__all__ = ["from_keras", "read"]


def from_keras(
    source: object,
    *,
    activation: Activations | None = None,
    output_activation: str | Activation | None = None,
    layers: Sequence[str] | None = None,
    readout: str | bool | None = None,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> Network:
    """Read a network from a Keras model, or from a file that Keras saved.

    A file is read without Keras, with h5py (extra `keras`). It is data here: nothing in it is run,
    no other file is opened, and the memory taken is in proportion to its size. The HDF5 library
    parses it.

    The model may be Sequential, or functional with one chain: SimpleRNN, RNN of SimpleRNNCell or of
    several, Bidirectional (concat), then perhaps Dense (or TimeDistributed of it, or an Activation
    after it). Dropout and noise act in training only; `read` says what became of every part.

    - Below `return_sequences=False` the last output is meant: `net(x, outputs="last")`.
    - `Masking` becomes the `mask` of `Network.run`; Keras repeats the output before a masked step
      (`masked="hold"`), or gives zeros with `zero_output_for_mask` (`"zero"`).
    - `go_backwards` becomes a layer that reads in reverse. Keras returns its outputs in the order
      of reading, elman in the order of time: Keras' last output is elman's first.
    - A bidirectional RNN with `return_sequences=False` joins the last states of both directions,
      which is no output of any step: `readout=False` reads it without its Dense layer, and
      `net.run(x).state` ends with what Keras returns.

    Parameters
    ----------
    source : Keras model or path
        A live model; or the path of a `.keras` file, a legacy `.h5` file, or `.weights.h5`, which
        holds no activations and no order of layers of different classes.
    activation, output_activation : str or Activation, optional
        For `.weights.h5` they must be given; elsewhere the source says them.
    layers : sequence of str, optional
        For `.weights.h5`: the names of the recurrent layers in the file, from the bottom up
        (`["bidirectional", "simple_rnn"]`), where there are several classes.
    readout : str or False, optional
        False: without the Dense layer, the output is the top layer's state. For `.weights.h5` also
        the name of the Dense layer.
    dtype : dtype, optional
        float32 or float64; by default the common one of the weights.
    metadata : mapping of str to str, optional
        Your own words, as for `Network`.
    allow_nonfinite : bool
        Accept NaN and infinities among the weights.

    Returns
    -------
    Network

    Raises
    ------
    UnsupportedModelError
        If a layer is something else, such as LSTM or Lambda: the message says which, and why.
    ArgumentError
        If something must be said, or is contradicted by the source.
    ModelFormatError, LimitError, OSError
        If a file is damaged, too large, or cannot be read.
    ImportError
        If h5py is missing.

    Examples
    --------
    >>> import elman
    >>> net = elman.from_keras("model.keras")                               # doctest: +SKIP
    """
    said = Said(
        activation=activation,
        output_activation=output_activation,
        layers=layers,
        readout=readout,
        dtype=dtype,
        metadata=metadata,
        allow_nonfinite=allow_nonfinite,
    )
    return read(source, said).network
