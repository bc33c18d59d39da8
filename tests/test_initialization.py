"""Initializers: each against its definition, from NumPy's Philox words where bits are promised."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

import elman
from conftest import ISAS
from elman.errors import ArgumentError
from elman.initialization import EchoState, Identity
from fixtures.bits import assert_same_bits

INITS = ("uniform", "glorot", "identity", "echo_state")
DTYPES = ("float32", "float64")


def network(init, inputs=3, hidden=(5, 4), outputs=2, *, seed=7, dtype="float64", **options):
    sizes = {"input_size": inputs, "hidden_size": list(hidden), "output_size": outputs}
    return elman.Network(**sizes, init=init, seed=seed, dtype=dtype, **options)


def weights(net):
    """Return all weights and biases in the order of the file."""
    arrays = [a for layer in net.layers for a in (layer.W_xh, layer.W_hh, layer.b_h)]
    return [*arrays, net.readout.W_hy, net.readout.b_y]


class Words:
    """The values of NumPy's Philox in the order drawn by the core."""

    def __init__(self, seed):
        self.generator = np.random.Philox(key=seed)

    def word(self):
        return int(self.generator.random_raw())

    def uniform(self):
        return (self.word() >> 11) * 2.0**-53

    def symmetric(self):
        return ((self.word() >> 10) - 2**53) * 2.0**-53

    def exp_minus(self, p):
        """Return True with probability exp(-p), by the parity of a falling run."""
        run = [p]
        while (u := self.uniform()) < run[-1]:
            run.append(u)
        return len(run) % 2 == 1

    def normal(self):
        """Return a number of Karney's algorithm N."""
        while True:
            k = 0
            while self.exp_minus(0.5):
                k += 1
            if all(self.exp_minus(0.5) for _ in range(k * (k - 1))):
                x = self.uniform()
                p = x * (2 * k + x) / (2 * k + 2)
                if all(self.exp_minus(p) for _ in range(k + 1)):
                    return -(k + x) if self.word() >> 63 else k + x

    def many(self, draw, *shape):
        return np.array([draw() for _ in range(math.prod(shape))]).reshape(shape)


# --- the promise of a seed ------------------------------------------------------------------------

# sha256 of all weights, little-endian, in the order of the file.
RECORDED = {
    ("uniform", "float32"): "8134ea3b4e056aa8a8579e3804048c5043f76ab63bd895941682f69ac8435b76",
    ("uniform", "float64"): "44890111432d14735be44830157d8b5b05685ab493e7a4683e748cbacfcf5c41",
    ("glorot", "float32"): "157e32c695821145047b501a1cb0ebf46ab57303def55e6d261a33353a024202",
    ("glorot", "float64"): "74a191adad03e9b9436a027ff4fee1e6e7dc365e1d9b59c9dafd98d276aee768",
    ("identity", "float32"): "95c97ad40f1829f05201a545d58919bd6fc35bc7142bd3869f98cbe0bea906c2",
    ("identity", "float64"): "5856d5ca49b02ff769ad755993a82cfbb61ec10332ea216987b22b35b0cfd50f",
    ("echo_state", "float32"): "bbbd663f1dd8406c8c2eddd19fe81a5d908266b01fa93b7f95b90450600805c2",
    ("echo_state", "float64"): "d82c0b1d5b6a4c1134a5d3629ba6edae0b68431efcd89dbfcbaaf3fb1a37d45b",
}


def digest(net):
    little = [a.astype(a.dtype.newbyteorder("<")).tobytes() for a in weights(net)]
    return hashlib.sha256(b"".join(little)).hexdigest()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("init", INITS)
def test_a_seed_gives_the_recorded_network_on_every_instruction_set(init, dtype):
    for isa in ISAS:
        with elman.use_isa(isa):
            net = network(init, 3, (33, 17), 5, seed=1990, dtype=dtype)
        assert digest(net) == RECORDED[init, dtype], isa


@pytest.mark.parametrize("init", INITS)
def test_float32_weights_are_the_float64_ones_rounded_once(init):
    wide, narrow = network(init), network(init, dtype="float32")
    for w, n in zip(weights(wide), weights(narrow), strict=True):
        assert_same_bits(n, w.astype("float32"))


