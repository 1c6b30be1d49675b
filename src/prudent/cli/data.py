"""``prudent data``: what a dataset holds, and making one."""

import json

from prudent.cli._common import add_data_flags, data_options


def describe(words: list[str]) -> None:
    from prudent.cli.flags import Parser

    parser = Parser(prog="prudent data describe", description="What a dataset holds, and what is wrong with it.")
    parser.add_argument("data", nargs="+", help="dataset: file, Minari id, D4RL name or built-in; several are joined")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_flags(parser)
    found = parser.parse_strict(words)

    from pathlib import Path

    from prudent.data import load_dataset
    from prudent.data.describe import describe, describe_dict
    from prudent.data.readers import provenance
    from prudent.data.writers import HDF5

    dataset = load_dataset(found.data, **data_options(vars(found)))
    paths = [path for path in map(Path, found.data) if path.suffix.lower() in HDF5 and path.is_file()]
    made = {path.name: about for path in paths if (about := provenance.read(path))}
    print(json.dumps(describe_dict(dataset, made), indent=1) if found.json else describe(dataset, made))


def import_(words: list[str]) -> None:
    from pathlib import Path

    from prudent.cli.flags import Parser

    parser = Parser(
        prog="prudent data import",
        usage="prudent data import TABLE --map map.toml --out FILE [...]",
        description="Write any dataset that can be read, a table above all, as D4RL HDF5 or as a Minari dataset.",
    )
    parser.add_argument("data", nargs="+", help="dataset: file, Minari id, D4RL name or built-in; several are joined")
    parser.add_argument("--out", required=True, help=".hdf5 file to create, or minari:namespace/name-vN")
    add_data_flags(parser)
    found = parser.parse_strict(words)

    from prudent.data import audit, load_dataset, writers

    writers.check_target(found.out)
    dataset = load_dataset(found.data, **data_options(vars(found)))
    about = {"source": " ".join(Path(name).name for name in found.data), "notes": list(dataset.notes)}
    writers.write(dataset, found.out, about)
    for note in dataset.notes:
        print(note)
    problems = ", ".join(f"{finding.kind} ({finding.count:,})" for finding in audit(dataset))
    if problems:
        print(f"problems: {problems}; see prudent data describe {found.out}")
    print(f"wrote {found.out}: {len(dataset)} transitions, fingerprint {dataset.fingerprint}")


def convert(words: list[str]) -> None:
    from prudent.cli.flags import Parser

    parser = Parser(
        prog="prudent data convert",
        usage="prudent data convert DATA --out FOLDER [...]",
        description="Write a dataset as a folder of columns, whose rows are read from disk as training needs them. "
        "HDF5 files may be larger than memory.",
    )
    parser.add_argument("data", nargs="+", help="dataset: file, Minari id, D4RL name or built-in; several are joined")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to create; name it to train on it")
    add_data_flags(parser)
    found = parser.parse_strict(words)

    from prudent.data import convert

    dataset = convert(found.data, found.out, say=print, **data_options(vars(found)))
    for note in dataset.notes:
        print(note)
    print(f"wrote {found.out}: {len(dataset)} transitions, fingerprint {dataset.fingerprint}")


def collect(words: list[str]) -> None:
    from pathlib import Path

    from prudent.cli.flags import Parser, add_flags, values_of
    from prudent.online.sac_learner import SacSettings

    parser = Parser(
        prog="prudent data collect",
        usage="prudent data collect --env ID --out FILE [--policy random|RUN|sac ...] [--steps N] [--level medium] ...",
        description="Make a dataset by running policies in their environment. The same command gives the same data.",
    )
    parser.add_argument("--env", required=True, metavar="ID", help="Gymnasium id")
    parser.add_argument("--out", required=True, help=".hdf5 file to create, or minari:namespace/name-vN")
    parser.add_argument(
        "--policy",
        nargs="+",
        default=["random"],
        help="random (default), a run folder, sac (trained here to --level first), or several of them",
    )
    parser.add_argument("--shares", type=float, nargs="+", metavar="X", help="share of each policy (default: equal)")
    parser.add_argument("--steps", type=int, metavar="N", help="transitions (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of start states, sampling, learning")
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        metavar="X",
        help="exploration on top of the policy: "
        "deviation of Gaussian noise as a share of half the action range, or probability of a random discrete action",
    )
    parser.add_argument("--deterministic", action="store_true", help="take the policy's mode instead of sampling")
    parser.add_argument("--member", metavar="NAME", help="member of a run, name or number (default: the best)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    group = parser.add_argument_group("sac")
    group.add_argument(
        "--level",
        help="medium (the default: a third of the way from random to expert), expert, "
        "medium-expert, medium-replay (all that sac saw until it was medium), or a share such as 0.5",
    )
    group.add_argument(
        "--reference",
        type=float,
        nargs=2,
        metavar=("RANDOM", "EXPERT"),
        help="returns that levels are reckoned from (default: those of D4RL, where there are any)",
    )
    add_flags(group, SacSettings)
    given = vars(parser.parse_strict(words))

    import torch

    from prudent.data import writers
    from prudent.online import collect as collecting

    if given["threads"] < 1:
        parser.error(f"--threads must be 1 or more, got {given['threads']}")
    learning = values_of(given, SacSettings)
    told = [*learning, *(name for name in ("level", "reference") if given[name] is not None)]
    if told and "sac" not in given["policy"]:
        parser.error(f"--{told[0].replace('_', '-')} is for the policy sac")
    own = {name: value for name, value in values_of(given, collecting.Plan).items() if value is not None}
    if given["level"] != collecting.REPLAY:
        own.setdefault("steps", 100_000)
    for name, value in (("policies", given["policy"]), ("shares", given["shares"]), ("reference", given["reference"])):
        own[name] = None if value is None else tuple(value)
    writers.check_target(given["out"])
    plan = collecting.Plan(**own, learning=SacSettings(**learning))
    torch.set_num_threads(given["threads"])
    dataset, about = collecting.collect(plan, Path(given["out"]).stem.removeprefix(writers.MINARI))
    writers.write(dataset, given["out"], about, plan.env)
    print(f"wrote {given['out']}: {len(dataset)} transitions, fingerprint {dataset.fingerprint}")
