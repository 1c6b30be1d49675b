"""Files that attack their reader, made on the spot: ``python tests/hostile/corpus.py FOLDER`` leaves them to look at.

Beside them lies a canary: a file ``secret`` that nothing may open, and a place ``ran`` that appears where code of a
file was run.
"""

import gzip
import hashlib
import io
import json
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from prudent.data.mapped import seal

ROWS = 12
BIG = 1 << 25
"""Bytes that a bomb unpacks to at least: quick to make, and more than its size lets anybody expect."""


@dataclass(frozen=True)
class Hostile:
    """A file, the words the refusal must hold, and how prudent is led to read it."""

    path: Path
    words: str
    command: tuple[str, ...]
    bomb: bool = False

    @property
    def id(self) -> str:
        """Its folder and name."""
        return f"{self.path.parent.name}/{self.path.name}"


def columns() -> dict[str, np.ndarray]:
    """A sound log of three episodes."""
    rows = np.arange(ROWS)
    observation = np.stack([rows, np.sin(rows)], axis=1).astype(np.float32)
    return {
        "observations": observation,
        "next_observations": np.concatenate([observation[1:], observation[-1:] + 1]),
        "actions": np.cos(rows)[:, None].astype(np.float32),
        "rewards": np.sin(rows * 2).astype(np.float32),
        "terminals": rows % 4 == 3,
        "timeouts": np.zeros(ROWS, dtype=bool),
    }


class Payload:
    """Unpickling it creates the file ``ran``."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def build(folder: Path) -> list[Hostile]:
    """Every hostile file, made under ``folder``, with the canary beside them."""
    canary = folder / "canary"
    canary.mkdir(parents=True)
    with h5py.File(canary / "secret", "w") as file:
        file["rewards"] = np.full(ROWS, 777.0, np.float32)
        for key, column in columns().items():
            file[f"all/{key}"] = column
    found: list[Hostile] = []
    for make in (npz, hdf5, layouts, folders, minari, parquet, csv, maps, suites, runs):
        place = folder / make.__name__
        place.mkdir()
        found += make(place, canary) if make in (npz, hdf5, layouts, folders, minari) else make(place)
    return found


def described(path: Path, words: str, *more: str, bomb: bool = False) -> Hostile:
    return Hostile(path, words, ("data", "describe", str(path), *more), bomb)


# --- npz ----------------------------------------------------------------------------------------------------


def npz(place: Path, canary: Path) -> Iterator[Hostile]:
    def saved(name: str, **changes: Any) -> Path:
        path = place / f"{name}.npz"
        np.savez(path, **{key: value for key, value in (columns() | changes).items() if value is not None})
        return path

    def member(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED, key: str = "rewards.npy") -> Path:
        path = place / f"{name}.npz"
        with zipfile.ZipFile(path, "w", method) as archive:
            for other, column in columns().items():
                if f"{other}.npy" != key:
                    stream = io.BytesIO()
                    np.save(stream, column)
                    archive.writestr(f"{other}.npy", stream.getvalue())
            archive.writestr(key, content)
        return path

    def header(text: str, version: int = 1, length: int | None = None) -> bytes:
        encoded = text.encode("latin1") + b"\n"
        size = len(encoded) if length is None else length
        return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", size) + encoded

    plain = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"
    yield described(saved("pickle", rewards=np.array([Payload(canary / "ran")] * ROWS, dtype=object)), "holds objects")
    yield described(saved("text", rewards=np.array(["1.0"] * ROWS)), "rewards holds <U3, not numbers")
    yield described(saved("complex", rewards=np.zeros(ROWS, complex)), "rewards holds complex128, not numbers")
    yield described(saved("record", rewards=np.zeros(ROWS, dtype=[("a", "f4"), ("b", "O")])), "rewards holds objects")
    yield described(saved("dates", rewards=np.zeros(ROWS, "M8[s]")), "rewards holds datetime64[s], not numbers")
    yield described(member("declares-400-gigabytes", header(plain % ("<f4", (10**8, 1000)))), "rewards declares shape")
    yield described(member("negative", header(plain % ("<f4", (-5,))) + bytes(64)), "rewards declares shape (-5,)")
    yield described(member("overflow", header(plain % ("<f8", (2**62, 2**62)))), "rewards declares shape")
    yield described(member("zeros-that-inflate", header(plain % ("|u1", (BIG,))) + bytes(BIG)), "proportion", bomb=True)
    yield described(member("long-header", header(" " * BIG, version=2)), "rewards has a header of", bomb=True)
    yield described(member("header-that-calls", header("__import__('os').system('touch ran')")), "damaged npz")
    yield described(member("deep-header", header("(" * 9000)), "damaged npz")
    yield described(member("version-3", b"\x93NUMPY\x03\x00" + bytes(64)), "rewards is an npy array of version (3, 0)")
    yield described(member("lzma", header(plain % ("<f4", (ROWS,))) + bytes(48), zipfile.ZIP_LZMA), "by method 14")
    yield described(member("bzip2", header(plain % ("<f4", (ROWS,))) + bytes(48), zipfile.ZIP_BZIP2), "method 12")
    yield described(saved("huge-choice", actions=np.array([0, 2**31 - 2] * 6), discrete=1), "from 0 to 1048575")
    yield described(saved("many-choices", actions=np.arange(ROWS), n_actions=10**15), "n_actions must be from 1 to")
    path = saved("twice")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("rewards", b"\x93NUMPY")
    yield described(path, "rewards is in the file twice")
    path = saved("bad-checksum")
    content = bytearray(path.read_bytes())
    content[250] ^= 0xFF
    path.write_bytes(content)
    yield described(path, "damaged npz")
    yield from _lying_lists(saved)
    path = place / "hdf5-inside.npz"
    path.write_bytes((canary / "secret").read_bytes())
    yield described(path, "its content is HDF5")
    os.mkfifo(place / "pipe.npz")
    yield described(place / "pipe.npz", "not a regular file")


def _lying_lists(saved: Callable[..., Path]) -> Iterator[Hostile]:
    """Archives whose list of entries says other things than the file holds."""

    def listed(name: str, field: int, form: str, value: int, local: int | None = None) -> Path:
        """A sound archive with one field of the list's entry of the rewards overwritten, and of its own header."""
        path = saved(name)
        content = bytearray(path.read_bytes())
        entry = content.rindex(b"rewards.npy") - 46
        struct.pack_into(form, content, entry + field, value)
        if local is not None:
            struct.pack_into(form, content, content.index(b"rewards.npy") - 30 + local, value)
        path.write_bytes(content)
        return path

    yield described(listed("more-than-the-file", 20, "<I", 40 << 20), "rewards is listed with 40.0 MiB")
    yield described(listed("unpacks-to-more", 24, "<I", 1 << 30), "its own header says")
    yield described(listed("over-another", 42, "<I", 0), "overlap in the file")
    yield described(listed("other-method", 10, "<H", 8), "otherwise than its own header says")
    yield described(listed("encrypted", 8, "<H", 1, local=6), "rewards is encrypted")
    yield described(listed("other-disk", 34, "<H", 3), "another disk")
    path = saved("two-disks")
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, content.rindex(b"PK\5\6") + 4, 1)
    path.write_bytes(content)
    yield described(path, "several disks")
    path = saved("long-list")
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(40):
            archive.writestr(f"{number}" + "x" * 60_000, b"")
    yield described(path, "an npz has at most")


