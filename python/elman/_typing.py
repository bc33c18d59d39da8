"""Types used in many annotations; imported only by type checkers."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
