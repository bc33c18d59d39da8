"""The commands of `elman`: what they are called and what they take; the work is done elsewhere.

Every command imports what it needs when it runs, so that `elman --help` needs no NumPy.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(
    help="Elman recurrent networks: run, stream, inspect and verify them.",
    epilog="Exit codes: 0 done; 1 the verification failed; 2 wrong usage, or a file that cannot be "
    "used.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str, typer.Argument(help="A model file.", metavar="MODEL", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for a program.")]


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
    """Say what a model file holds: sizes, activations, units, versions."""
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
    last: Annotated[bool, typer.Option("--last", help="Only the output of the last step.")] = False,
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
    random numbers, in the network's own units if it has them.
    """
    from elman.cli import report

    if not report.verify(model, source, seed, as_json):
        raise typer.Exit(1)


@app.command()
def bench(
    model: Annotated[
        str | None, typer.Argument(help="A model file.", metavar="MODEL", show_default=False)
    ] = None,
    names: Annotated[
        str,
        typer.Option("--peers", help="More of them: numba,torch,onnxruntime,jax,eigen; or all."),
    ] = "",
    sizes: Annotated[
        str, typer.Option(help="Hidden sizes of the built-in networks, without a MODEL.")
    ] = "32,256",
    as_json: Json = False,
) -> None:
    """Time a network beside other ways to compute it.

    One step, a sequence of 1000 and a batch of 64, on one thread, in C++, NumPy and pure Python.
    Every answer is checked before it is timed. Times vary from run to run; ratios less.
    """
    from elman import peers

    peers.one_thread()
    chosen = _some(names, peers.TITLES, "--peers") if names != "all" else list(peers.TITLES)
    known = {str(H): H for _, H, _ in peers.SIZES}
    hidden_sizes = [known[size] for size in _some(sizes, known, "--sizes")]
    from elman.cli import bench

    bench.bench(model, chosen, hidden_sizes, as_json)


def _some(text: str, known: Iterable[str], option: str) -> list[str]:
    """Return the names in a list separated by commas, in the order in which they are known."""
    names = set(filter(None, text.split(",")))
    if unknown := names.difference(known):
        expected = ",".join(known)
        raise typer.BadParameter(f"{option} takes some of {expected}, got {','.join(unknown)}")
    return [name for name in known if name in names]
