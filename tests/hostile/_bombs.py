"""Have prudent read files that swell, and print how much memory (MB, peak) and processor time (s) each took.

Child processes count: of them, too, the largest peak and all of the time.
"""

import contextlib
import io
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import minari  # noqa: F401 - imported before anything is measured

import prudent.data.readers.table  # noqa: F401
from prudent import cli, progress
from prudent.data import load_dataset

# On a busy machine a refusal may take long by the clock, and would then be preceded by a line that says so.
progress.PATIENCE = 1e6
peaks: dict[int, int] = {}


class Watched(subprocess.Popen):
    """A child whose peak of memory (KiB) is looked up all the time, for as long as it lives."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        with contextlib.suppress(OSError):
            while peak := re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{self.pid}/status").read_text()):
                peaks[self.pid] = int(peak[1])
                time.sleep(0.001)


def seconds() -> float:
    return sum(os.times()[:4])


if sys.platform == "linux":
    subprocess.Popen = Watched
load_dataset("pendulum-mixed")
for argument in sys.argv[1:]:
    words, *command = argument.split("|")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, seconds()
    peaks.clear()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            cli.main(command)
        sys.exit(f"{command}: was read")
    except SystemExit as error:
        if error.code != 2 or words not in said.getvalue() or said.getvalue().count("\n") != 1:
            sys.exit(f"{command}: {error.code} {said.getvalue()}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before + max(peaks.values(), default=0)) / 1024
    print(f"{grown:.0f} {seconds() - start:.2f} {command[-1]}")
