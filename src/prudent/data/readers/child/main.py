"""The child's side of the conversation. A message is one line of JSON; its arrays follow as raw bytes."""

import json
import math
import os
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from prudent.data.readers.child import ipc
from prudent.data.readers.child.columns import Labels, plain
from prudent.data.readers.child.csv import CsvTable
from prudent.data.readers.child.parquet import ParquetTable
from prudent.errors import DataError, EpisodeError, in_one_line

_PARQUET = (".parquet", ".pq")
_DAMAGE = (pa.ArrowException, OSError, EOFError, ValueError, KeyError, TypeError, OverflowError)


class Pipe:
    """Messages to and from the parent process."""

    def __init__(self, source: BinaryIO, target: BinaryIO):
        self.source, self.target = source, target

    def receive(self) -> dict[str, Any]:
        """The parent's next message."""
        line = self.source.readline()
        if not line:
            os._exit(0)  # the parent is gone
        return json.loads(line)

    def send(self, message: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
        """Send a message, and the arrays that belong to it."""
        # All of it is made before any of it is sent: running out of memory in between would tear the message.
        flat = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays]
        self.target.write(json.dumps(message).encode() + b"\n")
        for part in flat:
            self.target.write(part.data)
        self.target.flush()


def main() -> None:
    """Answer the parent until it has everything, or until the file is refused."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    pipe = Pipe(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    # What a library prints must not mix with the messages.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        pipe.send({"ready": True})
        pipe.send(_answer(pipe))
    except BrokenPipeError:
        pass
    except DataError as error:
        pipe.send({"refused": str(error), "for its rows": isinstance(error, EpisodeError)})
    except MemoryError:
        pipe.send({"memory": True})
    except zlib.error as error:
        pipe.send({"refused": f"a damaged gzip file ({error})"})
    except _DAMAGE as error:
        if "bad_alloc" in str(error):
            pipe.send({"memory": True})
        else:
            pipe.send({"refused": f"a damaged table, or not what it is named ({in_one_line(error)[:200]})"})
    except Exception:  # noqa: BLE001 - a mistake in this file: the parent raises it
        pipe.send({"bug": traceback.format_exc()})
    # Threads of pyarrow may still read ahead; a normal exit would wait for them, or crash.
    os._exit(0)


def _answer(pipe: Pipe) -> dict[str, Any]:
    request = pipe.receive()
    if request["task"] == "check arrow files":
        limit(request["memory"], request["seconds"])
        for path, key in request["files"]:
            ipc.check(Path(path), key)
        return {"end": True}
    path = Path(request["path"])
    limit(request["memory"], request["seconds"])
    table = _table(path)
    pipe.send({"columns": table.names})
    request = pipe.receive()
    kinds = request["kinds"]
    batches = table.batches(kinds, request["lenient"])
    pipe.send({"declared": table.declared(kinds)})
    pipe.receive()  # the parent has counted what is declared
    wanted = [(name, kind) for name, several in kinds.items() for kind in several]
    labels = [Labels() for _ in wanted]
    for batch in batches:
        columns = [plain(batch[name, kind], kind, known) for (name, kind), known in zip(wanted, labels, strict=True)]
        arrays = [array for _, values, lacking in columns for array in (values, lacking)]
        about = {"rows": len(batch[wanted[0]]), "position": table.position}
        pipe.send(about | {"columns": [column for column, _, _ in columns]}, arrays)
    return {"end": True}


def _table(path: Path) -> ParquetTable | CsvTable:
    return ParquetTable(path) if path.suffix.lower() in _PARQUET else CsvTable(path)


def limit(memory: int, seconds: int) -> None:
    """Have the system end this process if it takes this many bytes or seconds of processor time more than so far.

    Windows has neither limit; macOS does not enforce the one of memory.
    """
    try:
        import resource
    except ImportError:
        return

    def lower(which: int, value: int) -> None:
        soft, hard = resource.getrlimit(which)
        known = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
        with suppress(ValueError, OSError):
            resource.setrlimit(which, (min([value, sys.maxsize, *known]), hard))

    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_CPU, math.ceil(time.process_time()) + seconds)
    statm = Path("/proc/self/statm")
    if statm.exists():
        lower(resource.RLIMIT_AS, int(statm.read_text().split()[0]) * resource.getpagesize() + memory)
