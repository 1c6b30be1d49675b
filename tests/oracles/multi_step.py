"""Targets over several steps, row by row along the log, in plain Python: Peng's Q(lambda)."""


def window(log, i, n_steps) -> list[int]:
    """Rows from ``i`` on: up to ``n_steps`` of them, none behind the end of the episode."""
    rows = [i]
    while len(rows) < n_steps and not (log[rows[-1]].terminated or log[rows[-1]].truncated):
        rows.append(rows[-1] + 1)
    return rows


def target(log, i, c, value) -> float:
    """``G_0`` of row ``i``; ``value(row)`` is V of the row's next state."""
    *before, last = window(log, i, c.n_steps)
    end = log[last]
    g = end.reward
    if not end.terminated:
        g += c.discount**end.dt * value(end)
    for k in reversed(before):
        g = log[k].reward + c.discount ** log[k].dt * ((1 - c.trace) * value(log[k]) + c.trace * g)
    return g


def target_of_each_critic_apart(log, i, c, values) -> float:
    """The other reading, that of the CPQL authors' code: G_0 of each critic, then the minimum.

    ``values(row)`` has one V per critic.
    """
    count = len(values(log[i]))
    return min(target(log, i, c, lambda row, e=e: values(row)[e]) for e in range(count))
