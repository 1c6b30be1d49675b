"""``python -m benchmarks.fingerprints DIR``: fingerprints of what the library computes, before and after a change.

The first call makes small runs in ``DIR`` and keeps them with their fingerprints. Every later call computes the same
things again, resumes and reports the kept runs with the present code, and prints each fingerprint that differs. A
change that only moves code leaves all of them equal, bit for bit, on the same machine.

Only the public interface is used (``import prudent`` and the command line), so that this file need not change when the
inside of the library does.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from safetensors.numpy import load as load_tensors

import prudent
from prudent import cli

STEPS = 50
CONTINUOUS, DISCRETE = "log.npz", "choices.npz"
SMALL = {"hidden": [16, 16], "batch_size": 32}
PROPOSING = {"n_actions": 3}
REGRESSION = {"value_init": "regression", "value_init_steps": 10}
AGENTS = {
    "bc": ("BC", {}),
    "bc best half": ("BC", {"top_fraction": 0.5}),
    "cal_ql": ("CalQL", PROPOSING),
    "ciql": ("CIQL", {}),
    "cql": ("CQL", {**PROPOSING, "alpha": [1.0, 5.0], **REGRESSION}),
    "cql entropy, lagrange": ("CQL", {**PROPOSING, "backup": "entropy", "lagrange": True}),
    "cql max, layer_norm": ("CQL", {**PROPOSING, "backup": "max", "layer_norm": True, "bc_warmup_steps": 20}),
    "cql sampled": ("CQL", {**PROPOSING, "gradient": "sampled", "gradient_samples": 2, "actor_period": 2}),
    "cql soft": ("CQL", {**PROPOSING, "backup": "soft"}),
    "cpql": ("CPQL", {**PROPOSING, "trace": [0.5, 1.0]}),
    "cql_redq": ("CQLREDQ", {**PROPOSING, "n_critics": 4}),
    "iql": ("IQL", REGRESSION),
    "rebrac": ("ReBRAC", {}),
    "sac": ("SAC", {**REGRESSION, "max_grad_norm": 1.0}),
    "sparse_ql": ("SparseQL", {}),
    "td3_bc": ("TD3BC", REGRESSION),
    "discrete_bc": ("DiscreteBC", {}),
    "discrete_cql": ("DiscreteCQL", {"alpha": [0.5, 2.0]}),
    "discrete_cql quantiles": ("DiscreteCQL", {"n_quantiles": 8}),
    "discrete_iql": ("DiscreteIQL", REGRESSION),
}
"""Every algorithm, and the branches of its loss."""

Contents = dict[str, bytes | str]
"""Parts of one result, by name; numbers are bytes, words are text."""

RUNS = {
    "cql": ["train", CONTINUOUS, "--env", "Pendulum-v1", "--alpha", "1", "5", "--n-actions", "3"],
    "bc": ["train", CONTINUOUS, "--algo", "bc", "--env", "Pendulum-v1"],
    "discrete": ["train", DISCRETE, "--algo", "discrete_cql", "--env", "CartPole-v1"],
}
TRAINING = "--hidden 16 16 --batch-size 32 --steps 40 --log-every 20 --eval-every 20 --eval-episodes 2 --threads 1"
FITS = "--members 2 --folds 2 --n-bootstrap 2 --steps 40 --behaviour-steps 30 --hidden 8 --batch-size 32"
TUNING = "--alpha 0.5 5 --seeds 0 --steps 40 --checkpoints 2 --rank-steps 30 --final-steps 30 --resamples 2"
MAP = """
episode = "episode"
step = "step"
observation = ["x", "y"]
action = ["a"]
reward = "reward"
terminated = "terminated"
action_low = -2.0
action_high = 2.0
discrete = false
"""


def main(words: list[str] | None = None) -> int:
    """Run; returns the exit status: 1 if a fingerprint changed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fingerprints", description=__doc__.split("\n\n")[1])
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the first call keeps its runs")
    parser.add_argument(
        "--only", metavar="TEXT", help="only fingerprints whose name has this text; compares, keeps nothing"
    )
    arguments = parser.parse_args(words)
    folder: Path = arguments.folder.resolve()
    kept = folder / "fingerprints.json"
    fresh = not kept.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if fresh:
        write_logs(folder)
    found = fingerprints(folder, fresh, arguments.only or "")
    if fresh:
        kept.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{len(found)} fingerprints kept in {kept}")
        return 0
    before = json.loads(kept.read_text())
    changed = [name for name in found if found[name] != before.get(name, "new")]
    missing = [] if arguments.only else [name for name in before if name not in found]
    for name in changed:
        print(f"changed: {name}: {before.get(name, 'new')} -> {found[name]}")
    for name in missing:
        print(f"missing: {name}")
    print(f"{len(found) - len(changed)} of {len(found)} fingerprints are equal")
    return int(bool(changed or missing))


