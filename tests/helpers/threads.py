"""One thread per test: the machine is shared, and tiny tensors gain nothing from a second one."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Import this into a test module (or its conftest) to run its tests on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
