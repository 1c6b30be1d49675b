"""What the user declares, and what a file declares about itself."""

import numpy as np
import pytest

from prudent.data.readers.declared import UNDECLARED, Declared
from prudent.errors import DataError


def test_the_user_goes_before_the_file():
    filed = Declared(horizon=9, action_low=-1.0, action_high=1.0, discrete=False)
    assert UNDECLARED.or_else(filed, "log") == filed
    user = Declared(dones="truncated", horizon=5, action_low=[-2.0], mapping={"reward": "r"})
    merged = user.or_else(filed, "log")
    assert merged == Declared("truncated", 5, [-2.0], 1.0, False, None, {"reward": "r"})
    assert Declared(n_actions=3).or_else(Declared(), "log").discrete
    assert not Declared(discrete=False).or_else(Declared(n_actions=3), "log").n_actions
    with pytest.raises(DataError, match="log: n_actions is for discrete actions"):
        Declared(n_actions=3).or_else(filed, "log")


@pytest.mark.parametrize("name", ["dones", "horizon", "action_low", "action_high", "discrete", "n_actions", "mapping"])
def test_what_would_change_nothing_is_refused(name):
    value = {"action_low": np.zeros(2), "discrete": False}.get(name, 1)
    words = "a mapping" if name == "mapping" else f"{name} does not apply to it"
    with pytest.raises(DataError, match=f"log: {words}"):
        Declared(**{name: value}).refuse("log", (name,))
    Declared(**{name: value}).refuse("log", ())
    UNDECLARED.refuse("log", (name,))


def test_flags_of_the_file_make_declarations_idle():
    flags = np.zeros(3, dtype=bool)
    with pytest.raises(DataError, match="log: dones does not apply"):
        Declared(dones="truncated").refuse_what_flags_tell("log", terminations=True, truncated=None)
    with pytest.raises(DataError, match="log: horizon does not apply"):
        Declared(horizon=3).refuse_what_flags_tell("log", terminations=False, truncated=flags)
    Declared("truncated", 3).refuse_what_flags_tell("log", terminations=False, truncated=None)
    UNDECLARED.refuse_what_flags_tell("log", terminations=True, truncated=flags)
