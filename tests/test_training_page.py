"""The page on training: every block of it runs."""

import contextlib
import io
import re
import shlex
import warnings
from pathlib import Path

import pytest

from linfa import nn
from linfa.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text()


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_python_blocks_run_from_top_to_bottom():
    assert len(blocks("python")) >= 7
    names, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "rank .* is capped", UserWarning)
        for block in blocks("python"):
            exec(compile(block, "docs/training.md", "exec"), names)
    printed = out.getvalue().splitlines()
    # What the page's comments promise.
    assert 0.5 < float(printed[0]) <= 1.0
    assert "'block1.conv1'" in printed[1]
    assert printed[2] == "['backprop', 'low-rank']"
    assert Path("runs/one-layer.png").is_file()
    assert set(names["table"]) == {"step", "observable", "layer", "value"}


@pytest.mark.slow
def test_commands_run(capsys):
    """At one epoch each; the first line of all is run as it stands elsewhere in the tests."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 7
    (toml,) = blocks("toml")
    Path("run.toml").write_text(toml)
    exec(next(block for block in blocks("python") if "mine.npz" in block), {"nn": nn})
    for line in lines:
        program, command, *options = shlex.split(line)
        assert (program, command) == ("linfa", "train")
        shorter = [] if "--resume" in options else ["--epochs", "1"]
        assert main(["train", *options, *shorter, *([] if "--threads" in options else ["--threads", "1"])]) == 0, line
        last = capsys.readouterr().out.splitlines()[-1]
        assert re.fullmatch(r"test accuracy [01]\.\d\d\d", last)


def test_names_that_the_page_speaks_of_exist():
    for name in re.findall(r"`nn\.(\w+)`", PAGE):
        assert hasattr(nn, name), name
    with pytest.raises(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:
        main(["train", "--help"])
    options = set(re.findall(r"(--[a-z-]+)", out.getvalue()))
    assert set(re.findall(r"(?<![\w-])(--[a-z-]+)", PAGE)) <= options
