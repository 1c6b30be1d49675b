"""``prudent demo``: from nothing to a policy you can watch, in a few minutes."""

import time
from pathlib import Path

from prudent import algorithms, report
from prudent.algorithms import bc, cql
from prudent.data import load_dataset
from prudent.engine import members
from prudent.engine.options import Options
from prudent.report.terminal import COLUMNS, cell, text_table
from prudent.runs.folder import check_free, read_json
from prudent.training import start

DATA, ENV = "pendulum-mixed", "Pendulum-v1"
SEEDS = (0, 1, 2)
# Small networks and quick targets: with the default polyak values need 20 000 steps to arrive, with this one 5 000.
CQL = cql.Config(hidden=(64, 64), alpha=1.0, n_actions=4, critic_lr=1e-3, actor_lr=5e-4, polyak=0.02)
BC = bc.Config(hidden=(64, 64))
STEPS = 5_000
SHOWN = ("return_mean", "iqm", "ci95", "predicted_value", "realized_value", "lower_bound_share")


def demo(out: Path, steps: int | None = None) -> None:
    """Train CQL and BC on pendulum-mixed, three seeds each, and write ``out/cql/report.html``.

    Raises:
        ConfigError: the folder is taken, or steps is not positive.
    """
    options = Options(
        steps=STEPS if steps is None else steps,
        env=ENV,
        log_every=1000,
        eval_every=1000,
        eval_episodes=20,
        checkpoint_every=5000,
        video=True,
        threads=1,  # matrices this small gain little from a second thread, and lose much where the machine is busy
    )
    check_free(out, "choose another folder with --out")
    dataset = load_dataset(DATA)
    print(f"{dataset.name}: {len(dataset):,} transitions, mean return {dataset.episode_returns.mean():.0f}")
    rows = [["the data", f"{dataset.episode_returns.mean():.1f}", *[""] * (len(SHOWN) - 1)]]
    began = time.perf_counter()
    for name, config in (("bc", BC), ("cql", CQL)):
        title = algorithms.get(name).TITLE
        print(f"\n{title}, {len(SEEDS)} seeds as one population")
        start.train(
            start.Request(dataset, name, members.grid(config, {}, SEEDS), options, out / name, {"source": DATA})
        )
        overall = read_json(out / name / "evaluation.json")["overall"]
        rows.append([title, *(cell(key, overall[key]) for key in SHOWN)])
    path = report.write_report(out / "cql", {"BC": out / "bc"})
    print(f"\n{text_table(['policy', *(COLUMNS[key] for key in SHOWN)], rows)}")
    print("\nreturn: of the most likely action; predicted and realised: discounted, of the policy that samples")
    print(f"trained in {time.perf_counter() - began:.0f} s; look at {path}")
