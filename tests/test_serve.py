"""``examples/serve.py`` over loopback: a served policy acts as its agent does, checks names, and counts."""

import importlib.util
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from helpers.exports import made, shop_log

uvicorn = pytest.importorskip("uvicorn", reason="the extra serve is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")

ROW = {"on_hand": 20, "weekday": "Tue", "open": True, "age": 4.5}


def example():
    place = Path(__file__).parents[1] / "examples" / "serve.py"
    specification = importlib.util.spec_from_file_location("serve_example", place)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a service on a free port, and the export that it serves: one that refuses outside the data."""
    export = made(tmp_path_factory.mktemp("served"), "cql", shop_log(), "onnx", "mode", "refuse")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(example().service(export.path), log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until = time.monotonic() + 60
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", export
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def ask(address, body=None):
    """Status and content of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text, status = answer.read().decode(), answer.status
    except urllib.error.HTTPError as error:
        text, status = error.read().decode(), error.code
    return status, text if address.endswith("/metrics") else json.loads(text)


def test_it_acts_checks_and_counts(served):
    address, export = served
    inside = export.dataset.observation[5]
    status, answer = ask(f"{address}/act", {"observation": inside.tolist()})
    assert status == 200
    np.testing.assert_allclose(answer["action"], export.agent.predict(inside), atol=1e-4)
    np.testing.assert_allclose(answer["q"], export.agent.q_value(inside, export.agent.predict(inside)), atol=1e-3)
    assert answer["outside_data"] is False
    status, answer = ask(f"{address}/act", {"observation": ROW})
    assert status == 200
    np.testing.assert_allclose(answer["action"], export.agent.predict(ROW), atol=1e-4)
    for body, code, message in (
        ({"observation": {**ROW, "weather": 3}}, 422, "unknown ['weather']"),
        ({"observation": {**ROW, "weekday": "Fri"}}, 422, "weekday is 'Fri'"),
        ({"observation": [1, 2]}, 422, "expected 7 finite numbers"),
        ({"observation": {**ROW, "on_hand": 1e9}}, 409, "refuses to act"),
        ({"observations": ROW}, 422, "Field required"),
        ({"observation": ROW, "masks": []}, 422, "Extra inputs"),
    ):
        status, answer = ask(f"{address}/act", body)
        assert status == code, answer
        assert message in json.dumps(answer)
    status, text = ask(f"{address}/metrics")
    assert status == 200
    for line in (
        'policy_requests_total{result="acted"} 2',
        'policy_requests_total{result="refused"} 1',
        'policy_requests_total{result="invalid"} 5',
        "# TYPE policy_seconds histogram",
        'policy_seconds_bucket{le="+Inf"} 2',
        "policy_seconds_count 2",
    ):
        assert line in text.splitlines(), text
    status, answer = ask(f"{address}/health")
    assert (status, answer["status"], answer["step"]) == (200, "ok", 3)
    assert answer["observation"] == ["on_hand", "weekday", "open", "age"]
    assert answer["data"] == export.dataset.fingerprint


def test_it_serves_nothing_that_was_changed(served, tmp_path):
    import shutil

    shutil.copytree(served[1].path, tmp_path / "edited")
    (tmp_path / "edited" / "policy.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"policy\.json was changed after the export"):
        example().service(tmp_path / "edited")
