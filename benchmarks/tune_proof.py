"""How good the policy is that is chosen from a log alone, on problems where every value is known.

Random tabular processes (``benchmarks/known.py``) are logged for 100 or 400 episodes by behaviour policies of four
levels of skill, so that no single alpha is best on all. A grid of discrete CQL, two members per alpha, and discrete BC
are fitted to the training part. Then the functions of ``prudent tune`` rank the grid by fitted Q evaluation on training
and evaluation part, and give the verdict on the final part. True values solve linear equations. The worst run of the
grid gets a verdict too, as if it had been chosen.

Each problem is run a second time with one more action, which the log never shows. Some of 14 policies take it, in some
states or with some probability. These should be refused a value.

Each finished problem is an entry of the results, so an interrupted run continues where it stopped.

    python benchmarks/tune_proof.py [--problems 40] [--minutes 5] [--draw]
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import known
from prudent import ope
from prudent.algorithms import discrete_bc, discrete_cql
from prudent.data import Dataset
from prudent.engine import loop
from prudent.engine.members import grid
from prudent.engine.population import Population, new_population
from prudent.ope import policy
from prudent.report import style
from prudent.tuning import verdict
from prudent.tuning.parts import divide
from prudent.tuning.result import order
from prudent.tuning.stored_values import StoredValue

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "tune.json"
PICTURE = ROOT / "docs" / "images" / "tune_regret.png"
PROBLEMS, LEAVINGS = 40, 24
ALPHAS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
SEEDS = (0, 1)
SKILLS = (0.0, 0.3, 0.6, 0.9)
RULES = {
    "tune": "prudent tune",
    "run": "FQE lower bound of one run",
    "fqe": "FQE value of one run",
    "q": "highest Q of its own critic",
    "uniform": "uniform pick",
    "oracle": "oracle",
}
RANKING = ope.Settings(
    members=3, folds=2, n_bootstrap=0, steps=400, batch_size=64, hidden=(), lr=0.04, polyak=0.15, behaviour_steps=100
)
FINAL = replace(RANKING, n_bootstrap=16)
LEAVING = replace(ope.QUICK, steps=1)
"""Actions that the log never shows are detected by the behaviour model alone, so it is that of ``prudent tune``."""
SHARES = (0.1, 0.2, 0.4, 0.8)
"""Shares of states in which a policy takes the action that the log never shows, or its probability of taking it."""
LIMITS = (0.03, 0.05, 0.1, 0.2)
"""Limits on the share of actions outside the data above which a value is refused; ``prudent.ope`` uses the third."""
SHARED: dict[str, Any] = {"discount": 0.9, "hidden": (16,), "batch_size": 64}
STEPS = 300
SIZES = (100, 400)
WIDEST = 160
"""Regret in per cent above which it is not drawn to scale."""
GONE = 0.1
"""Share of actions that the log never shows, above which a policy counts as having left the data."""
LOWERED = 3.0
LENGTH = 1 / (1 - 0.9 * 0.95)
"""Discounted length of an episode: it terminates with probability 0.05 at each step."""


def problem_of(index: int) -> tuple[known.Known, int, float]:
    """Problem ``index``, the number of episodes of its log, and by how much its rewards are lowered.

    10 to 20 states, 4 to 6 actions. The behaviour policy has favourite actions, tries the others rarely, and takes the
    best action with a probability from :data:`SKILLS`. Half of the logs are small, and half of these and of the large
    ones have negative rewards, where actions that were never tried look good.
    """
    states, actions, skill = (10, 16, 20)[index % 3], (4, 5, 6)[index // 3 % 3], SKILLS[index % 4]
    kind = {"states": states, "actions": actions, "concentration": 0.5, "floor": 0.1, "skill": skill}
    return known.tabular(5000 + index, **kind), SIZES[index // 4 % 2], (0.0, LOWERED)[index // 8 % 2]


def lowered(data: Dataset, by: float) -> Dataset:
    """The log with lower rewards. All values fall equally, since episodes last equally long under every policy."""
    return replace(data, reward=data.reward - np.float32(by))


def fit(data: Dataset, seed: int) -> tuple[Population, Population]:
    """The grid and BC."""
    config = discrete_cql.Config(critic_lr=5e-3, polyak=0.05, **SHARED)
    found = []
    for name, members in (
        ("discrete_cql", grid(config, {"alpha": ALPHAS}, [seed + s for s in SEEDS])),
        ("discrete_bc", grid(discrete_bc.Config(actor_lr=5e-3, **SHARED), {}, [seed])),
    ):
        population = new_population(data, name, members, "cpu")
        loop.fit(population, data, STEPS, loop.Observer())
        found.append(population)
    return found[0], found[1]


def value_of(problem: known.Known, population: Population, member: int, by: float) -> float:
    """True value of a member."""
    own = policy.as_policy(population, member)
    assert problem.exact is not None
    assert isinstance(own, ope.DiscretePolicy)
    return problem.exact(own) - by * LENGTH


def one(index: int) -> dict[str, Any]:
    """The choice of each rule on problem ``index``, the verdicts, and all true values."""
    problem, episodes, by = problem_of(index)
    parts = divide(lowered(problem.log(episodes, index), by), index, 0, 2 * FINAL.folds)
    population, bc = fit(parts.train, index * len(SEEDS))
    true = [value_of(problem, population, p, by) for p in range(population.size)]
    log = ope.Evaluator(parts.ranking, problem.discount, RANKING, index)
    worth = [StoredValue.of(population.names[p], log.evaluate(population, p)) for p in range(population.size)]
    start = parts.train.observation[parts.train.episode_bounds[:-1]]
    own = population.predicted_value(np.broadcast_to(start, (population.size, *start.shape)))
    assert own is not None
    bounds = [w.fqe.lower_bound for w in worth]
    ranked = order([alpha for alpha in ALPHAS for _ in SEEDS], bounds)
    final = ope.Evaluator(parts.final, problem.discount, FINAL, index + 1)
    imitation = StoredValue.of("BC", final.evaluate(bc))
    asked = {"verdict": ranked[0] if ranked else None, "verdict_on_worst": int(np.argmin(true))}
    judged = {
        name: verdict.judge(
            None if p is None else StoredValue.of(population.names[p], final.evaluate(population, p)),
            imitation,
            "no value",
        )
        for name, p in asked.items()
    }
    by_value = [w.fqe.value if w.fqe.value is not None else -np.inf for w in worth]
    chosen = {
        "tune": ranked[0] if ranked else None,
        "run": int(np.argmax(bounds)) if ranked else None,
        "fqe": int(np.argmax(by_value)),
        "q": int(own.mean(1).argmax()),
    }
    return {
        "kind": "regret",
        "index": index,
        "true": true,
        "episodes": episodes,
        "lowered": by,
        "skill": SKILLS[index % 4],
        "behaviour": problem.behaviour_value - by * LENGTH,
        "bc": value_of(problem, bc, 0, by),
        "fqe": [w.fqe.value for w in worth],
        "lower_bound": [None if w.fqe.interval is None else w.fqe.interval[0] for w in worth],
        "own_q": own.mean(1).astype(float).tolist(),
        "chosen": chosen,
        **{name: found.verdict for name, found in judged.items()},
    }


def leaving(index: int) -> dict[str, Any]:
    """Problem ``index`` with one more action, never taken in the log: which policies take it, which get no value.

    Rewards are lowered, so that the action looks better than those that were tried. The policies are one member per
    alpha, and eight that were made to take it.
    """
    problem, episodes, _ = problem_of(index)
    data = problem.log(episodes, 500 + index)
    spare = data.spec.action_size
    data = lowered(replace(data, extra={}, spec=replace(data.spec, action_size=spare + 1)), LOWERED)
    parts = divide(data, index, 0, 2 * FINAL.folds)
    population, _ = fit(parts.train, index * len(SEEDS))
    log = ope.Evaluator(parts.ranking, problem.discount, LEAVING, index)
    tables = _led_astray(population, spare, np.random.default_rng([index, 21]))
    states = parts.ranking.observation.argmax(1)
    values = [
        log.evaluate(ope.DiscretePolicy(data.spec, lambda o, _, own=own: own[o.argmax(1)], "policy")) for own in tables
    ]
    return {
        "kind": "leaving",
        "index": index,
        "episodes": episodes,
        "left": [float(own[states, spare].mean()) for own in tables],
        "outside": [v.support.outside for v in values],
        "abstained": [not v.fqe.supported for v in values],
    }


def _led_astray(population: Population, spare: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Probabilities (S, A) of the first member of each alpha, and of policies that also take the action ``spare``."""
    states = np.eye(population.spec.observation_size, dtype=np.float32)
    found = []
    for p in range(0, population.size, len(SEEDS)):
        own = policy.as_policy(population, p)
        assert isinstance(own, ope.DiscretePolicy)
        found.append(own.probability(states, None))
    for share in SHARES:
        here, there = (found[int(p)] for p in rng.integers(1, len(ALPHAS), size=2))
        found.append(np.where(rng.random((len(states), 1)) < share, np.eye(spare + 1)[spare], here))
        found.append((1 - share) * there + share * np.eye(spare + 1)[spare])
    return found


