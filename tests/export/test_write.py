"""An export is whole or not there; what was changed afterwards is found."""

import hashlib
import json
import shutil
import subprocess

import numpy as np
import pytest

from helpers.exports import COLUMNS, learned, shop_log
from helpers.runs import tree
from prudent.errors import ConfigError, PrudentError
from prudent.export import agreement, formats, write
from prudent.version import __version__


@pytest.fixture
def copied(shop, tmp_path):
    """A copy of the export beside a copy of its agent."""
    shutil.copytree(shop.path.parent, tmp_path / "all")
    return tmp_path / "all" / "out"


def told(path, run=None):
    lines = []
    write.check(path, run, lines.append)
    return lines


def test_the_description_says_what_a_user_needs(shop):
    about = json.loads((shop.path / "policy.json").read_text())
    assert about == shop.content
    assert (about["made_by"], about["algorithm"], about["step"]) == (f"prudent {__version__}", "cql", 3)
    assert about["member"]["name"] == "seed=0"
    assert about["inputs"] == ["observation"]
    assert list(about["outputs"]) == ["action", "mode", "mean", "log_std", "q", "beyond", "outside", "score"]
    assert (about["acting"], about["noise"], about["discount"]) == ("mode", None, 0.99)
    seen, taken = about["observation"], about["action"]
    assert seen["features"] == [name for column in COLUMNS for name in column.features]
    assert (seen["size"], seen["dtype"], seen["outside_range"]) == (7, "float32", "clip")
    figures = shop.dataset.observation_figures
    np.testing.assert_allclose(seen["range"], [figures.low, figures.high], rtol=1e-5, atol=1e-5)
    assert (taken["names"], taken["low"], taken["high"]) == (["order"], [0.0], [50.0])
    assert about["data"]["fingerprint"] == shop.dataset.fingerprint
    assert about["data"]["license"] == "CC-BY-4.0"
    assert about["checked"]["rows"] == 240
    assert about["checked"]["largest_difference"] <= 1e-5
    assert about["outside"]["fallback"] == "flag"
    assert (about["verdict"], about["value"]) == (None, None)


def test_choices_keep_their_numbers(choices):
    taken = choices.content["action"]
    assert (taken["discrete"], taken["first_action"], taken["size"]) == (True, 1, 3)
    assert choices.content["inputs"] == ["observation", "mask", "noise"]
    assert choices.content["noise"] == "uniform"


