"""Blocks that are marked as runnable are run, and their output stands below them."""

import pytest
from docs.website import blocks

PAGE = """# Title

```python run
total = 1 + 1
print("the total is", total)
```

```python
print("not marked, not run")
```

```sh run picture=sub/dot.png
mkdir sub && printf dot > sub/dot.png && echo a picture && ls examples | head -n 1
```

```python run
total
```
"""


def test_only_marked_blocks_run():
    found = blocks.marked(PAGE)
    assert [(block.language, block.pictures) for block in found] == [
        ("python", []),
        ("sh", ["sub/dot.png"]),
        ("python", []),
    ]
    assert "run" not in blocks.plain(PAGE).replace("not marked, not run", "")


def test_output_and_pictures_stand_below(tmp_path):
    text = blocks.executed(PAGE, tmp_path / "page.md", tmp_path / "cache")
    assert "the total is 2\n```" in text
    assert 'print("not marked, not run")\n```\n\n```sh' in text
    assert text.count("{ .text .output }") == 2, "a block that prints nothing shows nothing"
    assert "a picture\ncompare_alphas.py\n```\n\n![dot](page/dot.png)" in text
    assert (tmp_path / "page" / "dot.png").read_text() == "dot"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("```python run\nfine = 1\n```\n```python run\n1 / 0\n```", "runnable block 2:(?s:.)*ZeroDivisionError"),
        ("```sh run\nls nowhere-at-all\n```", "runnable block 1:(?s:.)*nowhere-at-all"),
        ("```sh run\nfalse | true\n```", "exit code 1"),
        ("```python run\nimport os; os._exit(3)\n```", "ended with code 3"),
        ("```python run picture=a.png\nx = 1\n```", "no block left the picture a.png"),
    ],
)
def test_a_block_that_fails_is_an_error(code, message, tmp_path):
    with pytest.raises(blocks.BlockError, match=message):
        blocks.executed(code, tmp_path / "page.md", tmp_path / "cache")


def test_what_was_run_is_kept_until_it_changes(tmp_path, monkeypatch):
    code, runs, run = "```python run\nprint({})\n```\n", [], blocks.run
    monkeypatch.setattr(blocks, "run", lambda *args: runs.append(args) or run(*args))

    def shown(number):
        return blocks.executed(code.format(number), tmp_path / "page.md", tmp_path / "cache")

    assert "\n1\n```" in shown(1)
    assert "\n1\n```" in shown(1)
    assert len(runs) == 1
    assert "\n2\n```" in shown(2)
    assert "\n1\n```" in shown(1)
    assert len(runs) == 3, "only the newest is kept"
    assert len(list((tmp_path / "cache" / "page").iterdir())) == 1


def test_colours_and_overwritten_lines_are_gone():
    assert blocks.tidy("  - " + "word " * 30) == "  - " + "word " * 20 + "word\n    " + "word " * 8 + "word"
    for row in ("a" + 120 * " " + "b", 60 * "-" + "  " + 60 * "-"):
        assert blocks.tidy(row) == row
    assert blocks.tidy("\n\x1b[1mbold\x1b[0m  \n10 %\r100 %\n") == "bold\n100 %"