# --- results ----------------------------------------------------------------------------------------------------------


def read() -> list[dict[str, Any]]:
    """The finished problems."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))["problems"] if RESULTS.is_file() else []


def regrets(row: dict[str, Any]) -> dict[str, float]:
    """How far each rule's choice falls short of the best run, as a share of that run's gain over the behaviour."""
    true = np.array(row["true"])
    earned = {rule: true[p] for rule, p in row["chosen"].items() if p is not None}
    # If no run has a value, BC is kept.
    earned = {"tune": row["bc"], "run": row["bc"], **earned, "uniform": true.mean(), "oracle": true.max()}
    gain = true.max() - row["behaviour"]
    return {rule: float((true.max() - value) / gain) for rule, value in earned.items()}


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Regret of each rule, how often the verdicts were right, and which policies were refused a value."""
    known_rows = [row for row in rows if row["kind"] == "regret"]
    found: dict[str, Any] = {"problems": len(known_rows)}
    found["regret"] = {
        str(size): own_sums
        for size in SIZES
        if (own_sums := _sums([regrets(row) for row in known_rows if row["episodes"] == size]))
    }
    found["skill"] = {
        f"{skill:g}": _sums([regrets(row) for row in known_rows if row["skill"] == skill])
        for skill in sorted({row["skill"] for row in known_rows})
    }
    found["verdict"] = _verdicts(known_rows)
    found["leaving"] = _leavings([row for row in rows if row["kind"] == "leaving"])
    return found


