"""How far a run over stored data has come: a work folder beside the destination.

For the destination `y.npy` it is `.y.npy.elman-run`:

    lock            held by the process that writes
    manifest.json   what the run depends on: the network, the options, the input files
    journal.jsonl   a line for each commit: how many parts are done, and the sink's record
    carry-N.npz     states of sequences that are not at their end after N parts
    bad.jsonl       sequences that were skipped
    (others)        outputs that are not whole

A line of the journal is written after everything it speaks of is on disk. So after a kill or a
power loss the same command goes on behind the last line, and what was written later is overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from elman import _files, _format
from elman._core import build_info
from elman.errors import ArgumentError, BusyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from elman._network import Network
    from elman.files.jobs import Bad, Carry, Part

FORMAT = 1  # of the work folder
ENDS = 1 << 16  # bytes at both ends of an input file that are part of its fingerprint

Manifest = dict[str, Any]
Record = dict[str, Any]


def manifest(
    net: Network, options: dict[str, Any], paths: Sequence[str], parts: Iterable[Part]
) -> Manifest:
    """Return what a run depends on: another manifest may give other outputs or other parts."""
    info = build_info()
    return {
        "format": FORMAT,
        "numerics": [info["numerics"], "sse2" if net.isa == "sse2" else "fused"],
        "model": hashlib.sha256(_format.dumps(net)).hexdigest(),
        "options": options,
        "inputs": {os.path.abspath(path): fingerprint(path) for path in paths if is_stored(path)},
        "parts": _division(parts),
    }


def _division(parts: Iterable[Part]) -> str:
    """Return a digest of how the inputs are divided, as the journal counts parts."""
    digest = hashlib.sha256()
    for part in parts:
        numbers = (part.file, part.first, part.count, part.size, part.begin, part.end)
        digest.update(repr(numbers).encode())
    return digest.hexdigest()


def is_stored(path: str) -> bool:
    """Return whether a path is a regular file: a pipe cannot be read again."""
    return path != "-" and os.path.isfile(path)


def fingerprint(path: str) -> list[Any]:
    """Return the size of a file, its time of modification, and a digest of its ends."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        digest = hashlib.sha256(file.read(ENDS))
        file.seek(max(0, status.st_size - ENDS))
        digest.update(file.read(ENDS))
    return [status.st_size, status.st_mtime_ns, digest.hexdigest()]


def _difference(old: Manifest, new: Manifest) -> str | None:
    """Return what differs between two manifests."""
    if old["format"] != new["format"] or old["numerics"] != new["numerics"]:
        return "another version of elman or another instruction set"
    if old["model"] != new["model"]:
        return "another model"
    for name, value in new["options"].items():
        if old["options"].get(name) != value:
            return f"{name}={value!r} instead of {old['options'].get(name)!r}"
    if list(old["inputs"]) != list(new["inputs"]):
        return "other input files"
    for path, found in new["inputs"].items():
        if old["inputs"][path] != found:
            return f"an input that has changed since, {path}"
    if old["parts"] != new["parts"]:
        return "other parts, as of another version of elman"
    return None


