"""What a damaged table makes its parser do, told in one line."""

from collections.abc import Callable
from typing import Any

from prudent.errors import DataError


def guarded(name: str, action: Callable[[], Any]) -> Any:
    """What ``action`` returns, with everything that damaged content raises as one line."""
    import pyarrow as pa

    try:
        return action()
    except DataError:
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{name}: a damaged table, or not what it is named ({reason})") from error
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise DataError(f"{name}: a damaged gzip file ({error})") from error
        raise


def shown(text: object) -> str:
    """A name out of a file, short and without control characters."""
    full = repr(text)
    return full if len(full) <= 60 else f"{full[:56]}...'"
