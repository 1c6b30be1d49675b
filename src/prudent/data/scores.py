"""Normalised scores, ``100 (return - random) / (expert - random)``, with the reference returns of D4RL."""

import re

# (return of a random policy, return of an expert): facts from D4RL (Fu et al. 2020, arXiv 2004.07219;
# github.com/Farama-Foundation/D4RL, d4rl/infos.py, and d4rl/pointmaze/__init__.py for the mazes of v0 and eval).
_REFERENCES: dict[str, tuple[float, float]] = {
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
    "pen": (96.262799, 3076.8331017826877),
    "hammer": (-274.856578, 12794.134825156867),
    "door": (-56.512833, 2880.5693087298737),
    "relocate": (-6.425911, 4233.877797728884),
    "antmaze": (0.0, 1.0),
    "kitchen": (0.0, 4.0),
    "maze2d-open": (0.01, 20.66),
    "maze2d-umaze": (23.85, 161.86),
    "maze2d-medium": (13.13, 277.39),
    "maze2d-large": (6.7, 273.99),
    "maze2d-open-dense": (11.17817, 27.166538620695782),
    "maze2d-umaze-dense": (68.537689, 193.66285642381482),
    "maze2d-medium-dense": (44.264742, 297.4552547777125),
    "maze2d-large-dense": (30.569041, 303.4857382709002),
    "maze2d-umaze-eval": (36.63, 141.4),
    "maze2d-medium-eval": (13.07, 204.93),
    "maze2d-large-eval": (16.4, 302.22),
    "maze2d-umaze-eval-dense": (56.95455, 178.21373133248397),
    "maze2d-medium-eval-dense": (42.28578, 235.5658957482388),
    "maze2d-large-eval-dense": (56.95455, 326.09647655082637),
    "maze2d-umaze-v0": (0.94, 62.6),
    "maze2d-medium-v0": (5.77, 85.14),
    "maze2d-large-v0": (4.83, 191.99),
    "maze2d-umaze-dense-v0": (23.249793, 81.78995240126592),
    "maze2d-medium-dense-v0": (19.47762, 96.03474232952358),
    "maze2d-large-dense-v0": (27.38831, 215.09965671563742),
    "minigrid-fourrooms": (0.01442, 2.89685),
    "flow-ring": (-165.22, 24.42),
    "flow-merge": (118.67993, 330.03179),
    "carla-lane": (-0.8503839912088142, 1023.5784385429523),
    "carla-town": (-114.81579500772153, 2440.1772022247314),
    "bullet-halfcheetah": (-1275.766996, 2381.6725),
    "bullet-hopper": (20.058972, 1441.8059623430963),
    "bullet-ant": (373.705955, 2650.495),
    "bullet-walker2d": (16.523877, 1623.6476303317536),
    "bullet-maze2d-open": (8.75, 64.15),
    "bullet-maze2d-umaze": (32.46, 153.99),
    "bullet-maze2d-medium": (14.87, 238.05),
    "bullet-maze2d-large": (1.82, 285.92),
}
_LOCOMOTION = ("halfcheetah", "hopper", "walker2d", "ant")
_SIZES = ("open", "umaze", "medium", "large")
# First words of D4RL's files whose task has another name.
_OTHER_WORDS = {"walker": ("walker2d",), "mini": (), "minigrid4rooms": ("minigrid", "fourrooms")}


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
    words = [*_OTHER_WORDS.get(words[0], words[:1]), *words[1:]]
    task = _task_of_words(words)
    if task == "minigrid-fourrooms" and not re.match(r"minigrid[-_4]", name):
        return None  # MiniGrid-FourRooms and its Minari dataset pay other rewards than D4RL's rooms
    return task if task in _REFERENCES else None


def _task_of_words(words: list[str]) -> str:
    first, rest = words[0], words[1:]
    for robot in _LOCOMOTION:
        if first == f"{robot}bulletenv" or (first == robot and "bullet" in rest):
            return f"bullet-{robot}"
    if first == "bullet" and rest:
        # Its mazes have one version, whose references are not those of D4RL's maze2d-...-v0.
        return f"bullet-{_task_of_words([word for word in rest if word != 'v0'])}"
    if first == "maze2d":
        return _maze(rest)
    if first == "ant" and rest[:1] == ["maze"]:
        return "antmaze"
    if first in ("minigrid", "flow", "carla"):
        return "-".join(words[:2])
    if first in ("adroithandpen", "adroithandhammer", "adroithanddoor", "adroithandrelocate"):
        return first.removeprefix("adroithand")
    return "kitchen" if first == "frankakitchen" else first


def _maze(words: list[str]) -> str:
    """``maze2d-SIZE``, with ``-eval`` and ``-dense``; version 0 has references of its own, no version is the last."""
    parts = ["maze2d", *(word for word in _SIZES if word in words), *(w for w in ("eval", "dense") if w in words)]
    if "v0" in words and "open" not in words:
        parts.append("v0")
    return "-".join(parts)
