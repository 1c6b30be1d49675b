"""Build the site: ``python -m docs.website`` (``make site``). It lies in ``build/site`` and opens without a server."""

import argparse
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

from docs.website import api, blocks, built, markdown, sources

TOOLS = {"material": "mkdocs-material", "mkdocstrings_handlers": "mkdocstrings[python]", "latex2mathml": "latex2mathml"}


def main() -> int:
    """The exit code: 1 if the site has a fault, 2 if a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m docs.website", description="Build the documentation site.")
    parser.add_argument("--without-tutorials", action="store_true", help="leave the runnable blocks as they are")
    without_tutorials = parser.parse_args().without_tutorials
    missing = [package for module, package in TOOLS.items() if find_spec(module) is None]
    if missing:
        print(f"make site needs {', '.join(missing)}: pip install -c constraints.txt -e '.[docs]'", file=sys.stderr)
        return 2
    try:
        stage(run=not without_tutorials)
    except (markdown.DeadLinkError, blocks.BlockError) as error:
        print(error, file=sys.stderr)
        return 1
    shutil.rmtree(sources.SITE, ignore_errors=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(sources.BUILD / "mkdocs.yml")]
    # The theme announces another project at each build.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    building = subprocess.run(command, cwd=sources.ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    print("".join(f"{line}\n" for line in building.stderr.splitlines() if line[:4] not in ("", "INFO")), end="")
    if building.returncode:
        return 1
    faults = built.faults(sources.SITE)
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"open {(sources.SITE / 'index.html').relative_to(sources.ROOT)}")
    return 1 if faults else 0


def stage(run: bool) -> None:
    """Write every page to ``build/pages``, and MkDocs' settings beside it."""
    shutil.rmtree(sources.PAGES, ignore_errors=True)
    for source, name in sources.staged().items():
        target = sources.PAGES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix != ".md":
            shutil.copyfile(source, target)
            continue
        text = markdown.page(source.read_text(encoding="utf-8"), source, name)
        if blocks.marked(text):
            text = blocks.executed(text, target, sources.BUILD / "tutorials") if run else blocks.plain(text)
        target.write_text(text, encoding="utf-8")
    (sources.PAGES / "examples.md").write_text(sources.examples(), encoding="utf-8")
    api.stage(sources.PAGES)
    settings = (sources.ROOT / "docs" / "website" / "mkdocs.yml").read_text(encoding="utf-8")
    entries = "".join(f"\n      - {title}: {name}" for title, name in api.navigation())
    (sources.BUILD / "mkdocs.yml").write_text(settings.replace("  - API: []", f"  - API:{entries}"), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
