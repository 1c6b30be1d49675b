"""Benchmarks: algorithms x datasets x seeds from one TOML file, then one table and one figure.

``suite``     the suite file, read and checked; ``suites/`` has those that come with prudent
``cells``     the state of each cell (one algorithm on one dataset), and training what is left of it
``results``   ``results.json`` and the table
``picture``   ``comparison.png``
"""

from collections.abc import Sequence
from pathlib import Path

from prudent import files
from prudent.bench import results
from prudent.bench.cells import COMPLETE, FAILED, CellStatus, Datasets, cell_status, train_cell
from prudent.bench.picture import draw
from prudent.bench.suite import Cell, Suite, load, parse, shipped
from prudent.errors import ConfigError, Interrupted, printable
from prudent.report.terminal import text_table
from prudent.runs.folder import create, write_json
from prudent.runs.foreign import as_written
from prudent.training.interrupts import advice_on_interrupt

__all__ = ["Suite", "load", "parse", "plan", "render", "run", "shipped"]


def run(suite: Suite, out: Path, chosen: Sequence[Cell]) -> list[str]:
    """Train what is left of the chosen cells, then :func:`render`; returns the names of the cells that failed.

    Complete cells are skipped, partial ones resumed, failed ones tried again. All cells are checked before the first
    one trains.

    Raises:
        ConfigError: a cell's folder holds something else, or algorithm, environment and data do not fit each other.
        DataError: a dataset is missing or cannot be read.
        Interrupted: a signal stopped a cell, after saving; the same call continues.
    """
    statuses = _statuses(suite, out)
    left = [cell for cell in chosen if statuses[cell.name].state != COMPLETE]
    datasets = Datasets()
    for data in suite.datasets:
        cells = [cell for cell in left if cell.data.name == data.name]
        if cells:
            datasets.check(data, cells, out)
    create(out)
    for number, cell in enumerate(left, 1):
        seeds = len(cell.members)
        print(f"\n[{number}/{len(left)}] {cell.name}, {seeds} seed{'' if seeds == 1 else 's'} as one population")
        try:
            with advice_on_interrupt(f"{cell.name} is not done; the same command continues"):
                statuses[cell.name] = train_cell(cell, out, datasets)
        except Interrupted as error:
            reason = str(error).partition(";")[0]
            raise Interrupted(f"{cell.name} {reason}; the same command continues") from None
        if statuses[cell.name].state == FAILED:
            print(f"{cell.name} {statuses[cell.name]}")
    print("\n" + render(suite, out, statuses))
    return [cell.name for cell in chosen if statuses[cell.name].state == FAILED]


def plan(suite: Suite, out: Path, chosen: Sequence[Cell]) -> str:
    """The chosen cells and their status, as a table; nothing is written.

    Raises:
        ConfigError: a cell's folder holds another run than the suite asks for.
    """
    statuses = _statuses(suite, out)
    rows = [[cell.name, str(len(cell.members)), f"{cell.options.steps:,}", str(statuses[cell.name])] for cell in chosen]
    return text_table(["cell", "seeds", "steps", "state"], rows)


def render(suite: Suite, out: Path, statuses: dict[str, CellStatus] | None = None) -> str:
    """Write ``results.json``, ``table.md`` and ``comparison.png`` of the whole suite; returns the table as text.

    Raises:
        ConfigError: a cell's folder holds another run than the suite asks for.
    """
    with as_written(out):
        figures = results.collect(suite, out, statuses or _statuses(suite, out))
        text, table = results.text(figures), printable(results.markdown(figures))
    create(out)
    write_json(out / "results.json", figures)
    files.replace(out / "table.md", table.encode(), durable=False)
    with as_written(out):
        picture = draw(figures, out / "comparison.png")
    written = [path for path in (out / "table.md", out / "results.json", picture) if path is not None]
    return f"{text}\n\nwritten: {', '.join(map(str, written))}"


def _statuses(suite: Suite, out: Path) -> dict[str, CellStatus]:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: choose another --out")
    return {cell.name: cell_status(cell, out) for cell in suite.cells}
