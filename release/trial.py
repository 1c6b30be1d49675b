"""Installs the wheel into an empty environment, away from the source, and runs the demo from there."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from release.agreement import ROOT

STEPS = 200
"""Of the demo: enough to train, evaluate, save and report; not enough to learn."""
CHECK = """
import importlib.metadata, pathlib, prudent, sys
where = pathlib.Path(prudent.__file__).resolve()
assert pathlib.Path(sys.prefix).resolve() in where.parents, f"imported from {where}, not from the environment"
assert (where.parent / "py.typed").is_file(), "no py.typed"
assert importlib.metadata.version("prudent") == prudent.__version__, "metadata and package differ in their version"
print("prudent", prudent.__version__, "on Python", sys.version.split()[0])
"""


class FailedError(Exception):
    """A step of the trial failed."""


def run(wheel: Path, interpreter: str = sys.executable) -> None:
    """Make an environment with ``interpreter``, install ``wheel`` with its demo extra, run the demo.

    Raises:
        FailedError: with the step and the end of what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="prudent-dist-") as name:
        folder = Path(name)
        python = folder / "environment" / "bin" / "python"
        _step([interpreter, "-m", "venv", str(folder / "environment")], folder)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        # The pinned versions are those of one Python; the wheel has to work with what its own bounds allow.
        pins = ["-c", str(ROOT / "constraints.txt")] if sys.version_info[:2] == _version(python) else []
        _step([*pip, *pins, f"prudent[demo] @ {wheel.resolve().as_uri()}"], folder)
        print(_step([str(python), "-c", CHECK], folder).strip(), flush=True)
        program = str(python.parent / "prudent")
        _step([program, "demo", "--steps", str(STEPS), "--out", "demo"], folder)
        report = folder / "demo" / "cql" / "report.html"
        if not report.is_file():
            raise FailedError(f"the demo left no {report.relative_to(folder)}")
        print(f"the demo ran from the wheel: {report.stat().st_size:,} bytes of report")


def _version(python: Path) -> tuple[int, int]:
    text = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=True
    ).stdout
    major, minor = text.split()
    return int(major), int(minor)


def _step(command: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"MPLBACKEND": "Agg", "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        ending = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise FailedError(f"{' '.join(command[:4])} ...: exit code {done.returncode}: {' / '.join(ending)}")
    return done.stdout
