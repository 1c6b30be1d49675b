"""How fast an exported policy starts and acts, and the memory it takes, beside the agent.

    python -m benchmarks.export

CQL with two hidden layers of 256, 17 features and 6 amounts, exported with 5,000 logged decisions. Each way of acting
is a process of its own on one thread, so that start-up and memory are its own: it imports what it needs, loads the
policy, takes 200 decisions to get warm, then 3,000 one by one. Processes take turns; figures are medians over turns.
Start-up is in seconds of the processor, which others on the machine do not lengthen; a decision is in wall time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

FEATURES, AMOUNTS, WARM, DECISIONS = 17, 6, 200, 3_000
RESULT = Path(__file__).parent / "results" / "export.json"

WAYS = {
    "onnxruntime": "onnxruntime, `action.onnx`",
    "act": "`act.py`, `Policy().act`",
    "all": "onnxruntime, `policy.onnx` (all outputs)",
    "torch": "`torch.export`, all outputs",
    "agent": "the agent, `prudent.load(...).predict`",
}

_ONNX = """
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession("onnx/{file}", options, ["CPUExecutionProvider"])
act = lambda row: session.run(None, {{"observation": row[None]}})
"""

LOADS = {
    "onnxruntime": _ONNX.format(file="action.onnx"),
    "all": _ONNX.format(file="policy.onnx"),
    "act": "import sys\nsys.path.insert(0, 'onnx')\nfrom act import Policy\nact = Policy().act\n",
    "torch": """
import torch
torch.set_num_threads(1)
module = torch.export.load("torch/policy.pt2").module()
@torch.no_grad()
def act(row):
    return module(observation=torch.from_numpy(row[None]))
""",
    "agent": """
import torch
torch.set_num_threads(1)
import prudent
act = prudent.load("agent", device="cpu").predict
""",
}

PROGRAM = """
import time
began = time.process_time()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
{load}
loaded, memory = time.process_time() - began, resident() - before
import json, numpy
rows = numpy.random.default_rng(0).normal(size=({count}, {features})).astype(numpy.float32)
times = []
for row in rows:
    start = time.perf_counter()
    act(row)
    times.append(time.perf_counter() - start)
times = sorted(times[{warm}:])
print(json.dumps({{"load_s": loaded, "memory_mb": memory / 1e6, "after_mb": (resident() - before) / 1e6,
    "median_us": 1e6 * times[len(times) // 2], "p99_us": 1e6 * times[len(times) * 99 // 100]}}))
"""


def make(folder: Path, rows: int = 20_000, hidden: int = 256) -> None:
    """Train an agent for a few steps and export it into ``folder``, in both formats."""
    import prudent
    from prudent.coverage.reference import reference
    from prudent.data import Dataset
    from prudent.export import write
    from prudent.export.reference import Reference

    rng = np.random.default_rng(0)
    observation = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    dataset = Dataset.from_columns(
        observation=observation,
        action=rng.uniform(-1, 1, (rows, AMOUNTS)).astype(np.float32),
        reward=rng.normal(size=rows).astype(np.float32),
        next_observation=np.roll(observation, -1, axis=0),
        terminated=np.zeros(rows, dtype=bool),
        truncated=np.arange(1, rows + 1) % 100 == 0,
        action_low=-1.0,
        action_high=1.0,
        name="random.npz",
    )
    agent = prudent.CQL(hidden=(hidden, hidden), batch_size=64, device="cpu").fit(dataset, steps=2, threads=1)
    agent.save(folder / "agent")
    assert agent.population is not None
    near = Reference(**reference(agent.population, dataset, reference=5_000))
    for kind in ("onnx", "torch"):
        write.export(write.Request(agent.population, dataset, kind, "mode", reference=near), folder / kind)


def run(way: str, folder: Path, decisions: int = DECISIONS) -> dict[str, float]:
    """The figures of one process that acts in this way."""
    program = PROGRAM.format(load=LOADS[way], count=WARM + decisions, features=FEATURES, warm=WARM)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    return json.loads(subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True).stdout)


def measure(folder: Path, rounds: int, decisions: int = DECISIONS) -> dict[str, dict[str, float]]:
    """The median figures of each way over ``rounds`` turns; one more turn before them fills the disk's cache."""
    turns = [{way: run(way, folder, decisions) for way in LOADS} for _ in range(rounds + 1)][1:]
    return {
        way: {name: statistics.median(turn[way][name] for turn in turns) for name in turns[0][way]} for way in LOADS
    }


def main() -> None:
    """Measure, print, and write `x`."""
    from benchmarks.harness import machine, prepare, rounded

    parser = argparse.ArgumentParser(description="Time an exported policy.")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    prepare(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        figures = measure(Path(folder), arguments.rounds)
    for way, found in figures.items():
        print(f"{WAYS[way]:<45}" + "  ".join(f"{name} {value:.4g}" for name, value in found.items()))
    load = [round(value, 1) for value in os.getloadavg()]
    result = {"what": __doc__.splitlines()[0], "figures": figures, "environment": machine(), "load": load}
    RESULT.write_text(json.dumps(rounded(result), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
