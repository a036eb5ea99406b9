"""Checkpoints: whole or not there; of this run or refused; a full disk and a kill leave the one before."""

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from training_runs import Stop, assert_same_bits, plan, stopping_after, write_set

from linfa import nn
from linfa.nn import checkpoint, identity, lock

ARRAYS = {"w": np.arange(6.0).reshape(2, 3), "count": np.array([3], np.int64)}
FACTS = {"name": "a run", "sums": [0.1, 2, None], "nested": {"rates": [1e-3]}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "small.npz")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def pointer(folder):
    return json.loads((folder / "checkpoint.json").read_text())


def test_what_is_saved_comes_back(tmp_path):
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    given = ARRAYS | {"transposed": transposed, "none": np.empty((0, 4)), "scalar": np.array(0.1)}
    # Keys that are no text come back as text, in JSON's order.
    checkpoint.save(tmp_path / "a" / "b", given, FACTS | {"by layer": {10: 1, 9: 2}}, step=7)
    arrays, facts, step = checkpoint.load(tmp_path / "a" / "b")
    assert step == 7
    assert facts == FACTS | {"by layer": {"10": 1, "9": 2}}
    assert arrays.keys() == given.keys()
    for name, array in given.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(arrays[name], array)


def test_the_one_before_goes_when_the_next_is_whole(tmp_path):
    for step in (1, 2):
        checkpoint.save(tmp_path, ARRAYS, FACTS, step)
        assert len(names(tmp_path)) == 2
        assert checkpoint.load(tmp_path)[2] == step
    # What another process left when it was killed goes too.
    (tmp_path / ".checkpoint-00000002-abc.safetensors.1.part").write_text("")
    checkpoint.save(tmp_path, ARRAYS, FACTS, 3)
    assert len(names(tmp_path)) == 2


def test_there_is_none(tmp_path):
    assert not checkpoint.exists(tmp_path)
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
            checkpoint.load(folder)


def arrays_file(folder):
    return folder / pointer(folder)["arrays"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(folder, old, new):
    path = folder / "checkpoint.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: cut(arrays_file(f)), "checksum"),
        (lambda f: flip_bit(arrays_file(f)), "checksum"),
        (lambda f: arrays_file(f).unlink(), "do not lie beside it"),
        (lambda f: arrays_file(f).write_bytes(b""), "checksum"),
        (lambda f: cut(f / "checkpoint.json"), "damaged, or no checkpoint"),
        (lambda f: (f / "checkpoint.json").write_bytes(b"\xff\xfe"), "damaged, or no checkpoint"),
        (lambda f: (f / "checkpoint.json").write_text("[1]"), "no checkpoint of this version"),
        (lambda f: edit(f, "linfa checkpoint 1", "linfa checkpoint 9"), "no checkpoint of this version"),
        (lambda f: edit(f, '"step": 7', '"step": 8'), "does not match the digest"),
        (lambda f: edit(f, "a run", "another"), "does not match the digest"),
        (lambda f: edit(f, '"digest"', '"other"'), "does not match the digest"),
    ],
)
def test_damage_is_found(tmp_path, damage, message):
    checkpoint.save(tmp_path, ARRAYS, FACTS, 7)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        checkpoint.load(tmp_path)


def test_a_pointer_that_leads_elsewhere_is_refused(tmp_path):
    """One that was not damaged but made: nothing outside the folder is read."""
    outside = tmp_path / "outside.safetensors"
    checkpoint.save(tmp_path / "run", ARRAYS, FACTS, 7)
    arrays_file(tmp_path / "run").rename(outside)
    made = pointer(tmp_path / "run") | {"arrays": "../outside.safetensors"}
    del made["digest"]
    made["digest"] = checkpoint._digest(made)
    (tmp_path / "run" / "checkpoint.json").write_text(json.dumps(made))
    with pytest.raises(ValueError, match="outside"):
        checkpoint.load(tmp_path / "run")


def full_disk(monkeypatch, writes):
    """From this write on the disk is full: the content lies there in part, and fsync fails."""
    made, sync = [0], os.fsync

    def failing(number):
        made[0] += 1
        if made[0] >= writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(os, "fsync", failing)


@pytest.mark.parametrize("writes", [1, 2], ids=["arrays", "pointer"])
def test_a_full_disk_leaves_the_one_before(tmp_path, monkeypatch, writes):
    checkpoint.save(tmp_path, ARRAYS, FACTS, 7)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        full_disk(patch, writes)
        # The same step with other arrays is the harder case: their files have nearly the same name.
        with pytest.raises(OSError, match="the disk is full; the checkpoint before is as it was") as caught:
            checkpoint.save(tmp_path, ARRAYS | {"w": np.zeros(2)}, FACTS, 7)
    assert caught.value.errno == errno.ENOSPC
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert checkpoint.load(tmp_path)[2] == 7


