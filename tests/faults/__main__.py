"""``python -m faults``: every fault, a table, and the results as JSON.

Ends with 1 where anything was lost, loaded with another content, or otherwise not as it should be.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Before anything imports torch: a forked child must find no threads that it has lost.
os.environ["OMP_NUM_THREADS"] = "1"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="faults", description="Do every fault to tiny runs and see what is left.")
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="random kills (default: 200)")
    parser.add_argument("--minutes", type=float, default=60, metavar="X", help="for these, at most (default: 60)")
    parser.add_argument("--small", action="store_true", help="a few of each kind, in seconds")
    parser.add_argument("--hooks", action="store_true", help="hooks around os in the place of strace")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results as JSON")
    given = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    from faults.lab import Lab, Outcome

    began = time.monotonic()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        lab = Lab(Path(folder), given.hooks)
        for do in _plan(lab, given.kills, given.minutes, given.small):
            outcome = do()
            outcomes.append(outcome)
            print(f"{outcome.faults:>6}  {outcome.name}  {outcome.figures or ''}", flush=True)
            for note in outcome.notes[:10]:
                print(f"        {note}", flush=True)
        from faults import disks

        cost = disks.cost(lab, 3 if given.small else 30)
    results = {
        "seconds": round(time.monotonic() - began, 1),
        "machine": {"system": platform.system(), "python": platform.python_version(), "torch": torch.__version__},
        "outcomes": [outcome.plain() for outcome in outcomes],
        "ms_per_save": cost,
    }
    if given.out:
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    from faults.table import markdown

    print(markdown(results))
    sys.exit(any(outcome.lost or outcome.silent or outcome.other for outcome in outcomes))


def _plan(lab, count: int, minutes: float, small: bool) -> Iterator[Callable]:
    from faults import damage, disks, kills, syscalls

    yield lambda: syscalls.kills(lab)
    if not small:
        yield lambda: syscalls.errors(lab)
    yield lambda: damage.truncations(lab, 0.1 if small else 0.01)
    yield lambda: damage.bit_flips(lab, 4096 if small else 64)
    yield lambda: kills.random_kills(lab, count, minutes)
    yield lambda: disks.signals(lab, 2 if small else 20)
    yield lambda: disks.two_processes(lab, 1 if small else 5)
    if not small:
        yield lambda: disks.full_disk(lab)


if __name__ == "__main__":
    main()
