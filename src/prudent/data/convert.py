"""From files to folders of mapped columns: datasets larger than memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prudent import files
from prudent.data import find, meanings
from prudent.data.dataset import Dataset
from prudent.data.episodes.dropped import Dropped, merge
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
        joined = _meanings(streams)
        writer = stack.enter_context(folder.Writer(out, sum(part.rows for part in streams)))
        spec: Spec | None = None
        wait = stack.enter_context(Wait(f"writing {out}", sum(part.rows for part in streams), "rows"))
        for number, part in enumerate(streams):
            for block_spec, block in part.blocks():
                spec = block_spec if spec is None else merge_specs(spec, block_spec, "what comes before it", part.name)
                if "group" in block:
                    block = {**block, "group": joined.renumbered(number, block["group"])}
                writer.append(block)
                wait.advance(len(block["reward"]))
        assert spec is not None
        return writer.finish(spec, *_name_and_notes(streams, joined), _dropped(streams), joined.meanings.encoding)


def _name_and_notes(streams: Sequence[Stream], joined: meanings.Joined) -> tuple[str, list[str]]:
    """Name and notes, as loading the same sources gives them."""
    if len(streams) == 1:
        return streams[0].name, list(streams[0].notes)
    name = "+".join(part.name for part in streams)
    notes = [f"{part.name}: {note}" for part in streams for note in notes_of(part.notes, part.meanings, joined)]
    return name, notes + joined.notes


def _meanings(streams: Sequence[Stream]) -> meanings.Joined:
    return meanings.join([(part.name, part.meanings, part.has_groups) for part in streams])


def _dropped(streams: Sequence[Stream]) -> Dropped | None:
    """What was lost with rows that could not be kept, over all sources."""
    return merge([(part.dropped, (block["reward"] for _, block in part.blocks())) for part in streams])


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
        yield [_chain(str(source), paths, streams)] if is_name else streams


def _chain(name: str, paths: Sequence[Path], streams: Sequence[Stream]) -> Stream:
    """The files that :func:`prudent.data.find.find` gives for a name, as one stream."""

    def blocks() -> Iterator[tuple[Spec, Block]]:
        for part in streams:
            yield from part.blocks()

    notes = (source_note(paths), *_name_and_notes(streams, _meanings(streams))[1])
    joined = _meanings(streams).meanings
    return Stream(name, sum(part.rows for part in streams), notes, blocks, dropped=_dropped(streams), meanings=joined)
