"""The search: starts, corrections, parts, interruptions."""

import itertools
import re
import signal

import numpy as np
import pytest

import elman
from elman.cli import examples
from elman.cli.splitting import split
from elman.forecasting import parts as parts_
from elman.forecasting import search, work
from elman.forecasting.noise import standard_error
from elman.forecasting.parts import Examples
from elman.forecasting.pool import Pool

pytestmark = pytest.mark.any_isa


def forecast(values, horizon=(1,), inputs=None):
    """Return the examples and parts of a forecast of the first column of a series or several."""
    sequences = [
        np.asarray(v).reshape(len(v), -1) for v in ([values] if np.ndim(values[0]) < 2 else values)
    ]
    names = [str(i) for i in range(sequences[0].shape[1])]
    question = examples.Question(horizon=horizon)
    now = [s[:, :1] for s in sequences]
    found = examples._forecast(sequences, now, names, names[:1], question)
    return found, split(found, 0.2, 0.2, seed=0)


def rmse(answer, data, parts):
    error = parts_.chosen(answer, data, parts.holdout) - parts_.truth(data, parts.holdout)
    return float(np.sqrt(np.square(error).mean()))


def scores(found, data, parts):
    """Return the error of the network and of the best baseline."""
    best = min(rmse(answer, data, parts) for answer in found.baselines.values())
    return rmse(lambda i: found.network(data.x[i]), data, parts), best


def henon(n=700):
    x = [0.1, 0.1]
    for _ in range(n):
        x.append(1 - 1.4 * x[-1] ** 2 + 0.3 * x[-2])
    return np.array(x)


def autoregression(rng, n):
    y = np.zeros(n)
    for t in range(2, n):
        y[t] = 1.3 * y[t - 1] - 0.5 * y[t - 2] + rng.normal()
    return y


@pytest.fixture
def few(monkeypatch):
    """Let a search try few settings."""
    monkeypatch.setattr(search, "UNITS", (8,))
    monkeypatch.setattr(search, "WINDOWS", (16,))
    monkeypatch.setattr(search, "RESTARTS", 3)
    monkeypatch.setattr(search, "EPOCHS", (40, 60))


# --- what is found --------------------------------------------------------------------------------


def test_noise_stays_the_mean(rng):
    data, parts = forecast(rng.normal(size=600))
    found = search.search(data, parts, effort=1)
    assert (found.start, found.correction) == ("the mean", None)
    mean = found.baselines["the mean"](0)
    np.testing.assert_allclose(found.network(data.x[0]), mean, atol=1e-9)


def test_a_walk_stays_the_last_value(rng):
    data, parts = forecast(np.cumsum(rng.normal(size=600)))
    found = search.search(data, parts, effort=1)
    assert (found.start, found.correction) == ("the last value", None)
    np.testing.assert_allclose(found.network(data.x[0]), data.now[0], atol=1e-4)


def test_a_linear_series_stays_linear(rng):
    data, parts = forecast(autoregression(rng, 1000))
    found = search.search(data, parts, effort=1)
    assert found.start.startswith("linear in the last ")
    assert found.correction is None
    network, best = scores(found, data, parts)
    assert network < 1.01 * best


def test_what_is_not_linear_is_found_and_fits_into_one_network():
    data, parts = forecast(henon())
    found = search.search(data, parts, effort=1)
    sizes = [int(size) for size in re.findall(r"\d+", found.correction)]
    assert len(sizes) == search.AVERAGED
    assert found.gain > 0.8 > 20 * found.noise
    network, best = scores(found, data, parts)
    assert network < best / 10
    (units,) = found.network.hidden_sizes
    assert units > sum(sizes)
    assert found.network.verify(data.x[0])


def test_a_range_of_steps_is_forecast_at_once(rng):
    data, parts = forecast(autoregression(rng, 600), horizon=(1, 2, 3))
    found = search.search(data, parts, effort=1)
    assert found.network.output_size == 3
    network, best = scores(found, data, parts)
    assert network < 1.02 * best
    last = found.baselines["the last value"](0)
    np.testing.assert_array_equal(last, np.tile(data.now[0], 3))


@pytest.mark.usefixtures("few")
def test_a_season_ahead_is_the_latest_one_that_is_known(rng):
    data, parts = forecast(np.tile(rng.normal(size=7), 60), horizon=(1, 7, 8))
    found = search.search(data, parts, effort=1, period=7)
    answer = found.baselines["the value a period before"](0)
    np.testing.assert_array_equal(answer[7:], data.y[0][7:])


def test_a_season_of_noise_stays_the_value_a_period_before(rng):
    steps = np.cumsum(rng.normal(size=(60, 9)), axis=0)  # each of nine values walks by itself
    data, parts = forecast(steps.ravel(), horizon=(4, 9))
    found = search.search(data, parts, effort=1, period=9)
    assert found.start.endswith("the value a period before")
    network, best = scores(found, data, parts)
    assert network < 1.03 * best


