"""``prudent report``: draw the pictures of a run and write its ``report.html`` again."""

from pathlib import Path

from prudent.cli import tuned_folders
from prudent.cli.flags import Parser
from prudent.cli.run_folders import check_one_run, named_runs, to_stderr
from prudent.errors import ConfigError


def report(words: list[str]) -> None:
    parser = Parser(prog="prudent report", description="Write a run's pictures and report.html.")
    parser.add_argument("run", type=Path, help="run folder, or tuned folder")
    parser.add_argument("--compare", nargs="+", default=[], metavar="NAME=RUN", help="other runs to show next to it")
    arguments = parser.parse_strict(words)
    others = named_runs(arguments.compare, "report")
    for path in (arguments.run, *others.values()):
        check_one_run(path)

    from prudent.report import missing_comparisons, read_others, read_run, write_report
    from prudent.runs import tuned
    from prudent.runs.foreign import as_written

    if tuned.is_tuned(arguments.run):
        if others:
            raise ConfigError(
                f"report: {arguments.run} is a tuning, whose report shows no other runs: prudent value {arguments.run} "
                "--compare NAME=RUN compares them"
            )
        print(tuned_folders.write_report(arguments.run))
        return
    if others:
        run = read_run(arguments.run)
        found = read_others(run, others)
        with as_written(" or ".join(map(str, (arguments.run, *others.values())))):
            sentences = missing_comparisons(run, found)
        for sentence in sentences:
            to_stderr(sentence)
    print(write_report(arguments.run, others or None))
