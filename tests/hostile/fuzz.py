"""Valid files with damage in them, thousands of them: ``make fuzz MINUTES=10``.

Every reader, the loading of checkpoints, and every verb that reads folders get seed files changed at random: bits,
bytes, numbers, pieces cut out, doubled or taken from another seed; text files also lose and gain words, and JSON gets
other values. All that may come out is a result or a :class:`prudent.errors.PrudentError` of one line, within 10 seconds
and 1 GB of memory (for folders ten seconds more: some verbs train). What else comes out is kept in
the folder ``--keep`` together with its traceback.
"""

import argparse
import hashlib
import json
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import corpus
import folders
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from prudent.bench import suite
from prudent.data import load_dataset
from prudent.data.readers.mapping import read_map
from prudent.errors import PrudentError
from prudent.runs import checkpoint

SECONDS, MEMORY = 10, 1 << 30
_ROUND_SECONDS = 15
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 62)

_WORDS = (b"[", b"]", b"{", b"}", b'"', b",", b"\n", b"\0", b"inf", b"nan", b"null", b"true", b"-1", b"1e999", b"\xff")
NAMES = (
    "npz",
    "hdf5",
    "d3rlpy",
    "robomimic",
    "buffer",
    "parquet",
    "csv",
    "map",
    "suite",
    "minari",
    "checkpoint",
    *folders.KINDS,
)
FIXTURES = Path(__file__).parents[1] / "fixtures"

Target = tuple[list[bytes], Callable[[bytes, Path], Any]]
"""Seeds, and what reads one that was changed (given a folder to put it in)."""


# --- targets ------------------------------------------------------------------------------------------------


def target(name: str, folder: Path) -> Target:
    """What is fuzzed under a name."""
    if name in folders.KINDS:
        folders.make(folder, name)
        return folders.seeds(folder, name), folders.reader(name)
    return _files(folder)[name]


def _files(folder: Path) -> dict[str, Target]:
    mapping = {"episode": "id", "observation": "x", "action": "u", "reward": "r"}

    def file(name: str, **options: Any) -> Callable[[bytes, Path], Any]:
        def read(content: bytes, place: Path) -> Any:
            (place / name).write_bytes(content)
            # One half is read as it is, of the other the bad episodes are left out.
            return load_dataset(place / name, skip_bad_episodes=sum(content) % 2 == 1, **options)

        return read

    def settings(name: str, reader: Callable[[str], Any]) -> Callable[[bytes, Path], Any]:
        def read(content: bytes, place: Path) -> Any:
            (place / name).write_bytes(content)
            return reader(str(place / name))

        return read

    found: dict[str, Target] = {
        "npz": ([_npz(zipfile.ZIP_STORED), _npz(zipfile.ZIP_DEFLATED)], file("log.npz")),
        "hdf5": ([_hdf5(folder, None), _hdf5(folder, "gzip")], file("log.hdf5")),
        "d3rlpy": (_fixtures("d3rlpy?_continuous.h5"), file("log.h5")),
        "robomimic": (_fixtures("robomimic_*.hdf5"), file("log.hdf5")),
        "buffer": (_fixtures("sb3_*.npz"), file("buffer.npz")),
        "parquet": ([_parquet("none"), _parquet("snappy"), _parquet("zstd")], file("log.parquet", mapping=mapping)),
        "csv": ([_csv()], file("log.csv", mapping=mapping)),
        "map": ([corpus.MAP.encode() + b'time = "t"\ndiscrete = false\n'], settings("map.toml", read_map)),
        "suite": ([_suite()], settings("suite.toml", suite.load)),
        "minari": (_minari(folder), _read_minari),
        "checkpoint": (_checkpoint(folder), _read_checkpoint),
    }
    return found


def _fixtures(pattern: str) -> list[bytes]:
    """Files that other libraries wrote."""
    return [path.read_bytes() for path in sorted(FIXTURES.glob(pattern))]


def _npz(method: int) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for key, column in corpus.columns().items():
            one = BytesIO()
            np.save(one, column)
            archive.writestr(f"{key}.npy", one.getvalue())
    return stream.getvalue()


