"""Forecast a chaotic series with an echo-state network: only the readout is fitted.

    pip install elman
    python examples/echo_state.py

The Mackey-Glass equation with a delay of 17 is a usual benchmark of such networks (H. Jaeger and
H. Haas, "Harnessing nonlinearity", Science 304, 2004):

    dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t)

A reservoir reads 3000 steps, and a ridge regression on its states is fitted to the next value. It
then reads other parts of the series and continues each for 84 steps on its own forecasts.
"""

import numpy as np

import elman

DELAY, STEPS_PER_UNIT = 17, 10
TRAIN, WASHOUT, LISTEN, AHEAD, TRIALS = 3000, 200, 500, 84, 50


def mackey_glass(length: int) -> np.ndarray:
    """Return one value (length, 1) for each unit of time, by Euler steps of a tenth."""
    x = [1.2] * (DELAY * STEPS_PER_UNIT + 1)
    for _ in range((length + 1000) * STEPS_PER_UNIT):
        late = x[-1 - DELAY * STEPS_PER_UNIT]
        x.append(x[-1] + (0.2 * late / (1 + late**10) - 0.1 * x[-1]) / STEPS_PER_UNIT)
    return np.array(x[-length * STEPS_PER_UNIT :: STEPS_PER_UNIT])[:, None]


def main() -> None:
    """Fit reservoirs of several sizes and print their errors 84 steps ahead."""
    series = mackey_glass(TRAIN + TRIALS * 100 + LISTEN + AHEAD)
    train, rest = series[:TRAIN], series[TRAIN:]
    scaling = {"input_mean": train.mean(0), "output_mean": train.mean(0)}
    scaling |= {"input_std": train.std(0), "output_std": train.std(0)}
    starts = 100 * np.arange(TRIALS)[:, None]
    heard = rest[starts + np.arange(LISTEN)]
    truth = rest[starts + LISTEN + np.arange(AHEAD)]

    def error(forecast: np.ndarray) -> float:
        """Return the root mean square error at the last step, in standard deviations."""
        return float(np.sqrt(np.mean((forecast - truth)[:, -1] ** 2)) / series.std())

    print("RMSE 84 steps ahead, in standard deviations")
    print(f"{'the mean':24}{error(np.full_like(truth, train.mean())):8.4f}")
    for size in (200, 400, 600):
        net = elman.Network(
            input_size=1,
            hidden_size=size,
            output_size=1,
            output_activation="identity",
            init=elman.EchoState(spectral_radius=0.9, density=min(1.0, 10 / size)),
            dtype="float64",
            seed=0,
            **scaling,
        )
        net = elman.ridge_readout(net, train[:-1], train[1:], alpha=1e-8, washout=WASHOUT)
        forecast = net.generate(heard, steps=AHEAD)
        print(f"{f'reservoir of {size} units':24}{error(forecast):8.4f}")


if __name__ == "__main__":
    main()
