"""Softmax and log-softmax from and to PyTorch: over the features, whatever their axis."""

import numpy as np
import pytest

import elman

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.any_isa

ATOL = 2e-6


def steps(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def test_the_name_classifier_of_pytorchs_tutorial_is_read(rng):
    """Its softmax acts on the output of the last step, (1, O)."""
    torch.manual_seed(0)
    rnn, linear, softmax = nn.RNN(57, 128), nn.Linear(128, 18), nn.LogSoftmax(dim=1)
    net = elman.from_torch((rnn, linear, softmax))
    assert net.output_activation == "log_softmax"
    name = np.eye(57, dtype=np.float32)[rng.integers(0, 57, 9)]
    with torch.no_grad():
        _, hidden = rnn(torch.from_numpy(name)[:, None])
        want = softmax(linear(hidden[0])).numpy()[0]
    np.testing.assert_allclose(net(name)[-1], want, rtol=0, atol=ATOL)
    assert elman.compare(net, (rnn, linear, softmax), name).ok
    model = nn.ModuleDict({"rnn": rnn, "h2o": linear, "softmax": softmax})
    assert elman.from_torch(model, output_activation="log_softmax") == net


@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax])
@pytest.mark.parametrize("dim", [-1, 1, 2])
def test_the_features_are_any_axis_but_the_first(rng, kind, dim):
    rnn, linear = nn.RNN(3, 4, batch_first=True), nn.Linear(4, 2)
    net = elman.from_torch((rnn, linear, kind(dim=dim)))
    assert net.output_activation == {nn.Softmax: "softmax", nn.LogSoftmax: "log_softmax"}[kind]
    x = steps(rng, 5, 6, 3)
    with torch.no_grad():
        want = kind(dim=-1)(linear(rnn(torch.from_numpy(x))[0])).numpy()
    np.testing.assert_allclose(net(x), want, rtol=0, atol=ATOL)


@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax])
@pytest.mark.parametrize("dim", [0, None])
def test_a_softmax_over_another_axis_is_refused(kind, dim):
    with pytest.raises(elman.ElmanError, match=kind.__name__):
        elman.from_torch((nn.RNN(3, 4), nn.Linear(4, 2), kind(dim=dim)))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_network_goes_to_pytorch_and_back(rng, name):
    net = elman.Network(3, 5, 4, output_activation=name, seed=1)
    modules = elman.to_torch(net)
    assert elman.from_torch(modules) == net
    x = steps(rng, 6, 3)
    with torch.no_grad():
        got = modules.activation(modules.readout(modules.rnn(torch.from_numpy(x))[0])).numpy()
    np.testing.assert_allclose(got, net(x), rtol=0, atol=ATOL)
    assert elman.compare(net, modules, x).ok