def _hdf5(folder: Path, packed: str | None) -> bytes:
    path = folder / "seed.hdf5"
    with h5py.File(path, "w") as file:
        for key, column in corpus.columns().items():
            file.create_dataset(key, data=column, compression=packed)
        file["metadata/max_episode_steps"] = 4
        file.attrs["discrete"] = 0
    return path.read_bytes()


def _table() -> pa.Table:
    turn = np.arange(24)
    names = [f"e{k // 4}" for k in turn]
    return pa.table({"id": names, "x": np.sin(turn), "u": np.cos(turn), "r": np.sin(2 * turn)})


def _parquet(packed: str) -> bytes:
    stream = BytesIO()
    pq.write_table(_table(), stream, compression=packed)
    return stream.getvalue()


def _csv() -> bytes:
    stream = BytesIO()
    arrow_csv.write_csv(_table(), stream)
    return stream.getvalue()


def _suite() -> bytes:
    lines = ['title = "t"', "seeds = [0]", "[train]", "steps = 10", "[settings]", "alpha = 5.0", "[[dataset]]"]
    return "\n".join([*lines, 'name = "pendulum-mixed"', 'algorithms = ["cql", "bc"]', ""]).encode()


def _minari(folder: Path) -> list[bytes]:
    """Two files in one seed: the length of the first, the first, the second."""
    place = folder / "minari-seed"
    place.mkdir()
    (folder / "canary").mkdir()
    (folder / "canary" / "secret").write_bytes(b"")
    next(iter(corpus.minari(place, folder / "canary")))
    data = next(place.iterdir()) / "data"
    metadata = json.loads((data / "metadata.json").read_text())
    box = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-1.0, -1.0], "high": [1.0, 1.0]}
    told = json.dumps(metadata | {"observation_space": json.dumps(box)}).encode()
    return [_packed(told, (data / "main_data.hdf5").read_bytes())]


def _checkpoint(folder: Path) -> list[bytes]:
    import torch

    from prudent import algorithms
    from prudent.engine.members import Member
    from prudent.engine.population import Population
    from prudent.engine.scaling import Scaling
    from prudent.types import Spec

    spec = Spec(2, 1, False, (-1.0,), (1.0,))
    config = algorithms.get("bc").Config(hidden=(4,))
    scaling = Scaling(torch.zeros(2), torch.ones(2), torch.zeros(1), torch.ones(1))
    population = Population("bc", [Member("a", 0, config)], spec, scaling, "cpu")
    made = checkpoint.save(folder / "run", population, {}, keep=1)
    return [_packed((made / checkpoint.DESCRIPTION).read_bytes(), (made / checkpoint.STATE).read_bytes())]


def _packed(first: bytes, second: bytes) -> bytes:
    return struct.pack("<I", len(first)) + first + second


def _unpacked(content: bytes) -> tuple[bytes, bytes]:
    length = struct.unpack("<I", content[:4].ljust(4, b"\0"))[0]
    return content[4 : 4 + length], content[4 + length :]


def _read_minari(content: bytes, place: Path) -> Any:
    metadata, data = _unpacked(content)
    (place / "log" / "data").mkdir(parents=True, exist_ok=True)
    (place / "log" / "data" / "metadata.json").write_bytes(metadata)
    (place / "log" / "data" / "main_data.hdf5").write_bytes(data)
    return load_dataset(place / "log")


def _read_checkpoint(content: bytes, place: Path) -> Any:
    """With checksums that are right: a stranger reckons them too."""
    folder = place / "run" / "checkpoints" / "step_0"
    folder.mkdir(parents=True, exist_ok=True)
    contents = dict(zip((checkpoint.DESCRIPTION, checkpoint.STATE), _unpacked(content), strict=True))
    for name, part in contents.items():
        (folder / name).write_bytes(part)
    sums = {name: hashlib.sha256(part).hexdigest() for name, part in contents.items()}
    (folder / checkpoint.MANIFEST).write_text(json.dumps({"step": 0, "sha256": sums}))
    return checkpoint.load(place / "run")


# --- damage -------------------------------------------------------------------------------------------------


