"""`Explanation`: equations with numbers in them, as text, Markdown or HTML."""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass

__all__ = ["Equation", "Explanation"]

# A letter of the equations with its index: W_xh, h_3, x'_t, h_(t-1).
_INDEXED = re.compile(r"\b([Wbhxuay]'?)_(\([^()]*\)|\w+)")
_SUMMAND = re.compile(r" (?=[+-] )(?![^()]*\))")  # before a sign that is not in brackets
_WIDTH = 88  # of lines of text, at least one summand each
_NAME = re.compile(r"\b[a-z]{2,}(?:_[a-z]+)*\b")  # a function, or input_mean


@dataclass(frozen=True, slots=True)
class Equation:
    """A quantity and what it equals, in letters, in numbers and at last as one number."""

    left: str
    right: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """Equations with the numbers of a trace in them, from `Trace.explain`.

    `str(explanation)` is text, and so is its repr; a notebook shows the HTML.

    Attributes
    ----------
    title : str
        Which unit, layer and step.
    general : tuple of str
        The equations of all units and steps, in letters.
    equations : tuple of Equation
        Those of this unit: `left`, and in `right` the same in letters, in numbers, and the result.
    notes : tuple of str
        How the core rounds, and what is left out, in sentences.
    """

    title: str
    general: tuple[str, ...]
    equations: tuple[Equation, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [self.title, "", *self.general, ""]
        width = max(len(equation.left) for equation in self.equations)
        for equation in self.equations:
            for i, right in enumerate(equation.right):
                left = "" if i else equation.left
                first, *more = _broken(right, _WIDTH - width - 3)
                lines.append(f"{left:<{width}} = {first}")
                lines += [f"{'':<{width}}   {line}" for line in more]
        notes = textwrap.fill(" ".join(self.notes), _WIDTH)
        return "\n".join([*lines, "", notes] if notes else lines)

    __repr__ = __str__

    @property
    def markdown(self) -> str:
        """The same in Markdown, with the equations in LaTeX."""
        lines = []
        for equation in self.equations:
            for i, right in enumerate(equation.right):
                left = "" if i else _latex(equation.left)
                first, *more = _broken(right, _WIDTH)
                lines.append(f"{left} &= {_latex(first)} \\\\")
                lines += [f"&\\quad {_latex(line)} \\\\" for line in more]
        general = [f"$${_latex(line)}$$" for line in self.general]
        aligned = "\n".join(["$$\\begin{aligned}", *lines, "\\end{aligned}$$"])
        notes = " ".join(self.notes)
        return "\n\n".join(part for part in (f"**{self.title}**", *general, aligned, notes) if part)

    @property
    def html(self) -> str:
        """The same in HTML, as a table."""
        rows = "".join(
            f"<tr><td>{_html(equation.left) if i == 0 else ''}</td><td>=</td>"
            f'<td style="text-align: left">{_html(right)}</td></tr>'
            for equation in self.equations
            for i, right in enumerate(equation.right)
        )
        general = "".join(f"<p>{_html(line)}</p>" for line in self.general)
        notes = f"<p>{_html(' '.join(self.notes))}</p>" if self.notes else ""
        title = f"<p><b>{html.escape(self.title)}</b></p>"
        return f"{title}{general}<table>{rows}</table>{notes}"

    def _repr_html_(self) -> str:
        return self.html


def _broken(text: str, width: int) -> list[str]:
    """Break a sum into lines before its signs."""
    lines: list[str] = []
    for part in _SUMMAND.split(text):
        if lines and len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return lines


def _latex(text: str) -> str:
    """Return letters, numbers and functions in LaTeX."""
    parts = _INDEXED.split(text)
    for i in range(0, len(parts), 3):  # between the indexed letters
        words = _NAME.sub(lambda name: _word(name[0]), parts[i])
        parts[i] = words.replace(" * ", r" \cdot ").replace("...", r"\dots")
    for i in range(1, len(parts), 3):
        parts[i] = f"{parts[i]}_{{{parts[i + 1].strip('()')}}}"
        parts[i + 1] = ""
    return "".join(parts)


def _word(name: str) -> str:
    escaped = name.replace("_", r"\_")
    return rf"\text{{{escaped}}}"


def _html(text: str) -> str:
    """Return text in HTML, with the indices below the line."""
    escaped = html.escape(text).replace("&#x27;", "'").replace(" * ", " &middot; ")
    return _INDEXED.sub(lambda found: f"{found[1]}<sub>{found[2].strip('()')}</sub>", escaped)
