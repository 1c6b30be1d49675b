"""``prudent data``: describe, import, convert, split and collect datasets."""

import argparse
import json
from pathlib import Path

from prudent.cli.data_flags import add_data, add_data_flags, data_options
from prudent.cli.flags import Parser, add_flags, add_threads, set_threads, values_of
from prudent.cli.own_algorithms import add_algo, check_used, take
from prudent.errors import printable

DEFAULT_STEPS = 100_000
"""Transitions that ``collect`` makes, unless the level sets their number."""


def describe(words: list[str]) -> None:
    parser = Parser(prog="prudent data describe", description="Show what a dataset holds and what is wrong with it.")
    add_data(parser, "+")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_flags(parser)
    arguments = parser.parse_strict(words)

    from prudent.data import load_dataset
    from prudent.data.describe import describe, describe_dict
    from prudent.data.readers import provenance
    from prudent.data.writers import HDF5

    dataset = load_dataset(arguments.data, **data_options(vars(arguments)))
    paths = [path for path in map(Path, arguments.data) if path.suffix.lower() in HDF5 and path.is_file()]
    made = {path.name: about for path in paths if (about := provenance.read(path))}
    print(json.dumps(describe_dict(dataset, made), indent=1) if arguments.json else describe(dataset, made))


def import_(words: list[str]) -> None:
    parser = Parser(
        prog="prudent data import",
        usage="prudent data import TABLE --map map.toml --out FILE [...]",
        description="Write a table, or any other dataset that can be read, as D4RL HDF5 or as a Minari dataset.",
    )
    add_data(parser, "+")
    parser.add_argument("--out", required=True, help=".hdf5 file to create, or minari:namespace/name-vN")
    add_data_flags(parser)
    arguments = parser.parse_strict(words)

    from prudent.data import audit, load_dataset, outcomes, writers

    writers.check_target(arguments.out)
    dataset = load_dataset(arguments.data, **data_options(vars(arguments)))
    source = printable(" ".join(Path(name).name for name in arguments.data))
    about = {"source": source, "notes": [printable(note) for note in dataset.notes]}
    writers.write(dataset, arguments.out, about)
    for note in dataset.notes:
        print(note)
    problems = ", ".join(f"{finding.kind} ({finding.count:,})" for finding in audit(dataset))
    if problems:
        print(f"problems: {problems}; see prudent data describe {arguments.out}")
    for warning in outcomes.warnings(dataset):
        print(warning)
    _print_written(arguments.out, dataset)


def convert(words: list[str]) -> None:
    parser = Parser(
        prog="prudent data convert",
        usage="prudent data convert DATA --out FOLDER [...]",
        description="Write a dataset as a folder of columns, whose rows are read from disk as training needs them. "
        "HDF5 files may be larger than memory.",
    )
    add_data(parser, "+")
    parser.add_argument(
        "--out", required=True, metavar="FOLDER", help="folder to create, which train then takes as DATA"
    )
    add_data_flags(parser)
    arguments = parser.parse_strict(words)

    from prudent.data import convert, outcomes

    dataset = convert(arguments.data, arguments.out, say=print, **data_options(vars(arguments)))
    for line in (*dataset.notes, *outcomes.warnings(dataset)):
        print(line)
    _print_written(arguments.out, dataset)


def split(words: list[str]) -> None:
    parser = Parser(
        prog="prudent data split",
        usage="prudent data split DATA [DATA ...] --out FOLDER [--fractions X X ...] [--names NAME NAME ...] [--seed N]"
        " [...]",
        description="Divide a log by episode, or by group if it has groups, and write each part as a folder that every "
        "verb takes as DATA. HDF5 files and converted folders may be larger than memory.",
    )
    add_data(parser, "+")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to create, with a folder for each part")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs="+",
        default=[0.5, 0.1, 0.4],
        metavar="X",
        help="share of the episodes in each part, with sum 1 (default: 0.5 0.1 0.4)",
    )
    parser.add_argument(
        "--names",
        nargs="+",
        metavar="NAME",
        help="name of each part (default: train evaluation final; of two parts: train final)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed of the division (default: 0)")
    add_data_flags(parser)
    arguments = parser.parse_strict(words)

    from prudent.data import outcomes
    from prudent.data import split as write_parts
    from prudent.data.describe import part_line

    division = {name: getattr(arguments, name) for name in ("fractions", "names", "seed")}
    parts = write_parts(arguments.data, arguments.out, say=print, **division, **data_options(vars(arguments)))
    first = next(iter(parts.values()))
    for line in (*first.notes, *(warning for part in parts.values() for warning in outcomes.warnings(part))):
        print(line)
    for name, part in parts.items():
        print(part_line(Path(arguments.out) / name, part))


