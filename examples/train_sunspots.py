"""Train the network behind `elman demo`: next year's sunspot number from this year's.

    pip install torch numpy elman
    python examples/train_sunspots.py            # two minutes on one core

The years are split in time, as is usual for this series: 1700-1920 to train, 1921-1955 to choose
(the sizes, the restart and the moment to stop), 1956-2008 to test. No choice has seen the test
years; they are scored once, by the network that is written to the file.

Random restarts train side by side as one batch of matrices, one slice per restart. The loop over
time is the Elman cell itself, with row vectors: h = tanh(x W_xh + h W_hh + b_h).
"""

import csv
import itertools
import sys
from pathlib import Path

import numpy as np
import torch

import elman

DATA = Path(__file__).resolve().parents[1] / "python" / "elman" / "data"

# Index of a year in the series: the year minus 1700.
WARM_UP = 10  # these years fill the memory and do not count in the loss
TRAIN, VALIDATE, TEST = slice(0, 221), slice(221, 256), slice(256, 309)

HIDDEN_SIZES = (8, 16)
WEIGHT_DECAYS = (0.0, 1e-3)
INPUT_NOISES = (0.0, 0.1)  # in standard deviations of the series
RESTARTS, EPOCHS, CHECK_EVERY, LEARNING_RATE = 16, 800, 10, 5e-3

Weights = dict[str, torch.Tensor]


def rmse(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square error."""
    return float(np.sqrt(np.mean((forecast - truth) ** 2)))


def start_weights(hidden: int, generator: torch.Generator) -> Weights:
    """Draw every weight from U(-1, 1) / sqrt(hidden), as PyTorch's own RNN does."""
    shapes = {
        "W_xh": (1, hidden),
        "W_hh": (hidden, hidden),
        "b_h": (1, hidden),
        "W_hy": (hidden, 1),
        "b_y": (1, 1),
    }
    return {
        name: torch.empty(RESTARTS, *shape)
        .uniform_(-1, 1, generator=generator)
        .div_(hidden**0.5)
        .requires_grad_()
        for name, shape in shapes.items()
    }


def forecast(w: Weights, x: torch.Tensor) -> torch.Tensor:
    """Return the forecasts (R, T) that R networks make from the series x (R, T)."""
    drive = x[..., None] @ w["W_xh"] + w["b_h"]
    h = torch.zeros_like(drive[:, :1])
    states = []
    for t in range(x.shape[1]):
        h = torch.tanh(torch.baddbmm(drive[:, t : t + 1], h, w["W_hh"]))
        states.append(h)
    return (torch.cat(states, dim=1) @ w["W_hy"] + w["b_y"])[..., 0]


def train(
    z: torch.Tensor, hidden: int, weight_decay: float, input_noise: float
) -> tuple[float, dict[str, np.ndarray]]:
    """Return the validation error and the weights of the best restart at its best moment.

    z (309,) is the standardised series.
    """
    generator = torch.Generator().manual_seed(0)
    w = start_weights(hidden, generator)
    matrices = [w["W_xh"], w["W_hh"], w["W_hy"]]
    optimizer = torch.optim.Adam(w.values(), lr=LEARNING_RATE)
    series = z.expand(RESTARTS, -1)
    inputs, targets = series[:, : TRAIN.stop - 1], series[:, 1 : TRAIN.stop]
    best_error, best = np.inf, {}
    for epoch in range(1, EPOCHS + 1):
        noise = input_noise * torch.randn(inputs.shape, generator=generator)
        error = (forecast(w, inputs + noise) - targets)[:, WARM_UP:]
        # Adam scales each number by itself: a sum over restarts trains each as if it were alone.
        loss = error.square().mean(dim=1).sum()
        loss = loss + weight_decay * sum(matrix.square().sum() for matrix in matrices)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % CHECK_EVERY == 0:
            with torch.no_grad():
                seen = forecast(w, series[:, : VALIDATE.stop - 1])[:, VALIDATE.start - 1 :]
                errors = (seen - series[:, VALIDATE]).square().mean(dim=1).sqrt()
                winner = int(errors.argmin())
            if errors[winner] < best_error:
                best_error = float(errors[winner])
                best = {name: value[winner].detach().numpy().copy() for name, value in w.items()}
    return best_error, best


def as_network(w: dict[str, np.ndarray], mean: float, std: float) -> elman.Network:
    """Turn trained weights into a network that takes and gives raw sunspot numbers."""
    return elman.Network.from_weights(
        layers=[(w["W_xh"].T, w["W_hh"].T, w["b_h"][0])],
        readout=(w["W_hy"].T, w["b_y"][0]),
        activation="tanh",
        output_activation="identity",
        input_shift=[mean],
        input_scale=[1 / std],
        output_scale=[std],
        output_shift=[mean],
        metadata={
            "title": "Next year's sunspot number from this year's",
            "trained_by": "examples/train_sunspots.py",
            "training_years": "1700-1920",
            "validation_years": "1921-1955",
            "test_years": "1956-2008",
        },
    ).astype("float32")


def linear_forecast(sunspots: np.ndarray, order: int) -> np.ndarray:
    """Forecast every year after the first `order` by least squares over the training years."""
    lags = [sunspots[order - 1 - k : -1 - k] for k in range(order)]
    x = np.stack([np.ones(len(lags[0])), *lags], axis=1)
    train_rows = slice(0, TRAIN.stop - order)
    coefficients, *_ = np.linalg.lstsq(x[train_rows], sunspots[order:][train_rows], rcond=None)
    return x @ coefficients


def main(path: str | Path) -> None:
    """Train every variant, write the best one to `path`, and score it on the test years."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    with open(DATA / "sunspots.csv", newline="") as file:
        sunspots = np.array([float(row["sunspots"]) for row in csv.DictReader(file)])
    mean, std = sunspots[TRAIN].mean(), sunspots[TRAIN].std()
    z = torch.from_numpy((sunspots - mean) / std)

    best_error, best = np.inf, {}
    for hidden, decay, noise in itertools.product(HIDDEN_SIZES, WEIGHT_DECAYS, INPUT_NOISES):
        error, weights = train(z, hidden, decay, noise)
        print(
            f"hidden {hidden:2}, weight decay {decay:5}, input noise {noise:3}: "
            f"best of {RESTARTS} restarts {error * std:5.2f} on the validation years",
            flush=True,
        )
        if error < best_error:
            best_error, best = error, weights

    net = as_network(best, mean, std)
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
