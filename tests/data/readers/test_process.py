"""The child process that parses tables: what it may take, how it ends, and that nothing of it is left."""

import os
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.data_logs import complaint
from prudent import cli
from prudent.data import load_dataset
from prudent.data.readers import _arrow, _process
from prudent.errors import DataError

ROLES = {"episode": "id", "observation": "x", "action": "u", "reward": "r"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits memory")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")


def log(folder, rows=12):
    turn = np.arange(rows)
    pq.write_table(
        pa.table({"id": turn // 4, "x": np.sin(turn), "u": np.cos(turn), "r": turn / 2}), folder / "log.parquet"
    )
    return folder / "log.parquet"


@pytest.fixture
def started(monkeypatch):
    """The processes started so far."""
    processes = []

    class Popen(_process.subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            processes.append(self)

    monkeypatch.setattr(_process.subprocess, "Popen", Popen)
    return processes


def child_does(monkeypatch, code):
    """Have the child run ``code``, which sees its module as ``main``, when it opens a table."""
    start = _process.START.removesuffix("main()\n")
    body = "\n    ".join(code.splitlines())
    monkeypatch.setattr(
        _process,
        "START",
        f"{start}\nfrom prudent.data.readers.child import main as module\nimport ctypes, os, time, warnings\n"
        f"open_table = module._table\ndef _table(path):\n    {body}\n    return open_table(path)\n"
        "module._table = _table\nmain()\n",
    )


# --- how it may end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("os.abort()", "its parser ended with SIGABRT", marks=posix),
        pytest.param("ctypes.string_at(0)", "its parser ended with SIGSEGV", marks=posix),
        pytest.param("os.kill(os.getpid(), 9)", "its parser ended with SIGKILL", marks=posix),
        pytest.param("while True: pass", "reading it takes more than 1 s of processor time", marks=posix),
        pytest.param("bytearray(2 << 30)", "reading it takes more than 320.0 MiB of memory", marks=linux),
        pytest.param("import pyarrow\npyarrow.allocate_buffer(2 << 30)", "more than 320.0 MiB of memory", marks=linux),
        ("os._exit(3)", "its parser ended with exit code 3"),
        ("time.sleep(60)", "reading it takes longer than 3 s"),
        ("raise ValueError('one\\nand two')", "a damaged table, or not what it is named (one and two)"),
    ],
)
def test_whatever_the_parser_does_ends_in_one_line(tmp_path, monkeypatch, capfd, started, code, words):
    monkeypatch.setattr(_process, "SECONDS", 0)
    monkeypatch.setattr(_process, "WAIT", 3 if "sleep" in code else 60)
    child_does(monkeypatch, code)
    path = log(tmp_path)
    (tmp_path / "map.toml").write_text("".join(f'{role} = "{column}"\n' for role, column in ROLES.items()))
    with pytest.raises(SystemExit) as caught:
        cli.main(["data", "import", str(path), "--map", str(tmp_path / "map.toml"), "--out", str(tmp_path / "o.hdf5")])
    out, err = capfd.readouterr()
    assert caught.value.code == 2
    assert not out
    assert err.count("\n") == 1
    assert "log.parquet: " in err
    assert words in err
    assert not (tmp_path / "o.hdf5").exists()
    assert [process.poll() is not None for process in started] == [True]


def test_a_mistake_in_the_child_is_not_told_as_damage(tmp_path, monkeypatch):
    child_does(monkeypatch, "raise AttributeError('mine')")
    with pytest.raises(RuntimeError, match="AttributeError: mine"):
        load_dataset(log(tmp_path), mapping=ROLES)


def test_a_child_that_cannot_start_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(_process, "START", "import nothing_of_this_name")
    assert "the process that reads it did not start" in complaint(load_dataset, log(tmp_path), mapping=ROLES)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "no process could be started to read it" in complaint(load_dataset, log(tmp_path), mapping=ROLES)


# --- memory -------------------------------------------------------------------------------------------------


@linux
def test_a_larger_file_and_a_larger_limit_allow_more(tmp_path, monkeypatch):
    child_does(monkeypatch, "bytearray(1 << 30)")
    path = log(tmp_path)
    assert "MiB of memory" in complaint(load_dataset, path, mapping=ROLES)
    monkeypatch.setenv("PRUDENT_MAX_BYTES", str(1 << 30))
    assert len(load_dataset(path, mapping=ROLES)) == 9
    monkeypatch.delenv("PRUDENT_MAX_BYTES")
    with path.with_suffix(".csv").open("w") as file:
        file.write("id,x,u,r\n" + "1,0.5,0.5,0.5\n" * 400_000)
    assert len(load_dataset(path.with_suffix(".csv"), mapping=ROLES)) == 399_999


def test_what_arrives_is_counted_too(tmp_path, monkeypatch):
    path = log(tmp_path, rows=100_000)
    # The file declares nothing of what it holds.
    child_does(monkeypatch, "module.ParquetTable.declared = lambda *_: []")
    monkeypatch.setenv("PRUDENT_MAX_BYTES", str(2 << 20))
    assert "the rows so far brings the file to 2.3 MiB" in complaint(load_dataset, path, mapping=ROLES)
    monkeypatch.setenv("PRUDENT_MAX_BYTES", str(4 << 20))
    assert len(load_dataset(path, mapping=ROLES)) == 75_000


# --- the process --------------------------------------------------------------------------------------------


def test_nothing_of_the_child_reaches_the_screen(tmp_path, monkeypatch, capfd):
    child_does(monkeypatch, "print('out')\nos.system('echo out; echo err >&2')\nwarnings.warn('err')")
    assert len(load_dataset(log(tmp_path), mapping=ROLES)) == 9
    assert capfd.readouterr() == ("", "")


def test_the_child_ends_when_the_parent_is_interrupted(tmp_path, started):
    def interrupted():
        with _arrow.opened(log(tmp_path)):
            assert started[0].poll() is None
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert started[0].poll() is not None
    assert started[0].stdin.closed
    assert started[0].stdout.closed


def test_the_child_does_without_torch(tmp_path, monkeypatch):
    child_does(monkeypatch, "import sys\nraise module.DataError(f\"torch: {'torch' in sys.modules}\")")
    assert complaint(load_dataset, log(tmp_path), mapping=ROLES) == "log.parquet: torch: False"


def test_modules_in_the_current_folder_are_not_imported(tmp_path, monkeypatch):
    for name in ("json", "numpy", "pyarrow", "prudent"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\n")
    path = log(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert len(load_dataset(path, mapping=ROLES)) == 9
    assert not (tmp_path / "ran").exists()


def test_threads_may_read_side_by_side(tmp_path):
    path = log(tmp_path)
    prints = []
    threads = [
        threading.Thread(target=lambda: prints.append(load_dataset(path, mapping=ROLES).fingerprint)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert prints == [load_dataset(path, mapping=ROLES).fingerprint] * 3


def test_only_tables_need_a_child(tmp_path, started):
    dataset = load_dataset(log(tmp_path), mapping=ROLES)
    assert len(started) == 1
    flat = {"observations": dataset.observation, "actions": dataset.action, "rewards": dataset.reward}
    np.savez(tmp_path / "log.npz", **flat, next_observations=dataset.next_observation, terminals=dataset.terminated)
    load_dataset(tmp_path / "log.npz")
    assert len(started) == 1


# --- content ------------------------------------------------------------------------------------------------


def columns(folder, kinds, **table):
    pq.write_table(pa.table(table), folder / "t.parquet", row_group_size=3)
    with _arrow.opened(folder / "t.parquet") as file:
        assert file.names == list(table)
        rows, found = file.read({name: [kind] for name, kind in kinds.items()})
        return rows, {name: column for (name, _), column in found.items()}


def test_columns_keep_their_types(tmp_path):
    table = {
        "i": pa.array(range(7), pa.int64()),
        "b": pa.array([True, False] * 3 + [True]),
        "h": pa.array(np.arange(7), pa.float16()),
        "d": pa.array([1, 2, 3, 4, 5, 6, 7], pa.decimal128(9, 2)),
        "t": pa.array(range(7), pa.timestamp("ms", tz="UTC")),
        "n": pa.array(["b", "a", "b", "c", "c", "", "b"]),
        "m": pa.array([None, 1, 2, 3, None, 5, 6], pa.int32()),
        "y": pa.array([b"x"] * 7),
    }
    kinds = dict.fromkeys("ibhdm", "number") | {"t": "time", "n": "label"}
    rows, found = columns(tmp_path, kinds, **table)
    assert rows == 7
    assert [(found[key].kind, found[key].values.dtype.str) for key in "ibhd"] == [
        ("number", "<i8"),
        ("number", "|i1"),
        ("number", "<f2"),
        ("number", "<f8"),
    ]
    for key in "ibhd":
        assert found[key].values.tolist() == np.asarray(table[key].to_pylist(), float).tolist()
    assert (found["t"].kind, found["t"].values.tolist()) == ("time", (np.arange(7) * 1_000_000).tolist())
    assert (found["n"].kind, found["n"].names) == ("text", ["b", "a", "c", ""])
    assert found["n"].values.tolist() == [0, 1, 0, 2, 2, 3, 0]
    assert found["m"].missing.tolist() == [0, 4]
    assert found["m"].values.tolist() == [0, 1, 2, 3, 0, 5, 6]
    assert not len(found["i"].missing)
    with pytest.raises(DataError, match=r"t\.parquet: column 'y' holds binary"):
        columns(tmp_path, {"y": "number"}, **table)
