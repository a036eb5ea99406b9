"""The house itself: layers, lint, documentation that runs, a fast import."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import linfa

ROOT = Path(__file__).parents[1]
MODULES = ["linfa", *(m.name for m in pkgutil.walk_packages(linfa.__path__, "linfa."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.failed == 0


def test_layers_are_kept_apart():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_ruff_is_content(arguments):
    done = subprocess.run([Path(sys.executable).with_name("ruff"), *arguments, "."], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()[-2000:]


@pytest.mark.parametrize("name", linfa.__all__)
def test_public_names_exist_and_say_what_they_are(name):
    assert inspect.getdoc(getattr(linfa, name))


def test_import_loads_neither_compiler_nor_plots():
    code = (
        "import sys, linfa; print([m for m in ('numba', 'sympy', 'matplotlib', 'scipy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_path_of_one_machine_is_committed():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: there is no list of committed files")
    marks = ("/" + "root/", "/" + "work/", "/" + "home/")
    for name in listed.stdout.decode().split("\0"):
        if name.endswith((".py", ".md", ".cfg", ".toml", ".cff", ".sh")) and (ROOT / name).is_file():
            text = (ROOT / name).read_text()
            assert not any(mark in text for mark in marks), name
