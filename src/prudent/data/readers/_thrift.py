"""As much of Thrift's compact protocol as the footer and the page headers of a Parquet file need.

pyarrow's own view of a column chunk ends the process where the footer contradicts itself, so it is not asked.

Source: the compact protocol's specification (apache/thrift, doc/specs/thrift-compact-protocol.md) and parquet.thrift.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prudent.errors import DataError

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DEPTH = 8
_MOST_VALUES = 4_000_000


@dataclass(frozen=True)
class Chunk:
    """A column of a row group: the path of its name, the other file it lies in (empty: this one), its number of values,
    its bytes as stored, and where its data and its dictionary (0: none) begin."""

    path: str
    file: str
    values: int
    stored: int
    data_page: int
    dictionary_page: int


@dataclass(frozen=True)
class PageHeader:
    """Bytes of the header itself, of the page as stored, and of what it inflates to."""

    size: int
    stored: int
    inflated: int


def page_header(content: bytes, name: str, where: str) -> PageHeader:
    """The header at the beginning of ``content``.

    Raises:
        DataError: it is none.
    """
    cursor = _Cursor(content)
    try:
        found = cursor.struct({2: (_I32, cursor.zigzag), 3: (_I32, cursor.zigzag)})
        return PageHeader(cursor.at, stored=found[3], inflated=found[2])
    except (IndexError, KeyError, OverflowError) as error:
        raise DataError(f"{name}: {where} has a damaged page header") from error


def row_groups(footer: bytes, name: str) -> list[tuple[int, list[Chunk]]]:
    """The row groups that a footer declares: the number of rows of each, and its column chunks.

    Raises:
        DataError: the footer is damaged, or holds more than a table needs.
    """
    cursor = _Cursor(footer)
    number, text = (_I64, cursor.zigzag), (_BINARY, cursor.text)

    def of(wanted: Mapping[int, tuple[int, Callable[[], Any]]]) -> tuple[int, Callable[[], Any]]:
        return _STRUCT, lambda: cursor.struct(wanted)

    def several(kind: int, read: Callable[[], Any]) -> tuple[int, Callable[[], Any]]:
        return _LIST, lambda: cursor.list(kind, read)

    column = of({3: several(*text), 5: number, 7: number, 9: number, 11: number})
    group = of({1: several(*of({1: text, 3: column})), 3: number})
    try:
        found = cursor.struct({4: several(*group)})[4]
        return [(one[3], [_chunk(chunk) for chunk in one[1]]) for one in found]
    except (IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: a damaged Parquet file (its footer cannot be read)") from error


def _chunk(declared: Mapping[int, Any]) -> Chunk:
    column = declared[3]
    return Chunk(
        path=".".join(column[3]),
        file=declared.get(1, ""),
        values=column[5],
        stored=column[7],
        data_page=column[9],
        dictionary_page=column.get(11, 0),
    )


class _Cursor:
    def __init__(self, content: bytes):
        self.content = content
        self.at = self.seen = 0

    def byte(self) -> int:
        value = self.content[self.at]
        self.at += 1
        return value

    def varint(self) -> int:
        value = shift = 0
        while True:
            part = self.byte()
            value |= (part & 0x7F) << shift
            if part < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise OverflowError

    def zigzag(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def text(self) -> str:
        length = self.varint()
        self.at += length
        if self.at > len(self.content):
            raise IndexError
        return self.content[self.at - length : self.at].decode()

    def list(self, kind: int, read: Callable[[], Any]) -> list[Any]:
        """The elements of a list, all of the kind expected."""
        found, count = self.opened()
        if count and found != kind:
            raise OverflowError
        return [read() for _ in range(count)]

    def opened(self) -> tuple[int, int]:
        """Type and number of the elements of a list that begins here."""
        head = self.byte()
        count = head >> 4
        count = self._bounded(count if count < 15 else self.varint())
        self.count(count)
        return head & 0x0F, count

    def struct(self, wanted: Mapping[int, tuple[int, Callable[[], Any]]]) -> dict[int, Any]:
        """The wanted fields (number: type and what reads it) of a struct; one of another type does not count, one that
        is there twice could be read either way."""
        found: dict[int, Any] = {}
        last = 0
        while (field := self.field(last)) is not None:
            last, kind = field
            expected, read = wanted.get(last, (None, None))
            if read is None or kind != expected:
                self.skip(kind)
            elif last in found:
                raise OverflowError
            else:
                found[last] = read()
        return found

    def field(self, last: int) -> tuple[int, int] | None:
        """Number and type of the next field of a struct, None at its end."""
        self.count(1)
        head = self.byte()
        if head == 0:
            return None
        step = head >> 4
        return (last + step if step else self.zigzag()), head & 0x0F

    def skip(self, kind: int, depth: int = 0, in_list: bool = False) -> None:
        """Step over a value."""
        if depth > _DEPTH:
            raise OverflowError
        if kind in (_TRUE, _FALSE):
            # A struct says a truth value by the field's type, a list in a byte for each.
            self.at += in_list
        elif kind == _BYTE:
            self.at += 1
        elif kind in (_I16, _I32, _I64):
            self.varint()
        elif kind == _DOUBLE:
            self.at += 8
        elif kind == _BINARY:
            length = self.varint()
            self.at += length
        elif kind in (_LIST, _SET):
            inner, count = self.opened()
            for _ in range(count):
                self.skip(inner, depth + 1, in_list=True)
        elif kind == _MAP:
            count = self._bounded(self.varint())
            self.count(count)
            types = self.byte() if count else 0
            for _ in range(count):
                self.skip(types >> 4, depth + 1, in_list=True)
                self.skip(types & 0x0F, depth + 1, in_list=True)
        elif kind == _STRUCT:
            last = 0
            while (field := self.field(last)) is not None:
                last, inner = field
                self.skip(inner, depth + 1)
        else:
            raise OverflowError
        if self.at > len(self.content):
            raise IndexError

    def count(self, values: int) -> None:
        """Give up where there are more than a table needs: looking at them takes time."""
        self.seen += values
        if self.seen > _MOST_VALUES:
            raise OverflowError

    def _bounded(self, count: int) -> int:
        if count > len(self.content):
            raise IndexError
        return count
