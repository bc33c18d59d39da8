"""Views as JSON."""

from __future__ import annotations

import json
from typing import Any

from elman._json import for_json
from elman.errors import ArgumentTypeError

__all__ = ["to_json"]

View = dict[str, Any]


def to_json(view: View) -> str:
    """Return a view as JSON.

    Arrays become nested lists, complex numbers pairs [real, imaginary], dates text in ISO 8601, and
    NaN and infinities, which JSON does not have, null.

    Parameters
    ----------
    view : dict
        The result of a function of `elman.views`.

    Returns
    -------
    str
        One line.

    Raises
    ------
    ArgumentTypeError
        If it is something else.

    Examples
    --------
    >>> import elman
    >>> net = elman.Network(input_size=1, hidden_size=1, output_size=None, seed=0)
    >>> elman.views.to_json(elman.views.unrolled(net, 1))[:41]
    '{"kind": "unrolled", "mode": "many-to-man'
    """
    if not isinstance(view, dict):
        raise ArgumentTypeError(
            f"view: expected the result of a function of elman.views, got {type(view).__name__}"
        )
    return json.dumps(for_json(view))
