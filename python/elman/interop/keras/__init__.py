"""Import from Keras (live models, `.keras`, `.weights.h5`, legacy `.h5`), and export to it.

Files are read without Keras; a live model can only come from a Keras that is already loaded.
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

    A file is read with h5py (extra `keras`), without Keras. It is treated as data: nothing in it is
    run, no other file is opened, and memory is in proportion to its size. The HDF5 library parses
    it.

    The model may be Sequential, or functional with one chain: SimpleRNN, RNN of one or several
    SimpleRNNCell, Bidirectional (concat), then optionally Dense (or TimeDistributed of it, or an
    Activation after it). Dropout and noise act in training only; `read` lists every part.

    - With `return_sequences=False`, the model's output is `net(x, outputs="last")`.
    - `Masking` becomes the `mask` of `Network.run`. At a masked step a Keras RNN repeats its
      previous output (`net.masked` is "hold") or, bidirectional or with `zero_output_for_mask`,
      returns zeros, to which the Dense layer applies ("zero").
    - `go_backwards` becomes a layer that reads in reverse. Keras returns its outputs in the order
      of reading, elman in chronological order: Keras' last output is elman's first.
    - A bidirectional RNN with `return_sequences=False` joins the last states of both directions,
      which is not the output of any step. Read it with `readout=False`, without its Dense layer;
      `net.run(x).state` ends with these states.

    Parameters
    ----------
    source : Keras model or path
        A live model; or the path of a `.keras`, a legacy `.h5` or a `.weights.h5` file. The last
        does not store activations, nor the order of layers of different classes.
    activation, output_activation : str or Activation, optional
        Required for `.weights.h5`; other sources store them.
    layers : sequence of str, optional
        For `.weights.h5` with several classes of layers: the names of the recurrent layers in the
        file, from the bottom up (`["bidirectional", "simple_rnn"]`).
    readout : str or False, optional
        False: leave out the Dense layer; the output is the top layer's state. For `.weights.h5`
        also the name of the Dense layer.
    dtype : dtype, optional
        float32 or float64; by default the common one of the weights.
    metadata : mapping of str to str, optional
        User metadata, as for `Network`.
    allow_nonfinite : bool
        Accept weights that are NaN or infinite.

    Returns
    -------
    Network

    Raises
    ------
    UnsupportedModelError
        If the model has any other layer, such as LSTM or Lambda; the message names it.
    ArgumentError
        If a required option is missing, or contradicts the source.
    ModelFormatError, LimitError, OSError
        If a file is damaged, too large or unreadable.
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
