"""The commands of `elman`: names, arguments and help texts. Other modules do the work.

Each command imports its modules when it runs, so that `elman --help` does not need NumPy.
"""

from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from elman.cli import words
from elman.cli.stopping import interruptible

UsageError: Any = typer.BadParameter.__bases__[0]  # of Click, or of Typer's copy


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        with interruptible():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="Elman recurrent networks: train, run, stream, inspect and verify them.",
    epilog="Exit codes: 0 success; 1 a verification or a check failed; 2 wrong usage or an unusable"
    " file; 130 interrupted, 143 terminated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str, typer.Argument(help="A model file.", metavar="MODEL", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OTHER_FRAMEWORKS = (
    'Other frameworks are timed by "python bench/run.py" in a checkout of elman, after'
    " \"pip install '.[bench]'\" there."
)

NOT_WRITTEN = (".gz", ".bz2", ".xz", ".zip", ".npz", ".feather", ".xlsx", ".json")


Sequence = Annotated[
    str | None,
    typer.Option(
        help="The column that identifies the sequence of each line; by default the model's"
        ' table names it; "" for none.'
    ),
]
Missing = Annotated[
    Literal["hold", "interpolate", "drop"] | None,
    typer.Option(help="Fill or drop missing values; by default they are an error."),
]


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
    """Handle the options of `elman` itself."""


@app.command()
def demo(as_json: Json = False) -> None:
    """Forecast sunspot numbers; verify and time the network."""
    from elman.cli import demo

    demo.demo(as_json)


@app.command()
def info(model: Model, as_json: Json = False) -> None:
    """Show sizes, activations, scaling and versions of a model file."""
    from elman.cli import report

    report.info(model, as_json)


