"""A converted folder that is not what was written is refused, by every verb, before anything is written."""

import json
import os

import numpy as np
import pytest

from helpers.data_logs import complaint, logged
from prudent import cli
from prudent.data import load_dataset
from prudent.data.mapped import folder as mapped_folder
from prudent.data.readers import stream

LINE = "its files have changed since they were written: convert the source again"


@pytest.fixture
def folder(tmp_path):
    dataset = logged()
    with mapped_folder.Writer(tmp_path / "log", len(dataset)) as writer:
        for _, block in stream.of_dataset(dataset).blocks():
            writer.append(block)
        writer.finish(dataset.spec, "log", ["a note"])
    return tmp_path / "log"


def flip(name, at=-5, bits=0x40):
    def damage(folder):
        content = bytearray((folder / name).read_bytes())
        content[at] ^= bits
        (folder / name).write_bytes(content)

    return damage


def entry(**changes):
    def damage(folder):
        path = folder / "index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def bounds(folder):
    path = folder / "index.json"
    index = json.loads(path.read_text())
    index["spec"] |= {"action_low": [-9.0, -9.0], "action_high": [9.0, 9.0]}
    path.write_text(json.dumps(index))


def swap(folder):
    (folder / "observation.npy").rename(folder / "aside.npy")
    (folder / "next_observation.npy").rename(folder / "observation.npy")
    (folder / "aside.npy").rename(folder / "next_observation.npy")


def fitted(folder):
    """Other rewards, with the fingerprint that they have."""
    rewards = np.lib.format.open_memmap(folder / "reward.npy", mode="r+")
    rewards[:] = 1
    rewards.flush()
    columns = {key: np.load(folder / f"{key}.npy") for key in mapped_folder.COLUMNS}
    entry(fingerprint=mapped_folder.Dataset(**columns, spec=logged().spec).fingerprint)(folder)


@pytest.mark.parametrize(
    "damage",
    [
        *(flip(f"{key}.npy") for key in mapped_folder.COLUMNS if key not in ("terminated", "truncated")),
        flip("terminated.npy", -21),
        flip("truncated.npy", -1),
        flip("episode_returns.npy"),
        flip("followed.npy", -2),
        entry(observation_mean=[0.0, 0.0, 0.0]),
        entry(observation_std=[1.0, 1.0, 1.0]),
        entry(fingerprint="0123456789abcdef"),
        entry(name="other"),
        entry(notes=[]),
        entry(more=1),
        entry(seal="0"),
        entry(figures={}),
        bounds,
        swap,
        fitted,
    ],
)
def test_whatever_has_changed_is_noticed(folder, damage):
    damage(folder)
    assert complaint(load_dataset, folder) == f"{folder}: {LINE}"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"\0" * 4), "is cut short or has grown"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "is cut short or has grown"),
        (lambda path: np.save(path, np.load(path).astype(">f4")), "holds >f4"),
        (lambda path: np.save(path, np.load(path).astype("f8")), "holds float64"),
    ],
)
def test_files_of_another_size_or_type_are_refused(folder, damage, words):
    damage(folder / "reward.npy")
    assert words in complaint(load_dataset, folder)


def test_sound_folders_load_and_the_same_content_written_again_does_too(folder):
    (folder / "reward.npy").write_bytes((folder / "reward.npy").read_bytes())
    dataset = load_dataset(folder)
    assert dataset.notes == ("a note",)
    assert dataset.fingerprint == logged().fingerprint


@pytest.mark.parametrize("verb", ["describe", "convert", "train", "tune"])
def test_every_verb_refuses_in_one_line_and_writes_nothing(folder, capsys, verb):
    flip("reward.npy")(folder)
    out = folder.parent / "out"
    words = {
        "describe": ["data", "describe", str(folder)],
        "convert": ["data", "convert", str(folder), "--out", str(out)],
        "train": ["train", str(folder), "--steps", "5", "--out", str(out)],
        "tune": ["tune", str(folder), "--out", str(out)],
    }[verb]
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert LINE in shown
    assert not out.exists()


def test_resuming_refuses_and_leaves_the_run_as_it_was(folder, capsys):
    run = folder.parent / "run"
    small = ["--algo", "bc", "--hidden", "8", "--batch-size", "8", "--threads", "1", "--device", "cpu"]
    cli.main(["train", str(folder), *small, "--steps", "4", "--checkpoint-every", "2", "--out", str(run)])
    capsys.readouterr()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    flip("reward.npy")(folder)
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", "--resume", str(run), "--steps", "8"])
    assert caught.value.code == 2
    assert LINE in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["reward.npy", "episode_bounds.npy"])
@pytest.mark.parametrize("place", [10, 60, 66])
def test_a_header_that_is_no_python_is_one_line(folder, name, place):
    flip(name, place, 1)(folder)
    assert f"{folder / name} is not an .npy file that can be read" in complaint(load_dataset, folder)


@pytest.mark.parametrize("name", ["reward.npy", "followed.npy", "index.json"])
def test_links_and_pipes_in_place_of_files_are_refused_and_not_waited_for(folder, name):
    path = folder / name
    away = path.rename(folder.parent / name)
    path.symlink_to(away)
    assert complaint(load_dataset, folder) == f"{path} is a link, which is never followed"
    path.unlink()
    os.mkfifo(path)
    # A pipe under the name of the index is not even looked into.
    assert ("is no regular file" if name != "index.json" else "not of a Minari dataset") in complaint(
        load_dataset, folder
    )