# --- HDF5 ---------------------------------------------------------------------------------------------------


def hdf5(place: Path, canary: Path) -> Iterator[Hostile]:
    secret = canary / "secret"

    def file(name: str, change: Callable[[h5py.File], Any], without: str = "rewards") -> Path:
        path = place / f"{name}.hdf5"
        with h5py.File(path, "w") as opened:
            for key, column in columns().items():
                if key != without:
                    opened[key] = column
            change(opened)
        return path

    def put(key: str, value: Any) -> Callable[[h5py.File], None]:
        return lambda opened: opened.__setitem__(key, value)

    def declare(key: str, *args: Any, **options: Any) -> Callable[[h5py.File], Any]:
        return lambda opened: opened.create_dataset(key, *args, **options)

    def virtual(opened: h5py.File) -> None:
        layout = h5py.VirtualLayout(shape=(ROWS,), dtype="f4")
        layout[:] = h5py.VirtualSource(str(secret), "rewards", shape=(ROWS,))
        opened.create_virtual_dataset("rewards", layout)

    def bomb(opened: h5py.File) -> None:
        opened.create_dataset("rewards", data=np.zeros(BIG, "u1"), chunks=(1 << 24,), compression="gzip")

    def chunk(opened: h5py.File) -> None:
        options = {"maxshape": (None,), "chunks": (2 * BIG + 1,), "compression": "gzip"}
        made = opened.create_dataset("rewards", (ROWS,), "u1", **options)
        made[:] = 1

    def swelling(opened: h5py.File) -> None:
        made = opened.create_dataset("rewards", (ROWS,), "f4", chunks=(ROWS,), compression="gzip")
        made.id.write_direct_chunk((0,), zlib.compress(bytes(256 << 20), 9))

    def twice_packed(opened: h5py.File) -> None:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((ROWS,))
        properties.set_deflate(9)
        properties.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
        h5py.h5d.create(opened.id, b"rewards", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((ROWS,)), properties)

    def packed_by(code: int) -> Callable[[h5py.File], None]:
        def make(opened: h5py.File) -> None:
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_chunk((ROWS,))
            properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
            h5py.h5d.create(opened.id, b"rewards", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((ROWS,)), properties)

        return make

    def many_keys(opened: h5py.File) -> None:
        opened["rewards"] = columns()["rewards"]
        for number in range(10_001):
            opened.id.links.create_hard(b"k%d" % number, opened.id, b"rewards")

    yield described(file("chunk-that-swells", swelling), "unpacks to more than", bomb=True)
    yield described(file("packed-twice", twice_packed), "packed twice")
    yield described(file("unknown-filter", packed_by(32015)), "HDF5 filter 32015 (zstd)")
    yield described(file("many-keys", many_keys), "holds more than 10,000 objects")
    path = file("shared-chunks", lambda opened: _chunks(opened, 500))
    _share_chunks(path)
    yield described(path, "they share their bytes")
    outside = [(str(secret), 0, h5py.h5f.UNLIMITED)]
    yield described(file("external-link", put("rewards", h5py.ExternalLink(str(secret), "/rewards"))), "external link")
    yield described(file("soft-link", put("rewards", h5py.SoftLink("/observations"))), "rewards is a soft link")
    yield described(file("link-to-itself", put("rewards", h5py.SoftLink("/rewards"))), "rewards is a soft link")
    yield described(file("virtual", virtual), "rewards is a virtual dataset")
    yield described(file("external-storage", declare("rewards", (ROWS,), "f4", external=outside)), "external storage")
    yield described(
        file("external-metadata", put("metadata", h5py.ExternalLink(str(secret), "/all"))), "metadata/", bomb=False
    )
    yield described(file("objects", declare("rewards", data=["a"] * ROWS, dtype=h5py.string_dtype())), "or text")
    yield described(file("ragged", declare("rewards", (ROWS,), h5py.vlen_dtype("f4"))), "rewards holds objects or text")
    yield described(file("references", declare("rewards", (ROWS,), h5py.ref_dtype)), "rewards holds objects or text")
    yield described(file("record", declare("rewards", (ROWS,), np.dtype([("a", "f4")]))), "rewards holds")
    yield described(file("opaque", declare("rewards", (ROWS,), np.dtype("V8"))), "rewards holds")
    yield described(file("group", lambda opened: opened.create_group("rewards")), "rewards is a group")
    yield described(file("type", put("rewards", np.dtype("f4"))), "rewards is a type definition")
    yield described(file("nothing", put("rewards", h5py.Empty("f4"))), "rewards has no rows")
    yield described(
        file("declares-400-gigabytes", declare("rewards", (10**11,), "f4", chunks=(10**6,))), "declares 372.5 GiB"
    )
    yield described(file("zeros-that-inflate", bomb), "out of all proportion", bomb=True)
    yield described(file("one-huge-chunk", chunk), "out of all proportion", bomb=True)
    yield described(
        file("long-attribute", lambda opened: opened.attrs.create("n_actions", np.zeros(8000)), without=""),
        "the attribute n_actions",
    )
    yield described(file("many-choices", put("metadata/n_actions", 10**15), without=""), "n_actions must be from 1 to")
    yield described(file("infinite-bound", put("metadata/action_low", [np.inf]), without=""), "action_low")
    path = file("cut", put("rewards", np.zeros(ROWS)))
    path.write_bytes(path.read_bytes()[:-900])
    yield described(path, "truncated or damaged HDF5")


