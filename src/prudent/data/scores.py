"""Normalised scores, ``100 (return - random) / (expert - random)``, with the reference returns of D4RL."""

import re

# (return of a random policy, return of an expert). Fu et al. 2020, arXiv 2004.07219, and d4rl-pybullet.
_REFERENCES: dict[str, tuple[float, float]] = {
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
    "pen": (96.262799, 3076.8331),
    "hammer": (-274.856578, 12794.1342),
    "door": (-56.512833, 2880.5693),
    "relocate": (-6.425911, 4233.8778),
    "antmaze": (0.0, 1.0),
    "kitchen": (0.0, 4.0),
    "maze2d-umaze": (23.85, 161.86),
    "maze2d-medium": (13.13, 277.39),
    "maze2d-large": (6.7, 273.99),
    "bullet-halfcheetah": (-1275.766996, 2381.6725),
    "bullet-hopper": (20.058972, 1441.8060),
    "bullet-ant": (373.705955, 2650.495),
    "bullet-walker2d": (16.523877, 1623.6476),
}
_LOCOMOTION = ("halfcheetah", "hopper", "walker2d", "ant")


def normalized_score(name: str, value: float) -> float | None:
    """The D4RL score of a mean return ``value``: 0 is a random policy, 100 an expert; None without a reference.

    ``name`` is a Gymnasium id (``Hopper-v5``, ``HopperBulletEnv-v0``) or a dataset's name or file
    (``hopper-medium-expert-v2``, ``halfcheetah-bullet-medium-v0``, ``mujoco/hopper/medium-v0``,
    ``hopper-medium.hdf5``). The references were measured on MuJoCo v2 environments: scores in v4 and v5 are
    comparable, not identical.
    """
    returns = reference(name)
    if returns is None:
        return None
    low, high = returns
    return 100.0 * (value - low) / (high - low)


def reference(name: str) -> tuple[float, float] | None:
    """(random return, expert return) of an environment or dataset; None where none were published."""
    task = _task(name)
    return None if task is None else _REFERENCES[task]


def _task(name: str) -> str | None:
    # The name of joined files holds several tasks: it has a reference only if they are all the same.
    if "+" in name:
        tasks = {_task(part) for part in name.split("+")}
        return tasks.pop() if len(tasks) == 1 else None
    text = name.lower().removeprefix("minari:").replace("_", "-")
    for prefix in ("d4rl/", "mujoco/"):
        text = text.removeprefix(prefix)
    words = [word for word in re.split(r"[-/.:]", text) if word]
    if not words:
        return None
    first = words[0]
    for robot in _LOCOMOTION:
        if first == f"{robot}bulletenv" or (first == robot and "bullet" in words[1:]):
            return f"bullet-{robot}"
    if first == "pointmaze" or first == "maze2d":
        size = next((size for size in ("umaze", "medium", "large") if size in words[1:]), None)
        return f"maze2d-{size}" if first == "maze2d" and size else None
    if first in ("adroithandpen", "adroithandhammer", "adroithanddoor", "adroithandrelocate"):
        return first.removeprefix("adroithand")
    if first in ("frankakitchen", "kitchen"):
        return "kitchen"
    return first if first in _REFERENCES else None
