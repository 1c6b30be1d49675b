"""``prudent bench``: algorithms x datasets x seeds from one TOML file, then one table and one figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prudent import files
from prudent.bench import results
from prudent.bench.cells import COMPLETE, FAILED, Datasets, Standing, complete, standing
from prudent.bench.picture import draw
from prudent.bench.suite import Cell, Suite, load, parse, shipped
from prudent.errors import ConfigError, Interrupted
from prudent.report.terminal import text_table
from prudent.runs.folder import create, write_json
from prudent.training.interrupts import advice_on_interrupt

__all__ = ["Suite", "load", "parse", "plan", "render", "run", "shipped"]


def run(suite: Suite, out: Path, chosen: Sequence[Cell]) -> list[str]:
    """Train what is left of the chosen cells, then :func:`render`; returns the names of those that failed.

    Complete cells are skipped, partial ones resumed, failed ones tried again. Everything is checked before the first
    one trains.

    Raises:
        ConfigError: a cell's folder holds something else, or algorithm, environment and data do not fit each other.
        DataError: data are not there, or cannot be read.
        Interrupted: a signal stopped the cell under way, after saving; the same call goes on.
    """
    standings = _standings(suite, out)
    left = [cell for cell in chosen if standings[cell.name].state != COMPLETE]
    datasets = Datasets()
    for data in suite.datasets:
        own = [cell for cell in left if cell.data.name == data.name]
        if own:
            datasets.check(data, own, out)
    create(out)
    for number, cell in enumerate(left, 1):
        seeds = len(cell.members)
        print(f"\n[{number}/{len(left)}] {cell.name}, {seeds} seed{'' if seeds == 1 else 's'} as one population")
        try:
            with advice_on_interrupt(f"{cell.name} is not done; the same command goes on"):
                standings[cell.name] = complete(cell, out, datasets)
        except Interrupted as error:
            told = str(error).partition(";")[0]
            raise Interrupted(f"{cell.name} {told}; the same command goes on") from None
        if standings[cell.name].state == FAILED:
            print(f"{cell.name} {standings[cell.name]}")
    print("\n" + render(suite, out, standings))
    return [cell.name for cell in chosen if standings[cell.name].state == FAILED]


def plan(suite: Suite, out: Path, chosen: Sequence[Cell]) -> str:
    """The chosen cells and how they stand, as a table; nothing is written.

    Raises:
        ConfigError: a cell's folder holds something else than the suite asks for.
    """
    standings = _standings(suite, out)
    rows = [
        [cell.name, str(len(cell.members)), f"{cell.options.steps:,}", str(standings[cell.name])] for cell in chosen
    ]
    return text_table(["cell", "seeds", "steps", "state"], rows)


def render(suite: Suite, out: Path, standings: dict[str, Standing] | None = None) -> str:
    """Write ``results.json``, ``table.md`` and ``comparison.png`` of the whole suite; returns the table as text.

    Raises:
        ConfigError: a cell's folder holds something else than the suite asks for.
    """
    found = results.collect(suite, out, standings or _standings(suite, out))
    create(out)
    write_json(out / "results.json", found)
    files.replace(out / "table.md", results.markdown(found).encode(), durable=False)
    written: list[Any] = [out / "table.md", out / "results.json", draw(found, out / "comparison.png")]
    return f"{results.text(found)}\n\nwritten: {', '.join(str(path) for path in written if path is not None)}"


def _standings(suite: Suite, out: Path) -> dict[str, Standing]:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: choose another --out")
    return {cell.name: standing(cell, out) for cell in suite.cells}
