"""One number at a time: Adam, clipping, Polyak averaging, returns-to-go."""

import math


def adam(parameter: float, gradients: list[float], lr: float) -> float:
    """Kingma & Ba 2015 (1412.6980), algorithm 1: one parameter after the given gradients."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        parameter -= lr * m_hat / (math.sqrt(v_hat) + 1e-8)
    return parameter


def clip(gradient: list[float], limit: float) -> list[float]:
    """A gradient of one member, all its parameters in one list, at most ``limit`` long."""
    norm = math.sqrt(sum(g * g for g in gradient))
    return [g * limit / norm if norm > limit else g for g in gradient]


def polyak(target: float, online: float, rate: float) -> float:
    """``(1 - rate) target + rate online``."""
    return (1 - rate) * target + rate * online


def returns_to_go(rewards, terminated, truncated, discount) -> list[float]:
    """From the definition, one sum per row.

    A truncated episode goes on for ever with the mean reward of its last ``1 / (1 - discount)`` steps.
    """
    result = []
    for start in range(len(rewards)):
        end = next(i for i in range(start, len(rewards)) if terminated[i] or truncated[i])
        total = sum(discount ** (i - start) * rewards[i] for i in range(start, end + 1))
        if not terminated[end]:
            first = start
            while first > 0 and not (terminated[first - 1] or truncated[first - 1]):
                first -= 1
            tail = rewards[max(first, end + 1 - round(1 / (1 - discount))) : end + 1]
            total += discount ** (end + 1 - start) * (sum(tail) / len(tail)) / (1 - discount)
        result.append(total)
    return result
