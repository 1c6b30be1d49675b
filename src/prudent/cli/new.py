"""``prudent new algorithm``: write a working start for an algorithm of one's own."""

import re
from pathlib import Path

from prudent.cli.flags import Parser
from prudent.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9_]*")

NEXT = """wrote {file}, which trains as it is. Next:
  prudent train DATA --algo {file}    train it; its settings are flags, which --help shows
  python -m prudent.testing {file}    does it still keep the contract? one line for each clause that is broken
  prudent evaluate RUN --algo {file}  open what it trained: a run keeps a copy of the file, and never runs it
docs/own_algorithm.md explains the contract."""


def algorithm(words: list[str]) -> None:
    parser = Parser(
        prog="prudent new algorithm",
        usage="prudent new algorithm NAME [--out FILE]",
        description="Write a working start for an algorithm of your own: one file of about 50 lines, taken by "
        "train --algo FILE.",
    )
    parser.add_argument("name", metavar="NAME", help="its name: small letters, digits and _, such as my_cql")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file or folder to write to (default: NAME.py)")
    arguments = parser.parse_strict(words)
    name = arguments.name
    if not _NAME.fullmatch(name):
        raise ConfigError(f"new algorithm: a name has small letters, digits and _, such as my_cql, got {name!r}")

    from prudent import algorithms

    if name in (*algorithms.names(), *algorithms.FORMER):
        raise ConfigError(f"new algorithm: prudent has an algorithm {name} already: choose another name")
    file = _target(name, arguments.out)
    _write(file, _start_of(name))
    print(NEXT.format(file=file))


def _target(name: str, out: Path | None) -> Path:
    """The file to write.

    Raises:
        ConfigError: it exists, its folder does not, or it has another name than the algorithm.
    """
    from prudent import files

    file = Path(f"{name}.py") if out is None else out / f"{name}.py" if out.is_dir() else out
    if file.name != f"{name}.py":
        raise ConfigError(f"--out {out}: an algorithm is named after its file, so the file is called {name}.py")
    if files.is_there(file) or file.is_symlink():
        raise ConfigError(f"{file} exists and is not overwritten: choose another name, or another folder with --out")
    if not file.parent.is_dir():
        raise ConfigError(f"{file} cannot be written: there is no folder {file.parent}")
    return file


def _start_of(name: str) -> str:
    """The template with the algorithm's own title."""
    from importlib import resources

    text = (resources.files("prudent.testing") / "template.py").read_text(encoding="utf-8")
    return text.replace("MyAlgorithm", "".join(part.capitalize() for part in name.split("_")))


def _write(file: Path, text: str) -> None:
    from prudent import files

    try:
        files.replace(file, text.encode())
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {files.error_text(error)}") from error
