"""Sharing an export: what is sent, what is loaded, and what is not, against a stand-in for the hub on loopback."""

import hashlib
import json
import shutil
import socket

import numpy as np
import pytest

import prudent
from helpers import hub_server
from helpers.exports import choices_log, made, shop_log
from prudent import hub
from prudent.errors import ConfigError, PrudentError
from prudent.export import folder as exports

TOKEN = "hf_" + "x" * 34


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """CQL on named columns, as ``prudent export`` writes it."""
    return made(tmp_path_factory.mktemp("shop"), "cql", shop_log(), "onnx", "mode", "flag")


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    """Discrete IQL that acts by samples."""
    return made(tmp_path_factory.mktemp("choices"), "discrete_iql", choices_log(), "onnx", "sample", "flag")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The stand-in, which ``huggingface_hub`` takes for the hub; its cache is in the test's folder."""
    from huggingface_hub import constants

    with hub_server.running() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(socket, "getaddrinfo", _loopback_only)
        yield found


_getaddrinfo = socket.getaddrinfo


def _loopback_only(host, *rest, **more):
    assert host == "127.0.0.1", f"a test asked for {host}"
    return _getaddrinfo(host, *rest, **more)


def row():
    return {"on_hand": 20, "weekday": "Mon", "open": True, "age": None}


