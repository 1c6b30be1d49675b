"""``prudent evaluate``, ``report`` and ``demo``: what a run is worth, and one to look at."""

import json
import sys
from pathlib import Path

from prudent.cli._common import check_folder, check_one_run, free_folder, named_runs, to_stderr
from prudent.errors import ConfigError


def evaluate(words: list[str]) -> None:
    from prudent.cli.flags import Parser

    parser = Parser(prog="prudent evaluate", description="Run the policies of a run in their environment.")
    parser.add_argument("run", type=Path, help="run folder, or one checkpoint in it")
    parser.add_argument("--env", help="Gymnasium id (default: the one of the run)")
    parser.add_argument("--episodes", type=int, default=10, metavar="N", help="episodes per member (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of start states and sampling (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    found = parser.parse_strict(words)
    if found.episodes < 1:
        raise ConfigError(f"evaluate: --episodes must be 1 or more, got {found.episodes}")

    from prudent.evaluation.rollouts import evaluate_both
    from prudent.runs import checkpoint
    from prudent.runs.folder import environment_of

    check_folder(found.run)
    population, _ = checkpoint.load(found.run, say=to_stderr)
    env_id = found.env or environment_of(found.run)
    summary = evaluate_both(population, env_id, episodes=found.episodes, seed=found.seed).summary()
    if found.json:
        about = {"env": env_id, "step": population.state.step, "episodes": found.episodes}
        print(json.dumps({**about, **summary}, indent=1, allow_nan=False))
    else:
        from prudent.report.terminal import evaluation_table

        print(f"{found.run}, step {population.state.step}: {found.episodes} episodes per member in {env_id}")
        print(evaluation_table(summary))


def report(words: list[str]) -> None:
    from prudent.cli.flags import Parser

    parser = Parser(prog="prudent report", description="Write a run's pictures and report.html.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--compare", nargs="+", default=[], metavar="NAME=RUN", help="other runs to show beside it")
    found = parser.parse_strict(words)
    others = named_runs(found.compare, "report")
    for path in (found.run, *others.values()):
        check_one_run(path)

    from prudent.report import read_others, read_run, unmeasured, write_report

    if others:
        run = read_run(found.run)
        for sentence in unmeasured(run, read_others(run, others)):
            print(sentence, file=sys.stderr)
    print(write_report(found.run, others or None))


def demo(words: list[str]) -> None:
    from prudent.cli.flags import Parser

    parser = Parser(prog="prudent demo", description="Train CQL and BC on pendulum-mixed and show what came out.")
    parser.add_argument("--out", type=Path, help="folder for the two runs (default: demo, numbered)")
    parser.add_argument("--steps", type=int, default=None, metavar="N", help="CQL's gradient steps (default: enough)")
    found = parser.parse_strict(words)

    from prudent.cli.demo import demo

    demo(found.out or free_folder("demo"), found.steps)
