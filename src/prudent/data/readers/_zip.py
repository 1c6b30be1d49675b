"""Zip archives that someone else wrote: what their list of entries says has to be what the file holds.

A list may claim anything: sizes that the file does not have, entries that share their bytes, parts on other disks. The
promises of memory are counted from these sizes, so they are checked against the file first.
"""

import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from prudent.errors import DataError
from prudent.files import human_bytes

MOST_LISTED_BYTES = 1 << 20
"""Bytes of the list of entries: some ten thousand names. An npz of a log has a dozen."""

_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL = struct.Struct("<4s5H3L2H")
_TAIL = 1 << 16
_SIZES_FOLLOW, _ENCRYPTED = 0x08, 0x01
_IN_EXTRA = 0xFFFFFFFF


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, open for reading; its entries lie in the file as they are listed.

    Raises:
        DataError: they do not, the list is too long, or the archive has several disks or is encrypted.
        zipfile.BadZipFile, OSError, ...: what the library raises for a damaged archive.
    """
    with path.open("rb") as file:
        _check_list(file, path.name)
        with zipfile.ZipFile(file) as archive:
            _check_places(archive, file, path.name)
            yield archive


def _check_list(file: IO[bytes], name: str) -> None:
    """Refuse an archive in parts, and a list that is too long, before the library reads the list as a whole."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _TAIL - _END.size)
    file.seek(start)
    tail = file.read()
    # As the library finds it: at the very end, else the last one that a comment may follow.
    at = len(tail) - _END.size
    if not (at >= 0 and tail.startswith(b"PK\5\6", at) and tail.endswith(b"\0\0")):
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        return  # the library says what is wrong
    _, disk, first_disk, here, entries, listed, _, _ = _END.unpack_from(tail, at)
    place = start + at - _END64_PLACE.size
    disks = disk or first_disk
    if place >= 0:
        file.seek(place)
        signature, disk64, end64, count = _END64_PLACE.unpack(file.read(_END64_PLACE.size))
        if signature == b"PK\6\7":
            # The library takes the record to lie directly before its locator.
            file.seek(max(0, place - _END64.size))
            record = file.read(_END64.size)
            if end64 > size or len(record) < _END64.size or not record.startswith(b"PK\6\6"):
                raise DataError(f"{name}: a damaged npz file (its zip64 record is not where the file says)")
            *_, disk, first_disk, here, entries, listed, _ = _END64.unpack(record)
            disks = disk or first_disk or disk64 or count > 1
    if disks or here != entries:
        raise DataError(f"{name}: one part of an archive over several disks; join the parts first")
    if listed > MOST_LISTED_BYTES:
        raise DataError(
            f"{name}: lists {entries} entries in {human_bytes(listed)}; an npz has at most "
            f"{human_bytes(MOST_LISTED_BYTES)} of them"
        )


def _check_places(archive: zipfile.ZipFile, file: IO[bytes], name: str) -> None:
    """Compare the list with the header before each entry; refuse entries that overlap or leave the file."""
    before, end = "", 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        key = entry.filename.removesuffix(".npy")
        if entry.flag_bits & _ENCRYPTED:
            raise DataError(f"{name}: {key} is encrypted, which is not read")
        if entry.volume:
            raise DataError(f"{name}: {key} lies on another disk of the archive; join the parts first")
        if entry.header_offset < end:
            raise DataError(f"{name}: {key} and {before} overlap in the file, a list made to fill memory")
        file.seek(max(0, entry.header_offset))
        header = file.read(_LOCAL.size)
        if entry.header_offset < 0 or len(header) < _LOCAL.size or not header.startswith(b"PK\3\4"):
            raise DataError(f"{name}: a truncated or damaged npz file (no entry where the list has {key})")
        _, _, flags, method, _, _, _, packed, unpacked, name_length, extra_length = _LOCAL.unpack(header)
        extra = file.read(name_length + extra_length)[name_length:]
        before, end = key, entry.header_offset + _LOCAL.size + name_length + extra_length + entry.compress_size
        if end > archive.start_dir:
            room = max(0, archive.start_dir - (end - entry.compress_size))
            raise DataError(
                f"{name}: {key} is listed with {human_bytes(entry.compress_size)}, of which the file can hold only "
                f"{human_bytes(room)}"
            )
        if method != entry.compress_type or (flags ^ entry.flag_bits) & _ENCRYPTED:
            raise DataError(f"{name}: {key} is listed otherwise than its own header says")
        if not flags & _SIZES_FOLLOW:
            sizes = _extra_sizes(extra, unpacked, packed)
            if sizes != (entry.file_size, entry.compress_size):
                raise DataError(
                    f"{name}: {key} is listed with {entry.compress_size} bytes that unpack to {entry.file_size}, its "
                    f"own header says {sizes[1]} and {sizes[0]}"
                )
        if method == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
            raise DataError(
                f"{name}: {key} is not packed, yet {entry.compress_size} bytes are to hold {entry.file_size}"
            )


def _extra_sizes(extra: bytes, unpacked: int, packed: int) -> tuple[int, int]:
    """The sizes of a local header; those that do not fit into it stand in its zip64 field."""
    while len(extra) >= 4 and _IN_EXTRA in (unpacked, packed):
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 1:
            numbers = list(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            if unpacked == _IN_EXTRA and numbers:
                unpacked = numbers.pop(0)
            if packed == _IN_EXTRA and numbers:
                packed = numbers.pop(0)
            break
    return unpacked, packed
