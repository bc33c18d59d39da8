"""Import from Keras (live models, `.keras`, `.weights.h5`, legacy `.h5`), and export to it.

Files are read without Keras; a live model can only come from a Keras that is already loaded.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from elman import _lazy
from elman.interop._source import Said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike

    from elman._network import Network
    from elman.activation import Activation
    from elman.interop._source import Activations
    from elman.interop.keras.reading import read

__all__ = ["from_keras", "read"]

__getattr__, __dir__ = _lazy.names(__name__, __all__, "reading")


def from_keras(
    source: object,
    *,
    activation: Activations | None = None,
    output_activation: str | Activation | Sequence[str | Activation] | None = None,
    layers: Sequence[str] | None = None,
    readout: str | bool | Sequence[str] | None = None,
    embedding: str | None = None,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
    allow_nonfinite: bool = False,
) -> Network:
    """Read a network from a Keras model, or from a file that Keras saved.

    A file is read with h5py (extra `keras`), without Keras. It is treated as data: nothing in it is
    run, no other file is opened, and memory is in proportion to its size. The HDF5 library parses
    it.

    The model may be Sequential or functional, with models in it, as long as its layers are one
    chain: SimpleRNN, RNN of one or several SimpleRNNCell, and Bidirectional (concat, sum or ave);
    Dense and activations below, between and above them; Normalization, Rescaling and
    BatchNormalization; Embedding at the input. What is linear is folded into the network's
    matrices in float64; a Dense layer with an activation that is not the last becomes a layer with
    W_hh = 0. Dropout and noise act in training only. `elman convert` lists every part.

    - With `return_sequences=False`, or a Dense layer on the last state, the model's output is
      `net(x, outputs="last")`. Other states among the outputs are in `run.state`, those of every
      step in `run.hidden`; an `initial_state` that is an input is `state=`.
    - `Masking`, and Embedding with `mask_zero`, become the `mask` of `Network.run`. At a masked
      step Keras repeats the previous output, or applies what follows to zeros with
      `zero_output_for_mask`, which Bidirectional sets: `net.masked` says which. If hidden Dense
      layers are applied to zeros, a UserWarning says that the outputs at masked steps differ.
    - `go_backwards` becomes a layer that reads in reverse. Keras returns its outputs in the order
      of reading, elman in chronological order: Keras' last output is elman's first.
    - A bidirectional RNN with `return_sequences=False` joins the last states of both directions,
      which is not the output of any step. Read it with `readout=False`, without what follows;
      `net.run(x).state` ends with these states.

    Parameters
    ----------
    source : Keras model or path
        A live model; or the path of a `.keras`, a legacy `.h5` or a `.weights.h5` file. A file of
        weights alone does not store activations, nor, as Keras 3 writes it, the order of layers.
    activation, output_activation : str or Activation, optional
        Required for files of weights alone; other sources store them. `activation` may be a
        sequence: one for each RNN, and each Dense layer below the top one, from the bottom up;
        `output_activation` one for each Dense layer of `readout`.
    layers : sequence of str, optional
        For `.weights.h5` of Keras 3: the names in the file of all layers up to the top RNN, from
        the bottom up (`["dense", "bidirectional", "simple_rnn"]`). Required if they are not RNNs
        of one class.
    readout : str, sequence of str or False, optional
        False: leave out what follows the top RNN; the output is that layer's. For `.weights.h5`
        also the names of the Dense layers above it, from the bottom up; required if there are
        several.
    embedding : "one_hot" or "rows", optional
        What a network with an Embedding layer reads: one-hot vectors of its integers
        (`np.eye(V)[ids]`, the default), or the rows of its table, which is left out.
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
    from elman.interop.keras.reading import OTHER_MASKED, read

    said = Said(
        activation=activation,
        output_activation=output_activation,
        layers=layers,
        readout=readout,
        embedding=embedding,
        dtype=dtype,
        metadata=metadata,
        allow_nonfinite=allow_nonfinite,
    )
    imported = read(source, said)
    if OTHER_MASKED in imported.rows:
        warnings.warn(
            "from_keras: at masked steps the outputs are not those of the source, whose hidden"
            " Dense layers read zeros there; at all other steps they are",
            stacklevel=2,
        )
    return imported.network
