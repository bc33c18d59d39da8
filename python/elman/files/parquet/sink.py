"""Write the outputs of Parquet files, to Parquet files if their columns do not say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from elman import _files
from elman.files.sinks import publish_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elman.files.jobs import Outputs, Part
    from elman.files.journal import Journal
    from elman.files.parquet.flat import Appending, NumberColumns
    from elman.files.parquet.outputs import OutputColumns
    from elman.files.parquet.writing import SegmentWriter

    Columns: TypeAlias = OutputColumns | NumberColumns
    Writer: TypeAlias = Appending | SegmentWriter


def room(memory: int) -> int:
    """Return the bytes of a row group of outputs.

    It takes as much again while it is encoded, which the last one is when nothing else is left to
    do: with 32 MiB instead of 16, 40,000 sequences of 800 outputs took 3 % longer.
    """
    return max(1, min(16 << 20, memory // 8))


class ParquetSink:
    """A file for each input; see `jobs.Sink`."""

    def __init__(
        self,
        columns: Sequence[Columns],
        targets: Sequence[str],
        memory: int,
        journal: Journal,
    ) -> None:
        self._columns, self._targets, self._journal = columns, targets, journal
        self._room = room(memory)
        self._open: tuple[int, Writer] | None = None
        self._complete = self._published = 0

    def resume(self, records: list[Any]) -> None:
        """Go on behind the committed rows of the file that is not complete."""
        if not records:
            return
        self._complete = last = records[-1]["complete"]
        mine = [record for record in records if record["complete"] == last and record["bytes"]]
        if mine:
            footers = [record["footer"] for record in mine if record["footer"] is not None]
            self._open = last, self._writer(last, footers, mine[-1]["bytes"])

    def write(self, part: Part, outputs: Outputs) -> None:
        """Write the outputs of a part beside the columns that are passed through."""
        with _files.named_errors(self._targets[part.file]):
            writer = self._file(part.file)
            rows = self._columns[part.file].rows(part, outputs)
            if rows is not None:
                writer.write(rows)
            if part.last:
                writer.finish()
                self._open = None
                self._complete = part.file + 1

    def commit(self) -> dict[str, Any]:
        """Write everything to disk; return the new footer and the size of the open file."""
        footer, size = None, 0
        if self._open is not None:
            with _files.named_errors(self._targets[self._open[0]]):
                footer, size = self._open[1].commit()
        return {"complete": self._complete, "bytes": size, "footer": footer}

    def publish(self) -> None:
        """Move complete files to their destination."""
        files = range(self._published, self._complete)
        publish_all((self._path(file), self._targets[file]) for file in files)
        self._published = self._complete

    def close(self) -> None:
        """Close the open file."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _path(self, file: int) -> str:
        return self._journal.path(f"output-{file}.parquet")

    def _file(self, file: int) -> Writer:
        if self._open is None:
            self._open = file, self._writer(file, [], 0)
        return self._open[1]

    def _writer(self, file: int, footers: list[str], size: int) -> Writer:
        return self._columns[file].writer(self._path(file), footers, size, self._room)
