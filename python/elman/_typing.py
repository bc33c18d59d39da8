"""Types that stand in many annotations; imported by type checkers alone."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
