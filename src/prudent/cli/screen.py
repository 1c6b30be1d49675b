"""Standard output and standard error that never stop the work, and that never pass on a terminal's control codes."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from prudent.errors import printable


class Screen:
    """A text stream in front of another one.

    Control characters are spelled out, and characters that the encoding does not have are escaped. When writing fails
    (a closed pipe, a dead terminal, a full disk) the rest is dropped and ``failed`` says why: a training is worth more
    than its progress lines.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream
        self.failed: Exception | None = None

    def write(self, text: str) -> int:
        """Write what can be written."""
        if self._stream is not None and self.failed is None:
            shown = printable(text).encode(self.encoding, "backslashreplace").decode(self.encoding)
            self._attempt(lambda stream: stream.write(shown))
        return len(text)

    def flush(self) -> None:
        """Flush, as far as that is possible."""
        self._attempt(lambda stream: stream.flush())

    def _attempt(self, action: Any) -> None:
        if self._stream is None or self.failed is not None:
            return
        try:
            action(self._stream)
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self.failed = error

    @property
    def terminal(self) -> TextIO | None:
        """The stream behind, for a progress bar, which needs control codes of its own."""
        return self._stream

    def isatty(self) -> bool:
        """Whether this is a terminal."""
        with contextlib.suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """The descriptor of the stream behind.

        Raises:
            OSError: there is none.
        """
        if self._stream is None:
            raise OSError("no stream")
        return self._stream.fileno()

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all of them."""
        for line in lines:
            self.write(line)

    @property
    def encoding(self) -> str:
        """The encoding of the stream behind."""
        return getattr(self._stream, "encoding", None) or "utf-8"


@contextlib.contextmanager
def screens() -> Iterator[tuple[Screen, Screen]]:
    """Standard output and standard error as screens, while the block runs."""
    out, err = Screen(sys.stdout), Screen(sys.stderr)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err  # pyright: ignore[reportAttributeAccessIssue] - it has what print needs
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        if out.failed is not None:
            # Python flushes standard output once more at its end, and would complain.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