def layouts(place: Path, canary: Path) -> Iterator[Hostile]:
    """HDF5 as d3rlpy 2.x and robomimic lay it out, replay buffers, and flags under other names."""
    secret = canary / "secret"
    raw = columns()

    def d3rlpy(name: str, change: Callable[[h5py.File], Any]) -> Path:
        path = place / f"d3rlpy-{name}.h5"
        with h5py.File(path, "w") as opened:
            opened["num_episodes"] = 2
            for k in range(2):
                for key in ("observations", "actions", "rewards"):
                    opened[f"{key}_{k}"] = raw[key]
                opened[f"terminated_{k}"] = True
            change(opened)
        return path

    def robomimic(name: str, change: Callable[[h5py.File], Any]) -> Path:
        path = place / f"robomimic-{name}.hdf5"
        with h5py.File(path, "w") as opened:
            for k in range(2):
                for key in ("actions", "rewards"):
                    opened[f"data/demo_{k}/{key}"] = raw[key]
                opened[f"data/demo_{k}/obs/object"] = raw["observations"]
            change(opened)
        return path

    def flat(name: str, change: Callable[[h5py.File], Any]) -> Path:
        path = place / f"flat-{name}.hdf5"
        with h5py.File(path, "w") as opened:
            for key, column in raw.items():
                opened[key] = column
            change(opened)
        return path

    def put(key: str, value: Any) -> Callable[[h5py.File], None]:
        def change(opened: h5py.File) -> None:
            if key in opened:
                del opened[key]
            opened[key] = value

        return change

    def made(key: str, *args: Any, **options: Any) -> Callable[[h5py.File], None]:
        def change(opened: h5py.File) -> None:
            if key in opened:
                del opened[key]
            opened.create_dataset(key, *args, **options)

        return change

    def virtual(key: str) -> Callable[[h5py.File], None]:
        def change(opened: h5py.File) -> None:
            if key in opened:
                del opened[key]
            layout = h5py.VirtualLayout(shape=(ROWS,), dtype="f4")
            layout[:] = h5py.VirtualSource(str(secret), "rewards", shape=(ROWS,))
            opened.create_virtual_dataset(key, layout)

        return change

    outside = [(str(secret), 0, h5py.h5f.UNLIMITED)]
    bomb = {"data": np.zeros(BIG, "u1"), "chunks": (1 << 24,), "compression": "gzip"}

    def inflating(*keys: str) -> Callable[[h5py.File], None]:
        def change(opened: h5py.File) -> None:
            for key, wide in zip(keys, (2, 1, 1), strict=True):
                del opened[key]
                zeros = np.zeros((BIG >> 2, wide), "u1")
                opened.create_dataset(key, data=zeros, chunks=(1 << 22, wide), compression="gzip")

        return change

    three = inflating("observations_1", "actions_1", "rewards_1")
    yield described(d3rlpy("zeros-that-inflate", three), "out of all proportion", bomb=True)
    demo = "data/demo_1"
    three = inflating(f"{demo}/obs/object", f"{demo}/actions", f"{demo}/rewards")
    yield described(robomimic("zeros-that-inflate", three), "out of all proportion", bomb=True)
    for make, key, group in ((d3rlpy, "rewards_1", ""), (robomimic, "data/demo_1/rewards", "data/demo_1/obs")):
        external = h5py.ExternalLink(str(secret), "/rewards")
        yield described(make("external-link", put(key, external)), f"{key} is an external link")
        yield described(make("soft-link", put(key, h5py.SoftLink("/data"))), f"{key} is a soft link")
        yield described(make("virtual", virtual(key)), f"{key} is a virtual dataset")
        stored = made(key, (ROWS,), "f4", external=outside)
        yield described(make("external-storage", stored), f"{key} keeps its bytes in external storage")
        yield described(make("objects", put(key, ["a"] * ROWS)), f"{key} holds objects or text")
        yield described(make("declares", made(key, (10**11,), "f4", chunks=(10**6,))), "declares 372.5 GiB")
        yield described(make("group", lambda f, key=key: (f.__delitem__(key), f.create_group(key))), f"{key}")
        yield described(make("type", put(key, np.dtype("f4"))), f"{key} is a type definition")
        if group:
            all_of_it = h5py.ExternalLink(str(secret), "/all")
            yield described(make("external-group", put(group, all_of_it)), f"{group}/object is an external link")
    link = h5py.ExternalLink(str(secret), "/rewards")
    yield described(d3rlpy("endless", put("num_episodes", 10**15)), "num_episodes is 1e+15, but")
    yield described(d3rlpy("linked-count", put("num_episodes", link)), "num_episodes is an external link")
    yield described(d3rlpy("count-of-text", put("num_episodes", "2")), "num_episodes must be one number")
    yield described(d3rlpy("linked-flag", put("terminated_1", link)), "terminated_1 is an external link")
    long = {"name": "num_samples", "data": np.zeros(8000)}
    yield described(robomimic("long-attribute", lambda f: f["data/demo_0"].attrs.create(**long)), "the attribute num_s")
    yield described(robomimic("linked-data", put("data/demo_0", link)), "data/demo_0 is an external link")
    many = robomimic("many-keys", lambda f: [f["data/demo_0/obs"].create_group(f"k{k}") for k in range(1001)])
    yield described(many, "data/demo_0/obs has 1,002 keys")
    yield described(flat("linked-flag", put("infos/truncated", link)), "infos/truncated is an external link")
    yield described(flat("virtual-flag", virtual("done")), "done is a virtual dataset")
    yield described(flat("flag-of-text", put("episode_terminals", ["a"] * ROWS)), "episode_terminals holds objects")
    yield described(flat("flag-that-inflates", made("terminated", **bomb)), "out of all proportion", bomb=True)

    def woven(opened: h5py.File) -> None:
        """Groups that hold each other: paths without end."""
        groups = [opened.create_group(f"g{k}") for k in range(30)]
        for group in groups:
            for k, other in enumerate(groups):
                group[f"h{k}"] = other

    nameless = robomimic("nameless", lambda f: h5py.h5g.create(f["data/demo_0/obs"].id, b"\xff\xfe"))
    yield described(nameless, "a name that is no text")
    yield described(flat("groups-that-hold-each-other", woven), "holds more than 10,000 objects")

    def buffer(name: str, **changes: Any) -> Path:
        path = place / f"buffer-{name}.npz"
        two = {key: np.stack([raw[key], raw[key]], axis=1) for key in ("observations", "next_observations", "actions")}
        one = {key: np.zeros((ROWS, 2), "f4") for key in ("rewards", "dones", "timeouts")}
        np.savez(path, **two | one | {"pos": 4, "full": False} | changes)
        return path

    yield described(buffer("pickle", pos=np.array([Payload(canary / "ran")], dtype=object)), "pos holds objects")
    yield described(buffer("position", pos=10**15), "pos is 1000000000000000, but the buffer has 12 rows")
    yield described(buffer("bounds", space_low=[-np.inf], space_high=[np.inf]), "one finite number per action")
    path = place / "buffer.pkl"
    path.write_bytes(f"cbuiltins\nopen\n(S'{canary / 'ran'}'\nS'w'\ntR.".encode())
    yield described(path, "a pickle, which is never opened")


