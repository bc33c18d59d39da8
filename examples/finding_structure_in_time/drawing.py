"""The figures: curves with letters, and trees. Equal numbers give equal files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PAPER, OURS, EXACT = "#555555", "#1f77b4", "#d62728"
STYLE = {
    "svg.hashsalt": "elman",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write a figure without the date and the program's name; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.svg"
    with mpl.rc_context(STYLE):
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    print(f"drawn: {path}\n")
    return path


def figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row, in the style of all four."""
    with mpl.rc_context(STYLE):
        made = Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots(rows, columns, squeeze=False)
    return made, [axis for row in axes for axis in row]


def lettered(axes: Axes, letters: Sequence[str], values: Sequence[float | None]) -> None:
    """Draw a curve with the letter to be predicted at every point; None is a gap."""
    shown = [float("nan") if value is None else value for value in values]
    steps = range(1, len(shown) + 1)
    axes.plot(steps, shown, color="#bbbbbb", linewidth=1)
    for step, letter, value in zip(steps, letters, shown, strict=True):
        if value == value:
            axes.text(step, value, letter, ha="center", va="center", fontsize=9, clip_on=True)
    axes.set_xlim(0, len(shown) + 1)


# --- trees ----------------------------------------------------------------------------------------

Tree = str | tuple  # a leaf's name, or (height, tree, tree) with None for an unknown height


def leaves(tree: Tree) -> list[str]:
    """Return the names of a tree's leaves, in order."""
    return [tree] if isinstance(tree, str) else leaves(tree[1]) + leaves(tree[2])


def clades(tree: Tree) -> set[frozenset[str]]:
    """Return the leaves under every join."""
    if isinstance(tree, str):
        return set()
    return {frozenset(leaves(tree))} | clades(tree[1]) | clades(tree[2])


def dendrogram(axes: Axes, tree: Tree, color: Callable[[str], str]) -> None:
    """Draw a tree with its leaves on the right; unknown heights are guessed and dotted."""
    rows = {name: row for row, name in enumerate(leaves(tree))}

    def draw(tree: Tree, above: float) -> tuple[float, float]:
        """Draw what is below a join at the height `above`; return its height and row."""
        if isinstance(tree, str):
            return 0.0, rows[tree]
        guessed = tree[0] is None
        height = 0.7 * above if guessed else tree[0]
        below = [draw(branch, height) for branch in tree[1:]]
        style = {"color": PAPER, "linewidth": 1, "linestyle": ":" if guessed else "-"}
        axes.plot([height, height], [row for _, row in below], **style)
        for low, row in below:
            axes.plot([low, height], [row, row], **style)
        return height, sum(row for _, row in below) / 2

    root, row = draw(tree, 1.0)
    axes.plot([root, 1.04 * root], [row, row], color=PAPER, linewidth=1)
    for name, row in rows.items():
        axes.text(-0.02 * root, row, name, color=color(name), va="center", fontsize=9)
    axes.set_xlim(1.06 * root, -0.3 * root)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= 1.06 * root])
    axes.spines["left"].set_visible(False)