def test_a_full_disk_at_the_first_checkpoint(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        full_disk(patch, 1)
        with pytest.raises(OSError, match="the disk is full; there is no checkpoint before"):
            checkpoint.save(tmp_path, ARRAYS, FACTS, 7)
    assert names(tmp_path) == []


@pytest.mark.parametrize("writes", [1, 2], ids=["arrays", "pointer"])
def test_a_run_whose_disk_fills_goes_on_from_the_checkpoint_before(data, tmp_path, monkeypatch, writes):
    entries = {"feedback": "raf", "rank": 2, "checkpoint_every": 2}
    whole = plan(data, **entries).trainer()
    whole.run()
    trainer = plan(data, **entries).trainer(tmp_path)
    with pytest.raises(Stop):
        trainer.run(stopping_after(3))
    with monkeypatch.context() as patch:
        full_disk(patch, writes)
        with pytest.raises(OSError, match="the disk is full"):
            trainer.run()
    resumed = plan(data, **entries).trainer(tmp_path).resume()
    assert resumed.step == 2
    resumed.run()
    assert_same_bits(resumed, whole)


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="a file where a folder is to be"):
        checkpoint.save(tmp_path / "file", ARRAYS, FACTS, 7)
    with pytest.raises(NotADirectoryError):
        checkpoint.save(tmp_path / "file" / "run", ARRAYS, FACTS, 7)


def test_what_is_replaced_while_it_is_read_is_read_anew(tmp_path, monkeypatch):
    """A run that is under way takes away the arrays that the JSON file, read just before, points to."""
    checkpoint.save(tmp_path, ARRAYS, FACTS, 7)
    described = json.loads

    def overtaken(content):
        monkeypatch.setattr(json, "loads", described)
        checkpoint.save(tmp_path, ARRAYS, FACTS, 8)
        return described(content)

    monkeypatch.setattr(json, "loads", overtaken)
    assert checkpoint.load(tmp_path)[2] == 8


# One run at a time