def _chunks(opened: h5py.File, count: int) -> None:
    made = opened.create_dataset("rewards", (count * 1024,), "f4", chunks=(1024,), compression="gzip")
    made[:1024] = np.random.default_rng(0).random(1024)
    for number in range(1, count):
        made.id.write_direct_chunk((number * 1024,), bytes(8))


def _share_chunks(path: Path) -> None:
    """Have the index of the rewards lead from every chunk to the first one."""
    with h5py.File(path) as opened:
        made = opened["rewards"].id
        first, *others = (made.get_chunk_info(number) for number in range(made.get_num_chunks()))
    content = bytearray(path.read_bytes())
    for chunk in others:
        # An entry is size, mask, two offsets of 8 bytes and the address.
        at = content.index(struct.pack("<IIQQQ", chunk.size, 0, chunk.chunk_offset[0], 0, chunk.byte_offset))
        struct.pack_into("<IIQQQ", content, at, first.size, 0, chunk.chunk_offset[0], 0, first.byte_offset)
    path.write_bytes(content)


# --- converted folders --------------------------------------------------------------------------------------


def folders(place: Path, canary: Path) -> Iterator[Hostile]:
    raw = columns()
    arrays = {
        "observation": raw["observations"],
        "next_observation": raw["next_observations"],
        "action": raw["actions"],
        "reward": raw["rewards"],
        "terminated": raw["terminals"],
        "truncated": raw["timeouts"],
    }
    figures = {
        "episode_bounds": np.arange(0, ROWS + 1, 4),
        "episode_returns": np.zeros(ROWS // 4),
        "followed": ~raw["terminals"],
    }
    spec = {"observation_size": 2, "action_size": 1, "discrete": False, "action_low": [-1.0], "action_high": [1.0]}
    sound = {
        "format": "prudent columns",
        "version": 2,
        "rows": ROWS,
        "episodes": ROWS // 4,
        "spec": spec,
        "notes": [],
        "columns": {key: {"dtype": array.dtype.str, "shape": list(array.shape)} for key, array in arrays.items()},
        "fingerprint": "0" * 16,
        "observation_mean": [0.0, 0.0],
        "observation_std": [1.0, 1.0],
        "observation_low": [-1.0, -1.0],
        "observation_high": [1.0, 1.0],
    }

    def folder(name: str, index: str | None = None, **changes: Any) -> Path:
        path = place / name
        path.mkdir()
        for key, array in (arrays | figures).items():
            np.save(path / f"{key}.npy", array)
        entries = {"name": name, "figures": seal.figures(path), **changes}
        entries = {key: value for key, value in (sound | entries).items() if value is not None}
        entries["seal"] = seal.of_index(entries)
        (path / "index.json").write_text(json.dumps(entries) if index is None else index)
        return path

    def column(**changes: Any) -> dict[str, Any]:
        return sound["columns"] | {"reward": sound["columns"]["reward"] | changes}

    # All that is wrong with the soundest of them is the fingerprint, which takes reading the rows to know.
    yield described(folder("other-rows"), "changed since they were written")
    path = folder("other-bounds-than-written")
    index = json.loads((path / "index.json").read_text())
    index["spec"] |= {"action_low": [-9.0], "action_high": [9.0]}
    (path / "index.json").write_text(json.dumps(index))
    yield described(path, "changed since they were written")
    yield described(folder("hashes-of-numbers", figures=[1]), "figures the hashes of their files")
    yield described(folder("no-notes", notes=None), "is damaged (no 'notes')")
    yield described(folder("notes-of-numbers", notes=[1]), "name, fingerprint and notes must be text")
    yield described(folder("short-bounds", spec=spec | {"action_low": []}), "action_low holds 0 numbers instead of")
    yield described(folder("text-moments", observation_mean=["a", "b"]), "observation_mean holds something other")
    yield described(folder("long-numbers", observation_std=[10**400, 1.0]), "is damaged")
    yield described(folder("no-range", observation_low=None), "is damaged (no 'observation_low')")
    yield described(folder("endless", rows=10**12), "is damaged")
    yield described(folder("objects", columns=column(dtype="O")), "'O' is not a type of numbers")
    yield described(folder("evaluated-type", columns=column(dtype="(__import__('os'),)f4")), "is not a type of numbers")
    yield described(
        folder("traversal", columns=column() | {"../../canary/secret": column()["reward"]}), "no column can"
    )
    yield described(folder("deep", "[" * 100_000), "cannot be read")
    path = folder("linked-column")
    (path / "reward.npy").unlink()
    (path / "reward.npy").symlink_to(canary / "secret")
    yield described(path, "is a link, which is never followed")


# --- Minari -------------------------------------------------------------------------------------------------


def spread(space: dict[str, Any], size: int) -> dict[str, Any]:
    """A box of ``size`` features."""
    return space | {"shape": [size], "low": [-1.0] * size, "high": [1.0] * size}


def spaces_to_refuse(box: dict[str, Any]) -> dict[str, tuple[dict[str, Any], str]]:
    """Changed metadata of a Minari dataset, and the words of its refusal."""

    def action(**space: Any) -> dict[str, Any]:
        return {"action_space": json.dumps(space)}

    def observation(**space: Any) -> dict[str, Any]:
        return {"observation_space": json.dumps(box | space)}

    return {
        "many": (action(type="Discrete", n=10**9, start=0), "n_actions must be from 1"),
        "none": (action(type="Discrete", n=0, start=0), "n_actions must be from 1"),
        "far": (
            action(type="Discrete", n=3, start=10**30),
            "start of action_space: first_action must be a whole number",
        ),
        "broken": (action(type="Discrete", n=3, start=0.5), "needs whole numbers"),
        "nested": (observation(type="Dict", subspaces={"a": {"type": "Dict", "subspaces": {}}}), "is a Dict"),
        "nameless": (observation(type=["Box"]), "only Box can be read"),
        "strange": (observation(type="Bo\u202ex\n\x1b[2J" + "x" * 9000), "only Box can be read"),
        "open": (
            action(type="Box", dtype="float32", shape=[1], low=[0.0], high=[np.inf]),
            "upper action bound is open",
        ),
        "no-number": (
            action(type="Box", dtype="float32", shape=[1], low=[np.nan], high=[1.0]),
            "Minari cannot read it",
        ),
        "deep-bounds": (observation(low="[" * 5000), "Minari cannot read it"),
        "objects": (observation(dtype="object"), "Minari cannot read it"),
    }


def shares_an_array(episode: h5py.Group) -> None:
    episode.create_group("infos")["x"] = episode["rewards"]


def shares_a_group(episode: h5py.Group) -> None:
    for index in range(1, 300):
        episode.file[f"episode_{index}"] = episode


def has_many_paths(episode: h5py.Group) -> None:
    """Four groups, each under 30 names in the one above it: 810,000 paths."""
    group = episode.create_group("infos")
    for _ in range(4):
        inner = group.create_group("l0")
        for index in range(1, 30):
            group[f"l{index}"] = inner
        group = inner


def contain_itself(episode: h5py.Group) -> None:
    episode.create_group("infos")["again"] = episode


def has_strange_names(episode: h5py.Group) -> None:
    episode.create_group("/".join(["a\nb\x1b[2J\u202e" + "x" * 900] * 8))


def minari(place: Path, canary: Path) -> Iterator[Hostile]:
    box = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-1.0, -1.0], "high": [1.0, 1.0]}
    action = {"type": "Box", "dtype": "float32", "shape": [1], "low": [-1.0], "high": [1.0]}
    metadata = {
        "total_episodes": 1,
        "total_steps": 4,
        "data_format": "hdf5",
        "observation_space": json.dumps(box),
        "action_space": json.dumps(action),
        "dataset_id": "a/b-v0",
        "minari_version": "0.5.4",
    }
    spec = {"id": "canary:Gone-v0", "entry_point": "canary:touch", "kwargs": {}, "additional_wrappers": []}

    def folder(name: str, change: Callable[[h5py.File], Any] | None = None, **changes: Any) -> Path:
        data = place / name / "data"
        data.mkdir(parents=True)
        told = {key: value for key, value in (metadata | changes).items() if value is not None}
        (data / "metadata.json").write_text(json.dumps(told))
        with h5py.File(data / "main_data.hdf5", "w") as file:
            episode = file.create_group("episode_0")
            parts = {"observations": 5, "actions": 4, "rewards": 4, "terminations": 4, "truncations": 4}
            for key, rows in parts.items():
                wide = {"observations": (rows, 2), "actions": (rows, 1)}.get(key, (rows,))
                episode[key] = np.zeros(wide, bool if key.startswith("t") else "f4")
            if change is not None:
                change(episode)
        return place / name

    def replace(key: str, value: Any) -> Callable[[h5py.Group], None]:
        def change(episode: h5py.Group) -> None:
            del episode[key]
            episode[key] = value

        return change

    secret = canary / "secret"
    yield described(folder("builds-environment", observation_space=None, env_spec=json.dumps(spec)), "no observation")
    link = h5py.ExternalLink(str(secret), "/rewards")
    yield described(folder("external-link", replace("rewards", link)), "episode_0/rewards is an external link")
    yield described(folder("objects", replace("rewards", ["a"] * 4)), "episode_0/rewards holds objects or text")
    yield described(folder("endless", total_episodes=10**12), "declares 1000000000000 total_episodes, there are 1")
    yield described(folder("counts-in-text", total_episodes="1"), "total_episodes")
    yield described(folder("format", data_format="../../canary"), "data_format is '../../canary'")
    yield described(folder("wide", observation_space=json.dumps(box | {"shape": [10**12]})), "has shape")
    yield described(
        folder("many-choices", action_space=json.dumps({"type": "Discrete", "n": 10**15, "start": 0})), "n_act"
    )
    yield described(folder("text-space", action_space=json.dumps({"type": "Text"})), "action_space is a Text")
    yield described(folder("deep-space", action_space="[" * 100_000), "action_space in metadata.json")
    for name, metadata_of in spaces_to_refuse(box).items():
        yield described(folder(f"space-{name}", **metadata_of[0]), metadata_of[1])
    yield described(folder("half-a-flag", replace("terminations", [0, 0.5, 7, np.nan])), "row 1 is 0.5")
    yield described(folder("narrow", observation_space=json.dumps(spread(box, 3))), "declares 3 features")
    wide_action = json.dumps(spread(action, 2))
    yield described(folder("narrow-action", action_space=wide_action), "action_space declares 2 features")
    yield described(
        folder("one-array-twice", shares_an_array), "episode_0/rewards and episode_0/infos/x are one object"
    )
    yield described(folder("one-group-many-times", shares_a_group), "are one object")
    yield described(folder("million-paths", has_many_paths), "are one object")
    yield described(folder("own-parent", lambda episode: contain_itself(episode)), "are one object")
    yield described(folder("strange-names", has_strange_names), "nested more than 6 deep")
    path = folder("linked-file")
    (path / "data" / "main_data.hdf5").unlink()
    (path / "data" / "main_data.hdf5").symlink_to(secret)
    yield described(path, "main_data.hdf5 is a link that leads out")
    path = folder("linked-metadata")
    (path / "data" / "metadata.json").rename(canary / "metadata.json")
    (path / "data" / "metadata.json").symlink_to(canary / "metadata.json")
    yield described(path, "metadata.json is a link that leads out")
    path = folder("long-metadata")
    (path / "data" / "metadata.json").write_bytes(b" " * (9 << 20))
    yield described(path, "which no real one needs")
    path = folder("deep-metadata")
    (path / "data" / "metadata.json").write_text("[" * 100_000)
    yield described(path, "metadata.json cannot be read")
    path = folder("pipe")
    os.mkfifo(path / "data" / "pipe")
    yield described(path, "pipe is no regular file")
    path = folder("packed-arrow", data_format="arrow")
    (path / "data" / "0").mkdir()
    table = pa.table({"rewards": np.zeros(BIG >> 3)})
    with pa.ipc.new_file(
        path / "data" / "0" / "a.arrow", table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as f:
        f.write_table(table)
    yield described(path, "is packed", bomb=True)
    path = folder("forged-footer", data_format="arrow")
    (path / "data" / "0").mkdir()
    arrow = path / "data" / "0" / "a.arrow"
    with pa.ipc.new_file(arrow, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as f:
        f.write_table(table)
    content = arrow.read_bytes()
    end = 16 + int.from_bytes(content[12:16], "little")
    # The stream ends behind its schema; the footer still leads to the packed batch.
    arrow.write_bytes(content[:end] + b"\xff\xff\xff\xff\0\0\0\0" + content[end:])
    yield described(path, "", bomb=True)
    yield Hostile(Path("minari:../../canary/a-v0"), "not a Minari id", ("data", "describe", "minari:../../canary/a-v0"))


# --- tables -------------------------------------------------------------------------------------------------

MAP = """episode = "id"
observation = "x"
action = "u"
reward = "r"
"""


def _table(rows: int = ROWS) -> dict[str, Any]:
    turn = np.arange(rows)
    return {"id": turn // 4, "x": np.sin(turn), "u": np.cos(turn), "r": np.sin(2 * turn)}


def parquet(place: Path) -> Iterator[Hostile]:
    mapping = place / "map.toml"
    mapping.write_text(MAP)

    def saved(name: str, table: pa.Table, **options: Any) -> Path:
        path = place / f"{name}.parquet"
        pq.write_table(table, path, **options)
        return path

    def refused(path: Path, words: str, bomb: bool = False) -> Hostile:
        return described(path, words, "--map", str(mapping), bomb=bomb)

    rows = BIG // 15
    constant = {key: np.full(rows, 0.5) for key in ("id", "x", "u", "r")}
    yield refused(saved("one-value-repeated", pa.table(constant)), "out of all proportion", bomb=True)
    yield refused(
        saved("zeros-that-inflate", pa.table(constant), use_dictionary=False, compression="zstd"),
        "proportion",
        bomb=True,
    )
    named = pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, "i4")), pa.array(["x" * (2 * BIG + 1)]))
    long = _table() | {"id": named}
    yield refused(
        saved("a-name-of-64-megabytes", pa.table(long), compression="zstd", write_statistics=False),
        "proportion",
        bomb=True,
    )
    yield refused(
        _forged_sizes(saved("a-page-of-its-own-size", pa.table(long), compression="zstd")), "proportion", bomb=True
    )
    giant = _table() | {
        "id": pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, "i4")), pa.array(["x" * 11 * BIG]))
    }
    path = saved("a-page-beyond-the-limit", pa.table(giant), compression="zstd", write_statistics=False)
    del giant
    yield refused(_forged_sizes(path), "proportion", bomb=True)
    yield refused(saved("nested", pa.table(_table() | {"x": [[1.0]] * ROWS})), "column 'x' holds list")
    yield refused(saved("struct", pa.table(_table() | {"x": [{"a": 1.0}] * ROWS})), "column 'x' holds struct")
    yield refused(saved("bytes", pa.table(_table() | {"x": [b"\x80\x04N."] * ROWS})), "column 'x' holds binary")
    labels = pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, "i4")), pa.array([1e17]))
    yield refused(saved("labels-that-floats-blur", pa.table(_table() | {"id": labels})), "may stand for several")
    wide = pa.array([10**60] * ROWS, pa.decimal256(70, 0))
    yield refused(saved("wide-decimals", pa.table(_table() | {"x": wide})), "observation has 12 rows with NaN or inf")
    yield refused(saved("text", pa.table(_table() | {"r": ["1"] * ROWS})), "column 'r' for reward holds string")
    sound = saved("sound", pa.table(_table()), use_dictionary=False, compression="none").read_bytes()
    (place / "sound.parquet").unlink()

    def forged(name: str, content: bytes) -> Path:
        (place / f"{name}.parquet").write_bytes(content)
        return place / f"{name}.parquet"

    footer = int.from_bytes(sound[-8:-4], "little")
    yield refused(forged("footer-of-4-gigabytes", sound[:-8] + b"\xff\xff\xff\xff" + b"PAR1"), "damaged table")
    yield refused(forged("no-footer", sound[:-100]), "damaged table")
    yield refused(forged("footer-of-noise", sound[: -8 - footer] + b"\xff" * footer + sound[-8:]), "damaged table")
    # A page header begins 15 (type i32) 0 15 (inflated i32): an inflated size of 2^31 - 1 in five bytes.
    page = sound.index(b"\x15\x00\x15", 4)
    yield refused(forged("page-of-noise", sound[:page] + b"\xff" * 24 + sound[page + 24 :]), "page header")
    two = sound[: page + 3] + _varint((1 << 32) - 2) + sound[page + 5 :]
    yield refused(forged("page-of-2-gigabytes", two), "page")
    # A path of one name, x, as the first row group has it; the schema says the same in another way.
    lies = sound.index(b"\x19\x18\x01x")
    yield refused(forged("named-otherwise", sound[: lies + 3] + b"q" + sound[lies + 4 :]), "not those of the file")
    yield refused(forged("shifted", sound[:4] + sound[300:]), "")
    yield refused(forged("csv-inside", b"id,x,u,r\n1,2,3,4\n"), "not a Parquet file")


