"""How a run ended, for what is made of it: one that still trains, or was killed, is not there to build on yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prudent import runs
from prudent.errors import ConfigError


@contextmanager
def goes_on(advice: str) -> Iterator[None]:
    """A Ctrl-C that ends what is done in here at once, without anything more being saved, says ``advice``."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {advice}") from None


def check_ended(run: Path) -> None:
    """Refuse a run that has not ended, and say in a line where one ended before its last step.

    A folder without ``status.json``, such as a single checkpoint, says nothing of it and passes.

    Raises:
        ConfigError: it is still training or was killed.
        PrudentError: ``status.json`` is damaged.
    """
    if not (run / "status.json").is_file():
        return
    status = runs.read_json(run / "status.json")
    state = status.get("state")
    if state == "running":
        config = run / "config.json"
        online = config.is_file() and "finetuned_from" in runs.read_json(config)
        advice = "wait for it, or fine-tune anew" if online else f"resume it first: prudent train --resume {run}"
        raise ConfigError(f"{run} is still training or was killed: {advice}")
    if state in ("interrupted", "failed"):
        print(f"{run} did not finish: {state} at step {status.get('step')} of {status.get('steps')}")