HOLD = """
import sys
from pathlib import Path
from linfa.nn import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_in_which_another_process_trains_is_refused_until_it_is_gone(data, tmp_path, holder):
    trainer = plan(data).trainer(tmp_path)
    for act in (trainer.run, trainer.save):
        with pytest.raises(BlockingIOError) as caught:
            act()
        assert f"another run (process {holder.pid} on " in str(caught.value)
        assert "wait for it, stop it, or choose another folder" in str(caught.value)
        assert caught.value.filename == str(tmp_path)
    assert trainer.step == 0
    assert names(tmp_path) == [lock.NAME]
    # Killed, it leaves its file, which keeps nobody out; the run is as any other.
    holder.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    holder.wait()
    assert names(tmp_path) == [lock.NAME]
    trainer.run()
    whole = plan(data).trainer()
    whole.run()
    assert_same_bits(trainer, whole)
    assert lock.NAME not in names(tmp_path)


def test_two_trainers_of_one_process_do_not_share_a_folder(data, tmp_path):
    trainer, other = plan(data).trainer(tmp_path), plan(data, seed=1).trainer(tmp_path)

    def report(state):
        for act in (other.run, other.save):
            with pytest.raises(BlockingIOError, match=f"process {os.getpid()} on "):
                act()
        state.save()
        if state.step == 3:
            raise Stop

    with pytest.raises(Stop):
        trainer.run(report)
    assert (trainer.saved, other.step, other.saved) == (3, 0, None)
    # Broken off, it holds the folder no longer.
    other.run()
    assert checkpoint.load(tmp_path)[2] == other.step == 8


def test_what_a_kill_left_of_a_lock_says_nothing_of_its_next_holder(tmp_path):
    (tmp_path / lock.NAME).write_text("a longer name of a process than any " * 9)
    with lock.held(tmp_path), pytest.raises(BlockingIOError, match=rf"another run \(process {os.getpid()} on \S+\)"):
        lock.held(tmp_path).__enter__()


@pytest.mark.skipif(lock.fcntl is None, reason="this system does not lock by fcntl")
def test_a_lock_is_on_the_file_that_the_path_names(tmp_path, monkeypatch):
    """Its holder may remove the file after another has opened it; both the other and a third would have a lock then."""
    flock = lock.fcntl.flock

    def overtaken(number, how):
        monkeypatch.setattr(lock.fcntl, "flock", flock)
        (tmp_path / lock.NAME).unlink()
        flock(number, how)

    monkeypatch.setattr(lock.fcntl, "flock", overtaken)
    with lock.held(tmp_path):
        assert names(tmp_path) == [lock.NAME]
        with pytest.raises(BlockingIOError):
            lock.held(tmp_path).__enter__()


def test_a_full_disk_takes_no_lock_away(tmp_path, monkeypatch):
    def full(number, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with lock.held(tmp_path), pytest.raises(BlockingIOError, match=r"another run \(one that has just begun\)"):
        lock.held(tmp_path).__enter__()


@pytest.mark.skipif(lock.fcntl is None, reason="this system does not lock by fcntl")
def test_a_file_system_without_locks_is_said(data, tmp_path, monkeypatch):
    def refused(number, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refused)
    trainer = plan(data).trainer(tmp_path)
    with pytest.warns(UserWarning, match="knows no locks; see to it that no other run writes there"):
        trainer.run()
    assert trainer.status == "completed"


# Of this run, or of another


RULES = {"feedback": "normative", "rank": 2}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"model_options": {"widths": [8, 9]}}, r"model\.layers\.dense2"),
        ({"model_options": {"widths": [8]}}, r"model\.layers"),
        ({"model_options": {"widths": [8, 8], "activation": "tanh"}}, r"model\.layers"),
        ({"model_options": {"widths": [8, 8], "dropout": 0.5}}, r"model\.layers"),
        ({"model": "conv4", "model_options": {"widths": [2], "strides": [2]}}, r"model\.layers"),
        ({"loss": "squared-error"}, r"model\.loss"),
        ({"precision": "float64"}, r"model\.precision"),
        # The same arrays under another rule.
        ({"feedback": "local"}, r"model\.feedback\.\*\.q is 'normative' there, 'kolen-pollack|local' here"),
        ({"feedback": "fa", "rank": None}, r"model\.feedback"),
        ({"rank": 1}, r"model\.feedback\.\*\.rank is 2 there, 1 here"),
        ({"feedback_options": {"scale": 2.0}}, r"model\.feedback\.\*\.scale"),
        ({"layers": ["dense2"]}, r"model\.feedback"),
        ({"seed": 1}, r"model\.feedback\.\*\.seed|model\.network seed"),
        ({"optimiser": "sgd"}, r"recipe\.weights\.optimiser\.class is 'AdamW' there, 'SGD' here"),
        ({"optimiser_options": {"epsilon": 1e-6}}, r"recipe\.weights\.optimiser\.epsilon"),
        ({"rate": 0.5}, r"recipe\.weights\.rate is 0\.001 there, 0\.5 here"),
        ({"weight_decay": 0.5}, r"recipe\.weights\.decay"),
        ({"feedback_rate": 0.5}, r"recipe\.q"),
        ({"schedule": "constant"}, r"recipe\.schedule"),
        ({"batch": 32}, "batch is 16 there, 32 here"),
        ({"flip": True}, "augment"),
        ({"clip_signal": 1.0}, "clip_signal is None there, 1.0 here"),
        ({"refactor_every": 0.0}, "updates between refactorisations is 2 there, 0 here"),
        ({"probe_every": 1}, "probe_every is 3 there, 1 here"),
        ({"validation": 14}, r"data\.training images is 64 there, 50 here"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_of_another_run(data, tmp_path, changes, where):
    trainer = plan(data, **RULES).trainer(tmp_path)
    with pytest.raises(Stop):
        trainer.run(stopping_after(1))
    trainer.save()
    other = plan(data, **(RULES | changes)).trainer(tmp_path)
    weights = other.network.state()
    with pytest.raises(ValueError, match=f"is of another run: .*{where}"):
        other.resume()
    assert all(np.array_equal(weights[name], array) for name, array in other.network.state().items())
    assert plan(data, **RULES).trainer(tmp_path).resume().step == 1


def test_of_other_data_under_the_same_name(data, tmp_path):
    trainer = plan(data).trainer(tmp_path / "run")
    trainer.run()
    (tmp_path / "elsewhere").mkdir()
    other = write_set(tmp_path / "elsewhere" / "small.npz", seed=1)
    with pytest.raises(ValueError, match=r"data\.digest"):
        plan(other).trainer(tmp_path / "run").resume()


def test_of_something_else_than_a_trainer(data, tmp_path):
    checkpoint.save(tmp_path, ARRAYS, FACTS, 7)
    with pytest.raises(ValueError, match="is no trainer's"):
        plan(data).trainer(tmp_path).resume()


def test_a_block_and_its_body_are_both_part_of_the_identity():
    def block(**options):
        return nn.Network([nn.Residual([nn.Dense(4), nn.ReLU()], **options), nn.Dense(2)], (4,))

    plain, dropping = identity.of_network(block()), identity.of_network(block(drop_path=0.5))
    assert "drop_path=0.0 there" not in (identity.difference(plain, plain) or "")
    assert "block1" in identity.difference(plain, dropping)


def test_identities_are_what_json_holds():
    """What was written is compared with what was not: tuples and lists must not differ."""
    network = nn.Network(nn.vit(3, 8, depth=1, heads=2, patch=2), (4, 4, 3), feedback=nn.Plan(feedback="fa").rule())
    described = identity.of_network(network)
    assert json.loads(json.dumps(described)) == described
    assert identity.difference(described, json.loads(json.dumps(described))) is None
