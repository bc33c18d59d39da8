"""`elman forecast`: the steps after the end of a table, as a table, a plot and an image."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import elman
from elman import _files
from elman.cli import layout, models, plot, report
from elman.errors import ArgumentError
from elman.forecasting import times as clock

if TYPE_CHECKING:
    from rich.console import Console

    from elman.forecasting.ahead import Forecast, Part

IMAGES = (".svg", ".png", ".pdf")
PLOTS = 4  # at most so many on the terminal
FORECAST_SHARE = 0.6  # of the width of a plot, at most
LABEL_EVERY = 16  # columns


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
    _require_usable(output, [model, source, settings.future])
    net = models.load(model, source)
    result = elman.forecast(
        net,
        _given(source),
        settings.steps,
        future=None if settings.future is None else _given(settings.future),
        interval=settings.interval or None,
        holdout=settings.holdout,
        sequence=settings.sequence,
        missing=settings.missing,
    )
    if output is not None:
        _write(result, output)
    if as_json:
        report.print_json({"model": model, "data": source, **_facts(result), "output": output})
        return
    from rich.console import Console

    console = Console(highlight=False)
    _show_plots(console, result)
    _show_table(console, result)
    print(f"\n{result.summary}")
    if output is not None:
        print(f"written: {report.printable(output)}")


def _given(path: str) -> Any:  # noqa: ANN401 (a path, or an array)
    """Return a path as it is, but the array of an NPY file."""
    if not path.endswith(".npy"):
        return path
    from elman.files.reading import ArraySource, open_table

    with open_table(path) as opened:
        assert isinstance(opened, ArraySource)
        return opened.array


def _require_usable(output: str | None, sources: list[str | None]) -> None:
    """Refuse an unusable output file before any work."""
    if output is None:
        return
    suffix = os.path.splitext(output)[1].lower()
    if suffix not in (".csv", *IMAGES):
        expected = ", ".join((".csv", *IMAGES))
        raise ArgumentError(f"--output: expected a suffix {expected}, got {output}")
    if suffix in IMAGES:
        import elman.plot  # noqa: F401 (now: matplotlib may be missing)
    for source in sources:
        both = source is not None and os.path.exists(source) and os.path.exists(output)
        if both and os.path.samefile(str(source), output):
            raise ArgumentError(f"--output: {output} would overwrite {source}")


def _write(result: Forecast, output: str) -> None:
    """Write a table of full precision, or an image, whole or not at all."""
    import io

    suffix = os.path.splitext(output)[1].lower()
    if suffix == ".csv":
        _files.replace(output, _csv(result))
        return
    drawn = io.BytesIO()
    elman.plot.forecast(result).savefig(drawn, format=suffix[1:])
    _files.replace(output, drawn.getvalue())


def _csv(result: Forecast) -> bytes:
    import csv
    import io

    table = result.table()
    columns = [
        clock.text(column) if column.dtype.kind == "M" else column.tolist()
        for column in (table[name] for name in table.columns)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.columns, *zip(*columns, strict=True)])
    return text.getvalue().encode()


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


def _show_table(console: Console, result: Forecast) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    names, rows = result.rows()
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(Text(report.printable(name)), justify="right")
    for row in rows:
        table.add_row(*(Text(report.printable(cell)) for cell in row))
    layout.print_table(console, table)


def _show_plots(console: Console, result: Forecast) -> None:
    several = len(result.parts) > 1 or len(result.columns) > 1
    charts = [(part, j) for part in result.parts for j in range(len(result.columns))]
    for part, j in charts[:PLOTS]:
        _show_plot(console, result, part, j, several)
    if len(charts) > PLOTS:
        print(f"and {len(charts) - PLOTS} more: the table has all\n")


def _show_plot(console: Console, result: Forecast, part: Part, j: int, titled: bool) -> None:
    from rich.text import Text

    style = plot.ASCII if console.options.ascii_only else plot.UNICODE
    chart = _chart(result, part, j, console.width - plot.GUTTER - 6)
    if titled:
        named = "" if part.key is None else f"{part.key}: "
        print(report.printable(f"{named}{result.columns[j]}"))
    lines = plot.plot(chart.labels, chart.truth, chart.forecast, console.width, style, chart.band)
    text = Text("\n".join(lines))
    text.highlight_words([style.dot], "bold red")
    console.print(text, no_wrap=True, crop=False)
    every = "" if chart.stride == 1 else f"A column is {chart.stride} steps. "
    band = f", in their intervals ({style.band})" if result.lower is not None else ""
    earlier = "" if part.earlier is None else ", and, over the last bars, one made before them"
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
    past = min(len(part.past), width * stride - ahead)
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
