"""``prudent data``: what a dataset holds."""

import json

from prudent.cli._common import add_data_flags, data_options


def describe(words: list[str]) -> None:
    from prudent.flags import Parser

    parser = Parser(prog="prudent data describe", description="What a dataset holds, and what is wrong with it.")
    parser.add_argument("data", nargs="+", help="dataset: file, Minari id, D4RL name or built-in; several are joined")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_flags(parser)
    found = parser.parse_strict(words)

    from prudent.data import load_dataset
    from prudent.data.describe import describe, describe_dict

    dataset = load_dataset(found.data, **data_options(vars(found)))
    print(json.dumps(describe_dict(dataset), indent=1) if found.json else describe(dataset))
