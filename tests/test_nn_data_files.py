"""Files of data: the published layouts read, everything damaged or hostile refused by name, downloads whole or not."""

import contextlib
import gzip
import hashlib
import io
import os
import pickle
import struct
import sys
import tarfile
import threading
import warnings
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from linfa.nn.data import NAMES, download, load
from linfa.nn.data.fetch import data_root
from linfa.nn.data.pickles import _BatchUnpickler, read_batch
from linfa.nn.data.sources import SOURCES, Archive

# The fixtures below are a few images of each set.
pytestmark = pytest.mark.filterwarnings("ignore:this .* has .* the published set has:UserWarning")

ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
BYTE = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def text(value):
    return b"U" + bytes([len(value)]) + value


def array(raw, shape, kind=BYTE):
    """The operations with which Python 2's cPickle wrote an array of bytes."""
    sizes = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in shape) + b"t"
    return ARRAY + b"(K\x01" + sizes + kind + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"


def batch(images, labels, name=b"labels"):
    """A batch as it was published: protocol 2 of Python 2, planes one after the other."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    numbers = b"](" + b"".join(b"K" + bytes([n]) for n in labels) + b"e"
    data = array(planes.tobytes(), (len(images), 3072))
    return (
        b"\x80\x02}q\x01(" + text(name) + numbers + text(b"data") + data + text(b"batch_label") + text(b"one") + b"u."
    )


def pictures(count, side=32, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_cifar10(root, form=batch):
    folder = root / "cifar-10-batches-py"
    for number in range(1, 6):
        write(folder / f"data_batch_{number}", form(pictures(3, seed=number), [number, 0, 9]))
    write(folder / "test_batch", form(pictures(4), [3, 2, 1, 0]))
    return folder


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder, pack=lambda content: content, end=""):
    for prefix, count in (("train", 12), ("t10k", 5)):
        write(folder / f"{prefix}-images-idx3-ubyte{end}", pack(idx(pictures(count, 28, 1)[..., 0])))
        write(folder / f"{prefix}-labels-idx1-ubyte{end}", pack(idx(np.arange(count, dtype=np.uint8) % 10)))
    return folder


class TestPublished:
    def test_cifar10(self, tmp_path):
        write_cifar10(tmp_path)
        dataset = load("cifar10", tmp_path)
        np.testing.assert_array_equal(dataset.train_images, np.concatenate([pictures(3, seed=k) for k in range(1, 6)]))
        np.testing.assert_array_equal(dataset.test_images, pictures(4))
        assert dataset.train_labels.tolist() == [1, 0, 9, 2, 0, 9, 3, 0, 9, 4, 0, 9, 5, 0, 9]
        assert dataset.test_labels.tolist() == [3, 2, 1, 0]
        assert (dataset.classes, dataset.train_images.dtype) == (10, np.uint8)

    @pytest.mark.parametrize("key", [str, str.encode], ids=["text", "bytes"])
    def test_what_python_3_writes_in_that_protocol_reads_the_same(self, tmp_path, key):
        def form(images, labels):
            data = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            return pickle.dumps({key("data"): data, key("labels"): labels}, protocol=2)

        write_cifar10(tmp_path / "2")
        write_cifar10(tmp_path / "3", form)
        two, three = load("cifar10", tmp_path / "2"), load("cifar10", tmp_path / "3")
        np.testing.assert_array_equal(two.train_images, three.train_images)
        np.testing.assert_array_equal(two.train_labels, three.train_labels)

    def test_first_classes_of_cifar100(self, tmp_path):
        folder = tmp_path / "cifar-100-python"
        write(folder / "train", batch(pictures(6), [99, 0, 1, 50, 19, 20], b"fine_labels"))
        write(folder / "test", batch(pictures(3), [0, 19, 99], b"fine_labels"))
        assert load("cifar100", tmp_path).classes == 100
        part = load("cifar100", tmp_path, classes=20)
        assert (part.classes, part.train_labels.tolist(), part.test_labels.tolist()) == (20, [0, 1, 19], [0, 19])
        np.testing.assert_array_equal(part.train_images, pictures(6)[[1, 2, 4]])

    @pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
    @pytest.mark.parametrize(("pack", "end"), [(bytes, ""), (gzip.compress, ".gz")], ids=["plain", "gz"])
    def test_idx_files(self, tmp_path, name, pack, end):
        write_idx(tmp_path / SOURCES[name].folder, pack, end)
        dataset = load(name, tmp_path)
        np.testing.assert_array_equal(dataset.train_images, pictures(12, 28, 1))
        assert dataset.test_labels.tolist() == [0, 1, 2, 3, 4]

    def test_a_part_of_a_set_is_pointed_out(self, tmp_path):
        write_cifar10(tmp_path)
        with pytest.warns(UserWarning, match=r"this cifar10 has 15 training and 4 test images; the published set has"):
            load("cifar10", tmp_path)

    def test_where_sets_are_looked_for(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("LINFA_DATA", raising=False)
        for place, said in (("data", "by default"), ("there", "by LINFA_DATA"), ("here", "by root")):
            if place == "there":
                monkeypatch.setenv("LINFA_DATA", "there")
            root = "here" if place == "here" else None
            folder = tmp_path.resolve() / place / "cifar-10-batches-py"
            with pytest.raises(FileNotFoundError) as caught:
                load("cifar10", root)
            for part in (str(folder), said, "LINFA_DATA", "pip install 'linfa[data]'", "download('cifar10')"):
                assert part in str(caught.value)
            write_cifar10(tmp_path / place)
            assert len(load("cifar10", root).train_labels) == 15

    def test_a_missing_part_is_named(self, tmp_path):
        (write_cifar10(tmp_path) / "data_batch_3").unlink()
        with pytest.raises(FileNotFoundError, match="data_batch_3; it is a part of the set"):
            load("cifar10", tmp_path)
        (write_idx(tmp_path / "MNIST/raw") / "t10k-labels-idx1-ubyte").unlink()
        with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte, nor t10k-labels-idx1-ubyte.gz beside it"):
            load("mnist", tmp_path)

    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("cifar-10", ValueError, r"did you mean 'cifar10'\?"),
            ("imagenet", ValueError, "it must be one of digits, mnist, fashion-mnist, cifar10, cifar100, or the path"),
            (10, TypeError, "name is 10"),
        ],
    )
    def test_names_are_checked(self, name, error, message):
        with pytest.raises(error, match=message):
            load(name)

    @pytest.mark.parametrize("name", NAMES[1:])
    def test_the_real_files(self, name):
        source = SOURCES[name]
        if not os.environ.get("LINFA_DATA") or not (data_root() / source.folder).is_dir():
            pytest.skip(f"LINFA_DATA names no folder with {source.folder}")
        dataset = load(name)
        assert len(dataset.test_labels) == 10_000
        # Means and deviations as published with many a training script, to their four digits.
        mean, std, first = {
            "mnist": ([0.1307], [0.3081], [5, 0, 4, 1, 9]),
            "fashion-mnist": ([0.2860], [0.3530], [9, 0, 0, 3, 0]),
            "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], [6, 9, 9, 4, 1]),
            "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762], [19, 29, 0, 11, 1]),
        }[name]
        if len(dataset.train_labels) == source.train_count:
            assert dataset.train_labels[:5].tolist() == first
            np.testing.assert_allclose(dataset.mean, mean, atol=6e-5)
            np.testing.assert_allclose(dataset.std, std, atol=6e-5)
        else:
            # A part of the images: within what 200 of each class leave open.
            np.testing.assert_allclose(dataset.mean, mean, atol=5e-3)


GOOD = batch(pictures(3), [1, 0, 9])


def with_labels(labels):
    return batch(pictures(3), labels)


def plain(shape=(3, 3072), raw=bytes(3 * 3072), labels=b"](K\x00K\x00K\x00e", kind=BYTE):
    return b"\x80\x02}(" + text(b"data") + array(raw, shape, kind) + text(b"labels") + labels + b"u."


# Calls os.mkdir, spelt in each of the ways in which a pickle can name a function.
MAKE = "linfa-was-here"
HOSTILE = {
    "protocol-0": b"cos\nmkdir\n(S'linfa-was-here'\ntR.",
    "inst": b"(S'linfa-was-here'\nios\nmkdir\n.",
    "obj": b"(cos\nmkdir\nS'linfa-was-here'\no.",
    "protocol-2": b"\x80\x02cos\nmkdir\nU\x0elinfa-was-here\x85R.",
    "stack-global": b"\x80\x02U\x02osU\x05mkdir\x93U\x0elinfa-was-here\x85R.",
    "protocol-4": b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c\x0elinfa-was-here\x85R.",
    "in-a-batch": GOOD[:-2] + b"U\x01xcos\nmkdir\nU\x0elinfa-was-here\x85Ru.",
    "builtin": b"\x80\x02c__builtin__\neval\nU\x1e__import__('os').mkdir('linfa')\x85R.",
    "numpy-load": b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
    "extension": b"\x80\x02\x82\x01.",
    "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
}
IMPORTED = ("protocol-0", "protocol-2", "in-a-batch", "builtin", "numpy-load")
DAMAGED = {
    "empty": (b"", "is empty"),
    "text": (b"<html>404 Not Found</html>", "was not read|truncated or damaged"),
    "truncated": (GOOD[:-5000], "truncated or damaged"),
    "goes-on": (GOOD + b"\x00", "goes on for 1 bytes after its end"),
    "not-a-dictionary": (b"\x80\x02](K\x01K\x02e.", "holds a list, not the dictionary"),
    "nothing-left": (b"\x80\x020.", "has the operation POP"),
    "without-labels": (b"\x80\x02}" + text(b"data") + array(bytes(3072), (1, 3072)) + b"s.", "holds data; a batch"),
    "other-labels": (batch(pictures(3), [0, 0, 0], b"fine_labels"), "holds fine_labels, data, batch_label; a batch"),
    "label-out-of-range": (with_labels([0, 10, 1]), r"labels in .* holds 10 at index 1; labels must be from 0 to 9"),
    "label-negative": (plain(labels=b"](K\x00J\xff\xff\xff\xffK\x00e"), "holds -1 at index 1"),
    "labels-missing": (with_labels([0, 1]), "has 2 labels; there are 3 images"),
    "label-text": (plain(labels=b"](K\x00U\x01aK\x00e"), "must be a list of integers"),
    "label-true": (plain(labels=b"](K\x00\x88K\x00e"), "must be a list of integers"),
    "labels-nested": (plain(labels=b"](](K\x00K\x00K\x00ee"), "must be a list of integers"),
    "wrong-side": (plain((3, 3071), bytes(3 * 3071)), r"is \(3, 3071\); it must be \(images, 3072\)"),
    "one-axis": (plain((3 * 3072,)), r"is \(9216,\); it must be"),
    "no-images": (plain((0, 3072), b"", b"]"), "holds 0 images; it must hold between 1 and 50000"),
    "shape-does-not-fit": (plain((4, 3072)), r"an array of shape \(4, 3072\) with 9216 pixels"),
    "shape-negative": (plain((-3, -3072)), "without a proper shape"),
    "data-no-array": (b"\x80\x02}(" + text(b"data") + text(b"x") + text(b"labels") + b"]u.", "data in .* is bytes"),
    # What would be unsafe, or take all memory, in the hands of NumPy's or Python's own unpickling.
    "objects": (plain(kind=BYTE.replace(b"u1", b"O8")), "an array of type b'O8'"),
    "no-type": (plain(kind=b"N"), "something else than plain bytes"),
    "ndarray-called": (b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R.", "truncated or damaged"),
    "type-made-array": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R.", "makes an array in a way"
    ),
    "stand-in-altered": (b"\x80\x02cnumpy\ndtype\n}U\x08__call__Nsb.", "alters what it imports"),
    "memo-bomb": (b"\x80\x02}r\xf0\xff\xff\x7f.", "stores object 2147483632 at byte 3"),
    "nested": (b"\x80\x02}K\x01" + b"\x85" * 1_000_000 + b"K\x01s.", "holds more than 64 lists and tuples"),
    "long-string": (b"\x80\x02T\xf0\xff\xff\x7f.", "truncated or damaged"),
    "encoded-again": (
        b"\x80\x02](X\x00\x10\x00\x00" + b"a" * 4096 + b"q\x01"
        + b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R" * 9 + b"e.",
        "encodes more bytes than it holds",
    ),
    "encoded-otherwise": (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "encodes text in"),
}  # fmt: skip


class TestHostileAndDamaged:
    @pytest.mark.parametrize("way", HOSTILE)
    def test_nothing_that_a_pickle_asks_for_is_run(self, tmp_path, monkeypatch, way):
        monkeypatch.chdir(tmp_path)
        write(write_cifar10(tmp_path) / "data_batch_2", HOSTILE[way])
        before = set(tmp_path.iterdir())
        with pytest.raises(
            ValueError, match=r"data_batch_2 was not read: it .*; fetch the published file again"
        ) as caught:
            load("cifar10", tmp_path)
        if way in IMPORTED:
            assert "wants to import" in str(caught.value)
        assert set(tmp_path.iterdir()) == before

    def test_the_traps_are_live(self, tmp_path, monkeypatch):
        for way in ("protocol-0", "inst", "obj", "protocol-2", "stack-global", "protocol-4", "in-a-batch"):
            folder = tmp_path / way
            folder.mkdir()
            monkeypatch.chdir(folder)
            pickle.loads(HOSTILE[way], encoding="latin-1")
            assert (folder / MAKE).is_dir()

    @pytest.mark.parametrize("way", HOSTILE)
    def test_the_second_gate_holds_alone(self, tmp_path, monkeypatch, way):
        monkeypatch.chdir(tmp_path)
        with pytest.raises((pickle.UnpicklingError, ValueError, TypeError)):
            _BatchUnpickler(HOSTILE[way]).load()
        assert not list(tmp_path.iterdir())

    def test_hostile_modules_are_not_even_imported(self, tmp_path, monkeypatch):
        (tmp_path / "trap_for_linfa.py").write_text("raise SystemExit")
        monkeypatch.syspath_prepend(tmp_path)
        path = write(tmp_path / "batch", b"\x80\x02ctrap_for_linfa\nf\n.")
        with pytest.raises(ValueError, match="wants to import 'trap_for_linfa f'"):
            read_batch(path)
        assert "trap_for_linfa" not in sys.modules

    @pytest.mark.parametrize("way", DAMAGED)
    def test_damage_is_named(self, tmp_path, way):
        content, message = DAMAGED[way]
        write(write_cifar10(tmp_path) / "data_batch_2", content)
        with pytest.raises(ValueError, match=message) as caught:
            load("cifar10", tmp_path)
        assert "data_batch_2" in str(caught.value)

    def test_wherever_a_batch_is_cut_off_it_is_refused(self, tmp_path):
        content = batch(pictures(1), [7])
        for end in [*range(1, 300), *range(300, len(content), 97), *range(len(content) - 60, len(content))]:
            with pytest.raises(ValueError, match="batch"):
                read_batch(write(tmp_path / "batch", content[:end]))
        assert read_batch(write(tmp_path / "batch", content))["labels"] == [7]

    def test_a_wrong_byte_is_an_error_or_a_wrong_pixel(self, tmp_path, monkeypatch):
        content = batch(pictures(1), [7])
        path = write(tmp_path / "cifar-10-batches-py/test_batch", content)
        one = replace(SOURCES["cifar10"], train_files=("test_batch",))
        monkeypatch.setitem(SOURCES, "cifar10", one)
        generator = np.random.default_rng(0)
        # The program lies before and after the pixels.
        start = content.index(pictures(1).transpose(0, 3, 1, 2).tobytes()[:16])
        refused, places = 0, [*range(start + 16), *range(len(content) - 40, len(content))] * 2
        for place in places:
            damaged = bytearray(content)
            damaged[place] ^= int(generator.integers(1, 256))
            path.write_bytes(damaged)
            # Any other exception fails the test.
            with contextlib.suppress(ValueError):
                load("cifar10", tmp_path)
                refused -= 1
            refused += 1
        # What is let through: other pixels, another label, another name of what is not used.
        assert refused > len(places) / 2

    def test_a_huge_file_is_not_read(self, tmp_path):
        path = tmp_path / "batch"
        with path.open("wb") as file:
            # Sparse: takes no room on disk.
            file.truncate(1 << 30)
        with pytest.raises(ValueError, match="batch has 1074 MB; the largest"):
            read_batch(path)


IDX = {
    "empty": ("train-images-idx3-ubyte", lambda c: b"", "is empty"),
    "text": ("train-labels-idx1-ubyte", lambda c: b"not found", "is no idx file of bytes with 1 axes"),
    "header-cut": ("train-images-idx3-ubyte", lambda c: c[:10], "is no idx file"),
    "truncated": ("train-images-idx3-ubyte", lambda c: c[:-1], "9408 bytes of data announced, only 9407 found"),
    "goes-on": ("t10k-labels-idx1-ubyte", lambda c: c + b"\x00", "5 bytes of data announced, more than that found"),
    "labels-for-images": (
        "train-images-idx3-ubyte", lambda c: idx(np.zeros(12, np.uint8)), "is no idx file of bytes with 3 axes"
    ),
    "other-size": ("t10k-images-idx3-ubyte", lambda c: idx(np.zeros((5, 8, 8), np.uint8)), r"of \(8, 8\) pixels"),
    "count-huge": ("train-images-idx3-ubyte", lambda c: c[:4] + b"\xff" * 4 + c[8:], "holds 4294967295 images"),
    "count-zero": ("train-images-idx3-ubyte", lambda c: c[:4] + bytes(4) + c[8:], "holds 0 images"),
    "counts-differ": ("train-labels-idx1-ubyte", lambda c: idx(np.zeros(11, np.uint8)), "has 11 labels; .* 12 images"),
    "label-out-of-range": (
        "train-labels-idx1-ubyte", lambda c: idx(np.full(12, 10, np.uint8)), "holds 10 at index 0; labels must be from"
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", IDX)
@pytest.mark.parametrize(("pack", "end"), [(bytes, ""), (gzip.compress, ".gz")], ids=["plain", "gz"])
def test_damaged_idx_files_are_named(tmp_path, way, pack, end):
    write_idx(tmp_path / "MNIST/raw", pack, end)
    name, change, message = IDX[way]
    path = tmp_path / "MNIST/raw" / f"{name}{end}"
    path.write_bytes(pack(change(gzip.decompress(path.read_bytes()) if end else path.read_bytes())))
    with pytest.raises(ValueError, match=message) as caught:
        load("mnist", tmp_path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("change", [lambda c: c[:-40], lambda c: c[:-3000] + bytes(2000) + c[-1000:], lambda c: c[1:]])
def test_damaged_gzip_files_are_named(tmp_path, change):
    path = write_idx(tmp_path / "MNIST/raw", gzip.compress, ".gz") / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is truncated or damaged"):
        load("mnist", tmp_path)


def own(**change):
    labels = np.arange(8) % 3
    arrays = {"x_train": pictures(8, 6), "y_train": labels, "x_test": pictures(4, 6), "y_test": labels[:4]}
    return {name: value for name, value in (arrays | change).items() if value is not None}


class TestOwnArrays:
    @pytest.mark.parametrize(
        ("make", "shape", "kept"),
        [
            (lambda n: pictures(n, 6), (6, 6, 3), np.uint8),
            (lambda n: pictures(n, 6)[..., 0], (6, 6, 1), np.uint8),
            (lambda n: pictures(n, 6).astype(np.float32), (6, 6, 3), np.float32),
            (lambda n: pictures(n, 6).astype(np.float64), (6, 6, 3), np.float64),
            (lambda n: pictures(n, 6).astype(np.float16), (6, 6, 3), np.float32),
            (lambda n: pictures(n, 6).astype(">f4"), (6, 6, 3), np.float32),
            (lambda n: pictures(n, 6).reshape(n, -1) / 255, (108,), np.float64),
        ],
    )
    def test_images_and_vectors_keep_their_type(self, tmp_path, make, shape, kept):
        path = tmp_path / "mine.npz"
        np.savez(path, **own(x_train=make(8), x_test=make(4)))
        dataset = load(path)
        assert (dataset.name, dataset.classes) == ("mine", 3)
        assert (dataset.train_images.shape, dataset.train_images.dtype) == ((8, *shape), kept)
        np.testing.assert_array_equal(dataset.test_images, make(4).reshape(4, *shape))

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"x_test": None}, ValueError, "without x_test; it must hold x_train, y_train, x_test, y_test"),
            ({"x_train": np.full((8, 6, 6), np.nan)}, ValueError, r"x_train in .* holds nan at index \(0, 0, 0, 0\)"),
            ({"x_train": pictures(8, 6).astype(object)}, ValueError, "plain arrays"),
            ({"y_train": np.array(list("abcabcab"))}, TypeError, "y_train in .* it must hold integers"),
            ({"x_train": pictures(8, 6).astype(int)}, TypeError, "x_train in .* holds int64; it must hold uint8"),
            ({"x_train": pictures(7, 6)}, ValueError, "y_train in .* has 8 labels; there are 7 images"),
            ({"y_train": np.arange(8) % 3 - 1}, ValueError, "y_train in .* holds -1 at index 0"),
            ({"y_train": np.arange(8) % 3 + 1}, ValueError, "y_train in .* up to 3 but has no image of class 0"),
            ({"y_train": np.array([0, 1, 2, 9, 0, 1, 2, 9])}, ValueError, "up to 9 but has no image of class 3"),
            ({"y_train": np.zeros(8, int), "y_test": np.zeros(4, int)}, ValueError, "has one class alone"),
            ({"y_test": np.array([0, 1, 2, 3])}, ValueError, "y_test in .* holds 3 at index 3; labels must be from 0"),
            ({"x_test": pictures(4, 5)}, ValueError, r"test_images are \(5, 5, 3\) each"),
        ],
    )
    def test_arrays_that_make_no_set_are_named(self, tmp_path, change, error, message):
        path = tmp_path / "mine.npz"
        np.savez(path, **own(**change))
        with pytest.raises(error, match=message) as caught:
            load(path)
        assert "mine.npz" in str(caught.value) or "test_images" in str(caught.value)

    def test_files_that_hold_no_arrays_are_named(self, tmp_path):
        path = tmp_path / "mine.npz"
        np.savez(path, **own())
        whole = path.read_bytes()
        np.save(tmp_path / "one.npy", pictures(2))
        cases = {
            "is empty": b"",
            "is truncated or no .npz file": b"x_train, y_train\n1, 2\n",
            "is truncated": whole[:-30],
            "no .npz file": (tmp_path / "one.npy").read_bytes(),
            "cannot be read as an .npz file": whole[:400] + bytes(64) + whole[464:],
        }
        for message, content in cases.items():
            with pytest.raises(ValueError, match=message) as caught:
                load(write(path, content))
            assert "mine.npz" in str(caught.value)
        with pytest.raises(FileNotFoundError, match=r"there is no file .*absent\.npz"):
            load(tmp_path / "absent.npz")


class TestDownload:
    """From a server of the test's own."""

    @pytest.fixture
    def served(self, tmp_path, monkeypatch):
        pytest.importorskip("pooch", reason="downloads need pooch, the extra linfa[data]")
        folder = tmp_path / "served"
        folder.mkdir()

        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        # A proxy of the machine's knows nothing of this server.
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        self.address = f"http://127.0.0.1:{server.server_port}"
        yield folder
        server.shutdown()
        server.server_close()
        thread.join()

    def offer(self, monkeypatch, name, files, spoilt=()):
        archives = []
        for path in files:
            content = path.read_bytes()
            archives.append(
                Archive(f"{self.address}/{path.name}", hashlib.sha256(content).hexdigest(), len(content)),
            )
            if path.name in spoilt:
                path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], archives=tuple(archives)))

    def packed_cifar10(self, tmp_path, served, leave_out=()):
        folder = write_cifar10(tmp_path / "packing")
        write(folder / "batches.meta", b"names")
        path = served / "cifar-10-python.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for file in sorted(folder.iterdir()):
                if file.name not in leave_out:
                    archive.add(file, f"cifar-10-batches-py/{file.name}")
            evil = tarfile.TarInfo("../outside")
            evil.size = 4
            archive.addfile(evil, io.BytesIO(b"evil"))
        return path

    def test_an_archive_comes_whole(self, tmp_path, monkeypatch, served):
        self.offer(monkeypatch, "cifar10", [self.packed_cifar10(tmp_path, served)])
        root = tmp_path / "new" / "root"
        dataset = load("cifar10", root, download_missing=True)
        np.testing.assert_array_equal(dataset.test_images, pictures(4))
        assert [path.name for path in root.iterdir()] == ["cifar-10-batches-py"]
        assert len(list((root / "cifar-10-batches-py").iterdir())) == 7
        assert not (tmp_path / "new" / "outside").exists()

    def test_single_files_come_whole(self, tmp_path, monkeypatch, served):
        files = sorted(write_idx(served, gzip.compress, ".gz").iterdir())
        self.offer(monkeypatch, "mnist", files)
        monkeypatch.setenv("LINFA_DATA", str(tmp_path / "root"))
        # A damaged file of old must not be read in the place of what is fetched.
        write(tmp_path / "root/MNIST/raw/train-images-idx3-ubyte", b"old")
        assert download("mnist") == tmp_path / "root/MNIST/raw"
        assert len(load("mnist").train_labels) == 12

    @pytest.mark.parametrize("spoilt", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
    def test_a_wrong_checksum_changes_nothing(self, tmp_path, monkeypatch, served, spoilt):
        files = sorted(write_idx(served, gzip.compress, ".gz").iterdir())
        self.offer(monkeypatch, "mnist", files, spoilt)
        root = tmp_path / "root"
        kept = write(root / "MNIST/raw/train-images-idx3-ubyte", b"what was there")
        with pytest.raises(
            ValueError, match=f"{spoilt} does not have its published checksum, so nothing of it was kept"
        ):
            download("mnist", root)
        assert [path for path in root.rglob("*") if path.is_file()] == [kept]
        assert kept.read_bytes() == b"what was there"
        assert [path.name for path in root.iterdir()] == ["MNIST"]

    def test_an_archive_without_a_part_changes_nothing(self, tmp_path, monkeypatch, served):
        self.offer(monkeypatch, "cifar10", [self.packed_cifar10(tmp_path, served, leave_out=["data_batch_4"])])
        with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz holds no cifar-10-batches-py/data_batch_4"):
            download("cifar10", tmp_path / "root")
        assert not list((tmp_path / "root").iterdir())

    def test_an_address_that_does_not_answer_is_named(self, tmp_path, monkeypatch, served):
        self.offer(monkeypatch, "cifar10", [self.packed_cifar10(tmp_path, served)])
        (served / "cifar-10-python.tar.gz").unlink()
        with pytest.raises(ConnectionError, match=r"cifar-10-python\.tar\.gz could not be fetched: 404"):
            download("cifar10", tmp_path / "root")
        assert not list((tmp_path / "root").iterdir())

    def test_without_pooch_it_says_what_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pooch", None)
        with pytest.raises(ImportError, match=r"pip install 'linfa\[data\]'"):
            download("mnist", tmp_path / "root")
        assert not (tmp_path / "root").exists()

    def test_the_bundled_set_is_not_fetched(self):
        with pytest.raises(ValueError, match="name is 'digits'; it must be one of mnist"):
            download("digits")


def test_a_whole_set_is_read_without_a_warning(tmp_path, monkeypatch):
    write_cifar10(tmp_path)
    monkeypatch.setitem(SOURCES, "cifar10", replace(SOURCES["cifar10"], train_count=15, test_count=4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load("cifar10", Path(tmp_path)).train_labels) == 15
