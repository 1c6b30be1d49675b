"""One network, one input: forward passes and the tanh-Gaussian of one state."""

import math

import numpy as np


def mlp(params: dict, x: np.ndarray) -> np.ndarray:
    """ReLU network; layer normalisation, Ba et al. 2016, eq. 4, before each ReLU (epsilon 1e-5) or after it (1e-6)."""
    layers = sum(name.startswith("w") for name in params)
    for i in range(layers):
        x = x @ params[f"w{i}"] + params[f"b{i}"]
        if i == layers - 1:
            return x
        if f"scale{i}" in params:
            x = normalised(x, 1e-5) * params[f"scale{i}"] + params[f"shift{i}"]
        x = np.where(x > 0, x, 0.0)
        if f"scale_after{i}" in params:
            x = normalised(x, 1e-6) * params[f"scale_after{i}"] + params[f"shift_after{i}"]
    raise AssertionError("a network without layers")


def normalised(x: np.ndarray, epsilon: float) -> np.ndarray:
    """One layer's outputs with mean 0 and variance 1, ``epsilon`` being added to the variance."""
    mean = sum(x) / len(x)
    variance = sum((value - mean) ** 2 for value in x) / len(x)
    return (x - mean) / math.sqrt(variance + epsilon)


def q(params: dict, state: np.ndarray, action: np.ndarray) -> float:
    """One critic's value of one state and action."""
    return float(mlp(params, np.concatenate([state, action]))[0])


def gaussian(actor: dict, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation before the tanh; log std is held within [-5, 2]."""
    out = mlp(actor, state)
    size = len(out) // 2
    return out[:size], np.array([math.exp(min(max(v, -5.0), 2.0)) for v in out[size:]])


def sample(actor: dict, state: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, float]:
    """``a = tanh(mean + std noise)`` and its log-density."""
    mean, std = gaussian(actor, state)
    u = mean + std * noise
    return np.tanh(u), log_density_before_tanh(mean, std, u)


def log_prob(actor: dict, state: np.ndarray, action: np.ndarray) -> float:
    """Log-density of a given action, clipped to +-(1 - 1e-5)."""
    mean, std = gaussian(actor, state)
    clipped = np.array([min(max(a, -(1 - 1e-5)), 1 - 1e-5) for a in action])
    return log_density_before_tanh(mean, std, np.arctanh(clipped))


def log_density_before_tanh(mean, std, u) -> float:
    """SAC (1812.05905), appendix C: ``log N(u; mean, std) - sum log(1 - tanh(u)^2)``, change of variables, as is."""
    total = 0.0
    for m, s, x in zip(mean, std, u, strict=True):
        total += -0.5 * ((x - m) / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)
        total -= math.log(4.0) - 2 * abs(x) - 2 * math.log1p(math.exp(-2 * abs(x)))  # log of 4 / (e^x + e^-x)^2
    return total
