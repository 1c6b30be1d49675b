"""Files to folders of mapped columns: datasets larger than memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from prudent.data import find
from prudent.data.dataset import Dataset
from prudent.data.load import Source, check_magic, is_bare_name, load_dataset, read_from
from prudent.data.mapped import folder
from prudent.data.readers import stream
from prudent.data.readers.declared import Declared
from prudent.data.readers.stream import Block, Stream
from prudent.data.writers import HDF5
from prudent.errors import DataError
from prudent.types import Spec


def convert(
    source: Source | Sequence[Source],
    out: Path | str,
    *,
    say: Callable[[str], None] = lambda _: None,
    seed: int = 0,
    **options: Any,
) -> Dataset:
    """Write the dataset named by ``source`` as a folder of columns, and read it back, its rows left on disk.

    Sources, ``seed`` and ``options`` are those of :func:`prudent.data.load_dataset`; several join into one, in the
    order given.
    HDF5 files are read block by block, so they may be larger than memory; anything else is read as a whole first,
    and ``say`` is told so. The folder appears under its name when it is whole.

    Raises:
        DataError: the folder exists or the disk has no room for it, a source cannot be read, or they do not fit each
            other.
    """
    folder.check_target(Path(out))
    declared = Declared(**options)
    declared.check()
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources:
        raise DataError("no dataset was named")
    with ExitStack() as stack:
        streams = [stream for one in sources for stream in stack.enter_context(_streams(one, declared, seed))]
        for one in streams:
            if one.whole:
                say(f"{one.name} was read into memory as a whole: only HDF5 files are read block by block")
        writer = stack.enter_context(folder.Writer(out, sum(one.rows for one in streams)))
        spec: Spec | None = None
        for one in streams:
            for found, block in one.blocks():
                spec = found if spec is None else _merged(spec, found, one.name)
                writer.append(block)
        assert spec is not None
        return writer.finish(spec, *_told(streams))


def _told(streams: Sequence[Stream]) -> tuple[str, list[str]]:
    """Name and notes, as loading the same sources gives them."""
    if len(streams) == 1:
        return streams[0].name, list(streams[0].notes)
    name = "+".join(stream.name for stream in streams)
    return name, [f"{stream.name}: {note}" for stream in streams for note in stream.notes]


def _merged(spec: Spec, other: Spec, name: str) -> Spec:
    # A block rarely takes every discrete action: what one lacks, another may show.
    most = max(spec.action_size, other.action_size)
    if spec.discrete and other.discrete:
        spec, other = replace(spec, action_size=most), replace(other, action_size=most)
    if spec != other:
        raise DataError(f"{name} does not fit what comes before it: it has {spec.difference_from(other)}")
    return spec


@contextmanager
def _streams(source: Source, declared: Declared, seed: int) -> Iterator[list[Stream]]:
    """The files behind a source, block by block where that is possible."""
    named = is_bare_name(source)
    files = find.find(str(source)) if named else [Path(source).expanduser()]
    if not all(file.is_file() and file.suffix.lower() in HDF5 for file in files):
        yield [stream.of_dataset(load_dataset(source, seed=seed, **vars(declared)))]
        return
    declared.refuse(str(source), ("mapping",))
    with ExitStack() as stack:
        for file in files:
            check_magic(file, "HDF5")
        found = [stack.enter_context(stream.of_hdf5(file, declared)) for file in files]
        yield [_found(str(source), files, found)] if named else found


def _found(name: str, files: Sequence[Path], streams: Sequence[Stream]) -> Stream:
    """What was found by a name as one stream."""

    def rows() -> Iterator[tuple[Spec, Block]]:
        for one in streams:
            yield from one.blocks()

    return Stream(name, sum(one.rows for one in streams), (read_from(files), *_told(streams)[1]), rows)