def _forged_sizes(path: Path) -> Path:
    """Have the footer declare next to nothing of what the pages of the first column hold."""
    declared = pq.ParquetFile(path).metadata.row_group(0).column(0).total_uncompressed_size
    content, written = path.read_bytes(), _varint(2 * declared)
    # A number may be written with more bytes than it needs: no other byte of the footer moves.
    forged = b"\x80" * (len(written) - 1) + b"\x00"
    path.write_bytes(content.replace(written, forged))
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).total_uncompressed_size == 0
    return path


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def csv(place: Path) -> Iterator[Hostile]:
    mapping = place / "map.toml"
    mapping.write_text(MAP)
    stream = io.BytesIO()
    arrow_csv.write_csv(pa.table(_table()), stream)
    sound = stream.getvalue()

    def refused(name: str, content: bytes, words: str, bomb: bool = False) -> Hostile:
        path = place / name
        path.write_bytes(content)
        return described(path, words, "--map", str(mapping), bomb=bomb)

    line = b"1,0.5,0.5,0.5\n"
    yield refused(
        "gzip-bomb.csv.gz", gzip.compress(b"id,x,u,r\n") + gzip.compress(line * 80_000) * 80, "inflate", bomb=True
    )
    yield refused(
        "one-long-line.csv.gz",
        gzip.compress(b"id,x,u,r\n") + gzip.compress(b"1" * (1 << 20)) * 80,
        "inflate to more than",
        bomb=True,
    )
    yield refused("long-header.csv", b"a," * (1 << 20), "its first line is longer than")
    yield refused("many-columns.csv", b"a," * 20_000 + b"\n1\n", "20001 columns")
    yield refused("zero-bytes.csv", b"id,x\0,u,r\n", "is not text")
    yield refused("not-utf8.csv", b"id,x,u,\xff\n1,2,3,4\n", "damaged table")
    yield refused("formula.csv", sound + b'1,"=HYPERLINK(1)",1,1\n', "'=HYPERLINK(1)'")
    yield refused("uneven.csv", sound + b"1,2,3,4,5,6\n", "damaged table")
    yield refused("not-gzip.csv.gz", sound, "not a gzip file")
    yield refused("cut.csv.gz", gzip.compress(sound)[:-20], "damaged")
    yield refused("twice.csv", b"id,x,x,r\n1,2,3,4\n", "column 'x' is there twice")