@pytest.mark.parametrize("init", INITS)
def test_other_tensors_are_the_ones_that_were_passed(init):
    scaling = {"input_mean": [1, 2, 3], "output_std": [4, 5], "initial_state": np.ones(9)}
    net = network(init, **scaling)
    assert net.input_mean.tolist() == [1, 2, 3]
    assert net.output_std.tolist() == [4, 5]
    assert net.initial_state.tolist() == [1] * 9
    for with_scaling, without in zip(weights(net), weights(network(init)), strict=True):
        assert_same_bits(with_scaling, without)


@pytest.mark.parametrize("init", INITS)
def test_a_network_may_lack_biases_and_a_readout(init):
    net = network(init, 2, (3, 1), None, bias=False)
    assert net.readout is None
    assert [layer.b_h for layer in net.layers] == [None, None]
    assert np.isfinite(net(np.ones((4, 2)))).all()


def test_uniform_is_what_a_network_has_without_init():
    assert network("uniform") == elman.Network(
        input_size=3, hidden_size=[5, 4], output_size=2, seed=7, dtype="float64"
    )


@pytest.mark.parametrize(("name", "settings"), [("identity", Identity), ("echo_state", EchoState)])
def test_a_name_means_the_default_settings(name, settings):
    assert network(name) == network(settings())


# --- Glorot ---------------------------------------------------------------------------------------


def orthogonal(numbers):
    """Orthonormalize rows by LAPACK's QR, with the signs of Gram-Schmidt."""
    q, r = np.linalg.qr(numbers.T)
    return (q * np.sign(np.diag(r))).T


def test_glorot_is_glorots_uniform_and_an_orthogonal_recurrence():
    net = network("glorot", 3, (5, 4), 2, seed=11)
    words = Words(11)
    below = 3
    for layer, size in zip(net.layers, (5, 4), strict=True):
        limit = np.sqrt(6 / (size + below))
        assert_same_bits(layer.W_xh, words.many(words.symmetric, size, below) * limit)
        expected = orthogonal(words.many(words.normal, size, size))
        np.testing.assert_allclose(layer.W_hh, expected, rtol=0, atol=1e-14)
        assert not layer.b_h.any()
        below = size
    assert_same_bits(net.readout.W_hy, words.many(words.symmetric, 2, 4) * np.sqrt(6 / (2 + 4)))
    assert not net.readout.b_y.any()


@pytest.mark.parametrize("size", [1, 2, 7, 64, 129])
def test_an_orthogonal_recurrence_is_orthogonal_to_the_last_digits(size):
    W_hh = network("glorot", 1, (size,)).layers[0].W_hh
    np.testing.assert_allclose(W_hh @ W_hh.T, np.eye(size), rtol=0, atol=1e-14)


def test_orthogonal_recurrences_have_no_preferred_direction():
    first = np.array([network("glorot", 1, (2,), seed=s).layers[0].W_hh for s in range(400)])
    angles = np.sort(np.arctan2(first[:, 0, 1], first[:, 0, 0]) / (2 * np.pi) + 0.5)
    assert kolmogorov(angles) < 1.63  # 1 % of correct samples exceed this
    assert 160 < (np.linalg.det(first) > 0).sum() < 240


def kolmogorov(sorted_probabilities):
    """Return the Kolmogorov-Smirnov statistic times sqrt(n) of a sample against uniform."""
    n = len(sorted_probabilities)
    steps = np.arange(n + 1) / n
    below, above = sorted_probabilities - steps[:-1], steps[1:] - sorted_probabilities
    return max(below.max(), above.max()) * n**0.5


# --- identity -------------------------------------------------------------------------------------


def test_identity_is_the_identity_and_small_normal_numbers():
    net = network(Identity(std=0.25, scale=0.5), 3, (5, 4), 2, seed=12)
    words = Words(12)
    below = 3
    for layer, size in zip(net.layers, (5, 4), strict=True):
        assert_same_bits(layer.W_xh, words.many(words.normal, size, below) * 0.25)
        assert_same_bits(layer.W_hh, 0.5 * np.eye(size))
        assert not layer.b_h.any()
        below = size
    assert_same_bits(net.readout.W_hy, words.many(words.normal, 2, 4) * 0.25)
    assert not net.readout.b_y.any()


def test_identity_has_the_papers_settings_by_default():
    net = network("identity", 100, (100,), 2)
    assert_same_bits(net.layers[0].W_hh, np.eye(100))
    assert net.layers[0].W_xh.std() == pytest.approx(0.001, rel=0.03)


