"""From files to folders of mapped columns: datasets larger than memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prudent import files
from prudent.data import find, meanings
from prudent.data.dataset import Dataset
from prudent.data.episodes.dropped import merge
from prudent.data.join import merge_specs, notes_of
from prudent.data.load import Source, check_magic, is_bare_name, load_dataset, source_note
from prudent.data.mapped import folder
from prudent.data.readers import hdf5, stream
from prudent.data.readers.declared import Declared, read_each
from prudent.data.readers.stream import Block, Stream
from prudent.data.writers import HDF5
from prudent.errors import DataError
from prudent.progress import Wait
from prudent.types import Spec


def convert(
    source: Source | Sequence[Source],
    out: Path | str,
    *,
    say: Callable[[str], None] = lambda _: None,
    seed: int = 0,
    **options: Any,
) -> Dataset:
    """Write the dataset named by ``source`` as a folder of columns, and open that folder: the rows stay on disk.

    Sources, ``seed`` and ``options`` are those of :func:`prudent.data.load_dataset`; several sources join into one, in
    the order given. Flat HDF5 files (D4RL, d3rlpy 1.x) are read block by block, so they may be larger than memory. All
    others are read into memory first; ``say`` receives a line that says so. The folder appears under its name only when
    it is complete.

    Raises:
        DataError: the folder exists, the disk has no room for it, a source cannot be read, or two sources differ in
            their spaces.
    """
    folder.check_target(Path(out))
    with opened(source, say, seed, options) as stream, ExitStack() as stack:
        writer = stack.enter_context(folder.Writer(out, stream.rows))
        wait = stack.enter_context(Wait(f"writing {out}", stream.rows, "rows"))
        spec: Spec | None = None
        for spec, block in stream.blocks():  # noqa: B007 - the last spec is that of all blocks
            writer.append(block)
            wait.advance(len(block["reward"]))
        assert spec is not None
        return writer.finish(spec, stream.name, stream.notes, stream.dropped, stream.meanings)


@contextmanager
def opened(
    source: Source | Sequence[Source], say: Callable[[str], None], seed: int, options: Mapping[str, Any]
) -> Iterator[Stream]:
    """The dataset named by ``source`` as one stream, with the arguments of :func:`convert`.

    Raises:
        DataError: a source cannot be read, or two differ in their spaces.
    """
    declared = Declared(**options)
    declared.check()
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources:
        raise DataError("no dataset was named")
    with ExitStack() as stack:
        stack.enter_context(declared.about_episodes())
        parts = read_each(sources, declared, lambda item, said: stack.enter_context(_streams(item, said, seed)))
        streams = [one for several in parts for one in several]
        for part in streams:
            if part.whole:
                say(f"{part.name} was read into memory as a whole: only flat HDF5 files are read block by block")
        yield _joined(streams)


def _joined(streams: Sequence[Stream], name: str | None = None, first_notes: Sequence[str] = ()) -> Stream:
    """Streams as one, with the name and notes that loading the same sources gives; ``first_notes`` come before them.

    The spec of a block is that of all blocks up to it.
    """
    joined = meanings.join([(part.name, part.meanings, part.has_groups) for part in streams])
    several = len(streams) > 1
    notes = [f"{part.name}: {note}" for part in streams for note in notes_of(part.notes, part.meanings, joined)]

    def blocks() -> Iterator[tuple[Spec, Block]]:
        spec: Spec | None = None
        for number, part in enumerate(streams):
            for part_spec, block in part.blocks():
                spec = part_spec if spec is None else merge_specs(spec, part_spec, "what comes before it", part.name)
                yield spec, _renumbered(block, joined, number) if several else block

    return Stream(
        name or "+".join(part.name for part in streams),
        sum(part.rows for part in streams),
        (*first_notes, *([*notes, *joined.notes] if several else streams[0].notes)),
        blocks,
        dropped=merge([(part.dropped, (block["reward"] for _, block in part.blocks())) for part in streams]),
        meanings=joined.meanings if several else streams[0].meanings,
        has_groups=all(part.has_groups for part in streams),
    )


def _renumbered(block: Block, joined: meanings.Joined, part: int) -> Block:
    return {**block, "group": joined.renumbered(part, block["group"])} if "group" in block else block


@contextmanager
def _streams(source: Source, declared: Declared, seed: int) -> Iterator[list[Stream]]:
    """The files that a source names, as streams: read block by block where that is possible."""
    is_name = is_bare_name(source)
    paths = find.find(str(source)) if is_name else [files.expand_user(source)]
    if not all(path.is_file() and path.suffix.lower() in HDF5 for path in paths):
        flat = False
    else:
        for path in paths:
            check_magic(path, "HDF5")
        flat = all(hdf5.is_flat(path) for path in paths)
    if not flat:
        yield [stream.of_dataset(load_dataset(source, seed=seed, **vars(declared)))]
        return
    declared.refuse(str(source), ("mapping",))
    with ExitStack() as stack:
        streams = read_each(paths, declared, lambda path, said: stack.enter_context(stream.of_hdf5(path, said)))
        yield [_joined(streams, str(source), (source_note(paths),))] if is_name else streams