def fingerprints(folder: Path, fresh: bool, only: str) -> dict[str, str]:
    """Fingerprints by name; new runs are made in ``folder`` if ``fresh``, else in its subfolder ``again``."""
    work = folder if fresh else folder / "again"
    if not fresh:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for name in (CONTINUOUS, DISCRETE, "table.csv", "map.toml"):
            shutil.copy(folder / name, work / name)
    found: dict[str, str] = {}

    def take(name: str, compute: Callable[[], Contents | bytes | str]) -> None:
        if only not in name:
            return
        try:
            content = compute()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a failure is a fingerprint too
            content = f"{type(error).__name__}: {error}"
            print(f"{name}: {content}", file=sys.stderr)
        for part, value in (content if isinstance(content, dict) else {"": content}).items():
            whole = f"{name}: {part}" if part else name
            found[whole] = digest(value)
            if isinstance(value, str):
                # A change of wording leaves the figures equal.
                found[f"{whole} (figures)"] = digest(" ".join(re.findall(r"-?\d+\.\d+(?:e[+-]?\d+)?", value)))
            keep = work / "contents" / (re.sub(r"\W+", "_", whole) + ".txt")
            keep.parent.mkdir(exist_ok=True)
            keep.write_bytes(value.encode() if isinstance(value, str) else value)

    with contextlib.chdir(work):
        data = {kind: prudent.load_dataset(kind) for kind in (CONTINUOUS, DISCRETE)}
        for name, (agent, settings) in AGENTS.items():
            take(f"weights of {name}", lambda a=agent, s=settings: weights_of(trained(a, s, data)))
        take("evaluation", lambda: plain(trained("CQL", PROPOSING, data).evaluate("Pendulum-v1", episodes=3)))
        take("predictions", lambda: predictions(trained("SAC", {}, data), data[CONTINUOUS]))
        take("steps on batches", lambda: batches(data[CONTINUOUS]))
        for name, command in RUNS.items():
            take(f"run {name}", lambda n=name, c=command: run_of([*c, *TRAINING.split(), "--out", f"runs/{n}"], n))
        take("groups", lambda: groups_of())
        take("finetune", lambda: finetuned())
        take("evaluate", lambda: said("evaluate", "runs/cql", "--episodes", "2", "--json"))
        take("support", lambda: said("support", "runs/cql", "--json"))
        take("value", lambda: said("value", "runs/cql", "--compare", "BC=runs/bc", *FITS.split(), "--json"))
        take("value discrete", lambda: said("value", "runs/discrete", *FITS.split(), "--json"))
        take("tune", lambda: tuned(CONTINUOUS, "tuned/cql", "--n-actions", "3", "--env", "Pendulum-v1"))
        take("tune discrete", lambda: tuned(DISCRETE, "tuned/discrete"))
        take("report", lambda: reported("runs/cql", "--compare", "BC=runs/bc"))
        take("report of tune", lambda: text_of(Path("tuned/cql/report.html")))
        take("collect", lambda: collected())
        for source in (CONTINUOUS, DISCRETE, "pendulum-mixed", "cartpole-mixed"):
            take(f"describe {source}", lambda s=source: said("data", "describe", s))
        take("import", lambda: imported())
        take("convert", lambda: converted())
        for name in RUNS:
            take(f"kept run {name}, resumed", lambda n=name: resumed(folder / "runs" / n, n))
            take(f"kept run {name}, reported", lambda n=name: kept_report(folder / "runs" / n, n))
        take("kept folder of data", lambda: dataset_print(prudent.load_dataset(str(folder / "mapped"))))
    return found


# --- data -------------------------------------------------------------------------------------------------------------