def collect(words: list[str]) -> None:
    from prudent.online.sac_learner import SacSettings

    parser, sac_flags = _collect_parser()
    add_flags(sac_flags, SacSettings)
    arguments = vars(parser.parse_strict(words))

    from prudent.data import writers
    from prudent.engine.process import keep_freed_memory
    from prudent.online import collect as collecting
    from prudent.online.recording import figures_line
    from prudent.runs.folder import folder_of, read_run

    set_threads(arguments["threads"], "data collect")
    keep_freed_memory()
    sac_settings = values_of(arguments, SacSettings)
    for_sac = [*sac_settings, *(name for name in ("level", "reference", "keep", "or_best") if arguments[name])]
    if for_sac and "sac" not in arguments["policy"]:
        parser.error(f"--{for_sac[0].replace('_', '-')} is for the policy sac")
    plan_values = {name: value for name, value in values_of(arguments, collecting.Plan).items() if value is not None}
    if arguments["level"] != collecting.REPLAY:
        plan_values.setdefault("steps", DEFAULT_STEPS)
    for name, flag in (("policies", "policy"), ("shares", "shares"), ("reference", "reference")):
        plan_values[name] = None if arguments[flag] is None else tuple(arguments[flag])
    writers.check_target(arguments["out"])
    take(arguments["algo"])
    folders = [folder_of(Path(policy)) for policy in arguments["policy"]]
    trained = [read_run(folder)["algorithm"] for folder in folders if folder is not None]
    check_used(arguments["algo"], trained, "the run")
    plan = collecting.Plan(**plan_values, learning=SacSettings(**sac_settings))
    dataset, about = collecting.collect(plan, Path(arguments["out"]).stem.removeprefix(writers.MINARI))
    writers.write(dataset, arguments["out"], about, plan.env)
    for part in about["parts"]:
        level = f", {part['level_reached']}" if "level_reached" in part else ""
        print(f"{printable(part['policy'])}{level}: {figures_line(part)}")
    _print_written(arguments["out"], dataset)


def _collect_parser() -> tuple[Parser, argparse._ArgumentGroup]:
    """The parser, and its group of flags for SAC."""
    parser = Parser(
        prog="prudent data collect",
        usage="prudent data collect --env ID --out FILE [--policy random|RUN|sac ...] [--steps N] [--level medium] ...",
        description="Make a dataset by running policies in their environment. The same command gives the same data.",
    )
    parser.add_argument("--env", required=True, metavar="ID", help="Gymnasium id, or module:ID for a module of yours")
    parser.add_argument("--out", required=True, help=".hdf5 file to create, or minari:namespace/name-vN")
    parser.add_argument(
        "--policy",
        nargs="+",
        default=["random"],
        help="random (default), a run folder, sac (first trained to --level), or several of them",
    )
    parser.add_argument("--shares", type=float, nargs="+", metavar="X", help="share of each policy (default: equal)")
    parser.add_argument("--steps", type=int, metavar="N", help=f"transitions (default: {DEFAULT_STEPS})")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of start states, sampling and learning"
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        metavar="X",
        help="exploration added to the policy: standard deviation of Gaussian noise as a share of half the action "
        "range, or probability of a random discrete action",
    )
    parser.add_argument("--deterministic", action="store_true", help="take the policy's mode instead of sampling")
    parser.add_argument("--member", metavar="NAME", help="member of a run, name or number (default: the best)")
    parser.add_argument(
        "--envs",
        type=int,
        metavar="K",
        help="environments at once (default: to record, one for each 10,000 rows, 8 at most; to train sac, one)",
    )
    add_algo(parser)
    add_threads(parser, default=1)
    sac_flags = parser.add_argument_group("sac")
    sac_flags.add_argument(
        "--level",
        help="medium (default: a third of the way from random to expert), expert, medium-expert, "
        "medium-replay (all transitions that sac saw until it was medium), or a share such as 0.5",
    )
    sac_flags.add_argument(
        "--reference",
        type=float,
        nargs=2,
        metavar=("RANDOM", "EXPERT"),
        help="returns that define the levels (default: those of D4RL, if it has any)",
    )
    sac_flags.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="folder for sac's training: an interrupted collect goes on from it, and other levels of the same training "
        "come from it",
    )
    sac_flags.add_argument(
        "--or-best",
        action="store_true",
        default=None,
        help="if --sac-steps are not enough for the level, record the best policy that was reached",
    )
    return parser, sac_flags


def _print_written(out: str, dataset) -> None:
    print(f"wrote {out}: {len(dataset)} transitions, fingerprint {dataset.fingerprint}")
