"""Have prudent read files that swell, and print how much memory (MB, peak) and processor time (s) each took."""

import contextlib
import io
import resource
import sys
import time

import minari  # noqa: F401 - imported before anything is measured
import pyarrow.csv
import pyarrow.parquet  # noqa: F401

import prudent.data.readers.table  # noqa: F401
from prudent import cli
from prudent.data import load_dataset

load_dataset("pendulum-mixed")
for argument in sys.argv[1:]:
    words, *command = argument.split("|")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            cli.main(command)
        sys.exit(f"{command}: was read")
    except SystemExit as error:
        if error.code != 2 or words not in said.getvalue() or said.getvalue().count("\n") != 1:
            sys.exit(f"{command}: {error.code} {said.getvalue()}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{grown:.0f} {time.process_time() - start:.2f} {command[-1]}")