def _verdicts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How often each verdict occurred, by the true gain of the run: winners and worst runs of each grid."""
    asked = []
    for row in rows:
        best = max(row["true"]) - row["behaviour"]
        runs = {"verdict": row["chosen"]["tune"], "verdict_on_worst": int(np.argmin(row["true"]))}
        for name, p in runs.items():
            value = row["bc"] if p is None else row["true"][p]
            asked.append((row["episodes"], (value - max(row["behaviour"], row["bc"])) / best, row[name]))
    kinds = {"wide": lambda gain: gain > 0.5, "slight": lambda gain: 0 < gain <= 0.5, "none": lambda gain: gain <= 0}
    found: dict[str, Any] = {}
    for size in SIZES:
        for kind, test in kinds.items():
            own = [told for episodes, gain, told in asked if episodes == size and test(gain)]
            found.setdefault(str(size), {})[kind] = {
                "runs": len(own),
                **{name: own.count(name) for name in (verdict.DEPLOY, verdict.KEEP_BC, verdict.NOTHING)},
            }
    return found


def _leavings(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares of policies refused a value, among those that leave the data and those that stay, by limit."""
    found: dict[str, Any] = {}
    for size in SIZES:
        own = [row for row in rows if row["episodes"] == size]
        left, outside, abstained = (
            np.array([value for row in own for value in row[key]]) for key in ("left", "outside", "abstained")
        )
        for kind, these in (("gone", left > GONE), ("stayed", left == 0)):
            found.setdefault(str(size), {})[kind] = {
                "problems": len(own),
                "policies": int(these.sum()),
                "abstained": float(abstained[these].mean()) if these.any() else None,
                "outside": {f"{limit:g}": float((outside[these] > limit).mean()) for limit in LIMITS if these.any()},
            }
    return found