def signed(folder):
    """Renews the sums of an export that a test has changed."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != exports.SUMS
    ]
    (folder / exports.SUMS).write_text("".join(lines))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_pushed_is_loaded_and_acts_as_the_agent_does(shop, server, tmp_path):
    (tmp_path / "e").mkdir()
    export = shutil.copytree(shop.path, tmp_path / "e" / "policy")
    (export / "secret.txt").write_text("not part of the export")
    address = hub.push(export, "me/shop")
    assert server.private == {"me/shop": True}
    commit = address.removeprefix("hf://me/shop@")
    sent = server.commits["me/shop"][commit]
    assert sent == {name: (shop.path / name).read_bytes() for name in sent}
    assert sent.keys() == {path.name for path in shop.path.iterdir()}

    policy = hub.load("hf://me/shop")
    assert policy.source == address
    assert policy.about["title"] == "CQL"
    observation = np.array([[20.0, 1, 0, 0, 1, 3, 1], [15.0, 0, 1, 0, 0, 5, 0]], np.float32)
    found = policy.predict(observation)
    np.testing.assert_allclose(found, shop.agent.predict(observation), atol=5e-4)
    assert policy.predict(row()).shape == (1,)
    np.testing.assert_allclose(policy.predict(row()), found[0], rtol=1e-6)
    assert policy.decide(row()).keys() == set(policy.about["outputs"])
    local = hub.load(shop.path)
    np.testing.assert_array_equal(local.predict(observation), found)


def test_the_token_goes_to_the_hub_only_and_is_not_shown(shop, server, capsys, tmp_path):
    hub.push(shop.path, "me/shop")
    assert {token for _, path, token in server.seen if "commit" in path} == {f"Bearer {TOKEN}"}
    with pytest.raises(PrudentError) as caught:
        hub.load("hf://me/nothing")
    printed = capsys.readouterr()
    assert TOKEN not in str(caught.value) + printed.out + printed.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_a_commit_is_always_the_same_policy(shop, server):
    first = hub.push(shop.path, "me/shop")
    changed = json.loads((shop.path / "policy.json").read_text()) | {"title": "another"}
    files = {path.name: path.read_bytes() for path in shop.path.iterdir()}
    files["policy.json"] = json.dumps(changed).encode()
    files["SHA256SUMS"] = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items() if name != "SHA256SUMS"
    ).encode()
    server.add("me/shop", files)
    assert hub.load("hf://me/shop").about["title"] == "another"
    assert hub.load(first).about["title"] == "CQL"


def test_no_program_of_a_repository_runs_and_no_other_file_is_fetched(shop, server, tmp_path):
    mark = tmp_path / "ran"
    shutil.copytree(shop.path, tmp_path / "policy")
    (tmp_path / "policy" / "act.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    server.create("me/bad", False)
    more = {"sitecustomize.py": b"raise SystemExit", "weights.pkl": b"cos\nsystem\n", "onnxruntime.py": b"x"}
    server.add("me/bad", signed(tmp_path / "policy") | more)
    assert hub.load("hf://me/bad").predict(row()).shape == (1,)
    assert not mark.exists()
    fetched = {path.split("/resolve/")[1].split("/", 1)[1] for _, path, _ in server.seen if "/resolve/" in path}
    assert fetched.isdisjoint(more)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("policy.onnx", lambda content: content + b" ", "policy.onnx was changed after the export"),
        ("policy.json", lambda content: content.replace(b"CQL", b"CQX"), "policy.json was changed after the export"),
        ("action.onnx", None, "action.onnx is gone"),
        ("SHA256SUMS", None, "is no export: it has no SHA256SUMS"),
        ("SHA256SUMS", lambda _: b"0" * 64 + b"  ../../x\n", "a line is no SHA-256 of its files"),
    ],
)
def test_damage_is_found(name, change, said, shop, server):
    files = {path.name: path.read_bytes() for path in shop.path.iterdir()}
    content = files.pop(name)
    server.create("me/bad", False)
    server.add("me/bad", files if change is None else files | {name: change(content)})
    with pytest.raises(PrudentError, match=said) as caught:
        hub.load("hf://me/bad")
    assert "hf://me/bad@" in str(caught.value)
    assert "prudent-hub-" not in str(caught.value)


def test_a_graph_that_names_other_files_is_refused(shop, server, tmp_path):
    import onnx
    from onnx.external_data_helper import set_external_data

    folder = shutil.copytree(shop.path, tmp_path / "policy")
    model = onnx.load(str(folder / "action.onnx"))
    tensor = next(tensor for tensor in model.graph.initializer if tensor.HasField("raw_data"))
    set_external_data(tensor, "/etc/hostname")
    tensor.ClearField("raw_data")
    (folder / "action.onnx").write_bytes(model.SerializeToString())
    server.create("me/bad", False)
    server.add("me/bad", signed(folder))
    with pytest.raises(PrudentError, match=r"action\.onnx takes numbers from other files: it is not loaded"):
        hub.load("hf://me/bad")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about: about.pop("observation"), "policy.json seems damaged"),
        (lambda about: about.update(noise="bytes"), "policy.json seems damaged"),
        (lambda about: about["observation"].update(dtype="object"), "policy.json seems damaged"),
        (lambda about: about["graph"].update(format="torch"), "is an export for PyTorch, which can hold code"),
    ],
)
def test_a_description_of_another_kind_is_refused(change, said, shop, server, tmp_path):
    folder = shutil.copytree(shop.path, tmp_path / "policy")
    about = json.loads((folder / "policy.json").read_text())
    change(about)
    (folder / "policy.json").write_text(json.dumps(about))
    server.create("me/bad", False)
    server.add("me/bad", signed(folder))
    with pytest.raises(PrudentError, match=said):
        hub.load("hf://me/bad")


@pytest.mark.usefixtures("server")
def test_wrong_addresses_and_folders_are_one_line(shop, tmp_path, monkeypatch):
    for address in ("hf://shop", "hf://a/b/c", "hf://../x", "hf://me/shop@", "hf://me/shop@a..b", "hf://me/shop@-x"):
        with pytest.raises(ConfigError, match="is no address: write hf://owner/name or hf://owner/name@revision"):
            hub.load(address)
    with pytest.raises(PrudentError, match="hf://me/nothing cannot be read: there is no such repository, or it is"):
        hub.load("hf://me/nothing")
    hub.push(shop.path, "me/shop")
    with pytest.raises(PrudentError, match="hf://me/shop@v9 cannot be read: RevisionNotFoundError"):
        hub.load("hf://me/shop@v9")
    with pytest.raises(ConfigError, match="'shop' is no repository: name it as owner/name"):
        hub.push(shop.path, "shop")
    with pytest.raises(ConfigError, match="is no export: it has no SHA256SUMS"):
        hub.push(tmp_path, "me/shop")
    with pytest.raises(ConfigError, match=r"acts without an agent: prudent.hub.load\('hf://me/shop'\)"):
        prudent.load("hf://me/shop")
    assert prudent.hub is hub
    monkeypatch.setattr(hub, "find_spec", lambda name: None if name == "huggingface_hub" else name)
    with pytest.raises(ConfigError, match=r"the hub needs huggingface_hub: pip install 'prudent\[hub\]'"):
        hub.load("hf://me/shop")


def test_observations_that_do_not_fit_are_one_line(shop):
    policy = hub.load(shop.path)
    with pytest.raises(PrudentError, match=r"observation: missing \['age'\], unknown \['height'\]"):
        policy.predict({"on_hand": 20, "weekday": "Mon", "open": True, "height": 1})
    with pytest.raises(PrudentError, match=r"observation has shape \(3,\), expected 7 finite numbers in each row"):
        policy.predict([1.0, 2.0, 3.0])


def test_a_policy_that_samples_takes_noise_and_masks(choices):
    policy = hub.load(choices.path, seed=0)
    noise, mask = np.full(3, 0.5, np.float32), np.array([False, False, True])
    assert policy.predict([1.0, 0.0], noise=noise) == policy.predict([1.0, 0.0], noise=noise)
    assert policy.predict([1.0, 0.0], mask=mask) == 3
    again = hub.load(choices.path, seed=0)
    draws = [[int(one.predict([0.0, 0.0])) for _ in range(20)] for one in (policy, again)]
    assert set(draws[0]) <= {1, 2, 3}
