"""The commands of `elman`: what they are called and what they take; the work is done elsewhere.

Every command imports what it needs when it runs, so that `elman --help` needs no NumPy.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(
    help="Elman recurrent networks: train, run, stream, inspect and verify them.",
    epilog="Exit codes: 0 done; 1 a verification or a check failed; 2 wrong usage, or a file that "
    "cannot be used.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str, typer.Argument(help="A model file.", metavar="MODEL", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for a program.")]
OTHER_FRAMEWORKS = (
    'Other frameworks are timed by "python bench/run.py" in a checkout of elman, after'
    " \"pip install '.[bench]'\" there."
)


class Task(StrEnum):
    """What `elman train` learns."""

    forecast = "forecast"
    regression = "regression"
    classification = "classification"


class Format(StrEnum):
    """What `elman run` writes."""

    csv = "csv"
    npy = "npy"


def _version(asked: bool) -> None:
    if asked:
        from elman import __version__

        print(f"elman {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options of `elman` itself."""


@app.command()
def demo(as_json: Json = False) -> None:
    """Forecast sunspot numbers with a small network; check it and time it."""
    from elman.cli import demo

    demo.demo(as_json)


@app.command()
def info(model: Model, as_json: Json = False) -> None:
    """Say what a model file holds: sizes, activations, scaling, versions."""
    from elman.cli import report

    report.info(model, as_json)