def damaged(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The content with one to eight changes."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not made:
            break
        at = rng.randrange(len(made))
        length = min(rng.choice((1, 2, 4, 8, 32, 256)), len(made) - at)
        what = rng.randrange(8)
        if what == 0:
            made[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            made[at] = rng.randrange(256)
        elif what == 2:
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(_INTERESTING) % (1 << 8 * width)
            made[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
        elif what == 3:
            del made[at : at + length]
        elif what == 4:
            made[at:at] = made[at : at + length] * rng.choice((1, 2, 50))
        elif what == 5:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            made[at : at + length] = other[start : start + length]
        elif what == 6:
            made[at:at] = rng.choice(_WORDS)
        else:
            digits = [i for i, byte in enumerate(made) if 48 <= byte <= 57]
            if digits:
                made[rng.choice(digits)] = rng.choice(b"0123456789-.eN")
    return bytes(made)


# --- running ------------------------------------------------------------------------------------------------


class _LateError(BaseException):
    """Not an ``Exception``: nothing that is tried may take it for a failure of its own."""


def work(name: str, seed: int, seconds: float, folder: Path) -> None:
    """Try one target for a while; the last line printed is the number of inputs tried and refused."""
    warnings.simplefilter("ignore")
    seeds, read = target(name, folder)
    rng = random.Random(seed)
    for content in seeds:
        if name not in ("minari", *folders.KINDS):  # folders were read when they were made
            read(content, folder)

    def late(*_: Any) -> None:
        raise _LateError("took too long")

    signal.signal(signal.SIGALRM, late)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tried = refused = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = rng.choice(seeds)
        is_json = name in folders.KINDS and rng.random() < 0.9
        head = b""
        if name in folders.KINDS and not is_json:
            head, _, content = content.partition(b"\0")
        content = folders.damaged(content, rng) if is_json else damaged(content, seeds, rng)
        content = head + b"\0" * bool(head) + content
        (folder / "current").write_bytes(content)
        tried += 1
        signal.alarm(SECONDS * (2 if name in folders.KINDS else 1))
        try:
            read(content, folder)
        except PrudentError as error:
            refused += 1
            if "\n" in str(error):
                raise
        finally:
            signal.alarm(0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if grown * 1024 > MEMORY:
            raise MemoryError(f"took {grown >> 10} MB")
    print(json.dumps([tried, refused]))


def main() -> int:
    """Spread the minutes over all targets; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="*", help="names of targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--worker", nargs=4, metavar=("TARGET", "SEED", "SECONDS", "FOLDER"), help=argparse.SUPPRESS)
    found = parser.parse_args()
    if found.worker:
        name, seed, seconds, folder = found.worker
        work(name, int(seed), float(seconds), Path(folder))
        return 0
    names = found.only or NAMES
    counts = {name: [0, 0, 0] for name in names}
    seconds = min(_ROUND_SECONDS, 60 * found.minutes / len(names))
    rounds = max(1, round(60 * found.minutes / len(names) / seconds))
    for number in range(rounds):
        for name in names:
            tried, refused, fault = one_round(name, found.seed + number, seconds, found.keep)
            counts[name] = [a + b for a, b in zip(counts[name], (tried, refused, fault), strict=True)]
    print(f"{'target':<12}{'tried':>10}{'refused':>10}{'found':>8}")
    for name, (tried, refused, fault) in counts.items():
        print(f"{name:<12}{tried:>10,}{refused:>10,}{fault:>8}")
    return 1 if any(fault for _, _, fault in counts.values()) else 0


def one_round(name: str, seed: int, seconds: float, keep: Path) -> tuple[int, int, int]:
    """A process of its own, so that a crash is found and not suffered."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    command = [sys.executable, __file__, "--worker", name, str(seed), str(seconds), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 180)
        said, failed = done.stderr, done.returncode != 0
        if not failed:
            tried, refused = json.loads(done.stdout.splitlines()[-1])
            return tried, refused, 0
    except subprocess.TimeoutExpired:
        said = "hung, and no alarm reached it"
    finally:
        current = (folder / "current").read_bytes() if (folder / "current").exists() else b""
        shutil.rmtree(folder, ignore_errors=True)
    keep.mkdir(parents=True, exist_ok=True)
    (keep / f"{name}-{seed}").write_bytes(current)
    (keep / f"{name}-{seed}.txt").write_text(said)
    print(f"{name}, seed {seed}: {said.strip().splitlines()[-1] if said.strip() else 'crashed'}", flush=True)
    return 0, 0, 1


if __name__ == "__main__":
    sys.exit(main())
