"""The results of ``python -m faults`` as a table of Markdown."""

from typing import Any

HEADS = ("fault", "done", "checkpoints lost", "silent corruptions", "other failures", "most steps lost")


def markdown(results: dict[str, Any]) -> str:
    """A row per kind of fault, their sum, and below it what a save costs."""
    rows = [[f"{o[key]:,}" for key in ("faults", "lost", "silent", "other", "lost_steps")] for o in results["outcomes"]]
    names = [o["name"] for o in results["outcomes"]]
    keys = ("faults", "lost", "silent", "other")
    total = [f"{sum(o[key] for o in results['outcomes']):,}" for key in keys]
    most = max((o["lost_steps"] for o in results["outcomes"]), default=0)
    lines = [HEADS, ["---"] * len(HEADS)]
    lines += [[name, *row] for name, row in zip(names, rows, strict=True)]
    lines += [["**all**", *total, f"{most:,}"]]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    saves = [
        f"{name} ({cost['MB']} MB): {cost['median']} ms, at most {cost['longest']}"
        for name, cost in results["ms_per_save"].items()
    ]
    return f"{text}\n\nA save takes, as median: {'; '.join(saves)}.\n"
