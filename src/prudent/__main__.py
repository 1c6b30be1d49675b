"""``python -m prudent``: the command line, as ``prudent`` runs it."""

import os
import sys

# With -m Python looks for modules in the working folder first. ``prudent`` does not, so that a file named like a
# library, in a folder with somebody else's run, is never imported.
if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]

from prudent.cli import main

main()