# --- settings -----------------------------------------------------------------------------------------------


def maps(place: Path) -> Iterator[Hostile]:
    log = place / "log.csv"
    arrow_csv.write_csv(pa.table(_table()), log)

    def refused(name: str, content: str | bytes, words: str) -> Hostile:
        path = place / f"{name}.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Hostile(path, words, ("data", "describe", str(log), "--map", str(path)))

    yield refused("unknown-key", MAP + 'episod = "id"', "did you mean episode?")
    yield refused("target", MAP + '_target_ = "os.system"', "no setting is called '_target_'")
    yield refused("deep", "a = " + "[" * 100_000, "is not TOML")
    yield refused("deep-keys", ".".join("a" * 50_000) + " = 1", "a key of more than 32 parts")
    yield refused("long", "#" * (300 << 10), "is longer than")
    yield refused("long-number", "a = " + "9" * 10_000, "is not TOML")
    yield refused("python", "import os; os.system('touch ran')", "is not TOML")
    yield refused("not-utf8", b"a = '\xff'", "is not TOML")
    yield refused("other-type", MAP.replace('"r"', "{a = 1}"), "reward cannot be")


def suites(place: Path) -> Iterator[Hostile]:
    out = str(place / "out")

    def refused(name: str, content: str, words: str) -> Hostile:
        path = place / f"{name}.toml"
        path.write_text(content)
        return Hostile(path, words, ("bench", str(path), "--out", out))

    head = 'title = "t"\nseeds = [0]\n[[dataset]]\n'
    yield refused("deep", "a = " + "[" * 100_000, "is not TOML")
    yield refused("long", "#" * (300 << 10), "is longer than")
    yield refused(
        "traversal", head + 'name = "../../canary"\nsource = "pendulum-mixed"\nenv = "Pendulum-v1"', "name must be"
    )
    yield refused("unknown-key", head + 'name = "a"\nsorce = "pendulum-mixed"', "did you mean source")


