"""``python -m release`` (``make dist``): builds wheel and sdist into dist/, checks them, tries the wheel elsewhere."""

import argparse
import shutil
import subprocess
import sys
from importlib.util import find_spec

from release import agreement, contents, trial

DIST = agreement.ROOT / "dist"


def main() -> int:
    """The exit code: 1 if something is wrong with the release, 2 if a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m release", description="Build and try a release.")
    parser.add_argument("--check", action="store_true", help="only compare version, CITATION.cff and CHANGELOG.md")
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters to try the wheel with")
    parser.add_argument("--without-trial", action="store_true", help="build and check, install nothing")
    asked = parser.parse_args()
    if faults := agreement.faults():
        print("\n".join(faults), file=sys.stderr)
        return 1
    if agreement.unreleased():
        print("CHANGELOG.md has changes under [Unreleased]: they belong to no release yet")
    if asked.check:
        return 0
    if find_spec("build") is None:
        print("make dist needs build: pip install -c constraints.txt -e '.[dev]'", file=sys.stderr)
        return 2
    shutil.rmtree(DIST, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--outdir", str(DIST), str(agreement.ROOT)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        print(built.stdout[-2000:], built.stderr[-2000:], file=sys.stderr)
        return 1
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    for path in (wheel, sdist):
        print(f"{path.relative_to(agreement.ROOT)}  {path.stat().st_size:,} bytes")
    if faults := contents.faults(wheel, sdist):
        print("\n".join(faults), file=sys.stderr)
        return 1
    for interpreter in [] if asked.without_trial else asked.python:
        try:
            trial.run(wheel, interpreter)
        except trial.FailedError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
