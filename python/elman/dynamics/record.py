"""What the results have in common: they become plain values for JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from elman._json import for_json


class Record:
    """A result with named parts."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the parts as lists and numbers for JSON.

        NaN and infinities become None, and a complex number a pair [real, imaginary].
        """
        parts = dataclasses.fields(self)  # type: ignore[arg-type]
        return {
            part.name: for_json(getattr(self, part.name))
            for part in parts
            if not part.name.startswith("_")
        }