def runs(place: Path) -> Iterator[Hostile]:
    def run(name: str, **files: str | bytes) -> Path:
        path = place / name
        for key, content in {"config.json": "{}", **files}.items():
            file = path / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def evaluated(path: Path, words: str, *more: str) -> Hostile:
        return Hostile(path, words, ("evaluate", str(path), *more))

    checkpoint = "checkpoints/step_1/"
    manifest = json.dumps({"step": 1, "sha256": {}})

    # The right checksum does not make content good: a stranger reckons it as well.
    def signed(state: bytes, description: bytes) -> dict[str, Any]:
        sums = {"state.safetensors": state, "checkpoint.json": description}
        told = {"step": 1, "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in sums.items()}}
        return {checkpoint + "manifest.json": json.dumps(told)} | {checkpoint + name: c for name, c in sums.items()}

    huge = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    for name, content, words in (("deep-config", "[" * 100_000, "not JSON"), ("list", "[]", "not a JSON object")):
        path = run(name, **{"config.json": content})
        yield Hostile(path, words, ("train", "--resume", str(path)))
    env = ("--env", "Pendulum-v1")
    pickled = run(
        "pickled-state", **{checkpoint + "state.safetensors": b"\x80\x04N.", checkpoint + "manifest.json": manifest}
    )
    yield evaluated(pickled, "no checkpoint here to load", *env)
    yield evaluated(run("signed-pickle", **signed(b"\x80\x04N." + bytes(64), b"{}")), "not a complete checkpoint", *env)
    huge_state = struct.pack("<Q", len(huge)) + huge
    yield evaluated(run("declares-4-terabytes", **signed(huge_state, b"{}")), "not a complete checkpoint", *env)
    yield evaluated(run("endless-header", **signed(b"\xff" * 64, b"{}")), "not a complete checkpoint", *env)
    yield evaluated(
        run("deep-manifest", **{checkpoint + "manifest.json": "[" * 100_000}), "not a complete checkpoint", *env
    )
    empty = struct.pack("<Q", 2) + b"{}"
    yield evaluated(run("deep-description", **signed(empty, b"[" * 100_000)), "not a complete checkpoint", *env)
    yield evaluated(run("traversing-algorithm", **signed(empty, b'{"algorithm": "../../canary"}')), "algorithm", *env)
    path = run("linked-state", **signed(empty, b"{}"))
    (path / checkpoint / "state.safetensors").unlink()
    (path / checkpoint / "state.safetensors").symlink_to("/dev/zero")
    yield evaluated(path, "no regular file", *env)


def main(arguments: Sequence[str]) -> None:
    """Leave the corpus in a folder and say what it is."""
    for hostile in build(Path(arguments[0])):
        print(f"{hostile.id:50} prudent {' '.join(hostile.command)}")


if __name__ == "__main__":
    main(sys.argv[1:])