class Journal:
    """The work folder of a run; made by `opened`.

    Attributes
    ----------
    records : list of dict
        The lines so far: `parts`, `sink` (None before there are outputs) and counts; empty at a
        fresh start.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.records: list[Record] = []
        self._lines = -1
        self._bad = -1

    def path(self, name: str) -> str:
        """Return the path of a file in the work folder."""
        return os.path.join(self._folder, name)

    def append(self, record: Record, carry: Carry | None) -> None:
        """Write a line, after the carry, which replaces the one before it."""
        record["carry"] = None
        if carry is not None:
            record["carry"] = f"carry-{record['parts']}.npz"
            with open(self.path(record["carry"]), "wb") as file:
                np.savez(file, **carry)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
        os.fsync(self._bad)
        _files.sync_folder(self._folder)
        record["bad_bytes"] = os.lseek(self._bad, 0, os.SEEK_END)
        _write(self._lines, _line(record), self.path("journal.jsonl"))
        os.fsync(self._lines)
        if self.records and self.records[-1]["carry"] not in (None, record["carry"]):
            os.unlink(self.path(self.records[-1]["carry"]))
        self.records.append(record)

    def carry(self) -> Carry | None:
        """Return the carry of the last line."""
        name = self.records[-1]["carry"] if self.records else None
        if name is None:
            return None
        with np.load(self.path(name), allow_pickle=False) as stored:
            return dict(stored)

    def forget(self) -> None:
        """Leave nothing to continue, as the same call would raise the same error."""
        self.records = []

    def add_bad(self, bad: Bad) -> None:
        """Write a line about a sequence that is skipped; it counts with the next `append`."""
        _write(self._bad, _line(bad._asdict()), self.path("bad.jsonl"))

    def finish(self, skip_bad: str | None) -> None:
        """Move the list of skipped sequences to its place and remove the folder."""
        if skip_bad is not None and os.path.exists(self.path("bad.jsonl")):
            with open(self.path("bad.jsonl"), "rb") as file, _files.replacing(skip_bad) as target:
                shutil.copyfileobj(file, target)
        self.close()
        shutil.rmtree(self._folder)

    def open(self, manifest: Manifest, destination: str, *, restart: bool) -> None:
        """Continue what the folder contains, or begin afresh."""
        old = None if restart else self._manifest()
        if old is not None:
            self.records, end = self._read()
            difference = _difference(old, manifest) if self.records else "nothing committed"
            if self.records and difference is not None:
                raise ArgumentError(
                    f"{destination}: expected the run that was stopped here, to continue it, got"
                    f" {difference}: restart=True (--restart) starts afresh"
                )
        if not self.records:
            self._clear()
            end = 0
            with _files.replacing(self.path("manifest.json")) as file:
                file.write(json.dumps(manifest).encode())
        self._lines = _appending(self.path("journal.jsonl"), end)
        kept = self.records[-1]["bad_bytes"] if self.records else 0
        self._bad = _appending(self.path("bad.jsonl"), kept)

    def close(self) -> None:
        """Close the files."""
        for descriptor in (self._lines, self._bad):
            if descriptor >= 0:
                os.close(descriptor)
        self._lines = self._bad = -1

    def _manifest(self) -> Manifest | None:
        try:
            with open(self.path("manifest.json"), "rb") as file:
                found: Manifest = json.load(file)
        except (OSError, ValueError):
            return None
        return found

    def _read(self) -> tuple[list[Record], int]:
        """Return the whole lines of the journal and the bytes that they take."""
        records, end = [], 0
        with contextlib.suppress(FileNotFoundError), open(self.path("journal.jsonl"), "rb") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    break  # it was being written
                if not line.endswith(b"\n"):
                    break  # so was it, all but the end
                records.append(record)
                end += len(line)
        return records, end

    def _clear(self) -> None:
        for name in os.listdir(self._folder):
            if name != "lock":
                os.unlink(self.path(name))


def _line(record: Record) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _appending(path: str, size: int) -> int:
    """Open a file for appending behind its first `size` bytes."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600)
    os.ftruncate(descriptor, size)
    return descriptor


def _write(descriptor: int, data: bytes, path: str) -> None:
    with _files.named_errors(path):
        while data:
            data = data[os.write(descriptor, data) :]


@contextlib.contextmanager
def opened(destination: str, manifest: Manifest, *, restart: bool) -> Iterator[Journal]:
    """Open or make the work folder of a destination; it remains if the run does not end.

    Raises
    ------
    BusyError
        If another run writes to the same destination.
    ArgumentError
        If an interrupted run had another manifest.
    """
    parent, base = os.path.split(os.path.realpath(destination))
    folder = os.path.join(parent, f".{base}.elman-run")
    os.makedirs(folder, exist_ok=True)
    journal = Journal(folder)
    try:
        lock = _files.hold(journal.path("lock"))
    except (BlockingIOError, FileNotFoundError):
        raise BusyError(
            f"{destination}: expected a destination that no other run is writing to, got one that"
            " is being written"
        ) from None
    try:
        journal.open(manifest, destination, restart=restart)
        yield journal
    except BaseException:
        journal.close()
        if not journal.records:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        journal.close()
        os.close(lock)