@app.command()
def run(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            help="A table, one step per line; NPY, an array (..., T, I); Parquet; a folder of NPY"
            ' or Parquet files, or a pattern "*.npy"; - is standard input.',
            metavar="INPUT",
            show_default=False,
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="The output file, or folder for many; - is standard output."
        ),
    ] = "-",
    form: Annotated[
        Literal["csv", "npy", "parquet"] | None,
        typer.Option(
            "--format",
            help="Output format; by default that of the name, else csv, for Parquet parquet.",
        ),
    ] = None,
    last: Annotated[
        bool | None,
        typer.Option(
            "--last/--all",
            help="Write the output of the last step, or of all; by default as in the model's"
            " table.",
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write the output of each line of CSV when it arrives.")
    ] = False,
    sequence: Sequence = None,
    missing: Missing = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Parquet: the columns that the model reads, as a,b (a name with commas in quotes:"
            " '\"x,y\",b'); by default those of its table, or the one that has sequences.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Parquet: the columns to write beside the outputs, named as for --inputs; by"
            " default all others.",
            show_default=False,
        ),
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            help="NPY: a second file with the number of real steps of each sequence, if the rest is"
            " padding.",
            show_default=False,
        ),
    ] = None,
    nonfinite: Annotated[
        Literal["propagate", "raise"],
        typer.Option(
            help="NaN and infinities in NPY and Parquet: run them like others, or raise an error."
        ),
    ] = "propagate",
    skip_bad: Annotated[
        str | None,
        typer.Option(
            help="Go on without the sequences and files that cannot be run, and list them in this"
            " file.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        str, typer.Option(help="Memory for NPY and Parquet, as 256M or 2G.")
    ] = "256M",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Number of threads; default: all processors."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin afresh where a run was interrupted.")
    ] = False,
) -> None:
    """Run a network over a table of inputs, or over arrays of any size.

    A table is text, one step per line, with or without a header; NPY may hold a batch. The model's
    table names the columns to read and the column that identifies the sequence of each line. Each
    sequence starts in the initial state; its lines need not be adjacent.

    The output has the sequence, the time, the most probable class and the outputs, one line per
    step or per sequence, with a header if the input has one. Numbers have the shortest form that
    reads back as the same number. A file is replaced at the end; after an error the old file is
    unchanged.

    NPY and Parquet may be larger than memory. After an interruption the same command continues. In
    Parquet, a row has a whole sequence in lists of lists, or a step of one, and the other columns
    are written beside the outputs.
    """
    from elman.cli import run

    if form is None and output.endswith(NOT_WRITTEN):
        raise typer.BadParameter(
            f"--output: expected a name for CSV or NPY, got {output}; --format csv writes CSV"
        )
    if not stream:
        run.run(
            model,
            source,
            output,
            outputs=None if last is None else "last" if last else "all",
            lengths=lengths,
            format=form,
            sequence=sequence,
            missing=missing,
            inputs=words.given(inputs),
            columns=words.given(columns),
            nonfinite=nonfinite,
            skip_bad=skip_bad,
            memory=memory,
            threads=threads,
            restart=restart,
        )
    elif (
        last
        or form not in (None, "csv")
        or (form is None and output.endswith((".npy", ".parquet")))
    ):
        raise typer.BadParameter(
            "--stream: expected neither --last, NPY nor Parquet; it writes a line of CSV for each"
            " step"
        )
    elif restart or any(each is not None for each in (inputs, columns, lengths, skip_bad)):
        raise typer.BadParameter(
            "--stream: expected no --inputs, --columns, --lengths, --skip-bad or --restart, which"
            " are for stored sequences"
        )
    else:
        run.stream(model, source, output, sequence, missing)


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            help="CSV, one step per line, or NPY, inputs (T, I) or (B, T, I); - is standard input.",
            metavar="DATA",
            show_default=False,
        ),
    ],
    targets: Annotated[
        str | None,
        typer.Argument(
            help="NPY, for NPY data: numbers (..., T, O) or (B, O), classes (..., T) or (B,).",
            metavar="TARGETS",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        Literal["forecast", "regression", "classification"] | None,
        typer.Option(help="Task; inferred from the data by default."),
    ] = None,
    inputs: Annotated[
        str,
        typer.Option(
            help="Input columns, as a,b (a name with commas in quotes: '\"x,y\",b'); by default"
            " all other columns."
        ),
    ] = "",
    target: Annotated[
        str, typer.Option(help="Target columns; for a forecast by default all inputs.")
    ] = "",
    sequence: Annotated[
        str | None, typer.Option(help="The column that identifies the sequence of each line.")
    ] = None,
    horizon: Annotated[
        str | None,
        typer.Option(help="Steps ahead to forecast, as 24, or 1..24 for all of them; default: 1."),
    ] = None,
    calendar: Annotated[
        str,
        typer.Option(
            help="Inputs from the column of times: some of hour, weekday, yearday, as a,b."
        ),
    ] = "",
    missing: Missing = None,
    period: Annotated[
        int | None, typer.Option(min=1, help="Season in steps, for a seasonal baseline.")
    ] = None,
    effort: Annotated[
        int | None,
        typer.Option(
            min=1, max=10, help="The work of the search: each step doubles it; default: 3."
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="One training from random weights, no search."),
    ] = False,
    hidden: Annotated[
        int | None, typer.Option(min=1, help="(plain) Units per layer; default: 32.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="(plain) Recurrent layers; default: 1.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="(plain) Passes over the training part; default: 500."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="(plain) Learning rate of Adam; default: 0.005.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="(plain) Sequences per update; default: 16.")
    ] = None,
    bptt: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="(plain) Steps of backpropagation, and between updates; default: 32 for one"
            " series, all for several sequences.",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1, help="(plain) Stop after so many epochs without improvement; default: 50."
        ),
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="Fraction to score: the end of a series, or random sequences.")
    ] = 0.2,
    validation: Annotated[
        float,
        typer.Option(help="Fraction of the rest to choose corrections and when to stop."),
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, shuffling and split.")] = 0,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Number of threads; default: all processors, or (plain) 1."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The model file to write or replace; default: model.safetensors, if it does not"
            " exist.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(help="(plain) Plot the loss by epoch to a file *.svg, *.png or *.pdf."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a network on a table and score it on a held-out part.

    Without a target, or with --horizon, it forecasts later steps. A numeric target means
    regression, a target of words classification: one per line, or one per sequence if its lines
    agree. Columns are named by the first line, or numbered from 1. The model reads and returns
    unscaled values.

    For numbers at each step, the network starts as a linear model of the last steps, and tanh units
    are added if they lower the error by more than its noise. For classes and for one target per
    sequence, it is the best of several trainings from random weights. Options marked (plain) are
    for these trainings and for --plain.
    """
    from elman.cli import examples, train

    options = {
        "hidden": hidden,
        "layers": layers,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "bptt": bptt,
        "patience": patience,
    }
    train.train(
        data,
        targets,
        examples.Question(
            task=task,
            inputs=words.columns(inputs),
            targets=words.columns(target),
            sequence=sequence,
            horizon=None if horizon is None else words.steps(horizon),
            calendar=words.columns(calendar),
            missing=missing,
        ),
        train.Settings(
            effort,
            plain,
            {name: value for name, value in options.items() if value is not None},
            validation,
            holdout,
            seed,
            threads,
        ),
        period,
        output,
        plot,
        as_json,
    )


@app.command()
def forecast(
    model: Model,
    data: Annotated[
        str,
        typer.Argument(
            help="The past: CSV, one step per line, or NPY (T, I); - is standard input.",
            metavar="DATA",
            show_default=False,
        ),
    ],
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps ahead; by default all of a horizon of several steps, else 24."
        ),
    ] = None,
    future: Annotated[
        str | None,
        typer.Option(help="The next values of the inputs that are not forecast: CSV or NPY."),
    ] = None,
    interval: Annotated[
        float, typer.Option(help="The probability of the intervals; 0 for none.")
    ] = 0.8,
    holdout: Annotated[
        float, typer.Option(help="Fraction of the data, at its end, for the intervals.")
    ] = 0.2,
    sequence: Sequence = None,
    missing: Missing = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="A table *.csv, or an image *.svg, *.png or *.pdf."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Forecast the steps after the end of a table, with intervals.

    A model for the next step is run on its own forecasts; a model for several steps (elman train
    --horizon 1..24) forecasts them at once. The intervals are computed from the errors of earlier
    forecasts in the held-out part, and their coverage is measured there.
    """
    from elman.cli import forecast

    settings = forecast.Settings(steps, future, interval, holdout, sequence, missing)
    forecast.forecast(model, data, settings, output, as_json)


@app.command()
def plot(
    kind: Annotated[
        str,
        typer.Argument(
            help="network, unrolled, weights, eigenvalues, phase_plane, states, sequence,"
            " trajectory, gradients, comparison or history.",
            metavar="KIND",
            show_default=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Argument(
            help="A model file; for history what elman train --plain --json printed, or a"
            " checkpoint.",
            metavar="MODEL",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            help="A table or NPY, for states, sequence, trajectory, gradients and, if wished,"
            " unrolled; for comparison the model's source.",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Argument(help="NPY: for gradients of NPY data.", metavar="TARGETS"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="(unrolled) Number of steps; default: 4.")
    ] = None,
    mode: Annotated[
        Literal["one-to-one", "one-to-many", "many-to-one", "many-to-many"] | None,
        typer.Option(help="(unrolled) Which inputs and outputs; default: many-to-many."),
    ] = None,
    order: Annotated[
        Literal["similarity", "peak", "given"] | None,
        typer.Option(help="(states, sequence) The order of units; default: similarity."),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(
            min=0, help="(unrolled, states, sequence, gradients) Which sequence; default: 0."
        ),
    ] = None,
    sequence: Sequence = None,
    missing: Missing = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="An image *.svg, *.png or *.pdf.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the data of the picture as JSON.")
    ] = False,
) -> None:
    """Draw a network, or what it does on data.

    Without --output, states and history are printed as plain text. The pictures are those of
    elman.plot.
    """
    from elman.cli import plotting

    settings = plotting.Settings(steps, mode, order, number, sequence, missing)
    plotting.draw(kind, model, data, targets, settings, output, as_json)


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="*.safetensors, *.pt, *.pth, *.ckpt, *.keras, *.h5 or *.onnx.",
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
        typer.Option(help="Activation of the layers, if not in the file; a,b for several."),
    ] = None,
    output_activation: Annotated[
        str | None,
        typer.Option(help="Activation of the readout, if not in the file; a,b for several."),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(help="PyTorch: the name of the RNN, or of its model; a,b for several."),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Keras weights: the names of the layers, as a,b.")
    ] = None,
    readout: Annotated[
        str | None, typer.Option(help="The name of the readout; a,b for several; false for none.")
    ] = None,
    embedding: Annotated[
        str | None, typer.Option(help="An embedding in front: read one_hot vectors, or its rows.")
    ] = None,
    initial_state: Annotated[
        str | None,
        typer.Option(help="PyTorch: the name of a learned start state; false leaves it out."),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            help="PyTorch: the tensors of a cell written by hand, as W_xh=i2h.weight,"
            "W_hh=h2h.weight,b_h=i2h.bias+h2h.bias."
        ),
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64.")] = None,
    external_data: Annotated[
        bool, typer.Option("--external-data", help="ONNX: read tensors in files beside the model.")
    ] = False,
    fold_scaling: Annotated[
        bool,
        typer.Option(
            "--fold-scaling", help="Multiply scaling into the weights, for formats without scaling."
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Run IN and OUT in their own frameworks; write OUT only if all agree."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Convert a model between elman, PyTorch, Keras and ONNX.

    Lists what each part of IN became. Code in files is never run. No file but IN is opened, except
    with --external-data.
    """
    from elman.cli import convert

    options = {
        "activation": words.one_or_several(activation),
        "output_activation": words.one_or_several(output_activation),
        "prefix": words.one_or_several(prefix),
        "layers": words.given(layers),
        "readout": False if words.is_false(readout) else words.readout(readout),
        "embedding": embedding,
        "initial_state": False if words.is_false(initial_state) else initial_state,
        "cell": None if cell is None else words.mapping(cell),
        "dtype": dtype,
        "external_data": external_data or None,
    }
    if not convert.convert(source, target, options, fold_scaling, check, as_json):
        raise typer.Exit(1)


@app.command()
def verify(
    model: Model,
    source: Annotated[
        str | None,
        typer.Option("--input", help="A table or NPY to verify on, instead of random inputs."),
    ] = None,
    sequence: Sequence = None,
    missing: Missing = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random inputs.")] = 0,
    as_json: Json = False,
) -> None:
    """Check the C++ results against the NumPy reference.

    Every value must lie within its rounding bound. Without --input, the inputs are
    random, in the scale of the model's inputs. If the file has a verification example, the network
    must reproduce it.
    """
    from elman.cli import report

    if not report.verify(model, source, sequence, missing, seed, as_json):
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
    """Time a network against NumPy and pure Python.

    Times single steps, a sequence of 1000 steps and a batch of 64 sequences, on one thread, after
    checking every answer. Times vary from run to run, ratios less.
    """
    from elman.cli import timing

    timing.one_thread()
    known = {str(H): H for _, H, _ in timing.SIZES}
    hidden_sizes = [known[size] for size in words.some(sizes, known, "--sizes")]
    from elman.cli import bench

    bench.bench(model, hidden_sizes, as_json)
