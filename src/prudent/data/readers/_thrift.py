"""As much of Thrift's compact protocol as a Parquet page header needs.

Source: the compact protocol's specification (apache/thrift, doc/specs/thrift-compact-protocol.md) and parquet.thrift.
"""

from dataclasses import dataclass

from prudent.errors import DataError

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DEPTH = 8


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
    found: dict[int, int] = {}
    try:
        last = 0
        while (field := cursor.field(last)) is not None:
            last, kind = field
            if kind in (_I16, _I32, _I64):
                found[last] = cursor.zigzag()
            else:
                cursor.skip(kind)
        return PageHeader(cursor.at, stored=found[3], inflated=found[2])
    except (IndexError, KeyError, OverflowError) as error:
        raise DataError(f"{name}: {where} has a damaged page header") from error


class _Cursor:
    def __init__(self, content: bytes):
        self.content = content
        self.at = 0

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

    def field(self, last: int) -> tuple[int, int] | None:
        """Number and type of the next field of a struct, None at its end."""
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
            head = self.byte()
            count = head >> 4
            for _ in range(self._bounded(count if count < 15 else self.varint())):
                self.skip(head & 0x0F, depth + 1, in_list=True)
        elif kind == _MAP:
            count = self._bounded(self.varint())
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

    def _bounded(self, count: int) -> int:
        if count > len(self.content):
            raise IndexError
        return count
