"""A small web service for an exported policy: named observations in, actions out.

    pip install 'prudent[serve]'
    prudent export runs/first --member 0 --out policy
    python examples/serve.py policy --port 8000

    curl localhost:8000/act -H 'content-type: application/json' -d '{"observation": {"on_hand": 20, "weekday": "Mon"}}'

`POST /act` takes one observation, as features in order or by names, and for discrete actions a mask. It answers with
the action, its label, and what the policy knows about it. `GET /health` says which policy it is, and `GET /metrics`
counts requests, refusals and decisions outside the data in Prometheus' text format. Only the files of the export are
needed: no PyTorch is imported. It checks their SHA-256 when it starts.
"""

import argparse
import hashlib
import importlib.util
import threading
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict

BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1)
"""Upper ends of the histogram of seconds."""


class Asked(BaseModel):
    """The body of a request; other keys are refused."""

    model_config = ConfigDict(extra="forbid")
    observation: dict[str, float | str | bool | None] | list[float]
    mask: list[bool] | None = None


class Metrics:
    """Counters, and a histogram of the time that decisions take."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts = {"acted": 0, "refused": 0, "invalid": 0, "outside": 0}
        self.buckets, self.seconds = [0] * len(BUCKETS), 0.0

    def count(self, *names: str, seconds: float | None = None) -> None:
        """Count one request."""
        with self.lock:
            for name in names:
                self.counts[name] += 1
            if seconds is not None:
                self.seconds += seconds
                for place, end in enumerate(BUCKETS):
                    self.buckets[place] += seconds <= end

    def text(self) -> str:
        """All of them in Prometheus' text format."""
        with self.lock:
            results = [(name, self.counts[name]) for name in ("acted", "refused", "invalid")]
            outside, buckets, seconds, acted = (
                self.counts["outside"],
                [*self.buckets],
                self.seconds,
                self.counts["acted"],
            )
        lines = ["# HELP policy_requests_total Requests to /act.", "# TYPE policy_requests_total counter"]
        lines += [f'policy_requests_total{{result="{name}"}} {number}' for name, number in results]
        lines += [
            "# HELP policy_outside_data_total Decisions outside the data.",
            "# TYPE policy_outside_data_total counter",
        ]
        lines += [f"policy_outside_data_total {outside}"]
        lines += ["# HELP policy_seconds Seconds that a decision takes.", "# TYPE policy_seconds histogram"]
        lines += [f'policy_seconds_bucket{{le="{end}"}} {number}' for end, number in zip(BUCKETS, buckets, strict=True)]
        lines += [f'policy_seconds_bucket{{le="+Inf"}} {acted}', f"policy_seconds_sum {seconds}"]
        return "\n".join([*lines, f"policy_seconds_count {acted}", ""])


def load(folder: Path) -> Any:
    """The policy of an export, by its own ``act.py``, once its files are what was exported."""
    for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise SystemExit(f"serve.py: {folder / name} was changed after the export")
    specification = importlib.util.spec_from_file_location("act", folder / "act.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.Policy(folder, "policy.onnx")


def service(folder: Path) -> FastAPI:
    """The web service for the export in ``folder``."""
    policy, metrics = load(folder), Metrics()
    about = policy.about
    app = FastAPI(title=f"{about['title']} on {about['data']['name']}", version=str(about["step"]))

    @app.exception_handler(RequestValidationError)
    def malformed(_request: Any, error: RequestValidationError) -> JSONResponse:
        metrics.count("invalid")
        places = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return JSONResponse({"error": "; ".join(places)}, 422)

    @app.exception_handler(ValueError)
    def refused(_request: Any, error: ValueError) -> JSONResponse:
        is_refusal = str(error).startswith("the policy refuses")
        metrics.count("refused" if is_refusal else "invalid")
        return JSONResponse({"error": str(error)}, 409 if is_refusal else 422)

    @app.post("/act")
    def act(asked: Asked) -> dict[str, Any]:
        began = time.perf_counter()
        found = policy.decide(asked.observation, asked.mask)
        outside = bool(found.get("outside", False))
        metrics.count("acted", *(["outside"] if outside else []), seconds=time.perf_counter() - began)
        action = found["action"].tolist()
        labels = about["action"].get("labels")
        answer = {"action": action, "mode": found["mode"].tolist(), "outside_data": outside}
        if labels:
            answer["label"] = labels[action - about["action"]["first_action"]]
        if "q" in found:
            answer["q"] = float(found["q"][0])
        return answer

    @app.get("/health")
    def health() -> dict[str, Any]:
        named = about["observation"]["columns"]
        return {
            "status": "ok",
            "policy": app.title,
            "member": about["member"]["name"],
            "step": about["step"],
            "data": about["data"]["fingerprint"],
            "observation": [column["name"] for column in named] if named else about["observation"]["size"],
            "verdict": about["verdict"],
        }

    @app.get("/metrics", response_class=PlainTextResponse)
    def prometheus() -> str:
        return metrics.text()

    return app


def main() -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    parser = argparse.ArgumentParser(description="Serve an exported policy.")
    parser.add_argument("export", type=Path, help="folder that prudent export wrote")
    parser.add_argument("--host", default="127.0.0.1", help="address (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(service(arguments.export), host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
