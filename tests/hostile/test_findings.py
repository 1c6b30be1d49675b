"""Files that fuzzing found: each was read wrongly once, and is refused now."""

from pathlib import Path

import pytest

from prudent.data import load_dataset
from prudent.errors import PrudentError

MAP = {"episode": "id", "observation": "x", "action": "u", "reward": "r"}


@pytest.mark.parametrize("path", sorted(Path(__file__).with_name("findings").iterdir()), ids=lambda path: path.name)
def test_what_fuzzing_found_is_refused(path):
    with pytest.raises(PrudentError) as caught:
        load_dataset(path, mapping=MAP if path.suffix == ".parquet" else None)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
