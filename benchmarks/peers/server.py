"""A training step that is asked for over a pipe: ``python -m benchmarks.peers.server``.

One JSON line says what to make (see :class:`benchmarks.peers.client.Peer`), further ones ask for steps; every line is
answered by one. Runs in the environment of the peer, so nothing but NumPy is imported before it is known who that is.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def make_steps(wanted: dict[str, Any]) -> tuple[Mapping[str, Callable[[], object]], dict[str, str]]:
    """The steps of the peer ``wanted["peer"]`` by name, and the versions that matter."""
    if wanted["peer"] == "prudent":
        from benchmarks.peers.own import steps

        return steps(wanted)
    if wanted["peer"] == "d3rlpy":
        from benchmarks.peers.d3rlpy_cql import step
    else:
        from benchmarks.peers.corl_style import step
    with np.load(wanted["data"]) as data:
        call, versions = step({name: data[name] for name in data.files}, wanted)
    return {"step": call}, versions


def main() -> None:
    """Answer until the pipe is closed."""
    # Whatever a library prints goes to stderr: stdout is for answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    wanted = json.loads(sys.stdin.readline())
    if wanted["cpu"] is not None:
        os.sched_setaffinity(0, {wanted["cpu"]})
    import torch

    torch.set_num_threads(wanted["threads"])
    steps, versions = make_steps(wanted)
    print(json.dumps({"torch": torch.__version__, **versions}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        calls, step = asked["calls"], steps[asked["step"]]
        torch.set_num_threads(asked["threads"])
        process, wall = time.process_time(), time.perf_counter()
        for _ in range(calls):
            step()
        took = {"process": time.process_time() - process, "wall": time.perf_counter() - wall}
        print(json.dumps({clock: 1000 * s / calls for clock, s in took.items()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