def write_logs(folder: Path) -> None:
    """Small logs with the spaces of Pendulum-v1 and CartPole-v1, and a table."""
    rng = np.random.default_rng(0)
    rows, length = 1200, 40
    observation, successor = rng.normal([1.0, -2.0, 3.0], [1.0, 0.5, 4.0], size=(2, rows, 3)).astype(np.float32)
    number = np.arange(1, rows + 1)
    ends = number % length == 0
    terminals = ends & (number % (3 * length) == 0)
    successor[:-1] = np.where(ends[:-1, None], successor[:-1], observation[1:])
    action = rng.uniform(-2, 2, size=(rows, 1)).astype(np.float32)
    shared = {
        "rewards": (observation[:, 0] + 0.3 * action[:, 0] + rng.normal(scale=0.1, size=rows)).astype(np.float32),
        "terminals": terminals,
        "timeouts": ends & ~terminals,
    }
    bounds = {"action_low": np.float32(-2), "action_high": np.float32(2)}
    np.savez(
        folder / CONTINUOUS, observations=observation, next_observations=successor, actions=action, **shared, **bounds
    )
    four, next_four = (np.concatenate([o, o[:, :1]], axis=1) for o in (observation, successor))
    choices = {"actions": rng.integers(2, size=rows), "n_actions": np.int64(2)}
    np.savez(folder / DISCRETE, observations=four, next_observations=next_four, **shared, **choices)
    lines = ["episode,step,x,y,a,reward,terminated"]
    for row in range(120):
        x, y, _ = observation[row].tolist()
        end = str(row % 30 == 29).lower()
        lines.append(f"e{row // 30},{row % 30},{x!r},{y!r},{action[row, 0].item()!r},{row / 7!r},{end}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    (folder / "map.toml").write_text(MAP)


def dataset_print(data: prudent.Dataset) -> str:
    """The columns' fingerprint, sizes, spec and notes of a dataset."""
    return "\n".join([data.fingerprint, str(len(data)), str(data.n_episodes), repr(data.spec), *data.notes])


# --- what is done -----------------------------------------------------------------------------------------------------


def trained(agent: str, settings: dict[str, object], data: dict[str, prudent.Dataset]) -> prudent.Agent:
    """An agent after a few steps."""
    log = data[DISCRETE if agent.startswith("Discrete") else CONTINUOUS]
    return getattr(prudent, agent)(seeds=[0, 1], device="cpu", **SMALL, **settings).fit(log, steps=STEPS, threads=1)


def weights_of(agent: prudent.Agent) -> bytes:
    """Every number that training changes."""
    shutil.rmtree("saved", ignore_errors=True)
    agent.save("saved")
    return stored_weights(Path("saved"))


def stored_weights(run: Path) -> bytes:
    """The tensors of a run's newest checkpoint, by name."""
    newest = max((run / "checkpoints").glob("step_*"), key=lambda step: int(step.name.removeprefix("step_")))
    tensors = load_tensors((newest / "state.safetensors").read_bytes())
    parts = [newest.name.encode()]
    for name, tensor in sorted(tensors.items()):
        parts += [f"{name} {tensor.dtype} {tensor.shape}".encode(), np.ascontiguousarray(tensor).tobytes()]
    return b"\n".join(parts)


def predictions(agent: prudent.Agent, data: prudent.Dataset) -> bytes:
    """Actions, densities and values of logged states."""
    rows = data.observation[:50]
    action, density = agent.act(rows, deterministic=True, member=1)
    return np.concatenate(
        [agent.predict(rows), action, density[:, None], agent.q_value(rows, action)[:, None]], 1
    ).tobytes()


def batches(data: prudent.Dataset) -> bytes:
    """Single steps and parts of them on batches that a program draws itself."""
    agent = prudent.CQL(seeds=[0, 1], device="cpu", **SMALL, **PROPOSING)
    metrics: list[bytes] = []
    drawn = data.batches(32, seed=0)
    for step, batch in zip(range(6), drawn, strict=False):
        done = agent.update(batch) if step % 2 == 0 else agent.update_critic(batch) | agent.update_actor(batch)
        metrics += [name.encode() + value.tobytes() for name, value in sorted(done.items())]
    return b"\n".join([*metrics, weights_of(agent)])


def run_of(command: list[str], name: str) -> Contents:
    """A run made by the command line, without times and versions."""
    screen = said(*command)
    return {**run_contents(Path("runs") / name), "screen": screen}


def run_contents(run: Path) -> Contents:
    """What a run leaves: weights, metrics, JSON files, report."""
    names = sorted(str(p.relative_to(run)) for p in run.rglob("*") if "events." not in p.name)
    told = [n for n in names if n.endswith(".json") and "environment" not in n and "checkpoints" not in n]
    return {
        "weights": stored_weights(run),
        "metrics": metrics_of(run).encode(),
        "files": "\n".join(names),
        "json": "\n".join(plain(json.loads((run / name).read_text())) for name in told),
        "report": text_of(run / "report.html"),
    }


def metrics_of(run: Path) -> str:
    """``metrics.jsonl`` without times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return "\n".join(json.dumps({k: v for k, v in line.items() if not k.startswith("time")}) for line in lines)


def groups_of() -> Contents:
    """Two groups of members that cannot train together."""
    command = (
        f"train {CONTINUOUS} --n-actions 2 3 --hidden 8 8 --batch-size 16 --steps 20 --threads 1 --out runs/groups"
    )
    said(*command.split())
    folders = [run for run in sorted(Path("runs/groups").iterdir()) if run.is_dir()]
    return {f"{run.name} {part}": value for run in folders for part, value in run_contents(run).items()}


def finetuned() -> Contents:
    """A run that was fine-tuned in its environment."""
    words = "--steps 60 --eval-every 30 --log-every 10 --eval-episodes 1 --threads 1 --out runs/online"
    said("finetune", "runs/cql", *words.split())
    return run_contents(Path("runs/online"))


def tuned(log: str, out: str, *more: str) -> Contents:
    """A tuning on a log."""
    words = f"tune {log} {TUNING} --hidden 8 --batch-size 32 --eval-episodes 2 --threads 1 --out {out}"
    screen = said(*words.split(), *more)
    return {"json": plain(json.loads((Path(out) / "tune.json").read_text())), "screen": screen}


def reported(run: str, *more: str) -> str:
    """A report's text."""
    said("report", run, *more)
    return text_of(Path(run) / "report.html")


def collected() -> str:
    """A small dataset made by a random policy."""
    Path("collected.hdf5").unlink(missing_ok=True)
    said("data", "collect", "--env", "Pendulum-v1", "--steps", "250", "--out", "collected.hdf5")
    return dataset_print(prudent.load_dataset("collected.hdf5"))


def imported() -> str:
    """A table as HDF5."""
    Path("imported.hdf5").unlink(missing_ok=True)
    screen = said("data", "import", "table.csv", "--map", "map.toml", "--out", "imported.hdf5")
    return screen + dataset_print(prudent.load_dataset("imported.hdf5"))


def converted() -> str:
    """A dataset as a folder of columns, and a run on it."""
    shutil.rmtree("mapped", ignore_errors=True)
    screen = said("data", "convert", CONTINUOUS, "--out", "mapped")
    agent = prudent.CalQL(device="cpu", **SMALL, **PROPOSING).fit(prudent.load_dataset("mapped"), steps=20, threads=1)
    return screen + dataset_print(prudent.load_dataset("mapped")) + digest(weights_of(agent))


def resumed(run: Path, name: str) -> Contents:
    """A run of the first call, resumed for more steps."""
    shutil.rmtree(Path("taken"), ignore_errors=True)
    shutil.copytree(run, Path("taken") / name)
    said("train", "--resume", f"taken/{name}", "--steps", "60", "--threads", "1")
    return run_contents(Path("taken") / name)


def kept_report(run: Path, name: str) -> str:
    """The report of a run of the first call."""
    shutil.rmtree(Path("shown"), ignore_errors=True)
    shutil.copytree(run, Path("shown") / name)
    (Path("shown") / name / "report.html").unlink()
    return reported(f"shown/{name}")


# --- as text ----------------------------------------------------------------------------------------------------------


def said(*words: str) -> str:
    """The output of the command line, without times and paths."""
    screen = io.StringIO()
    with contextlib.redirect_stdout(screen), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cli.main([str(word) for word in words])
    return timeless(screen.getvalue())


def plain(content: object) -> str:
    """JSON without times and paths."""
    return timeless(json.dumps(content, indent=1, sort_keys=True))


def text_of(page: Path) -> str:
    """The text of a page, without pictures and times."""
    return timeless(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(style|head).*?</\1>|data:[^\"]+", "", page.read_text())))


def timeless(text: str) -> str:
    """The text without times, rates, commits and the path of the folder."""
    here = str(Path.cwd())
    text = text.replace(here, ".").replace(str(Path(here).parent), ".")
    text = re.sub(
        r"[\d.e+]+ steps/s|[\d.e+-]+ ms/step|ETA [\d:?]+|[\d:]+ left|in \d+ ?s|[\d.]+ (minutes|seconds)", "", text
    )
    text = re.sub(r'"(seconds|commit|minutes|time)[^"]*": [^,\n]+', "", text)
    return re.sub(r"\b[0-9a-f]{12}\b|\d+:\d\d(:\d\d)?", "", text)


def digest(content: bytes | str) -> str:
    """The first half of the SHA-256 of the content."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:32]


if __name__ == "__main__":
    sys.exit(main())
