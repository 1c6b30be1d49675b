"""From whatever names a dataset to the dataset."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from prudent import files
from prudent.data import find
from prudent.data.builtin.datasets import BUILTIN
from prudent.data.columns import Bound, Dones
from prudent.data.dataset import Dataset
from prudent.data.mapped.folder import is_folder_of_columns, is_mapped, read
from prudent.data.readers.mapping import TableMap
from prudent.errors import DataError

Source = str | Path
_MINARI_ID = re.compile(r"(?:[-\w]+/)+[-\w]+-v\d+")
_MAGIC = {"HDF5": b"\x89HDF\r\n\x1a\n", "npz": b"PK\x03\x04", "Parquet": b"PAR1", "gzip": b"\x1f\x8b"}
_FORMAT = {
    ".hdf5": "HDF5",
    ".h5": "HDF5",
    ".npz": "npz",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".csv": "CSV",
    ".csv.gz": "gzip",
}
_TABLES = ("Parquet", "CSV", "gzip")


@dataclass(frozen=True)
class Options:
    """What the user tells about the files beyond their content; see :func:`load_dataset`."""

    dones: Dones | None = None
    horizon: int | None = None
    action_low: Bound | None = None
    action_high: Bound | None = None
    discrete: bool | None = None
    n_actions: int | None = None
    mapping: TableMap | Mapping[str, Any] | str | Path | None = None

    def refuse(self, source: str, names: Sequence[str]) -> None:
        """Raise DataError for a named option that was given, because it would change nothing here."""
        # Bounds may be arrays, which compare element by element.
        given = [name for name in names if np.any(getattr(self, name) != getattr(Options(), name))]
        if given[:1] == ["mapping"]:
            raise DataError(f"{source}: a mapping (--map) is for CSV and Parquet tables, and this is none")
        if given:
            raise DataError(f"{source}: {given[0]} does not apply to it, the dataset says so itself")

    def of_flat(self) -> dict[str, Any]:
        """What the readers of npz and HDF5 files take."""
        return {key: value for key, value in vars(self).items() if key != "mapping"}


def load_dataset(
    source: Source | Sequence[Source],
    *,
    dones: Dones | None = None,
    action_low: Bound | None = None,
    action_high: Bound | None = None,
    discrete: bool | None = None,
    n_actions: int | None = None,
    horizon: int | None = None,
    mapping: TableMap | Mapping[str, Any] | str | Path | None = None,
    seed: int = 0,
) -> Dataset:
    """The dataset named by ``source``; several sources join into one, in the order given.

    A source is a built-in name (``pendulum-mixed``), a file (``.npz``, ``.hdf5``/``.h5`` as written by D4RL and
    d4rl-pybullet, or with ``mapping`` a ``.parquet``, ``.csv`` or ``.csv.gz`` table), a Minari dataset
    (``minari:namespace/name-vN`` or its folder), a folder that
    :func:`prudent.data.convert` wrote, whose rows stay on disk, or a D4RL name
    such as ``hopper-medium-expert-v2``, looked up in ``$PRUDENT_DATA`` and the customary local folders.

    Args:
        source: one source or a sequence of them.
        dones: what ``dones`` (npz), or ``terminals`` in a file without ``timeouts``, mean: the end of value
            ("terminated", taken where you do not say) or only of the recording ("truncated"). For files that cannot
            tell; refused for others.
        action_low: lower action bound in the units of the log, one number or one per feature; replaces
            the file's.
        action_high: upper action bound, likewise.
        discrete: whether actions are numbers of choices; None leaves it to the file. Never guessed: where
            neither says and the actions could be either, the file is refused until you do.
        n_actions: how many choices there are, so that those the log never took still count; says ``discrete``
            as well.
        horizon: the task's time limit in steps, for files without truncation flags; refused for others.
        mapping: of tables, which column means what: a TOML file, or a dictionary of the same (see
            :class:`prudent.data.readers.mapping.TableMap`).
        seed: for built-in datasets, which are made on the spot.

    Raises:
        DataError: one line naming the file, the key and the reason.
    """
    options = Options(dones, horizon, action_low, action_high, discrete, n_actions, mapping)
    check_said(options)
    if isinstance(source, str | Path):
        return _one(source, options, seed)
    if len(source) == 0:
        raise DataError("no dataset was named")
    found = [_one(item, options, seed) for item in source]
    if len(found) > 1 and any(is_mapped(dataset) for dataset in found):
        raise DataError("a converted folder is not joined in memory: convert all the sources into one folder")
    return Dataset.join(found)


def check_said(options: Options) -> None:
    """Refuse what no file could have meant.

    Raises:
        DataError: one line that names it.
    """
    if options.dones not in (None, "terminated", "truncated"):
        raise DataError(f'dones must be "terminated" or "truncated", got {options.dones!r}')
    if options.horizon is not None and options.horizon < 1:
        raise DataError(f"horizon must be 1 or more steps, got {options.horizon}")


def _one(source: Source, options: Options, seed: int) -> Dataset:
    text = str(source)
    if text in BUILTIN:
        options.refuse(text, ("dones", "horizon", "action_low", "action_high", "discrete", "n_actions", "mapping"))
        return BUILTIN[text].make(seed)
    if text.startswith("minari:"):
        return _minari(text.removeprefix("minari:"), options)
    path = Path(source).expanduser()
    if files.is_there(path):
        if not path.is_dir():
            return read_file(path, options)
        if (path / "config.json").is_file() or (path / "tune.json").is_file():
            raise DataError(f"{source}: a run, not data; prudent value, support, evaluate and report take runs")
        return _columns(path, options) if is_folder_of_columns(path) else _minari(path, options)
    if _extension(path) in _FORMAT:
        raise DataError(f"{source}: no such file")
    if _MINARI_ID.fullmatch(text):
        return _minari(text, options)
    if not is_bare_name(source):
        raise DataError(f"{source}: no such file or folder")
    return _named(text, options)


def read_from(found: Sequence[Path]) -> str:
    """The note on a dataset that was found by its name."""
    return f"read from {' and '.join(str(path) for path in found)}"


def is_bare_name(source: Source) -> bool:
    """Whether a source is looked up among the files of :func:`prudent.data.find.folders`."""
    text, path = str(source), Path(source).expanduser()
    said = text in BUILTIN or text.startswith("minari:") or _extension(path) in _FORMAT
    return isinstance(source, str) and not said and len(path.parts) == 1 and not files.is_there(path)


def _named(name: str, options: Options) -> Dataset:
    try:
        found = find.find(name)
    except DataError:
        close = get_close_matches(name, BUILTIN, n=1, cutoff=0.8)
        if close:
            raise DataError(f"{name}: no such dataset; did you mean {close[0]}?") from None
        raise
    joined = Dataset.join([read_file(path, options) for path in found], name=name)
    return joined.relabelled(notes=(read_from(found), *joined.notes))


def read_file(path: Path, options: Options | None = None) -> Dataset:
    """Read one file by its extension, after checking that its first bytes agree.

    Raises:
        DataError: the file is empty, of another kind than its name says, or its reader refuses it.
    """
    options = options or Options()
    extension = _extension(path)
    kind = _FORMAT.get(extension)
    if kind is None:
        accepted = ", ".join(_FORMAT)
        raise DataError(f"{path.name}: {extension or 'no extension'} is not a dataset format; accepted: {accepted}")
    check_magic(path, kind)
    if kind in _TABLES:
        return _table(path, options)
    options.refuse(path.name, ("mapping",))
    if kind == "npz":
        from prudent.data.readers import npz

        return npz.read(path, **options.of_flat())
    from prudent.data.readers import d4rl

    return d4rl.read(path, **options.of_flat())


def _extension(path: Path) -> str:
    """The last ending in small letters; of a compressed file the last two."""
    last = path.suffix.lower()
    return "".join(path.suffixes[-2:]).lower() if last == ".gz" else last


def _table(path: Path, options: Options) -> Dataset:
    from prudent.data.readers import table

    options.refuse(path.name, ("dones", "horizon"))
    if options.mapping is None:
        raise DataError(
            f"{path.name}: which column means what? Say so with --map map.toml, mapping= in Python; "
            f"its columns are {table.columns_of(path)}"
        )
    return table.read(
        path,
        options.mapping,
        action_low=options.action_low,
        action_high=options.action_high,
        discrete=options.discrete,
        n_actions=options.n_actions,
    )


def check_magic(path: Path, kind: str) -> None:
    """Raise DataError unless a file begins as one of its kind does."""
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


def _columns(folder: Path, options: Options) -> Dataset:
    options.refuse(str(folder), ("dones", "horizon", "discrete", "n_actions"))
    return read(folder, options.action_low, options.action_high)


def _minari(source: Source, options: Options) -> Dataset:
    from prudent.data.readers import minari

    options.refuse(str(source), ("dones", "horizon", "discrete", "n_actions", "mapping"))
    return minari.read(source, action_low=options.action_low, action_high=options.action_high)
