"""A run folder made up from smooth curves and noise, and a report in haste: name this module in ``pytest_plugins``."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from helpers.patches import leave_pictures_blank
from prudent.runs.metrics import JsonlLogger


def _curves(step, total, alpha, generator, algorithm):
    """Figures of one member at one step."""
    t = step / total
    rise = 1 - math.exp(-5 * t)
    noise = generator.normal
    figures = {
        "train/actor_loss": 60 - 90 * rise + noise(0, 1.5),
        "time/ms_per_step": 4.1 + 0.3 * noise() ** 2,
        "time/steps_per_second": 240.0,
    }
    if algorithm == "cql":
        q = -160 * rise - 4 * alpha
        figures |= {
            "train/critic_loss": 900 * math.exp(-9 * t) + 18 + 2 * alpha + abs(noise(0, 3)),
            "train/td_error": 500 * math.exp(-9 * t) + 8 + abs(noise(0, 2)),
            "train/cql_gap": 12 / math.sqrt(alpha) * math.exp(-3 * t) - 2 + noise(0, 0.3),
            "train/cql_gap_normalized": 0.2,
            "train/alpha": alpha,
            "train/q_data": q + 8 + noise(0, 1),
            "train/q_policy": q + 2 + noise(0, 1),
            "train/q_random": q - 45 * rise - 3 * alpha * rise + noise(0, 1),
            "train/entropy": 1 - 2 * t,
            "train/temperature": math.exp(-4 * t) + 0.02,
            "train/temperature_loss": 0.1,
        }
    return figures


def _evaluation(step, total, alpha, generator, algorithm):
    t = step / total
    level = {"cql": -150 - 6 * abs(alpha - 5), "bc": -480}[algorithm]
    value = -1100 + (level + 1100) * (1 - math.exp(-6 * t)) + generator.normal(0, 25)
    return {
        "eval/return": value,
        "eval/return_std": 80.0,
        "eval/normalized_score": None,
        "eval/return_stochastic": value - 20,
        "eval/predicted_value": 0.55 * value - 8 * alpha,
        "eval/realized_value": 0.55 * value,
        "eval/lower_bound_share": 0.97,
    }


def _summary(names, generator, base=-150.0):
    members = {
        name: {
            "return_mean": base + generator.normal(0, 10),
            "return_std": 82.4,
            "normalized_score": None,
            "iqm": base + 20,
            "ci95": None,
            "predicted_value": -120.0,
            "realized_value": -91.0,
            "lower_bound_share": 0.975,
        }
        for name in names
    }
    overall = dict(next(iter(members.values())), return_mean=base, ci95=[base - 14, base + 12])
    settings = {}
    for index, name in enumerate(dict.fromkeys(name.rpartition(",")[0] for name in names)):
        level = base - 50 * abs(index - 1)  # the second is the best
        settings[name] = dict(overall, return_mean=level, iqm=level + 2, ci95=[level - 14, level + 12])
    return {"overall": overall, "members": members, "settings": settings if len(settings) > 1 else {}}


def _starts(names, generator):
    realized = generator.normal(-91, 25, (len(names), 20))
    predicted = realized - 25 + generator.normal(0, 12, realized.shape)
    rows = zip(names, predicted.tolist(), realized.tolist(), strict=True)
    return {name: {"predicted": p, "realized": r} for name, p, r in rows}


def _histograms(generator):
    def counts(values, bins=30):
        found, edges = np.histogram(values, bins)
        return {"edges": edges.tolist(), "counts": found.tolist()}

    return {
        "episodes": 150,
        "terminated": 0,
        "truncated": 150,
        "returns": counts(generator.normal(-631, 200, 150)),
        "lengths": counts(np.full(150, 200)),
        "actions": [counts(generator.normal(0, s, 5000).clip(-2, 2), 24) for s in (0.3, 2.0)],
        "covered": [0.5, 1.0],
    }


def draw_gif(path: Path, frames: int = 12) -> None:
    """A pendulum that swings."""
    path.parent.mkdir(exist_ok=True)
    pictures = []
    for i in range(frames):
        picture = Image.new("RGB", (160, 160), "white")
        angle = math.pi * math.sin(2 * math.pi * i / frames) / 2
        tip = (80 + 60 * math.sin(angle), 80 - 60 * math.cos(angle))
        ImageDraw.Draw(picture).line([(80, 80), tip], fill="#cc4d4d", width=14)
        pictures.append(picture)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=60, loop=0)


@pytest.fixture
def blank_pictures(monkeypatch):
    """Pictures are composed but not drawn."""
    leave_pictures_blank(monkeypatch)


@pytest.fixture
def make_run(tmp_path):
    """Writes a run folder and returns it."""

    def make(
        name="run",
        algorithm="cql",
        alphas=(1.0, 5.0, 10.0),
        seeds=(0, 1, 2),
        total=50_000,
        video=True,
        **changes,
    ):
        folder, generator = tmp_path / name, np.random.default_rng(7)
        folder.mkdir()
        grid = [(alpha, seed) for alpha in alphas for seed in seeds]
        label = "alpha={:g},seed={}" if len(alphas) > 1 else "seed={1}"
        names = [label.format(alpha, seed) for alpha, seed in grid]
        with JsonlLogger(folder / "metrics.jsonl", names) as logger:
            for step in range(0, total + 1, total // 50):
                if step:
                    table = [_curves(step, total, alpha, generator, algorithm) for alpha, _ in grid]
                    logger.log(step, {key: [row[key] for row in table] for key in table[0]})
                if step % (total // 10) == 0:
                    table = [_evaluation(step, total, alpha, generator, algorithm) for alpha, _ in grid]
                    logger.log(step, {key: [row[key] for row in table] for key in table[0]})
        summary = _summary(names, generator, base=-150.0 if algorithm == "cql" else -480.0)
        starts = {"starts": _starts(names, generator)} if algorithm == "cql" else {}
        files = {
            "config": {
                "algorithm": algorithm,
                "config": {
                    "alpha": list(alphas) if len(alphas) > 1 else alphas[0],
                    "critic_learning_rate": 3e-4,
                    "actor_learning_rate": 1e-4,
                    "hidden": [256, 256],
                    "proposals": 10,
                    "importance_sampling": True,
                    "lagrange": False,
                    "discount": 0.99,
                    "polyak": 0.005,
                    "backup": "min",
                },
                "members": [
                    {"name": n, "seed": seed, "alpha": alpha} for n, (alpha, seed) in zip(names, grid, strict=True)
                ],
                "train": {"steps": total, "batch_size": 256, "eval_every": total // 10, "eval_episodes": 10},
                "dataset": {
                    "name": "pendulum-mixed",
                    "transitions": 30_000,
                    "episodes": 150,
                    "mean_return": -631.4,
                    "fingerprint": "9f2c64be0a1d77e3",
                    "notes": ["actions reach their bounds in 12 % of the rows", "no terminal states"],
                },
                "env": "Pendulum-v1",
            },
            "environment": {
                "prudent": "0.1.0",
                "python": "3.11.9",
                "torch": "2.13.0",
                "numpy": "2.4.6",
                "gymnasium": "1.4.0",
                "mujoco": None,
                "processor": "a processor",
                "threads": 2,
                "commit": "0123456789abcdef",
            },
            "status": {"state": "finished", "step": total, "steps": total, "message": ""},
            "evaluation": {"step": total, **starts, **summary, "deterministic": summary, "stochastic": summary},
            "dataset": _histograms(generator),
        } | changes
        for key, content in files.items():
            if content is not None:
                (folder / f"{key}.json").write_text(json.dumps(content))
        (folder / "checkpoints").mkdir()
        if video:
            for step in (total // 2, total):
                draw_gif(folder / "videos" / f"step_{step}.gif")
        return folder

    return make
