"""Training steps on request over a pipe: ``python -m benchmarks.peers.server``.

The first JSON line says which peer to make (see :class:`benchmarks.peers.client.Peer`); the following ones request
steps, or the policy's actions or values in given states. Every line gets one line as answer. It runs in the Python
environment of the peer, so it imports only NumPy before it knows the peer.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Steps = Mapping[str, Callable[[], object]]
Policy = Callable[[str, np.ndarray], np.ndarray]
"""``best``, ``drawn`` (actions) or ``value`` of states (B, S)."""

CLOCKS = {"process": time.process_time, "thread": time.thread_time, "wall": time.perf_counter}


def make(wanted: dict[str, Any]) -> tuple[Steps, Policy | None, dict[str, str]]:
    """The steps of the peer ``wanted["peer"]`` by name, its policy if it has one to call, and versions."""
    if wanted["peer"] == "prudent":
        from benchmarks.peers.own import steps

        found, versions = steps(wanted)
        return found, None, versions
    with np.load(wanted["data"]) as file:
        data = {name: file[name] for name in file.files}
    if wanted["peer"] == "d3rlpy":
        from benchmarks.peers.d3rlpy_own import make as made
    else:
        from benchmarks.peers.corl_style import make as made
    call, policy, versions = made(data, wanted)
    return {"step": call}, policy, versions


def main() -> None:
    """Answer requests until the pipe is closed."""
    # Output of a library goes to stderr: stdout is for answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    wanted = json.loads(sys.stdin.readline())
    if wanted["cpu"] is not None:
        os.sched_setaffinity(0, {wanted["cpu"]})
    import torch

    torch.set_num_threads(wanted["threads"])
    steps, policy, versions = make(wanted)
    print(json.dumps({"torch": torch.__version__, **versions}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "policy" in asked:
            assert policy is not None, f"the policy of {wanted['peer']} cannot be asked"
            states = np.array(asked["states"], dtype=np.float32)
            print(json.dumps(policy(asked["policy"], states).tolist()), file=answers, flush=True)
            continue
        calls, step = asked["calls"], steps[asked["step"]]
        torch.set_num_threads(asked["threads"])
        began = {name: clock() for name, clock in CLOCKS.items()}
        for _ in range(calls):
            step()
        took = {name: clock() - began[name] for name, clock in CLOCKS.items()}
        print(json.dumps({clock: 1000 * s / calls for clock, s in took.items()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