def test_sums_are_those_that_sha256sum_verifies(shop):
    sums = dict(reversed(line.split("  ")) for line in (shop.path / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {"policy.onnx", "action.onnx", "policy.json", "README.md", "act.py"}
    assert {*sums, "SHA256SUMS"} == set(tree(shop.path))
    for name, digest in sums.items():
        assert hashlib.sha256((shop.path / name).read_bytes()).hexdigest() == digest
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=shop.path, check=True)


def test_a_sound_export_is_compared_with_its_run(copied):
    first, second = told(copied)
    assert first == "5 files are as they were written"
    assert "made-up rows" in second
    shutil.rmtree(copied.parent / "agent")
    assert told(copied)[1].startswith("not compared with its run: ")


@pytest.mark.parametrize("name", ["policy.onnx", "action.onnx", "policy.json", "README.md", "act.py"])
def test_a_file_that_was_edited_is_named(copied, name):
    path = copied / name
    content = path.read_bytes()
    path.write_bytes(content + b"\n")
    with pytest.raises(PrudentError, match=f"{name} was changed after the export"):
        told(copied)
    path.unlink()
    with pytest.raises(PrudentError, match=f"{name} is gone"):
        told(copied)


def test_sums_that_were_edited(copied):
    sums = copied / "SHA256SUMS"
    before = sums.read_text()
    for wrong, message in (
        (before.replace("act.py", "../act.py"), "SHA256SUMS was changed"),
        (before + "hello\n", "SHA256SUMS was changed"),
        (before + before, "SHA256SUMS was changed"),
        ("\n".join(before.splitlines()[:3]), "has no line for policy.json"),
        ("".join(line for line in before.splitlines(True) if "action.onnx" not in line), "has no line for action.onnx"),
    ):
        sums.write_text(wrong)
        with pytest.raises(PrudentError, match=message):
            told(copied)
    sums.unlink()
    with pytest.raises(ConfigError, match="is no export: it has no SHA256SUMS"):
        told(copied)


def test_an_edit_that_also_renews_the_sums_is_found_beside_the_run(copied):
    def renew():
        names = [line.split("  ")[1] for line in (copied / "SHA256SUMS").read_text().splitlines()]
        lines = [f"{hashlib.sha256((copied / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
        (copied / "SHA256SUMS").write_text("".join(lines))

    other = learned("cql", shop_log(), seeds=[1])
    shutil.rmtree(copied.parent / "agent")
    other.save(copied.parent / "agent")
    with pytest.raises(PrudentError, match="is another checkpoint than the export was made of"):
        told(copied)
    with pytest.raises(PrudentError, match="has no member seed=0"):
        told(copied, copied.parent / "agent")
    about = json.loads((copied / "policy.json").read_text())
    about["member"]["name"] = "seed=1"
    (copied / "policy.json").write_text(json.dumps(about))
    renew()
    with pytest.raises(PrudentError, match=r"the graph does not do what the policy does: .* differs by"):
        told(copied, copied.parent / "agent")
    (copied / "policy.json").write_text("[]")
    renew()
    with pytest.raises(PrudentError, match=r"policy.json is damaged"):
        told(copied)
    (copied / "policy.json").write_text('{"graph": {"file": "policy.onnx"}}')
    renew()
    with pytest.raises(PrudentError, match=r"policy.json seems damaged"):
        told(copied)


def request_like(shop, **changes):
    fields = {**vars(shop.request), "kind": "torch", **changes}
    return write.Request(**fields)


def test_what_differs_is_not_kept(shop, tmp_path, monkeypatch):
    run = formats.runner

    def wrong(*arguments):
        graph = run(*arguments)
        return lambda inputs: {**(found := graph(inputs)), "q": found["q"] + 1}

    monkeypatch.setattr(formats, "runner", wrong)
    with pytest.raises(
        PrudentError, match=r"q differs by .* on 240 rows of shop.csv, more than 1e-05; nothing was kept"
    ):
        write.export(request_like(shop), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_torch_export(shop, tmp_path):
    (tmp_path / "out").mkdir()
    write.export(request_like(shop), tmp_path / "out")
    assert set(tree(tmp_path / "out")) == {"policy.pt2", "policy.json", "README.md", "SHA256SUMS"}
    assert "torch.export.load" in (tmp_path / "out" / "README.md").read_text()
    assert len(told(tmp_path / "out")) == 2


def test_mistakes_leave_nothing(shop, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("mine")
    with pytest.raises(ConfigError, match="exists and is not empty: choose another folder with --out"):
        write.export(request_like(shop), tmp_path / "taken")
    with pytest.raises(ConfigError, match="the fallback refuse needs the support check"):
        write.export(request_like(shop, fallback="refuse", reference=None), tmp_path / "out")
    broken = learned("cql", shop.dataset).population
    for value in broken.state.networks["actor"].values():
        value.fill_(float("nan"))
    with pytest.raises(PrudentError, match="seed=0 has diverged: its actions are not numbers"):
        write.export(request_like(shop, population=broken), tmp_path / "out")
    assert list(tree(tmp_path)) == ["taken/mine"]


def test_rows_are_those_of_the_log(choices, shop):
    rows = agreement.logged_rows(choices.dataset)
    np.testing.assert_array_equal(rows.observation, choices.dataset.observation)
    np.testing.assert_array_equal(rows.mask, choices.dataset.extra["mask"])
    made_up = agreement.made_up_rows(shop.agent.population)
    figures = shop.dataset.observation_figures
    assert len(made_up) == agreement.ROWS
    assert (made_up.observation >= figures.low - 1e-4).all()
    assert (made_up.observation <= figures.high + 1e-4).all()
