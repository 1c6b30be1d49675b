"""``prudent demo``: train on a small built-in dataset, in a few minutes, and write a report."""

import time
from pathlib import Path
from typing import Any

from prudent.cli.flags import Parser
from prudent.cli.run_folders import free_folder

DATA, ENV = "pendulum-mixed", "Pendulum-v1"
SEEDS = (0, 1, 2)
STEPS = 5_000
SETTINGS: dict[str, dict[str, Any]] = {
    "bc": {"hidden": (64, 64)},
    # Small networks and fast target networks: with the default polyak, values need 20 000 steps to arrive, here 5 000.
    "cql": {
        "hidden": (64, 64),
        "alpha": 1.0,
        "n_actions": 4,
        "critic_lr": 1e-3,
        "actor_lr": 5e-4,
        "polyak": 0.02,
    },
}
SHOWN = ("return_mean", "iqm", "ci95", "predicted_value", "realized_value", "lower_bound_share")


def demo(words: list[str]) -> None:
    parser = Parser(prog="prudent demo", description="Train CQL and BC on pendulum-mixed and show the results.")
    parser.add_argument("--out", type=Path, help="folder for the two runs (default: demo, numbered)")
    parser.add_argument("--steps", type=int, metavar="N", help=f"gradient steps of each (default: {STEPS})")
    arguments = parser.parse_strict(words)
    run_demo(arguments.out or free_folder("demo"), arguments.steps)


def run_demo(out: Path, steps: int | None = None) -> None:
    """Train CQL and BC on pendulum-mixed, three seeds each, and write ``out/cql/report.html``.

    Raises:
        ConfigError: the folder is not empty, or ``steps`` is not positive.
    """
    from prudent import algorithms, report
    from prudent.data import load_dataset
    from prudent.engine import members
    from prudent.engine.options import Options
    from prudent.report.terminal import COLUMNS, cell, text_table
    from prudent.runs.folder import check_free, read_json
    from prudent.training import start

    options = Options(
        steps=STEPS if steps is None else steps,
        env=ENV,
        log_every=1000,
        eval_every=1000,
        eval_episodes=20,
        checkpoint_every=5000,
        video=True,
        threads=1,  # matrices this small gain little from a second thread, and lose much on a busy machine
    )
    check_free(out, "choose another folder with --out")
    dataset = load_dataset(DATA)
    print(f"{dataset.name}: {len(dataset):,} transitions, mean return {dataset.episode_returns.mean():.0f}")
    rows = [["the data", f"{dataset.episode_returns.mean():.1f}", *[""] * (len(SHOWN) - 1)]]
    began = time.perf_counter()
    for name, settings in SETTINGS.items():
        algorithm = algorithms.get(name)
        print(f"\n{algorithm.TITLE}, {len(SEEDS)} seeds as one population")
        grid = members.grid(algorithm.Config(**settings), {}, SEEDS)
        start.train(start.Request(dataset, name, grid, options, out / name, {"source": DATA}))
        overall = read_json(out / name / "evaluation.json")["overall"]
        rows.append([algorithm.TITLE, *(cell(key, overall[key]) for key in SHOWN)])
    path = report.write_report(out / "cql", {"BC": out / "bc"})
    print(f"\n{text_table(['policy', *(COLUMNS[key] for key in SHOWN)], rows)}")
    print("\nreturn: of the most likely action; predicted and realised: discounted, of the policy that samples")
    print(f"trained in {time.perf_counter() - began:.0f} s; look at {path}")
