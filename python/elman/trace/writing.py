"""Numbers and sums as text: the parts of an equation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.trace.explanation import Equation

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Number = np.floating[Any]


class Style(NamedTuple):
    """How sums and numbers are written."""

    terms: int  # the most products of a sum
    digits: int | None  # None: as many as identify the number

    def number(self, value: Number) -> str:
        """Return a number."""
        if self.digits is None:
            return str(value).removesuffix(".0")
        return f"{float(value):.{self.digits}g}"

    def factor(self, value: Number) -> str:
        """Return a number behind a sign of multiplication."""
        text = self.number(value)
        return f"({text})" if text.startswith("-") else text

    def list(self, values: Array) -> str:
        """Return numbers in a row, those in the middle left out if there are many."""
        texts = [self.number(value) for value in values]
        if len(texts) > self.terms:
            texts = [*texts[: self.terms - 1], "...", texts[-1]]
        return ", ".join(texts)


@dataclass
class Sum:
    """A sum in letters and in numbers."""

    style: Style
    letters: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)  # each with its sign
    notes: list[str] = field(default_factory=list)

    def add(self, letters: str, value: Number, times: str = "") -> None:
        """Add a summand: a number, times a factor that is already text."""
        self.letters.append(letters)
        sign = "-" if value < 0 else "+"
        self.numbers.append(f"{sign} {self.style.number(abs(value))}{times}")

    def add_products(self, matrix: str, row: int, W: Array, vector: str, v: Array) -> list[int]:
        """Add the products of a matrix's row and a vector; return the indices of those shown."""
        with np.errstate(all="ignore"):
            products = W.astype(np.float64) * v.astype(np.float64)
        shown = _largest(products, self.style.terms)
        for k in shown:
            letters = f"{matrix}[{row},{k}] {vector}[{k}]"
            self.add(letters, W[k], f" * {self.style.factor(v[k])}")
        if rest := np.delete(products, shown).tolist():
            total = math.fsum(rest) if all(map(math.isfinite, rest)) else sum(rest)
            self.add(f"({len(rest)} other products)", np.float64(total))
            self.notes.append(
                f"Of the {len(products)} products with {matrix} the {len(shown)} largest are shown;"
                " the others are added up in float64."
            )
        return shown

    def equation(self, left: str, result: Number) -> Equation:
        """Return the equation of a quantity that is this sum."""
        numbers = " ".join(self.numbers).removeprefix("+ ")
        if numbers.startswith("- "):
            numbers = f"-{numbers[2:]}"
        return Equation(left, (" + ".join(self.letters), numbers, self.style.number(result)))


def _largest(products: Array, most: int) -> list[int]:
    """Return the indices of the largest products in magnitude, in order; NaN is the largest."""
    sizes = np.nan_to_num(np.abs(products), nan=np.inf)
    return sorted(np.argsort(-sizes, kind="stable")[:most].tolist())