@pytest.mark.parametrize("steps", [12, 30, 60])
def test_short_series_are_never_far_behind_their_baselines(rng, steps):
    data, parts = forecast(autoregression(rng, steps) + 100)
    found = search.search(data, parts, effort=1)
    network, best = scores(found, data, parts)
    assert network < 2 * best


def test_a_handful_of_steps_is_enough(rng):
    data, parts = forecast(rng.normal(size=5))
    found = search.search(data, parts, effort=1)
    assert np.isfinite(found.network(data.x[0])).all()


def test_several_sequences_are_searched_together(rng):
    waves = [henon(int(rng.integers(40, 90)))[k:, None] for k in range(24)]
    data, parts = forecast(waves)
    found = search.search(data, parts, effort=1)
    network, best = scores(found, data, parts)
    assert found.correction is not None
    assert network < best / 2


@pytest.mark.usefixtures("few")
def test_a_regression_has_no_last_value(rng):
    x = rng.normal(size=(800, 2))
    y = np.abs(x[:, :1]) + 0.1 * rng.normal(size=(800, 1))
    data = parts_.Examples([x], [y], elman.Table(inputs=["a", "b"], targets=["y"]))
    parts = split(data, 0.2, 0.2, seed=0)
    found = search.search(data, parts, effort=1)
    assert "the last value" not in found.baselines
    network, best = scores(found, data, parts)
    assert network < best / 2


