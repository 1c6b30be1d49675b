"""From a log to its parts: folders that share no episode (or group), also of logs larger than memory."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prudent import files
from prudent.data.convert import opened
from prudent.data.dataset import Dataset
from prudent.data.load import Source
from prudent.data.mapped import folder
from prudent.data.pieces import check_fractions, divide
from prudent.data.readers import provenance
from prudent.data.readers.stream import Stream
from prudent.data.writers import HDF5
from prudent.data.writers.d4rl import check_target
from prudent.errors import DataError, shown
from prudent.progress import Wait
from prudent.types import Spec

FRACTIONS: tuple[float, ...] = (0.5, 0.1, 0.4)
NAMES = {2: ("train", "final"), 3: ("train", "evaluation", "final")}
"""Names of the parts, by their number, unless they are given."""

PARTS = "parts.json"
"""In the folder of the parts: how the log was read and divided, and the size of each part."""


def split(
    source: Source | Sequence[Source],
    out: Path | str,
    *,
    fractions: Sequence[float] = FRACTIONS,
    names: Sequence[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> dict[str, Dataset]:
    """Divide the dataset named by ``source`` into parts that share no episode (no group, if it has groups).

    ``out`` then holds what :func:`write` says. Flat HDF5 files and converted folders are read block by block, so they
    may be larger than memory.

    Args:
        source: one source or several, which join into one, as for :func:`prudent.data.load_dataset`.
        out: folder to create; it may exist if it is empty.
        fractions: the share of each part, above 0 and with sum 1.
        names: the name of each part, and so of its folder; None is train, evaluation and final for three parts, train
            and final for two.
        seed: equal seeds give equal parts.
        say: called with a line for each source that was read into memory as a whole.
        options: those of :func:`prudent.data.load_dataset`.

    Returns:
        The parts by name; their rows stay on disk.

    Raises:
        DataError: fractions or names are not as above; there are fewer episodes (or groups) than parts, or a share of
            them is none; ``out`` is taken or cannot be written; or a source cannot be read.
    """
    check_fractions(fractions, "split")
    names = _names(names, len(fractions))
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise DataError(f"split: seed must be a whole number, 0 or more, got {shown(seed)}")
    check_out(Path(out))
    with opened(source, say, 0, options) as stream:
        episodes = _scan(stream)
        part_E = divide(episodes.units, episodes.by, fractions, seed, stream.name)
        sources = [str(item) for item in ([source] if isinstance(source, str | Path) else source)]
        about = {"by": episodes.by, "seed": seed, "fractions": list(fractions), "source": sources}
        shares = " ".join(f"{fraction:g}" for fraction in fractions)
        origin = f"a part of {stream.name}, divided by {episodes.by} with seed {seed} ({shares})"
        write(stream, episodes.bounds, Path(out), names, part_E, about, notes=[*_made(sources), origin])
    return {name: folder.read(Path(out) / name, just_written=True) for name in names}


def write(
    stream: Stream,
    bounds: np.ndarray,
    out: Path,
    names: Sequence[str],
    part_E: np.ndarray,
    about: Mapping[str, Any],
    notes: Sequence[str] = (),
    copy: bool = True,
) -> None:
    """Write the parts of a log to the new folder ``out``, which appears under its name when it is complete.

    ``out/NAME.npy`` has the numbers of the part's episodes in the log, int64; ``out/parts.json`` what is given as
    ``about``, and the size of each part. With ``copy`` the folders ``out/NAME`` hold the parts themselves, as
    :func:`prudent.data.convert` writes them: every column, with these further ``notes``.

    Args:
        stream: the log.
        bounds: (episodes + 1,) the rows at which its episodes begin, and the number of rows.
        out: the folder.
        names: the name of each part.
        part_E: (episodes,) the part of each episode.
        about: ready for JSON.
        notes: lines for the datasets.
        copy: whether to write the rows.

    Raises:
        DataError: ``out`` is taken or cannot be written.
    """
    check_out(out)
    rows = np.bincount(part_E, np.diff(bounds), len(names)).astype(np.int64)
    with _aside(out) as aside:
        parts = _copy(stream, bounds, aside, names, part_E, rows, notes) if copy else {}
        sizes: dict[str, dict[str, Any]] = {}
        for number, name in enumerate(names):
            chosen = np.flatnonzero(part_E == number)
            np.save(aside / f"{name}.npy", chosen.astype(np.int64), allow_pickle=False)
            sizes[name] = {"episodes": len(chosen), "transitions": int(rows[number])}
            sizes[name] |= {"fingerprint": parts[name].fingerprint} if copy else {}
        content = {"dataset": stream.name, **about, "parts": sizes}
        files.write(aside / PARTS, (json.dumps(content, indent=1) + "\n").encode())


def check_out(path: Path) -> None:
    """Refuse a folder for parts that holds something, or that cannot be made.

    Raises:
        DataError: one line that says which.
    """
    if path.is_dir() and not path.is_symlink():
        if any(path.iterdir()):
            raise DataError(f"{path} exists and is not empty: choose another name, nothing is overwritten")
        if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
            raise DataError(f"{path} cannot be written: {path.absolute().parent} may not be written to")
    else:
        check_target(path)


def _names(names: Sequence[str] | None, count: int) -> Sequence[str]:
    """The names of ``count`` parts, checked."""
    if names is None:
        if count not in NAMES:
            raise DataError(f"split: {count} parts need {count} names, in the order of the fractions")
        return NAMES[count]
    if len(names) != count:
        raise DataError(f"split: {len(names)} names for {count} fractions: give one for each")
    for name in names:
        if not name or name.startswith(".") or files.folder_name(name) != name:
            raise DataError(
                f"split: {shown(name)} is no plain file name: letters, digits and -_+. are, up to 100 of them"
            )
    # Some file systems take upper and lower case for the same.
    places = [place.casefold() for name in names for place in (name, f"{name}.npy")]
    if len({*places, PARTS}) <= len(places):
        raise DataError(f"split: every part needs a name of its own, other than {PARTS}: got {' '.join(names)}")
    return names


@dataclass(frozen=True)
class _Episodes:
    """Where episodes begin, (episodes + 1,) rows; the unit of each, and the kind of units."""

    bounds: np.ndarray
    units: np.ndarray
    by: str


def _scan(stream: Stream) -> _Episodes:
    """The episodes of a log, and their groups, from its flags; some bytes per episode and one block are in memory."""
    starts: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    row, fresh = 0, True
    with Wait(f"finding the episodes of {stream.name}", stream.rows, "rows") as wait:
        for _, block in stream.blocks():
            end = block["terminated"] | block["truncated"]
            first = np.flatnonzero(np.concatenate([[fresh], end[:-1]]))
            starts.append(row + first)
            groups += [np.asarray(block["group"][first])] if "group" in block else []
            row, fresh = row + len(end), bool(end[-1])
            wait.advance(len(end))
    bounds = np.concatenate([*starts, [row]]).astype(np.int64)
    if not groups:
        return _Episodes(bounds, np.arange(len(bounds) - 1), "episode")
    return _Episodes(bounds, np.unique(np.concatenate(groups), return_inverse=True)[1].ravel(), "group")


def _copy(
    stream: Stream,
    bounds: np.ndarray,
    place: Path,
    names: Sequence[str],
    part_E: np.ndarray,
    rows: np.ndarray,
    notes: Sequence[str],
) -> dict[str, Dataset]:
    """Write the rows of each part below ``place``, block by block."""
    with ExitStack() as stack:
        writers = [
            stack.enter_context(folder.Writer(place / name, int(count)))
            for name, count in zip(names, rows, strict=True)
        ]
        wait = stack.enter_context(Wait("writing the parts", stream.rows, "rows"))
        row, spec = 0, None
        for spec, block in stream.blocks():  # noqa: B007 - the last spec is that of all blocks
            count = len(block["reward"])
            part_B = part_E[np.searchsorted(bounds, np.arange(row, row + count), side="right") - 1]
            for number, writer in enumerate(writers):
                here = part_B == number
                if here.any():
                    writer.append({key: column[here] for key, column in block.items()})
            row += count
            wait.advance(count)
        assert isinstance(spec, Spec)
        return {
            name: writer.finish(
                spec, f"{stream.name} ({name} part)", (*stream.notes, *notes), stream.dropped, stream.meanings
            )
            for name, writer in zip(names, writers, strict=True)
        }


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``out`` at the end of the block; an error removes it.

    Raises:
        DataError: it cannot be written.
    """
    aside = out.with_name(f".{out.name}.{uuid.uuid4().hex}.tmp")
    try:
        files.make_folder(out.absolute().parent)
        aside.mkdir()
        yield aside
        files.sync_folder(aside)
        if out.exists():
            out.rmdir()  # check_out allows an empty folder
        os.rename(aside, out)
        files.sync_folder(out.absolute().parent)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}") from error
    except DataError as error:
        raise DataError(str(error).replace(str(aside), str(out))) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _made(sources: Sequence[str]) -> list[str]:
    """How the HDF5 files among the sources were made, a line for each entry (see ``provenance``)."""
    paths = [path for path in map(files.expand_user, sources) if path.suffix.lower() in HDF5 and path.is_file()]
    lines = []
    for path in paths:
        for key, value in provenance.read(path).items():
            texts = [f"it says: {text}" for text in value] if isinstance(value, list) else [f"{key}: {value}"]
            lines += [f"{path.name}: {text}" for text in texts]
    return lines