def _sums(table: list[dict[str, float]]) -> dict[str, Any]:
    """Mean regret of each rule with its standard error, the worst regret, and how often it chose the best run."""
    found = {}
    for rule in RULES if table else ():
        values = np.array([own[rule] for own in table])
        error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
        best = float((values < 1e-9).mean())
        found[rule] = {"problems": len(values), "mean": float(values.mean()), "error": error, "best_chosen": best}
        found[rule]["worst"] = float(values.max())
    return found


def write(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the results with their summary, sorted by kind and index; returns the summary."""
    rows = sorted(rows, key=lambda row: (row["kind"], row["index"]))
    summary = summarise(rows)
    RESULTS.write_text(json.dumps({"summary": summary, "problems": rows}, indent=1) + "\n", encoding="utf-8")
    return summary


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw regrets by size of log: a dot per problem and rule, a line for the mean, a triangle if off the scale."""
    known_rows = [row for row in rows if row["kind"] == "regret"]
    canvas = style.new_figure(10, 3.2)
    panels = canvas.subplots(1, len(SIZES), sharey=True)
    for axes, size in zip(panels, SIZES, strict=True):
        table = [regrets(row) for row in known_rows if row["episodes"] == size]
        for y, rule in enumerate(reversed(RULES) if table else ()):
            values = np.array([100 * own[rule] for own in table])
            heights = y + 0.12 * np.sin(np.arange(len(values)))
            for mark, these in (("o", values <= WIDEST), (">", values > WIDEST)):
                drawn = np.minimum(values, WIDEST)[these]
                axes.plot(drawn, heights[these], mark, color=style.PALETTE[0], alpha=0.55, markersize=5)
            axes.plot([values.mean()] * 2, [y - 0.32, y + 0.32], color=style.PALETTE[1], linewidth=2.5)
        title = f"{size} episodes: lost of the possible gain, %"
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=style.INK)
        axes.set_yticks(range(len(RULES)), list(RULES.values())[::-1])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", color=style.GRID)
        axes.tick_params(colors=style.QUIET, length=0)
    canvas.tight_layout()
    style.save_png(canvas, PICTURE, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """Run the problems that are missing, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=PROBLEMS)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this time; run again to continue"
    )
    parser.add_argument("--draw", action="store_true", help="only draw the results so far")
    options = parser.parse_args(arguments)
    rows, began = read(), time.monotonic()
    done = {(row["kind"], row["index"]) for row in rows}
    wanted = [("regret", index) for index in range(options.problems)]
    wanted += [("leaving", index) for index in range(min(options.problems, LEAVINGS))]
    for kind, index in () if options.draw else wanted:
        if time.monotonic() - began > 60 * options.minutes:
            break
        if (kind, index) not in done:
            rows.append(one(index) if kind == "regret" else leaving(index))
            write(rows)
            print(kind, index, f"{time.monotonic() - began:.0f} s", flush=True)
    print(json.dumps(write(rows), indent=1))
    draw(rows)


if __name__ == "__main__":
    main()
