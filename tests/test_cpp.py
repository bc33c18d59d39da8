"""The core from C++: build and run cpp/tests and the example."""

from __future__ import annotations

import numpy as np
import pytest

import elman
from elman import reference
from fixtures import cpp_build

pytestmark = [pytest.mark.any_isa, pytest.mark.builds]


@pytest.fixture
def programs(tmp_path_factory):
    return cpp_build.build(tmp_path_factory)


def test_a_step_allocates_nothing(programs):
    cpp_build.run(programs / "allocation")


def test_a_fading_state_reaches_zero_without_a_subnormal_number_in_any_scratch(programs):
    cpp_build.run(programs / "fading")


def test_training_keeps_hidden_states_alone_and_nothing_subnormal(programs):
    cpp_build.run(programs / "training")


def test_the_core_leaves_the_floating_point_mode_alone(programs):
    cpp_build.run(programs / "floating_point_mode")


def test_the_random_words_are_those_of_philox(programs):
    cpp_build.run(programs / "philox")


def test_the_fused_instruction_sets_agree_in_a_program_without_python(programs):
    cpp_build.run(programs / "contract")


def test_streams_refuse_hold_or_propagate_what_is_not_finite(programs):
    cpp_build.run(programs / "streams")


def test_a_pool_allocates_nothing_and_advances_all_rows_or_none(programs):
    cpp_build.run(programs / "pool")


def test_threads_share_a_network_and_take_turns_with_a_stream(programs):
    cpp_build.run(programs / "threads")


def test_the_losses_of_a_step_are_those_of_exact_arithmetic(programs):
    cpp_build.run(programs / "loss")


def test_sequences_are_checked_and_outputs_fed_back(programs):
    cpp_build.run(programs / "sequences")


def test_a_failed_allocation_or_thread_ends_in_an_exception_or_in_the_same_bits(programs):
    cpp_build.run(programs / "failing")


def test_long_calls_can_be_stopped(programs):
    cpp_build.run(programs / "polling")


def test_every_header_compiles_on_its_own(programs):
    headers = {path.stem for path in (cpp_build.ROOT / "cpp/include/elman").glob("*.hpp")}
    compiled = {path.name.partition(".")[0] for path in programs.glob("**/headers/elman/*.cpp.o*")}
    assert compiled == headers


# --- the example ----------------------------------------------------------------------------------

# As in examples/cpp/stream.cpp.
W_xh = [[0.5, -0.3], [0.8, 0.1], [-0.6, 0.4]]
W_hh = [[0.2, 0.7, -0.1], [-0.5, 0.3, 0.9], [0.6, -0.4, 0.1]]
b_h = [0.05, -0.1, 0.15]
W_hy, b_y = [[1.5, -2.0, 0.75]], [0.25]
SAMPLES = [[0.1, 1.0], [-0.7, 0.4], [0.9, -0.2], [0.0, 0.0]]


def test_the_example_prints_what_the_reference_and_the_package_compute(programs):
    net = elman.Network.from_weights([(W_xh, W_hh, b_h)], (W_hy, b_y), dtype="float32")
    printed = np.array(cpp_build.run(programs / "example" / "stream").split(), np.float32)
    want = reference.run(net, np.float32(SAMPLES)).output[:, 0]
    np.testing.assert_allclose(printed, want, rtol=1e-6)
    np.testing.assert_array_equal(printed, net(SAMPLES)[:, 0])  # nine digits identify a float


def test_the_example_is_a_project_of_its_own(tmp_path):
    cpp_build.configure(cpp_build.ROOT / "examples" / "cpp", tmp_path)


# --- the activations ------------------------------------------------------------------------------

FUNCTIONS = (
    *("tanh", "sigmoid", "relu", "fade", "exp", "softmax", "log_softmax", "leaky_relu", "expm1"),
    *("elu", "thresholded_relu", "hard_sigmoid", "softsign", "softplus", "scaled_tanh", "affine"),
    "clip",
)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_thousandth_float_keeps_what_its_activation_promises(programs, function):
    cpp_build.run(programs / "activation_sweep", function, 1009, *cpp_build.SETS)


# All floats for the two most common activations, every seventh for the others. `scalar` gives
# the bits of the other sets that fuse, at a twentieth of their speed.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "stride"),
    [
        ("tanh", 1),
        ("sigmoid", 1),
        ("expm1", 7),
        ("softsign", 7),
        ("softplus", 7),
        ("scaled_tanh", 7),
    ],
)
def test_the_floats_keep_what_their_activation_promises(tmp_path_factory, function, stride):
    programs = cpp_build.build(tmp_path_factory, "activation_sweep", cpp_build.ALL_SETS)
    program = programs / "activation_sweep"
    isas = [isa for isa in elman.available_isas() if isa != "scalar"] or ["scalar"]
    cpp_build.run(program, function, stride, *isas)
    cpp_build.run(program, function, 31, *elman.available_isas())