def test_normal_numbers_are_normal():
    numbers = network(Identity(std=1), 200, (200,), 1, seed=1).layers[0].W_xh.ravel()
    probabilities = [0.5 * math.erfc(-z / 2**0.5) for z in np.sort(numbers)]
    assert kolmogorov(np.array(probabilities)) < 1.63
    n = numbers.size
    assert abs(numbers.mean()) < 3 / n**0.5
    assert abs((numbers**2).mean() - 1) < 3 * (2 / n) ** 0.5
    assert abs((numbers**4).mean() - 3) < 3 * (96 / n) ** 0.5
    tail = 2 * 0.5 * math.erfc(3 / 2**0.5)  # beyond 3, where sums of uniform numbers are too rare
    assert abs((np.abs(numbers) > 3).sum() - tail * n) < 3 * (tail * n) ** 0.5


# --- echo state -----------------------------------------------------------------------------------


def radius(W):
    return np.abs(np.linalg.eigvals(W)).max()


@pytest.mark.parametrize(
    ("size", "density"),
    [
        (1, 0.01),
        (1, 1.0),
        (2, 0.5),
        (3, 0.1),
        (5, 0.5),
        (16, 0.1),
        (33, 0.01),
        (33, 1.0),
        (60, 0.5),
    ],
)
def test_a_reservoir_has_its_spectral_radius_and_density(size, density):
    for seed in range(2):
        init = EchoState(spectral_radius=1.25, density=density)
        W_hh = network(init, 2, (size,), seed=seed).layers[0].W_hh
        assert radius(W_hh) == pytest.approx(1.25, rel=1e-6)
        connections = max(1, math.floor(density * size + 0.5))
        assert ((W_hh != 0).sum(axis=1) == connections).all()


def test_a_reservoir_chooses_its_connections_evenly():
    W_hh = network(EchoState(density=0.1), 1, (300,)).layers[0].W_hh
    readers = (W_hh != 0).sum(axis=0)
    assert readers.sum() == 300 * 30
    assert readers.var() == pytest.approx(300 * 0.1 * 0.9, rel=0.35)
    values = W_hh[W_hh != 0] / np.abs(W_hh).max()
    assert kolmogorov(np.sort(values / 2 + 0.5)) < 1.63


def test_inputs_and_biases_of_a_reservoir_lie_within_its_limit():
    net = network(EchoState(input_limit=2.0), 40, (64, 49), 3)
    for array, limit in [
        (net.layers[0].W_xh, 2),
        (net.layers[0].b_h, 2),
        (net.layers[1].W_xh, 2 / 8),
        (net.layers[1].b_h, 2),
        (net.readout.W_hy, 1 / 7),
    ]:
        assert 0.85 * limit < np.abs(array).max() <= limit
    assert 0 < np.abs(net.readout.b_y).max() <= 1 / 7


def test_a_spectral_radius_of_zero_is_no_recurrence():
    assert not network(EchoState(spectral_radius=0)).layers[0].W_hh.any()


def test_a_reservoir_of_a_radius_below_one_forgets_where_it_began():
    net = network(EchoState(spectral_radius=0.8), 1, (50,), seed=5)
    x = np.random.default_rng(5).standard_normal((300, 1))
    states = [net.run(x, state=np.full(50, start)).state for start in (-1.0, 1.0)]
    np.testing.assert_allclose(*states, rtol=0, atol=1e-12)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        (
            "xavier",
            ArgumentError,
            "init: .*'xavier'",
        ),
        (
            0.9,
            TypeError,
            r"init: .*float",
        ),
        (
            EchoState,
            TypeError,
            r"init: .*type",
        ),
        (Identity(std=-1), ArgumentError, r"std: .*got -1"),
        (
            Identity(scale=float("inf")),
            ArgumentError,
            r"scale: .*inf",
        ),
        (Identity(std="a"), TypeError, r"std: .*str"),
        (
            EchoState(spectral_radius=float("nan")),
            ArgumentError,
            r"spectral_radius: .*nan",
        ),
        (
            EchoState(density=0),
            ArgumentError,
            r"density: .*got 0",
        ),
        (
            EchoState(density=1.5),
            ArgumentError,
            r"density: .*got 1.5",
        ),
        (
            EchoState(input_limit=-0.5),
            ArgumentError,
            r"input_limit: .*got -0.5",
        ),
    ],
)
def test_a_wrong_start_is_refused_in_one_sentence(init, error, message):
    with pytest.raises(error, match=f"^{message}"):
        network(init)
