"""`elman forecast`: forecast the steps after the end of a table."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman
from elman._text import printable
from elman.cli import layout, models, plot, report
from elman.errors import ArgumentError
from elman.files import writing
from elman.files.output import open_output
from elman.forecasting import times as clock

if TYPE_CHECKING:
    from rich.console import Console

    from elman.forecasting.ahead import Forecast, Part

TABLE = ".csv"
IMAGES = (".svg", ".png", ".pdf")
PLOTS = 4  # at most, on the terminal
FORECAST_SHARE = 0.6  # of the width of a plot, at most
LABEL_EVERY = 16  # columns
NARROWEST = 10  # columns of a plot


class Settings(NamedTuple):
    """The options of `elman forecast`."""

    steps: int | None
    future: str | None
    interval: float
    holdout: float
    sequence: str | None
    missing: str | None


def forecast(
    model: str, source: str, settings: Settings, output: str | None, as_json: bool
) -> None:
    """Forecast, write the output file, and print the forecast."""
    _require_usable(output)
    net = models.load(model, source)
    result = elman.forecast(
        net,
        source,
        settings.steps,
        future=settings.future,
        interval=settings.interval or None,
        holdout=settings.holdout,
        sequence=settings.sequence,
        missing=settings.missing,
    )
    if output is not None:
        _write(result, output, (model, source, *filter(None, [settings.future])))
    if as_json:
        report.print_json({"model": model, "data": source, **_facts(result), "output": output})
        return
    from rich.console import Console

    console = Console(highlight=False)
    _show_plots(console, result)
    layout.print_rows(console, *result.rows())
    print(f"\n{result.summary}")
    if output is not None:
        print(f"written: {printable(output)}")


def _require_usable(output: str | None) -> None:
    """Refuse an unusable output file before any work."""
    if output is None:
        return
    suffix = _suffix(output)
    if suffix not in (TABLE, *IMAGES):
        expected = ", ".join((TABLE, *IMAGES))
        raise ArgumentError(f"--output: expected a suffix {expected}, got {output}")
    if suffix in IMAGES:
        import elman.plot  # noqa: F401 (now: matplotlib may be missing)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _write(result: Forecast, output: str, sources: tuple[str, ...]) -> None:
    """Write a table in full precision, or an image; whole or not at all."""
    with open_output(output, sources=sources) as file:
        if _suffix(output) == TABLE:
            table = result.table()
            ends = 1 if result.lower is None else 3
            lead = len(table.columns) - ends * len(result.columns)  # the sequence, step and time
            texts = [_texts(table[name]) for name in table.columns[:lead]]
            numbers = np.stack([table[name] for name in table.columns[lead:]], axis=1)
            file.write(writing.csv_header(table.columns))
            file.write(writing.csv_lines(texts, numbers))
        else:
            from elman.plot import paper

            paper.save(elman.plot.forecast(result), file, _suffix(output)[1:])


def _texts(column: Any) -> list[str]:  # noqa: ANN401 (an array of any kind)
    return clock.text(column) if column.dtype.kind == "M" else list(map(str, column.tolist()))


def _facts(result: Forecast) -> dict[str, Any]:
    """Return the forecast, ready for JSON: an object for each row."""
    table = result.table()
    columns = {
        name: clock.text(table[name]) if table[name].dtype.kind == "M" else table[name].tolist()
        for name in table.columns
    }
    return {
        "columns": list(result.columns),
        "interval": result.interval,
        "coverage": result.coverage,
        "origins": result.origins,
        "summary": result.summary,
        "forecast": [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ],
    }


# --- the terminal ---------------------------------------------------------------------------------


def _show_plots(console: Console, result: Forecast) -> None:
    several = len(result.parts) > 1 or len(result.columns) > 1
    charts = [(part, j) for part in result.parts for j in range(len(result.columns))]
    for part, j in charts[:PLOTS]:
        _show_plot(console, result, part, j, several)
    if len(charts) > PLOTS:
        print(f"and {len(charts) - PLOTS} more, not plotted\n")


def _show_plot(console: Console, result: Forecast, part: Part, j: int, titled: bool) -> None:
    from rich.text import Text

    style = plot.ASCII if console.options.ascii_only else plot.UNICODE
    chart = _chart(result, part, j, max(NARROWEST, console.width - plot.GUTTER - 6))
    if titled:
        named = "" if part.key is None else f"{part.key}: "
        print(printable(f"{named}{result.columns[j]}"))
    lines = plot.plot(chart.labels, chart.truth, chart.forecast, console.width, style, chart.band)
    text = Text("\n".join(lines))
    text.highlight_words([style.dot], "bold red")
    console.print(text, no_wrap=True, crop=False)
    every = "" if chart.stride == 1 else f"A column is {chart.stride} steps. "
    band = f", in their intervals ({style.band})" if result.lower is not None else ""
    earlier = ""
    if part.earlier is not None:
        earlier = f"; over the last bars, the one made {result.steps[-1]} steps before their end"
    print(f"\n{every}Bars: the data. Dots ({style.dot}): the forecast{band}{earlier}.\n")


class Chart(NamedTuple):
    """The columns of a plot; every `stride`-th step is shown."""

    labels: list[str]
    truth: list[float]
    forecast: list[float]
    band: list[tuple[float, float]]
    stride: int


def _chart(result: Forecast, part: Part, j: int, width: int) -> Chart:
    """Return a plot of the end of the data and of the forecast, in at most `width` columns."""
    steps = result.steps[: len(part.values)]
    ahead = int(steps[-1])
    stride = max(1, math.ceil(ahead / max(1, int(FORECAST_SHARE * width))))
    past = min(len(part.past), max(1, width * stride - ahead))
    count = past + ahead
    truth, dots, lower, upper = np.full((4, count), np.nan)
    truth[:past] = part.past[len(part.past) - past :, j]
    for values, start in ((part.earlier, past - ahead - 1), (part.values, past - 1)):
        if values is not None:
            places = start + steps
            dots[places[places >= 0]] = values[places >= 0, j]
    if part.lower is not None and part.upper is not None:
        lower[past - 1 + steps], upper[past - 1 + steps] = part.lower[:, j], part.upper[:, j]
    shown = range(count - 1, -1, -stride)[::-1]  # the last step is shown
    labels = _labels(part, past, ahead, shown)
    chosen = list(shown)
    band = list(zip(lower[chosen].tolist(), upper[chosen].tolist(), strict=True))
    return Chart(labels, truth[chosen].tolist(), dots[chosen].tolist(), band, stride)


def _labels(part: Part, past: int, ahead: int, shown: range) -> list[str]:
    """Return labels for some of the columns: times, or steps from the end of the data."""
    numbers = [place - past + 1 for place in shown]  # 0 is the last step of the data
    first = next((i for i, number in enumerate(numbers) if number >= 1), 0)
    every = range(first % LABEL_EVERY, len(numbers), LABEL_EVERY)
    labels = [""] * len(numbers)
    if part.times is None or part.past_times is None or len(part.times) != ahead:
        texts = [f"{numbers[column]:+d}" if numbers[column] else "0" for column in every]
    else:
        times = np.concatenate([part.past_times, part.times])
        texts = clock.text(times[[len(part.past_times) + numbers[c] - 1 for c in every]])
    for column, text in zip(every, texts, strict=True):
        labels[column] = text.removeprefix("20") if len(text) > LABEL_EVERY - 2 else text
    return labels
