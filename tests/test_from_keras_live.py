"""Models of Keras beside Keras: what is read gives its outputs, what is not is refused by name."""

import numpy as np
import pytest

import elman
from elman.errors import UnsupportedModelError

pytestmark = [
    pytest.mark.any_isa,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside Keras
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def sequential(keras, *layers, shape=(6, 2)):
    return keras.Sequential([keras.Input(shape), *layers])


def sequences(keras, units, **options):
    return keras.layers.SimpleRNN(units, return_sequences=True, **options)


def agrees(keras, net, model, x, mask=None):
    """Compare with the outputs of Keras at every step."""
    want = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(net.run(x, mask=mask).output, want, rtol=0, atol=2e-6)
    assert np.abs(want).max() > 0.1


# --- masks ----------------------------------------------------------------------------------------


def test_a_mask_above_go_backwards_is_refused(keras):
    # Keras gives the mask of the first layer, not turned, to the second, whose inputs are turned
    layers = keras.layers
    model = sequential(
        keras, layers.Masking(), sequences(keras, 3, go_backwards=True), sequences(keras, 3)
    )
    with pytest.raises(UnsupportedModelError, match=f"'{model.layers[-1].name}'.*no mask above go"):
        elman.from_keras(model)
    ids = sequential(
        keras,
        layers.Embedding(5, 2, mask_zero=True),
        sequences(keras, 3, go_backwards=True),
        sequences(keras, 3, go_backwards=True),
        shape=(6,),
    )
    with pytest.raises(UnsupportedModelError, match="no mask above go_backwards"):
        elman.from_keras(ids)


def test_masking_within_time_distributed_is_refused(keras):
    layers = keras.layers
    model = sequential(keras, layers.TimeDistributed(layers.Masking()), sequences(keras, 3))
    with pytest.raises(UnsupportedModelError, match="no Masking within TimeDistributed"):
        elman.from_keras(model)


@pytest.mark.parametrize("masking", [False, True])
def test_a_mask_that_the_model_computes_itself_is_refused(keras, masking):
    x = keras.Input((6, 2))
    mask = keras.ops.any(keras.ops.not_equal(x, 5.0), axis=-1)
    below = keras.layers.Masking()(x) if masking else x
    model = keras.Model(x, sequences(keras, 3)(below, mask=mask))
    with pytest.raises(UnsupportedModelError, match="the mask of a Masking or Embedding layer"):
        elman.from_keras(model)


def test_the_mask_of_a_layer_is_read(keras, rng):
    x = keras.Input((6, 2))
    below = keras.layers.Masking(5.0)(keras.layers.Dense(2)(x))
    model = keras.Model(x, sequences(keras, 3)(sequences(keras, 3)(below)))
    agrees(keras, elman.from_keras(model), model, rng.standard_normal((3, 6, 2)).astype("f4"))


def test_a_mask_beside_an_initial_state_is_refused(keras):
    # Keras 3 does not hand the mask to an RNN that is called with two tensors
    x, start = keras.Input((6, 2)), keras.Input((3,))
    hidden = sequences(keras, 3)(keras.layers.Masking()(x), initial_state=start)
    with pytest.raises(UnsupportedModelError, match=r"simple_rnn.*no mask, which Keras 3"):
        elman.from_keras(keras.Model([x, start], hidden))


# --- what only has the name of something of Keras -------------------------------------------------


def test_functions_and_classes_of_users_with_names_of_keras_are_refused(keras, tmp_path):
    def relu(x):
        return 2 * x

    class SimpleRNN(keras.layers.SimpleRNN):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return 2 * super().call(sequences, mask=mask)

    for layers in (
        [sequences(keras, 3, activation=relu)],
        [sequences(keras, 3), keras.layers.Dense(2, activation=relu)],
        [sequences(keras, 3), keras.layers.Activation(relu)],
    ):
        with pytest.raises(UnsupportedModelError, match=r"an activation of Keras, got .*\.relu"):
            elman.from_keras(sequential(keras, *layers))
    model = sequential(keras, SimpleRNN(3, return_sequences=True))
    model.save(tmp_path / "m.keras")
    for source in (model, tmp_path / "m.keras"):
        with pytest.raises(UnsupportedModelError, match="a built-in class of Keras"):
            elman.from_keras(source)
    model = sequential(keras, sequences(keras, 3, activation=keras.ops.tanh))
    x = np.random.default_rng(0).standard_normal((3, 6, 2)).astype("f4")
    agrees(keras, elman.from_keras(model), model, x)


# --- frozen layers in legacy files, which hold trained weights first ------------------------------


def nested(keras, layers):
    return sequential(keras, sequential(keras, *layers))


def frozen_cell(keras):
    cell = keras.layers.SimpleRNNCell
    cells = [cell(2), cell(2, trainable=False)]
    return [keras.layers.RNN(cells, return_sequences=True), sequences(keras, 2)]


def frozen_rnn_of_free_cells(keras):
    cell = keras.layers.SimpleRNNCell
    free = keras.layers.RNN([cell(2), cell(2)], return_sequences=True, trainable=False)
    return [free, keras.layers.Dense(2), sequences(keras, 2)]


def frozen_half(keras):
    both = keras.layers.Bidirectional(sequences(keras, 2), merge_mode="sum")
    both.forward_layer.trainable = False
    return [both, sequences(keras, 2)]


@pytest.mark.parametrize("make", [frozen_cell, frozen_rnn_of_free_cells, frozen_half])
def test_frozen_cells_of_a_nested_model_have_their_own_weights(keras, tmp_path, rng, make):
    model = nested(keras, make(keras))
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    model.save(tmp_path / "m.h5")
    x = rng.standard_normal((3, 6, 2)).astype("f4")
    agrees(keras, elman.from_keras(tmp_path / "m.h5"), model, x)


def test_weights_of_another_layer_are_refused(keras, tmp_path):
    first = sequences(keras, 2)
    first.cell.trainable = False  # no config says so
    model = nested(keras, [first, sequences(keras, 2)])
    model.save(tmp_path / "m.h5")
    with pytest.raises(UnsupportedModelError, match=r"expected its weights, got .* as \.keras"):
        elman.from_keras(tmp_path / "m.h5")
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(0).standard_normal((3, 6, 2)).astype("f4")
    agrees(keras, elman.from_keras(tmp_path / "m.keras"), model, x)


# --- elman.compare --------------------------------------------------------------------------------


def test_compare_gives_zeros_for_an_initial_state_that_is_an_input(keras, rng):
    x, start = keras.Input((6, 2)), keras.Input((3,))
    hidden = sequences(keras, 3)(x, initial_state=start)
    for inputs in ([x, start], [start, x]):
        model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
        assert elman.compare(elman.from_keras(model), model, rng.standard_normal((3, 6, 2))).ok


@pytest.mark.parametrize("merge", ["sum", "ave", "concat"])
def test_compare_judges_the_merged_last_states_of_both_directions(keras, rng, merge):
    both = keras.layers.Bidirectional(keras.layers.SimpleRNN(3), merge_mode=merge)
    model = sequential(keras, both)
    assert elman.compare(elman.from_keras(model), model, rng.standard_normal((3, 6, 2))).ok
