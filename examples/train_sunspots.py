"""Train the network behind `elman demo`: next year's sunspot number from this year's.

    python examples/train_sunspots.py [FILE]     # by default the file that ships with the package

The years are split in time, as is usual for this series: 1700-1920 to train, 1921-1955 to choose
the sizes, the restart and the epoch, 1956-2008 to test. The test years influence no choice; the
network that is written to the file is scored on them once.
"""

import csv
import itertools
import sys
from pathlib import Path

import numpy as np

import elman

DATA = Path(__file__).resolve().parents[1] / "python" / "elman" / "data"

# Index of a year in the series: the year minus 1700.
WARM_UP = 10  # the first years fill the state and do not count in the loss
TRAIN, VALIDATE, TEST = slice(0, 221), slice(221, 256), slice(256, 309)

HIDDEN_SIZES = (8, 16)
WEIGHT_DECAYS = (0.0, 2e-3)
INPUT_NOISES = (0.0, 0.1)  # in standard deviations of the series
NOISY_COPIES = 8  # of the series are trained on together
RESTARTS, EPOCHS, LEARNING_RATE = 16, 800, 5e-3


def rmse(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square error."""
    return float(np.sqrt(np.mean((forecast - truth) ** 2)))


def train(
    z: np.ndarray, hidden: int, weight_decay: float, input_noise: float, seed: int
) -> tuple[float, elman.Network]:
    """Return the lowest validation loss and the network that has it.

    z (309, 1) is the standardised series.
    """
    copies = NOISY_COPIES if input_noise else 1
    x = np.tile(z[: TRAIN.stop - 1], (copies, 1, 1))
    noise = input_noise * np.random.default_rng(seed).standard_normal(x.shape)
    counts = np.arange(VALIDATE.stop - 1)
    result = elman.train(
        elman.Network(
            input_size=1,
            hidden_size=hidden,
            output_size=1,
            output_activation="identity",
            seed=seed,
        ),
        x + noise,
        np.tile(z[1 : TRAIN.stop], (copies, 1, 1)),
        step_weight=counts[: TRAIN.stop - 1] >= WARM_UP,
        validation={
            "x": z[: VALIDATE.stop - 1],
            "y": z[1 : VALIDATE.stop],
            "step_weight": counts >= VALIDATE.start - 1,
        },
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        weight_decay=weight_decay,
    )
    return min(result.history.validation_loss), result.network


def with_scaling(net: elman.Network, mean: float, std: float) -> elman.Network:
    """Return the network with scaling, so that it reads and returns raw sunspot numbers."""
    return net.replace(
        tensors={
            "input_mean": [mean],
            "input_std": [std],
            "output_std": [std],
            "output_mean": [mean],
        },
        metadata={
            "title": "Next year's sunspot number from this year's",
            "trained_by": "examples/train_sunspots.py",
            "training_years": "1700-1920",
            "validation_years": "1921-1955",
            "test_years": "1956-2008",
        },
        table=elman.Table(inputs=["sunspots"], targets=["sunspots"], horizon=1),
    )


def linear_forecast(sunspots: np.ndarray, order: int) -> np.ndarray:
    """Forecast every year after the first `order` by least squares over the training years."""
    lags = [sunspots[order - 1 - k : -1 - k] for k in range(order)]
    x = np.stack([np.ones(len(lags[0])), *lags], axis=1)
    train_rows = slice(0, TRAIN.stop - order)
    coefficients, *_ = np.linalg.lstsq(x[train_rows], sunspots[order:][train_rows], rcond=None)
    return x @ coefficients


def main(path: str | Path) -> None:
    """Train all variants, write the best one to `path`, and score it on the test years."""
    with open(DATA / "sunspots.csv", newline="") as file:
        sunspots = np.array([float(row["sunspots"]) for row in csv.DictReader(file)])
    mean, std = sunspots[TRAIN].mean(), sunspots[TRAIN].std()
    z = ((sunspots - mean) / std)[:, np.newaxis]

    found = []
    for variant in itertools.product(HIDDEN_SIZES, WEIGHT_DECAYS, INPUT_NOISES):
        restarts = [train(z, *variant, seed) for seed in range(RESTARTS)]
        found.append(min(restarts, key=lambda restart: restart[0]))
        hidden, decay, noise = variant
        print(
            f"hidden {hidden:2}, weight decay {decay:5}, input noise {noise:3}: best of"
            f" {RESTARTS} restarts {std * found[-1][0] ** 0.5:5.2f} on the validation years",
            flush=True,
        )
    _, best = min(found, key=lambda restart: restart[0])
    net = with_scaling(best, mean, std)
    net.save(path)
    forecasts = {
        "repeat the last value": sunspots[:-1],
        "AR(2), least squares": linear_forecast(sunspots, 2),
        "AR(9), least squares": linear_forecast(sunspots, 9),
        f"Elman network, {net.hidden_sizes[0]} hidden": net(sunspots[:-1, None])[:, 0],
    }
    print(f"\n{'RMSE, one year ahead':32}{'1921-1955':>12}{'1956-2008':>12}")
    for name, values in forecasts.items():
        ahead = np.concatenate([np.full(len(sunspots) - len(values), np.nan), values])
        scores = [rmse(ahead[years], sunspots[years]) for years in (VALIDATE, TEST)]
        print(f"{name:32}{scores[0]:12.2f}{scores[1]:12.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DATA / "sunspots.safetensors")
