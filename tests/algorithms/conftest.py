"""Everything here runs on one thread; planted mistakes are noticed."""

import pytest

from helpers.patches import replace_everywhere
from helpers.threads import one_thread  # noqa: F401


@pytest.fixture
def notices(monkeypatch):
    """``notices(check, module, name, mistaken)``: the check passes, and fails once ``module.name`` is ``mistaken``."""

    def notice(check, module, name, mistaken):
        check()
        with monkeypatch.context() as patch:
            replace_everywhere(patch, module, name, mistaken)
            with pytest.raises(AssertionError):
                check()

    return notice
