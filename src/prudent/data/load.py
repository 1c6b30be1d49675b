"""Loads a dataset by its name, file or folder."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from prudent import files
from prudent.data import find
from prudent.data.builtin.datasets import BUILTIN
from prudent.data.columns import Bound, Dones
from prudent.data.dataset import Dataset
from prudent.data.episodes.dropped import LastRows
from prudent.data.mapped.folder import is_folder_of_columns, is_mapped, read
from prudent.data.readers import own
from prudent.data.readers.declared import UNDECLARED, Declared, read_each
from prudent.data.readers.mapping import TableMap
from prudent.errors import DataError
from prudent.progress import ticking

Source = str | Path
_MINARI_ID = re.compile(r"(?:[-\w]+/)+[-\w]+-v\d+")
_MAGIC = {
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "npz": b"PK\x03\x04",
    "Parquet": b"PAR1",
    "encrypted Parquet": b"PARE",
    "gzip": b"\x1f\x8b",
}
_FORMAT = {
    ".hdf5": "HDF5",
    ".h5": "HDF5",
    ".npz": "npz",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".csv": "CSV",
    ".csv.gz": "gzip",
}
_PICKLES = (".pkl", ".pickle")
_TABLES = ("Parquet", "CSV", "gzip")
NEVER = ("dones", "horizon", "discrete", "n_actions", "first_action", "last_rows", "recorders")
"""Declarations that change nothing about datasets which say all of it themselves."""


def load_dataset(
    source: Source | Sequence[Source],
    *,
    dones: Dones | None = None,
    action_low: Bound | None = None,
    action_high: Bound | None = None,
    discrete: bool | None = None,
    n_actions: int | None = None,
    first_action: int | None = None,
    horizon: int | None = None,
    mapping: TableMap | Mapping[str, Any] | str | Path | None = None,
    last_rows: LastRows | None = None,
    recorders: int | None = None,
    skip_bad_episodes: bool = False,
    seed: int = 0,
) -> Dataset:
    """The dataset named by ``source``; several sources join into one, in the order given.

    A source is a built-in name (``pendulum-mixed``), a file (``.npz``, ``.hdf5``/``.h5`` as written by D4RL, d4rl-
    pybullet, d3rlpy and robomimic, or with ``mapping`` a ``.parquet``, ``.csv`` or ``.csv.gz`` table), a Minari dataset
    (``minari:namespace/name-vN`` or its folder), a folder that :func:`prudent.data.convert` wrote, whose rows stay on
    disk, a file for whose suffix an installed package offers a reader (:mod:`prudent.data.readers.own`), or a D4RL name
    such as ``hopper-medium-expert-v2``, looked up in ``$PRUDENT_DATA`` and some local folders
    (:mod:`prudent.data.find`).

    Args:
        source: one source or a sequence of them.
        dones: what the flags of ends mean (``dones`` in npz; ``terminals`` in HDF5 without ``timeouts``): the end of
            value ("terminated", the default) or only the end of the recording ("truncated"). Refused for files whose
            flags tell the two apart.
        action_low: lower action bound in the units of the log, one number or one per feature; replaces the file's.
        action_high: upper action bound, likewise.
        discrete: whether actions are choices, which have numbers; None leaves it to the file. This is never guessed: a
            file whose actions could be either is refused until you declare it.
        n_actions: how many choices there are, including those that the log never took; implies ``discrete``.
        first_action: the number of the first choice, such as 1 in a log that counts from 1; 0 if neither you nor the
            file says so. Implies ``discrete``.
        horizon: the task's time limit in steps, for files without truncation flags; refused for others.
        mapping: for tables, which column means what: a TOML file or a dictionary (see
            :class:`prudent.data.readers.mapping.TableMap`).
        last_rows: the last rows of episodes that did not terminate, where the file has no successor for them: "drop"
            them (the default), their reward included; "terminated" keeps them as ends, after which no value comes;
            "truncated" keeps them with their own observation as successor. Refused if no source has such rows.
        recorders: how many recorders' rows stand in turn, as vectorised environments write them (row t of the first,
            row t of the second ...): each one's rows are put together. A file whose next rows are not the successors is
            refused until you declare this; 1 says that the rows are in order of time.
        skip_bad_episodes: leave out episodes that have a missing or infinite number, or another fault that would have
            the file refused, and count them in a note.
        seed: for built-in datasets, which are generated when they are loaded.

    Raises:
        DataError: one line naming the file, the key and the reason.
    """
    options = {"mapping": mapping, "last_rows": last_rows, "recorders": recorders, "first_action": first_action}
    skip = skip_bad_episodes or None
    declared = Declared(dones, horizon, action_low, action_high, discrete, n_actions, **options, skip_bad_episodes=skip)
    declared.check()
    if isinstance(source, str | Path):
        with ticking(f"reading {source}"):
            return _load(source, declared, seed)
    if len(source) == 0:
        raise DataError("no dataset was named")

    def load(item: Source, said: Declared) -> Dataset:
        with ticking(f"reading {item}"):
            return _load(item, said, seed)

    datasets = read_each(source, declared, load)
    if len(datasets) > 1 and any(is_mapped(dataset) for dataset in datasets):
        raise DataError("a converted folder is not joined in memory: convert all the sources into one folder")
    return Dataset.join(datasets)


def _load(source: Source, declared: Declared, seed: int) -> Dataset:
    with declared.about_episodes():
        return _find(source, declared, seed)


def _find(source: Source, declared: Declared, seed: int) -> Dataset:
    text = str(source)
    if text in BUILTIN:
        declared.refuse(text, [field.name for field in fields(Declared)])
        return BUILTIN[text].make(seed)
    if text.startswith("minari:"):
        return _minari(text.removeprefix("minari:"), declared)
    path = files.expand_user(source)
    if files.is_there(path):
        if not path.is_dir():
            return read_file(path, declared)
        if (path / "config.json").is_file() or (path / "tune.json").is_file():
            raise DataError(f"{source}: a run, not data; prudent value, support, evaluate and report take runs")
        if (path / "parts.json").is_file():
            names = ", ".join(sorted(str(part.parent) for part in path.glob("*/index.json")))
            raise DataError(
                f"{source}: the parts of a log, name one of them: {names or 'their episodes are in NAME.npy'}"
            )
        return _columns(path, declared) if is_folder_of_columns(path) else _minari(path, declared)
    if _extension(path) in (*_FORMAT, *_PICKLES, *own.suffixes()):
        raise DataError(f"{source}: no such file")
    if _MINARI_ID.fullmatch(text):
        return _minari(text, declared)
    if not is_bare_name(source):
        raise DataError(f"{source}: no such file or folder")
    return _named(text, declared)


def source_note(paths: Sequence[Path]) -> str:
    """The note on a dataset that was found by its name."""
    return f"read from {' and '.join(str(path) for path in paths)}"


def is_bare_name(source: Source) -> bool:
    """Whether a source is a name to look up in :func:`prudent.data.find.folders`."""
    text, path = str(source), files.expand_user(source)
    explicit = text in BUILTIN or text.startswith("minari:") or _extension(path) in _FORMAT
    return isinstance(source, str) and not explicit and len(path.parts) == 1 and not files.is_there(path)


def _named(name: str, declared: Declared) -> Dataset:
    try:
        paths = find.find(name)
    except DataError:
        close = get_close_matches(name, BUILTIN, n=1, cutoff=0.8)
        if close:
            raise DataError(f"{name}: no such dataset; did you mean {close[0]}?") from None
        raise
    joined = Dataset.join(read_each(paths, declared, read_file), name=name)
    return joined.relabelled(notes=(source_note(paths), *joined.notes))


def read_file(path: Path, declared: Declared = UNDECLARED) -> Dataset:
    """Read one file by its extension; its first bytes have to agree.

    Raises:
        DataError: the file is empty, or of another kind than its name says, or its reader refuses it.
    """
    extension = _extension(path)
    kind = _FORMAT.get(extension)
    if extension in _PICKLES:
        raise DataError(
            f"{path.name}: a pickle, which is never opened, as it can run code; a replay buffer of Stable-Baselines3 "
            'is written as npz in three lines: see docs/data.md, "Stable-Baselines3"'
        )
    if kind is None and extension in own.suffixes():
        return own.read(path, extension, declared)
    if kind is None:
        accepted = ", ".join([*_FORMAT, *own.suffixes()])
        raise DataError(f"{path.name}: {extension or 'no extension'} is not a dataset format; accepted: {accepted}")
    check_magic(path, kind)
    if kind in _TABLES:
        return _table(path, declared)
    declared.refuse(path.name, ("mapping",))
    if kind == "npz":
        from prudent.data.readers import npz

        return npz.read(path, declared)
    from prudent.data.readers import hdf5

    return hdf5.read(path, declared)


def _extension(path: Path) -> str:
    """The extension in lower case; for compressed files the last two."""
    last = path.suffix.lower()
    return "".join(path.suffixes[-2:]).lower() if last == ".gz" else last


def _table(path: Path, declared: Declared) -> Dataset:
    from prudent.data.readers import table

    declared.refuse(path.name, ("dones", "horizon"))
    return table.read(path, declared)


def check_magic(path: Path, kind: str) -> None:
    """Raise DataError unless a file begins like one of its kind."""
    if not path.is_file():
        raise DataError(f"{path.name}: not a regular file")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be opened ({error.strerror})") from error
    if not head:
        raise DataError(f"{path.name}: the file is empty")
    if kind in _MAGIC and head.startswith(_MAGIC[kind]):
        return
    actual = next((other for other, magic in _MAGIC.items() if head.startswith(magic)), None)
    if actual:
        raise DataError(f"{path.name}: named {path.suffix} but its content is {actual}")
    if kind not in _MAGIC:  # text
        return
    raise DataError(f"{path.name}: not a {kind} file, or a damaged one (its first bytes are {head[:4]!r})")


def _columns(folder: Path, declared: Declared) -> Dataset:
    declared.refuse(str(folder), (*NEVER, "skip_bad_episodes"))
    return read(folder, declared.action_low, declared.action_high)


def _minari(source: Source, declared: Declared) -> Dataset:
    from prudent.data.readers import minari

    declared.refuse(str(source), (*NEVER, "mapping"))
    return minari.read(source, declared)
