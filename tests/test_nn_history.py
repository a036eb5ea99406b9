"""History: what goes in comes out, from memory, a checkpoint or a file; damaged files say so."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import netcdf_file

from linfa.nn.history import History

LAYERS = ["dense1", "block2.conv1", "dichte3ä"]


def history(epochs=3, probes=4):
    made = History(LAYERS, {"seed": 3, "rule": {"class": "Backprop"}})
    for e in range(epochs):
        late = {"extra": 0.1 * e} if e else {}
        made.append_epoch(epoch=e, step=10 * (e + 1), train_loss=1 / (e + 3), test_accuracy=e / 7, seconds=0.5, **late)
    for p in range(probes):
        made.append_probe(
            5 * p,
            {
                "error_effective_rank": np.array([1 / 3, np.nan, 2.0]) + p,
                "whole_trajectory_effective_rank": np.array(p / 3),
            },
        )
    return made


def same(a, b):
    assert a.layers == b.layers
    assert a.settings == b.settings
    assert a.names == b.names
    for name in a.names:
        one, other = getattr(a, name), getattr(b, name)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes(), name


# What is recorded


def test_every_quantity_is_an_attribute():
    h = history()
    assert h.epoch.tolist() == [0, 1, 2]
    assert h.step.tolist() == [10, 20, 30]
    assert h.probe_step.tolist() == [0, 5, 10, 15]
    assert h.epoch.dtype == h.probe_step.dtype == np.int64
    np.testing.assert_array_equal(h.test_accuracy, [0, 1 / 7, 2 / 7])
    assert h.error_effective_rank.shape == (4, 3)
    assert h.whole_trajectory_effective_rank.shape == (4,)
    assert "error_effective_rank" in dir(h)
    with pytest.raises(AttributeError, match="no 'accuracy'"):
        _ = h.accuracy


def test_what_some_epochs_lack_is_nan():
    h = history()
    np.testing.assert_array_equal(h.extra, [np.nan, 0.1, 0.2])
    h.append_epoch(epoch=3, step=99)
    assert np.isnan([h.extra[-1], h.train_loss[-1]]).all()


def test_what_is_recorded_does_not_follow_the_callers_array():
    h, array = History(["a"]), np.array([1.0])
    h.append_probe(0, {"growth": array})
    array[0] = 5.0
    h.growth[0, 0] = 7.0
    assert h.growth.tolist() == [[1.0]]


def test_it_says_what_it_holds():
    assert repr(history()) == "History(3 epochs, 4 probes, 3 layers, test accuracy 0.286)"
    assert repr(History([])) == "History(0 epochs, 0 probes, 0 layers)"


def test_the_table_has_one_number_a_row():
    h = history()
    table = h.table("error_effective_rank", "test_accuracy", "whole_trajectory_effective_rank")
    assert {len(column) for column in table.values()} == {12 + 3 + 4}
    rows = list(zip(*table.values(), strict=True))
    assert rows[5] == (5, "error_effective_rank", "dichte3ä", 3.0)
    assert rows[13] == (20, "test_accuracy", "", 1 / 7)
    assert rows[-1] == (15, "whole_trajectory_effective_rank", "", 1.0)
    assert set(h.table()["observable"]) == {"train_loss", "test_accuracy", "seconds", "extra"}
    with pytest.raises(ValueError, match="did you mean 'error_effective_rank'"):
        h.table("effective_rank")


@pytest.mark.parametrize(
    ("record", "error", "words"),
    [
        (lambda h: h.append_epoch(epoch=2, step=40), ValueError, "epoch is 2; it must be above 2"),
        (lambda h: h.append_epoch(epoch=3, step=30), ValueError, "step is 30; it must be above 30"),
        (lambda h: h.append_epoch(epoch=3.0, step=40), TypeError, "epoch is 3.0"),
        (lambda h: h.append_epoch(epoch=3, step=2**31), ValueError, "step"),
        (lambda h: h.append_epoch(epoch=3, step=40, test_accuracy="high"), TypeError, "test_accuracy is 'high'"),
        (lambda h: h.append_epoch(epoch=3, step=40, test_accuracy=True), TypeError, "test_accuracy is True"),
        (lambda h: h.append_epoch(epoch=3, step=40, save=1.0), ValueError, "'save' is taken"),
        (lambda h: h.append_epoch(epoch=3, step=40, error_effective_rank=1.0), ValueError, "is taken"),
        (lambda h: h.append_epoch(epoch=3, step=40, **{"test accuracy": 1.0}), ValueError, "is no name"),
        (lambda h: h.append_epoch(epoch=3, step=40, _epochs=1.0), ValueError, "is no name"),
        (lambda h: h.append_probe(15, {}), ValueError, "lacks"),
        (lambda h: h.append_probe(20, {"growth": np.ones(3)}), ValueError, "unlike the probe before"),
        (lambda h: h.append_probe(20, {"growth": np.ones(2)}), ValueError, r"growth has shape \(2,\)"),
        (lambda h: h.append_probe(20, {"error_effective_rank": 1.0}), ValueError, r"before it had \(3,\)"),
        (lambda h: h.append_probe(20, {"train_loss": np.ones(3)}), ValueError, "is taken"),
    ],
)
def test_a_bad_record_is_refused_and_changes_nothing(record, error, words):
    h = history()
    with pytest.raises(error, match=words):
        record(h)
    same(h, history())


def test_probes_ascend():
    h = History(["a"])
    h.append_probe(5, {"growth": [1.0]})
    with pytest.raises(ValueError, match="probe_step is 5; it must be above 5"):
        h.append_probe(5, {"growth": [1.0]})
    with pytest.raises(ValueError, match="probe_step is -1"):
        History(["a"]).append_probe(-1, {"growth": [1.0]})
    assert h.probe_step.tolist() == [5]
    assert h.growth.shape == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("dense1",), TypeError, "layers is 'dense1'"),
        ((["a", "a"],), ValueError, "stand once"),
        ((["a", 1],), TypeError, r"layers\[1\] is 1"),
        ((["a"], "seed"), TypeError, "settings"),
        ((["a"], {"f": np.ones(2)}), TypeError, "plain numbers"),
    ],
)
def test_bad_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        History(*arguments)


# Checkpoints and files


@pytest.mark.parametrize(("epochs", "probes"), [(3, 4), (0, 0), (2, 0), (0, 1)])
def test_a_checkpoint_and_a_file_give_back_the_same_bits(epochs, probes, tmp_path):
    h = history(epochs, probes)
    same(History.from_state(*h.to_state()), h)
    path = h.save(tmp_path / "run.nc")
    same(History.load(path), h)
    assert list(tmp_path.iterdir()) == [path]


def test_records_go_on_after_a_checkpoint():
    straight, first = history(), history(epochs=2, probes=2)
    resumed = History.from_state(*first.to_state())
    resumed.append_epoch(epoch=2, step=30, train_loss=1 / 5, test_accuracy=2 / 7, seconds=0.5, extra=0.2)
    for p in (2, 3):
        resumed.append_probe(
            5 * p, {name: getattr(straight, name)[p] for name in straight._probes if name != "probe_step"}
        )
    same(resumed, straight)


def test_a_state_that_does_not_fit_is_refused():
    arrays, facts = history().to_state()
    for change, words in (
        ({"probe.error_effective_rank": np.ones((4, 2))}, r"\(4, 2\)"),
        ({"epoch.train_loss": np.ones(2)}, "different lengths"),
        ({"weights.dense1": np.ones(2)}, "something else"),
    ):
        with pytest.raises(ValueError, match=words):
            History.from_state(arrays | change, facts)
    with pytest.raises(KeyError):
        History.from_state(arrays, {})


def test_files_are_labelled(tmp_path):
    history().save(tmp_path / "run.nc")
    with netcdf_file(tmp_path / "run.nc", mmap=False) as file:
        assert dict(file.dimensions) == {"epoch": 3, "probe_step": 4, "layer": 3, "layer_letters": 12}
        for name, variable in file.variables.items():
            assert variable.long_name, name
            assert name == "layer" or variable.units in (b"1", b"s"), name
        rank = file.variables["error_effective_rank"]
        assert rank.dimensions == ("probe_step", "layer")
        assert b"exp H(s/sum s) of the errors" in rank.long_name
        assert file.variables["epoch"].dimensions == ("epoch",)
        labels = [b"".join(row).rstrip(b"\0").decode() for row in file.variables["layer"][...]]
        assert labels == LAYERS


def test_the_window_of_the_trajectory_is_said(tmp_path):
    for settings, said in (({"trajectory_rows": 5}, b"updates of the layer as rows, 5 at most"), ({}, b"as rows")):
        made = History(["dense1"], settings)
        made.append_probe(0, {"trajectory_effective_rank": [1.0], "update_effective_rank": [1.0]})
        made.save(tmp_path / "run.nc")
        with netcdf_file(tmp_path / "run.nc", mmap=False) as file:
            assert file.variables["trajectory_effective_rank"].long_name.endswith(said)
            assert file.variables["update_effective_rank"].long_name.endswith(b"in one update")


def test_xarray_reads_the_labels(tmp_path):
    xarray = pytest.importorskip("xarray", reason="xarray reads these files, and is not installed")
    history().save(tmp_path / "run.nc")
    with xarray.open_dataset(tmp_path / "run.nc", engine="scipy") as data:
        assert data.error_effective_rank.sel(layer="dichte3ä", probe_step=5) == 3.0


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text", "foreign", "version"])
def test_a_damaged_or_foreign_file_says_so(damage, tmp_path):
    path = history().save(tmp_path / "run.nc")
    content = path.read_bytes()
    if damage == "foreign":
        with netcdf_file(path, "w") as file:
            file.createDimension("x", 2)
    else:
        # The last eight bytes are a number of the last column.
        changed = {
            "cut": content[: len(content) // 2],
            "bit": content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
            "empty": b"",
            "text": b"epoch,loss\n0,1\n",
            "version": content.replace(b"linfa history 1", b"linfa history 9"),
        }[damage]
        path.write_bytes(changed)
    words = {"bit": "is damaged", "foreign": "not one that", "version": "not one that"}
    with pytest.raises(ValueError, match=words.get(damage, "truncated or not a NetCDF")):
        History.load(path)


def test_a_missing_file_or_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        History.load(tmp_path / "none.nc")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        history().save(tmp_path / "none" / "run.nc")


@pytest.mark.parametrize("where", ["write", "fsync"])
def test_a_full_disk_leaves_the_earlier_file_whole(where, tmp_path, monkeypatch):
    path = history(epochs=1).save(tmp_path / "run.nc")
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open

    def half(self, mode="r", *rest):
        file = opened(self, mode, *rest)
        if self.name.endswith(".part"):
            file.write(b"CDF")
            file.flush()

            class Full:
                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    file.close()

                write = full

            return Full()
        return file

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync", full) if where == "fsync" else (Path, "open", half)))
        with pytest.raises(OSError, match="disk is full") as caught:
            history().save(path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
