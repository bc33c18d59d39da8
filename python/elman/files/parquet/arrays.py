"""Write the outputs of arrays to Parquet: a row for each sequence, in the order of the array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elman.files.parquet.layout import LISTS, Layout
from elman.files.parquet.outputs import OutputColumns
from elman.files.parquet.reading import File
from elman.files.parquet.sink import ParquetSink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elman.files.jobs import Outputs, Part
    from elman.files.journal import Journal
    from elman.files.npy import NpySource
    from elman.files.parts import Request

SHARE = 4  # of the memory, as the sink takes an eighth for the rows that it collects


class ArrayColumns(OutputColumns):
    """The columns of the outputs of an array."""

    def __init__(self, request: Request, path: str) -> None:
        import pyarrow as pa

        nothing = File(path, path, path, pa.schema([]), (), {})
        super().__init__(request.net, nothing, Layout(LISTS, [], None, []), request.outputs)

    def rows(self, part: Part, outputs: Outputs) -> list[Any] | None:
        """Return the columns of a part."""
        output, lost, lengths = outputs.output, outputs.sequences.passed, outputs.sequences.lengths
        if output is None:
            return None
        offsets, total = None, part.end - part.begin
        if self._lists:
            offsets = np.arange(part.count + 1) * total
        if self._lists and lengths is not None:  # without padding
            steps = lengths.clip(0, total)
            values = output[np.arange(total) < steps[:, np.newaxis]]
            offsets = np.concatenate([[0], np.cumsum(steps)])
        else:
            values = output.reshape(-1, self._net.output_size).copy()  # its memory is used again
        missing = np.flatnonzero(lost) if lost is not None else np.empty(0, np.int64)
        return self.arrays(values, offsets, missing)


def array_sink(
    request: Request, source: NpySource, targets: Sequence[str], work: Journal
) -> ParquetSink:
    """Return the sink for arrays."""
    paths = source.paths[: len(source.headers)]
    columns = [ArrayColumns(request, path) for path in paths]
    return ParquetSink(columns, targets, request.memory // SHARE, work)