@app.command()
def run(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            help="CSV, a step in each line, or NPY, an array (..., T, I); - is standard input.",
            metavar="INPUT",
            show_default=False,
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where to write; - is standard output.")
    ] = "-",
    form: Annotated[
        Format | None,
        typer.Option("--format", help="What to write; by default npy to a file *.npy, else csv."),
    ] = None,
    last: Annotated[
        bool | None,
        typer.Option(
            "--last/--all",
            help="The output of the last step, or of all; by default what the model's table says.",
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Answer every line of CSV the moment it comes in.")
    ] = False,
    threads: Annotated[
        int, typer.Option(min=1, help="How many threads share the sequences of a batch.")
    ] = 1,
) -> None:
    """Run a network over a table of inputs.

    CSV is one sequence: the numbers of a step in a line, separated by commas. A first line without
    a single number is taken for a header; blank lines and lines that begin with # are passed over.
    NPY may hold a batch. The input's kind is told by its content. Numbers are written in the
    shortest form that reads back as the same number.

    A model that "elman train" wrote finds its columns by the names in the header. If one of them
    names sequences, each is run for itself; last outputs are in the order in which they begin.
    """
    from elman.cli import run

    as_npy = output.endswith(".npy") if form is None else form is Format.npy
    if not stream:
        run.run(model, source, output, "npy" if as_npy else "csv", last, threads)
    elif last or as_npy:
        raise typer.BadParameter("--stream answers every line in CSV: no --last, no NPY")
    else:
        run.stream(model, source, output)


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            help="CSV, a step in each line, or NPY, inputs (T, I) or (B, T, I); - is standard"
            " input.",
            metavar="DATA",
            show_default=False,
        ),
    ],
    targets: Annotated[
        str | None,
        typer.Argument(
            help="NPY, beside NPY: numbers (..., T, O) or (B, O), classes (..., T) or (B,).",
            metavar="TARGETS",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        Task | None, typer.Option(help="What to learn; by default the data tell.")
    ] = None,
    inputs: Annotated[
        str, typer.Option(help="The columns to read, as a,b; by default all that are left.")
    ] = "",
    target: Annotated[
        str, typer.Option(help="The columns to learn; for a forecast by default all inputs.")
    ] = "",
    sequence: Annotated[
        str | None, typer.Option(help="The column that names the sequence a line belongs to.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(min=1, help="Forecast so many steps ahead, 1 by default.")
    ] = None,
    period: Annotated[
        int | None, typer.Option(min=1, help="Compare with the value a season of N steps before.")
    ] = None,
    hidden: Annotated[int, typer.Option(min=1, help="Units in a layer.")] = 32,
    layers: Annotated[int, typer.Option(min=1, help="Recurrent layers.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training part.")] = 500,
    learning_rate: Annotated[float, typer.Option(help="The step of Adam.")] = 5e-3,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences in an update.")] = 16,
    bptt: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps that an error flows back, and between updates; by default 32 in one series,"
            " all in several sequences.",
        ),
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="The part to score: the end of a series, or random sequences.")
    ] = 0.2,
    validation: Annotated[
        float, typer.Option(help="The part of the rest that tells when to stop; 0: do not stop.")
    ] = 0.2,
    patience: Annotated[
        int, typer.Option(min=1, help="Stop after so many epochs without getting better.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, help="For weights, shuffling and the split.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="How many threads share a batch.")] = 1,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where to write the model.")
    ] = "model.safetensors",
    plot: Annotated[
        str | None, typer.Option(help="Draw the losses of the epochs: a file *.svg, *.png, *.pdf.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a network on a table of numbers, and score it on a part held out.

    Without a target it forecasts the next step. A target of numbers is a regression, one of words a
    classification: of every line, or of every sequence if its lines agree. Columns go by the names
    in the first line, or by their numbers from 1. The model takes and gives raw numbers.
    """
    from elman.cli import examples, train

    train.train(
        data,
        targets,
        examples.Question(
            task and task.value, _columns(inputs), _columns(target), sequence, horizon
        ),
        train.Settings(
            hidden,
            layers,
            epochs,
            learning_rate,
            batch_size,
            bptt,
            validation,
            holdout,
            patience,
            seed,
            threads,
        ),
        period,
        output,
        plot,
        as_json,
    )


def _columns(text: str) -> list[str]:
    return list(filter(None, map(str.strip, text.split(","))))


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="*.safetensors (elman's, or a state_dict), *.pt, *.keras, *.h5 or *.onnx.",
            metavar="IN",
            show_default=False,
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            help="*.safetensors, *.onnx, *.pt (needs PyTorch) or *.weights.h5.",
            metavar="OUT",
            show_default=False,
        ),
    ],
    activation: Annotated[
        str | None,
        typer.Option(help="Of the layers, where the file does not say; a,b for one each."),
    ] = None,
    output_activation: Annotated[
        str | None, typer.Option(help="Of the readout, where the file does not say.")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="PyTorch: the name of the RNN; a,b for several.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Keras weights: the names of the layers, as a,b.")
    ] = None,
    readout: Annotated[str | None, typer.Option(help="The name of the readout.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64.")] = None,
    external_data: Annotated[
        bool, typer.Option("--external-data", help="ONNX: read tensors in files beside the model.")
    ] = False,
    fold_scaling: Annotated[
        bool,
        typer.Option("--fold-scaling", help="Multiply scaling into weights, for files without it."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Run IN in its own framework first, and write OUT only if it agrees."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Convert a model between elman, PyTorch, Keras and ONNX.

    Says what every part of IN became. Code in files is never run, and IN is the only file that is
    opened, but for --external-data.
    """
    from elman.cli import convert

    options = {
        "activation": _one_or_several(activation),
        "output_activation": output_activation,
        "prefix": _one_or_several(prefix),
        "layers": None if layers is None else _columns(layers),
        "readout": readout,
        "dtype": dtype,
        "external_data": external_data or None,
    }
    if not convert.convert(source, target, options, fold_scaling, check, as_json):
        raise typer.Exit(1)


def _one_or_several(text: str | None) -> str | list[str] | None:
    return _columns(text) if text and "," in text else text


@app.command()
def verify(
    model: Model,
    source: Annotated[
        str | None,
        typer.Option("--input", help="CSV or NPY to verify on, instead of random numbers."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For the random numbers.")] = 0,
    as_json: Json = False,
) -> None:
    """Check the C++ results against the NumPy reference.

    Every value must lie within the bound of the rounding errors. Without --input the inputs are
    random numbers, in the scale of its inputs. If the file holds an example, the
    network must give what that says, too.
    """
    from elman.cli import report

    if not report.verify(model, source, seed, as_json):
        raise typer.Exit(1)


@app.command(epilog=OTHER_FRAMEWORKS)
def bench(
    model: Annotated[
        str | None, typer.Argument(help="A model file.", metavar="MODEL", show_default=False)
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="Hidden sizes of the built-in networks, without a MODEL.")
    ] = "32,256",
    as_json: Json = False,
) -> None:
    """Time a network beside NumPy and pure Python.

    One step, a sequence of 1000 and a batch of 64, on one thread. Every answer is checked before it
    is timed. Times vary from run to run; ratios less.
    """
    from elman.cli import timing

    timing.one_thread()
    known = {str(H): H for _, H, _ in timing.SIZES}
    hidden_sizes = [known[size] for size in _some(sizes, known, "--sizes")]
    from elman.cli import bench

    bench.bench(model, hidden_sizes, as_json)


def _some(text: str, known: Iterable[str], option: str) -> list[str]:
    """Return the names in a list separated by commas, in the order in which they are known."""
    names = set(filter(None, text.split(",")))
    if unknown := names.difference(known):
        expected = ",".join(known)
        raise typer.BadParameter(f"{option} takes some of {expected}, got {','.join(unknown)}")
    return [name for name in known if name in names]
