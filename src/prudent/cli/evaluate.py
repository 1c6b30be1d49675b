"""``prudent evaluate``: run the policies of a run in their environment."""

import json
from pathlib import Path

from prudent.cli.flags import Parser, add_threads, set_threads
from prudent.cli.own_algorithms import add_algo, check_used, take
from prudent.cli.run_folders import check_folder, to_stderr
from prudent.errors import ConfigError


def evaluate(words: list[str]) -> None:
    parser = Parser(prog="prudent evaluate", description="Run the policies of a run in their environment.")
    parser.add_argument("run", type=Path, help="run folder, tuned folder, or one checkpoint")
    parser.add_argument("--env", help="Gymnasium id (default: the one of the run)")
    parser.add_argument("--episodes", type=int, default=10, metavar="N", help="episodes per member (default: 10)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of start states and sampled actions (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_algo(parser)
    add_threads(parser, what="CPU threads for predicted values; acting takes one")
    arguments = parser.parse_strict(words)
    if arguments.episodes < 1:
        raise ConfigError(f"evaluate: --episodes must be 1 or more, got {arguments.episodes}")
    set_threads(arguments.threads, "evaluate")

    from prudent.evaluation.rollouts import evaluate_both
    from prudent.runs import checkpoint
    from prudent.runs.tuned import environment_of

    check_folder(arguments.run)
    take(arguments.algo)
    population, _ = checkpoint.load(arguments.run, say=to_stderr)
    check_used(arguments.algo, [population.algorithm_name], arguments.run)
    env_id = arguments.env or environment_of(arguments.run)
    summary = evaluate_both(population, env_id, episodes=arguments.episodes, seed=arguments.seed).summary()
    step = population.state.step
    if arguments.json:
        about = {"env": env_id, "step": step, "episodes": arguments.episodes}
        print(json.dumps({**about, **summary}, indent=1, allow_nan=False))
    else:
        from prudent.report.terminal import evaluation_table

        print(f"{arguments.run}, step {step}: {arguments.episodes} episodes per member in {env_id}")
        print(evaluation_table(summary))
