"""Runs the blocks of a page that are marked as runnable, and puts what they print below them.

A block is runnable if the word ``run`` follows its language: ``python run``, ``sh run``. All blocks of a page run in
one process, in a folder of their own, one after the other; the Python ones share their names. ``picture=NAME.png``
shows a file that the block left.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docs.website.markdown import each_block
from docs.website.sources import ROOT

LANGUAGES = ("python", "sh")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WIDTH = 108
"""Characters that fit into a line of output."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "SDL_VIDEODRIVER": "dummy", "COLUMNS": "100"}
ENVIRONMENT |= {"NO_COLOR": "1", "TERM": "dumb", "PYTHONWARNINGS": "ignore"}


class BlockError(Exception):
    """A block of a page does not run."""


@dataclass
class Block:
    """A runnable block."""

    language: str
    code: str
    pictures: list[str] = field(default_factory=list)


def parsed(information: str, code: str) -> Block | None:
    """The block if the words after the fence mark it as runnable, else None."""
    language, _, rest = information.partition(" ")
    words = rest.split()
    if language not in LANGUAGES or "run" not in words:
        return None
    return Block(language, code, [word.partition("=")[2] for word in words if word.startswith("picture=")])


def marked(text: str) -> list[Block]:
    """The runnable blocks of a page, in order."""
    found: list[Block] = []

    def note(information: str, code: str) -> None:
        block = parsed(information, code)
        found.extend([block] if block else [])

    each_block(text, note)
    return found


def plain(text: str) -> str:
    """The page with runnable blocks as plain ones, not run."""
    return each_block(text, lambda information, code: _fenced(block) if (block := parsed(information, code)) else None)


def executed(text: str, page: Path, cache: Path) -> str:
    """The page with the output of its blocks below them. Pictures go beside ``page``, in a folder of its name.

    Output is kept in ``cache`` and taken from there while blocks, library and examples are the same.

    Raises:
        BlockError: a block raised an error, a command failed, or a picture is missing.
    """
    kept = _kept(marked(text), cache / page.stem)
    outputs = iter(json.loads((kept / "outputs.json").read_text(encoding="utf-8")))

    def instead(information: str, code: str) -> str | None:
        block = parsed(information, code)
        if block is None:
            return None
        parts, output = [_fenced(block)], tidy(next(outputs))
        if output:
            parts.append(f"``` {{ .text .output }}\n{output}\n```")
        for name in block.pictures:
            picture = page.parent / page.stem / Path(name).name
            picture.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept / name, picture)
            parts.append(f"![{picture.stem.replace('_', ' ')}]({page.stem}/{picture.name})")
        return "\n\n".join(parts)

    return each_block(text, instead)


def _kept(blocks: list[Block], cache: Path) -> Path:
    """The folder with output and pictures of these blocks; they are run if there is none."""
    folder = cache / _fingerprint(blocks)
    if (folder / "outputs.json").is_file():
        return folder
    shutil.rmtree(cache, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        outputs = run(blocks, Path(place), cache.name)
        for name in (name for block in blocks for name in block.pictures):
            if not (Path(place) / name).is_file():
                raise BlockError(f"{cache.name}: no block left the picture {name}")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(place) / name, folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outputs.json").write_text(json.dumps(outputs), encoding="utf-8")
    return folder


def _fingerprint(blocks: list[Block]) -> str:
    """Of the blocks and of all that they run."""
    digest = hashlib.sha256(repr(blocks).encode())
    for path in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "examples").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(blocks: list[Block], folder: Path, name: str = "page") -> list[str]:
    """What each block prints to standard output; they run in ``folder``, beside a copy of the repository's examples.

    Raises:
        BlockError: with the place and the end of the error.
    """
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    request = json.dumps([[block.language, block.code] for block in blocks])
    with tempfile.TemporaryDirectory() as answers:
        answer = Path(answers) / "answer.json"
        programs = os.pathsep.join([_programs(Path(answers) / "bin"), os.environ["PATH"]])
        environment = os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(paths), "PATH": programs}
        command = [sys.executable, "-m", "docs.website.blocks", str(answer)]
        done = subprocess.run(command, cwd=folder, env=environment, input=request, capture_output=True, text=True)
        if not answer.is_file():
            raise BlockError(f"{name}: the blocks ended with code {done.returncode}: {done.stderr[-2000:]}")
        outputs: list[dict[str, Any]] = json.loads(answer.read_text(encoding="utf-8"))
    for number, output in enumerate(outputs, 1):
        if output["error"]:
            raise BlockError(f"{name}, runnable block {number}:\n{output['error']}")
    return [output["text"] for output in outputs]


def _programs(folder: Path) -> str:
    """A folder with ``python`` and ``prudent``: those of this process, also where no environment is active."""
    folder.mkdir()
    for name, words in {"python": "", "prudent": " -m prudent"}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return str(folder)


def tidy(text: str) -> str:
    """Without colours, without what a progress bar wrote over, and with long sentences in several lines."""
    lines = [line.rpartition("\r")[2].rstrip() for line in ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")]
    return "\n".join(part for line in lines for part in _wrapped(line)).strip("\n")


def _wrapped(line: str) -> list[str]:
    """Sentences in lines of :data:`WIDTH`; rows and rules of a table stay as they are."""
    if len(line) <= WIDTH or "   " in line.strip() or not line.strip("- "):
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _fenced(block: Block) -> str:
    return f"```{block.language}\n{block.code}```"


# --- in the child -----------------------------------------------------------------------------------------------------


def _main(answer: Path) -> None:
    """Run the blocks that stand on standard input, and write what they print to ``answer``."""
    blocks, names, outputs = json.load(sys.stdin), {"__name__": "__page__"}, []
    for language, code in blocks:
        text, error = _captured(lambda: _python(code, names) if language == "python" else _shell(code))  # noqa: B023
        outputs.append({"text": text, "error": error})
        if error:
            break
    answer.write_text(json.dumps(outputs), encoding="utf-8")


def _captured(work: Callable[[], None]) -> tuple[str, str]:
    """Standard output of this process and of its children while ``work`` runs, and the error if there was one."""
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            work()
            error = ""
        except BaseException as found:  # noqa: BLE001 - whatever a page does is reported
            error = "".join(traceback.format_exception(found)[-6:])
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        file.seek(0)
        return file.read().decode("utf-8", "replace"), error


def _python(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "<block>", "exec"), names)  # noqa: S102 - the project's own pages


def _shell(code: str) -> None:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
