"""Claims checked in several processes: the same outcomes in the same order, whatever happens to a process."""

import multiprocessing
import os
import signal
import sys
from contextlib import contextmanager

import pytest

from linfa import checking, claims

FORKS = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
needs_fork = pytest.mark.skipif(not FORKS, reason="processes cannot be forked here: claims run one after the other")


@pytest.fixture
def register():
    """Register functions as claims by name, and take them away again."""
    made = []

    def add(name, function):
        claims.claim(name, title="a title", tolerance=1e-3)(function)
        made.append(name)
        return name

    yield add
    for name in made:
        claims.forget(name)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(checking, "available_threads", lambda: 2)


def pid_claim():
    return 1.0 * os.getpid(), 1.0 * os.getpid()


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def pids(checks):
    return {int(check.predicted[0]) for check in checks}


@needs_fork
def test_claims_are_shared_among_processes_that_are_gone_afterwards(register):
    names = [register(f"test-pid-{k}", pid_claim) for k in range(6)]
    found = checking.check_all(names, quick=True)
    assert [check.name for check in found] == names
    assert all(check.holds for check in found)
    assert len(pids(found)) == 2
    assert os.getpid() not in pids(found)
    assert multiprocessing.active_children() == []


def test_claims_run_here_where_nothing_can_be_forked(register, monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    names = [register(f"test-pid-{k}", pid_claim) for k in range(3)]
    assert pids(checking.check_all(names, quick=True)) == {os.getpid()}


def test_one_claim_needs_no_process(register):
    assert pids(checking.check_all([register("test-pid", pid_claim)], quick=True)) == {os.getpid()}


@needs_fork
def test_processes_give_the_numbers_of_this_one():
    names = ["fa-modes", "backprop-closed-times", "low-rank-limit", "backprop-max-rate"]
    for name, check in zip(names, checking.check_all(names, quick=True), strict=True):
        alone = claims.check(name, quick=True)
        assert check.residual == alone.residual
        for one, other in zip(check.simulated, alone.simulated, strict=True):
            assert one.tobytes() == other.tobytes()


@needs_fork
def test_claim_that_takes_its_process_down_has_not_held(register, capfd):
    names = [register("test-dies", dies), *(register(f"test-pid-{k}", pid_claim) for k in range(4))]
    dead, *others = checking.check_all(names, quick=True)
    assert not dead.holds
    assert all(check.holds for check in others)
    assert "test-dies: its process ended before it answered" in capfd.readouterr().err


@needs_fork
def test_what_is_left_when_all_processes_have_died_is_checked_here(register):
    names = [register("test-first", dies), register("test-pid", pid_claim), register("test-last", dies)]
    found = checking.check_all(names, quick=True)
    assert [check.holds for check in found] == [False, True, False]
    assert pids(found[1:2]) == {os.getpid()}


def test_interrupt_keeps_what_is_finished(register, monkeypatch):
    names = [register(f"test-pid-{k}", pid_claim) for k in range(5)]

    @contextmanager
    def impatient(total):
        def update(description, done):
            if done >= 2:
                raise KeyboardInterrupt

        yield update

    monkeypatch.setattr(checking, "progress", impatient)
    checks = []
    with pytest.raises(KeyboardInterrupt):
        checking.check_all(names, True, checks)
    # Two when it came; a third may have been answered in the same moment.
    assert 2 <= len(checks) <= 3
    assert [check.name for check in checks] == sorted(check.name for check in checks)
    assert multiprocessing.active_children() == []
