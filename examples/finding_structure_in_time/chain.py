"""Streams of units drawn one after the other without a break, and the best that can be predicted.

All four streams of the paper are of this kind: triples of bits, syllables, words, sentences. Each
unit is drawn independently of those before it, so that everything follows from the probabilities
of the units: the error of the best predictor is a finite sum, and no simulation is needed.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

Unit = tuple[Hashable, ...]


class Transition(NamedTuple):
    """A possible step: the symbols of the unit so far, the next symbol, and its probability."""

    context: Unit
    symbol: Hashable
    onset: bool  # the symbol begins a new unit
    probability: float  # the share of all steps of the stream


class Chain:
    """A stream of independent units.

    Parameters
    ----------
    probabilities : mapping of tuple to float
        How likely each unit, a tuple of symbols, is to come next; they sum to 1.
    codes : mapping of symbol to sequence of float
        The vector that stands for a symbol, as input and as target.
    """

    def __init__(
        self, probabilities: Mapping[Unit, float], codes: Mapping[Hashable, Iterable[float]]
    ) -> None:
        self.probabilities = dict(probabilities)
        self.codes = {symbol: np.array(list(code), float) for symbol, code in codes.items()}
        self._begun: dict[Unit, float] = defaultdict(float)  # that a unit begins so
        for unit, probability in self.probabilities.items():
            for length in range(1, len(unit) + 1):
                self._begun[unit[:length]] += probability
        self._next: dict[Unit, dict[Hashable, float]] = defaultdict(dict)
        for prefix, probability in self._begun.items():
            self._next[prefix[:-1]][prefix[-1]] = probability
        self.mean_length = sum(len(unit) * p for unit, p in self.probabilities.items())
        self.expected = cache(self._expected)

    # --- streams ---

    def draw(self, count: int, rng: np.random.Generator) -> list[Unit]:
        """Return `count` random units."""
        units = list(self.probabilities)
        chosen = rng.choice(len(units), size=count, p=list(self.probabilities.values()))
        return [units[i] for i in chosen]

    def encode(self, symbols: Iterable[Hashable]) -> np.ndarray:
        """Return the codes (T, I) of symbols, in float32."""
        return np.array([self.codes[symbol] for symbol in symbols], np.float32)

    # --- exact optima ---

    def following(self, context: Unit) -> Iterator[tuple[Hashable, bool, float]]:
        """Yield what may follow the symbols of a unit so far: symbol, onset, probability."""
        begun = self._begun[context]
        for symbol, probability in self._next.get(context, {}).items():
            yield symbol, False, probability / begun
        ended = self.probabilities.get(context, 0.0) / begun
        if ended:
            for symbol, probability in self._next[()].items():
                yield symbol, True, ended * probability

    def transitions(self) -> Iterator[Transition]:
        """Yield every possible step of the stream."""
        for context, begun in list(self._begun.items()):
            for symbol, onset, probability in self.following(context):
                yield Transition(context, symbol, onset, begun * probability / self.mean_length)

    def floor(
        self,
        known: Callable[[Unit], Hashable] = lambda context: context,
        kind: Callable[[Transition], Hashable] = lambda _: "every",
    ) -> dict[Hashable, float]:
        """Return the least squared error of a step, the sum over its outputs, on average.

        known(context) is what the predictor sees: all symbols since the unit began by default,
        `context[-1]` for a bigram, a constant for who only knows how often symbols come. The
        steps are told apart by kind(transition), and the result has an error for each kind.
        """
        seen: dict[Hashable, list[Transition]] = defaultdict(list)
        for transition in self.transitions():
            seen[known(transition.context)].append(transition)
        errors: dict[Hashable, float] = defaultdict(float)
        weights: dict[Hashable, float] = defaultdict(float)
        for group in seen.values():
            p = np.array([transition.probability for transition in group])
            codes = np.array([self.codes[transition.symbol] for transition in group])
            squared = ((codes - p @ codes / p.sum()) ** 2).sum(axis=1)
            for transition, error in zip(group, squared.tolist(), strict=True):
                errors[kind(transition)] += transition.probability * error
                weights[kind(transition)] += transition.probability
        return {name: error / weights[name] for name, error in errors.items()}

    def _expected(self, context: Unit) -> np.ndarray:
        """Return the mean code of what comes next."""
        return sum(p * self.codes[symbol] for symbol, _, p in self.following(context))

    def likelihoods(self, units: Iterable[Unit]) -> np.ndarray:
        """Return the best predictions (T, O) after every step, given where units begin."""
        contexts = (unit[:n] for unit in units for n in range(1, len(unit) + 1))
        return np.array([self.expected(context) for context in contexts])

    def listener(self, symbols: Iterable[Hashable]) -> np.ndarray:
        """Return the best predictions (T, O) after every step, from the stream alone.

        The listener does not know where units begin and weighs all possibilities (Bayes' rule).
        """
        belief: dict[Unit, float] = {}
        predictions = []
        for symbol in symbols:
            heard: dict[Unit, float] = defaultdict(float)
            for context, weight in belief.items():
                begun = self._begun[context]
                go_on = self._begun.get((*context, symbol), 0.0) / begun
                heard[(*context, symbol)] += weight * go_on
                ended = self.probabilities.get(context, 0.0) / begun
                heard[(symbol,)] += weight * ended * self._begun.get((symbol,), 0.0)
            heard = heard or {(symbol,): 1.0}  # the stream begins with a unit
            total = sum(heard.values())
            belief = {context: w / total for context, w in heard.items() if w}
            predictions.append(sum(w * self.expected(context) for context, w in belief.items()))
        return np.array(predictions)


def join(units: Iterable[Unit]) -> list[Hashable]:
    """Return the symbols of units, one after the other."""
    return [symbol for unit in units for symbol in unit]


def onsets(units: Iterable[Unit]) -> np.ndarray:
    """Return for every symbol (T,) whether it begins a unit."""
    return np.array([n == 0 for unit in units for n in range(len(unit))])