def test_constant_targets_are_their_value_and_rounding_errors_are_not_learned(rng):
    x = rng.normal(size=(300, 2))
    data = Examples([x], [np.full((300, 1), 0.1)], elman.Table(targets=["y"]))
    found = search.search(data, split(data, 0.2, 0.2, seed=0), effort=1)
    assert (found.correction, found.reason) == (None, "the start has no errors to correct")
    assert found.trainings == 0
    np.testing.assert_allclose(found.network(x), 0.1, rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_sequences_far_from_the_scale_of_others_are_searched_without_warnings(rng):
    data, parts = forecast([henon(30)[:, None] for _ in range(12)])
    for i, _, _ in parts.validation:
        data.x[i] += 1e4
    assert search.search(data, parts, effort=1).trainings


@pytest.mark.parametrize("kind", ["growth", "jump"])
def test_a_series_that_leaves_its_range_is_still_the_linear_model(rng, kind):
    steps = np.arange(800)
    values = 0.1 * np.cumsum(rng.normal(size=800))
    values = (
        np.exp(steps / 80 + 0.01 * values) if kind == "growth" else values + (steps > 700) * 999
    )
    data, parts = forecast(values)
    found = search.search(data, parts._replace(validation=[]), effort=1)  # the start alone
    network = rmse(lambda i: found.network(data.x[i]), data, parts)
    start = rmse(lambda i: unscaled(found, data.x[i]), data, parts)
    assert network == pytest.approx(start, rel=1e-3)


def unscaled(found, x):
    """Return the predictions of the linear model of a search, by NumPy."""
    net = found.network
    z = (x - net.input_mean) / net.input_std
    return found.linear(z) * net.output_std + net.output_mean


def test_without_a_validation_part_it_is_the_start(rng):
    data, _ = forecast(henon())
    parts = split(data, 0.0, 0.2, seed=0)
    found = search.search(data, parts, effort=1)
    assert (found.correction, found.reason) == (None, "there is no validation part")
    assert found.trainings == 0


# --- promises -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_the_seed_and_not_the_threads_determines_the_network():
    data, parts = forecast(henon(300))
    one, two = (search.search(data, parts, effort=1, seed=3, threads=n).network for n in (1, 3))
    assert one == two
    assert one.hidden_sizes > (24,)  # with a correction
    assert one != search.search(data, parts, effort=1, seed=4).network


def test_the_largest_seed_is_one_like_others():
    data, parts = forecast(henon(100))
    found = search.search(data, parts, effort=1, seed=2**64 - 1)
    assert found.correction is not None
    assert found.network != search.search(data, parts, effort=1, seed=2**64 - 2).network


@pytest.mark.usefixtures("few")
def test_held_out_steps_change_nothing(rng):
    values = henon(300)
    data, parts = forecast(values)
    values[-len(values) // 5 + 2 :] = rng.normal(size=len(values) // 5 - 1)
    other, _ = forecast(values)
    first, second = (search.search(d, parts, effort=1) for d in (data, other))
    assert first.correction is not None
    assert first.network == second.network


def test_the_work_is_counted_and_grows_with_the_effort(rng):
    data, parts = forecast(rng.normal(size=5000))
    counts = [search.Search(data, parts, effort, 0).multiply_adds for effort in range(1, 11)]
    assert all(a <= b for a, b in itertools.pairwise(counts))
    for effort, count in enumerate(counts, 1):
        assert count <= work.budget(effort)
    assert counts[2] > work.budget(1)


def test_a_long_series_gets_fewer_epochs_and_stays_within_the_work(rng):
    data, parts = forecast(rng.normal(size=200_000))
    planned = search.Search(data, parts, 1, 0)
    assert {trial.epochs for trial in planned.trials} < set(range(1, search.EPOCHS[0]))
    assert planned.multiply_adds <= work.budget(1)
    data, parts = forecast(rng.normal(size=1_000_000))
    longer = search.Search(data, parts, 1, 0)
    assert 1 <= len(longer.trials) < len(planned.trials)


def test_folds_never_judge_what_they_were_trained_on(rng):
    for values in (rng.normal(size=300), [rng.normal(size=(20, 1)) for _ in range(30)]):
        _, parts = forecast(values)
        folds = search._folds(parts)
        assert len(folds) == search.FOLDS
        judged = set()
        for training, judging in folds:
            a, b = (
                {(i, t) for i, s, e in spans for t in range(s, e)} for spans in (training, judging)
            )
            assert not a & b
            assert not b & judged
            assert not b & {(i, t) for i, s, e in parts.validation for t in range(s, e)}
            judged |= b


@pytest.mark.parametrize(("sequences", "steps"), [(1, 120), (3, 60)])
def test_small_training_parts_and_the_validation_part_change_places(rng, sequences, steps):
    kept = 0
    for _ in range(5):
        noise = list(rng.normal(size=(sequences, steps, 1)))
        data, _ = forecast(noise[0] if sequences == 1 else noise * 4)
        data = data._replace(x=data.x[:sequences], y=data.y[:sequences], now=data.now[:sequences])
        parts = split(data, 0.6, 0.3, seed=0)
        ((training, judging),) = search._folds(parts)
        assert (training, judging) == (parts.validation, parts.training)
        kept += search.search(data, parts, effort=1).correction is not None
    assert kept <= 2  # one standard error: 0.16 of them


class Interrupting(Pool):
    """A pool in which Ctrl-C arrives after some trainings."""

    after = 2

    def train(self, jobs):
        if self.done + len(jobs) > self.after:
            self._ended.set()
        return super().train(jobs)


@pytest.mark.usefixtures("few")
def test_ctrl_c_ends_a_search_with_the_start_or_the_best_correction(monkeypatch):
    data, parts = forecast(henon(300))
    whole = search.search(data, parts, effort=1)
    monkeypatch.setattr(search, "Pool", Interrupting)
    found = search.search(data, parts, effort=1)
    assert found.interrupted
    assert (found.correction, found.reason) == (None, "interrupted")
    monkeypatch.setattr(Interrupting, "after", whole.trainings - 3)  # before the last fit
    found = search.search(data, parts, effort=1)
    assert found.interrupted
    assert found.correction == whole.correction
    network, best = scores(found, data, parts)
    assert network < best / 2


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("where", ["progress", "judging"])
def test_ctrl_c_between_trainings_ends_a_search_like_one_within(monkeypatch, where):
    data, parts = forecast(henon(300))
    if where == "progress":

        def show(done, total):
            signal.raise_signal(signal.SIGINT)

        found = search.search(data, parts, effort=1, progress=show)
        assert found.interrupted
    else:
        outputs = search._Left.outputs

        def interrupted(*args):
            signal.raise_signal(signal.SIGINT)
            return outputs(*args)

        monkeypatch.setattr(search._Left, "outputs", interrupted)
        found = search.search(data, parts, effort=1)
        assert found.interrupted
        assert found.correction is not None
    with pytest.raises(KeyboardInterrupt):  # as before the search
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("few")
def test_a_training_that_diverges_is_left_out(monkeypatch):
    data, parts = forecast(henon(300))
    monkeypatch.setattr(search, "RATES", (5e-3, 1e200))
    found = search.search(data, parts, effort=1)
    assert np.isfinite(found.network(data.x[0])).all()
    monkeypatch.setattr(search, "RATES", (1e300,))
    found = search.search(data, parts, effort=1)
    assert (found.correction, found.reason) == (None, "every training diverged")


# --- noise ----------------------------------------------------------------------------------------


def test_the_standard_error_of_independent_and_of_correlated_values(rng):
    values = rng.normal(size=20_000)
    assert standard_error(values) == pytest.approx(1 / np.sqrt(20_000), rel=0.1)
    held = np.repeat(rng.normal(size=2000), 10)  # 2000 independent values
    assert standard_error(held, reach=30) == pytest.approx(1 / np.sqrt(2000), rel=0.15)
    assert standard_error(np.ones(1)) == np.inf
