"""Data sets, augmentation and batches: exact arithmetic, an order from the seed alone, threads that end."""

import threading
import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from linfa.nn.data import Augmentation, Dataset, Loader, load
from linfa.nn.data.augment import assemble, unchanged
from linfa.nn.data.sets import _partition

# Pixels are scaled in float32: three roundings of numbers up to about 3.
FLOAT32 = 1e-6


def pictures(count=40, side=8, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def small(channels=3, classes=4):
    labels = np.arange(40) % classes
    return Dataset("small", pictures(channels=channels), labels, pictures(12, 8, channels, 1), labels[:12], classes)


def worked(images, draws, dtype=np.float64):
    """Images changed by the kernel, without normalisation."""
    out = np.empty(images.shape, dtype)
    channels = images.shape[-1]
    assemble(images, np.arange(len(images)), *draws, np.ones(channels, dtype), np.zeros(channels, dtype), out)
    return out


class TestDataset:
    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
    def test_moments_are_those_of_the_training_images(self, dtype):
        images = pictures(2500).astype(dtype)
        dataset = Dataset("set", images, np.arange(2500) % 2, images[:2], [0, 1], 2)
        scaled = images / 255 if dtype == np.uint8 else images.astype(np.float64)
        # Both sum 160,000 numbers a channel in float64, in different orders.
        np.testing.assert_allclose(dataset.mean, scaled.mean((0, 1, 2)), rtol=1e-12)
        np.testing.assert_allclose(dataset.std, scaled.std((0, 1, 2)), rtol=1e-12)

    def test_a_constant_channel_may_be_divided_by(self):
        images = np.full((7, 3, 3, 2), 0.1, np.float32)
        images[0, 0, 0, 1] = 0.2
        dataset = Dataset("flat", images, [0, 1, 0, 1, 0, 1, 0], images, [0] * 7, 2)
        assert dataset.std[0] == 1.0
        assert 0 < dataset.std[1] < 0.1

    def test_images_are_kept_as_they_come(self):
        images = pictures()
        dataset = Dataset("set", images, np.arange(40) % 2, images[..., 0].copy()[..., None].repeat(3, -1), [0] * 40, 2)
        assert np.shares_memory(dataset.train_images, images)
        assert not dataset.train_images.flags.writeable
        assert images.flags.writeable

    def test_images_without_channels_get_one(self):
        images = pictures(channels=1)[..., 0]
        assert Dataset("set", images, [0, 1] * 20, images, [0, 1] * 20, 2).train_images.shape == (40, 8, 8, 1)

    def test_a_split_parts_the_training_set_and_hides_the_test_set(self):
        dataset = load("digits")
        part = dataset.split(200, seed=3)
        assert (len(part.train_labels), len(part.test_labels)) == (1237, 200)
        every = np.concatenate([part.train_images, part.test_images]).reshape(1437, -1)
        before = dataset.train_images.reshape(1437, -1)
        assert sorted(map(bytes, every)) == sorted(map(bytes, before))
        shares = np.bincount(part.test_labels) / np.bincount(dataset.train_labels)
        # Within one image of the common share.
        assert np.abs(shares - 200 / 1437).max() < 1 / np.bincount(dataset.train_labels).min()

    def test_a_split_depends_on_the_seed_alone(self):
        dataset = load("digits")
        again, other = dataset.split(0.1, seed=1), dataset.split(0.1, seed=2)
        np.testing.assert_array_equal(dataset.split(0.1, seed=1).test_images, again.test_images)
        assert (again.test_images != other.test_images).any()

    def test_unequal_classes_give_their_shares(self):
        labels = np.repeat([0, 1, 2], [60, 30, 10])
        inside, outside = _partition(labels, 15, np.random.default_rng(0))
        assert np.bincount(labels[outside]).tolist() == [9, 5, 1]
        assert sorted([*inside, *outside]) == list(range(100))
        assert (np.diff(inside) > 0).all()
        assert (np.diff(outside) > 0).all()

    def test_the_digits_are_parted_by_class(self):
        dataset = load()
        assert (len(dataset.train_labels), len(dataset.test_labels)) == (1437, 360)
        counts = np.bincount(dataset.train_labels) + np.bincount(dataset.test_labels)
        assert np.abs(np.bincount(dataset.test_labels) - counts * 360 / 1797).max() < 1
        assert dataset.train_images.max() == 1.0

    def test_first_classes(self):
        dataset = small()
        part = dataset.first_classes(2)
        assert part.classes == 2
        np.testing.assert_array_equal(part.train_images, dataset.train_images[dataset.train_labels < 2])
        np.testing.assert_array_equal(part.test_labels, dataset.test_labels[dataset.test_labels < 2])
        np.testing.assert_array_equal(
            load("digits", classes=3).test_labels, load("digits").first_classes(3).test_labels
        )

    def test_grayscale_is_the_luminance(self):
        gray = small().grayscale()
        exact = pictures() @ [0.299, 0.587, 0.114]
        # Rounded to whole levels.
        assert np.abs(gray.train_images[..., 0] - exact).max() <= 0.5 + 1e-9
        assert gray.grayscale() is gray
        floats = Dataset("f", pictures() / 255.0, [0, 1] * 20, pictures() / 255.0, [0, 1] * 20, 2).grayscale()
        np.testing.assert_allclose(floats.test_images[..., 0], exact / 255, rtol=1e-14)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"classes": 3}, ValueError, r"train_labels holds 3 at index 3; labels must be from 0 to 2"),
            ({"train_labels": np.arange(39) % 4}, ValueError, "train_labels has 39 labels; there are 40 images"),
            ({"train_labels": np.eye(40)}, ValueError, r"train_labels is \(40, 40\)"),
            ({"train_labels": np.zeros(40)}, TypeError, "train_labels holds float64; it must hold integers"),
            ({"train_labels": [[0], [1, 2]]}, ValueError, "train_labels must be a list of integers"),
            ({"test_labels": np.full(12, -1)}, ValueError, "test_labels holds -1 at index 0"),
            ({"test_images": pictures(12, 9)}, ValueError, "test_images are"),
            ({"test_images": pictures(12) / 255}, TypeError, "test_images hold float64; they must hold uint8"),
            ({"train_images": pictures().astype(np.int64)}, TypeError, "train_images holds int64"),
            ({"train_images": pictures()[:0]}, ValueError, "train_images is empty"),
            ({"train_images": np.zeros(40, np.float32)}, ValueError, r"train_images is \(40,\)"),
            ({"train_images": pictures().transpose(0, 3, 1, 2)}, ValueError, "has its channels first"),
            ({"train_images": np.ma.masked_less(pictures(), 9)}, ValueError, "train_images has masked entries"),
        ],
    )
    def test_what_does_not_fit_is_named(self, change, error, message):
        parts = small()
        names = ("train_images", "train_labels", "test_images", "test_labels", "classes")
        with pytest.raises(error, match=message):
            Dataset("bad", **({name: getattr(parts, name) for name in names} | change))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_pixel_that_is_no_number_is_found(self, bad):
        images = np.zeros((2100, 2, 2), np.float32)
        images[2050, 1, 0] = bad
        with pytest.raises(ValueError, match=r"train_images holds -?(nan|inf) at index \(2050, 1, 0, 0\)"):
            Dataset("bad", images, np.arange(2100) % 2, images[:1], [0], 2)

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (lambda d: d.split(0), ValueError, "validation is 0"),
            (lambda d: d.split(40), ValueError, "validation is 40; it must be at most 39"),
            (lambda d: d.split(1.0), ValueError, "it must leave some on either side"),
            (lambda d: d.split(0.001), ValueError, "it must leave some on either side"),
            (lambda d: d.split("half"), TypeError, "validation is 'half'"),
            (lambda d: d.split(True), TypeError, "validation is True"),
            (lambda d: d.split(4, seed=-1), ValueError, "seed is -1"),
            (lambda d: d.first_classes(5), ValueError, "classes is 5; it must be at most 4"),
            (lambda d: d.first_classes(1), ValueError, "classes is 1"),
            (lambda d: small(channels=2).grayscale(), ValueError, "a grayscale is made of"),
        ],
    )
    def test_arguments_are_checked(self, call, error, message):
        with pytest.raises(error, match=message):
            call(small())


class TestAugmentation:
    def test_a_crop_is_that_of_the_padded_image(self):
        images = pictures(200)
        draws = Augmentation(crop=3).draw(np.random.default_rng(1), 200, 8, 8)
        padded = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)))
        expected = [padded[n, y + 3 : y + 11, x + 3 : x + 11] for n, (y, x) in enumerate(draws.shifts)]
        np.testing.assert_array_equal(worked(images, draws), expected)
        assert {tuple(s) for s in np.unique(draws.shifts, axis=0)} >= {(-3, -3), (3, 3), (-3, 3), (0, 0)}

    def test_a_flip_mirrors_left_and_right(self):
        images = pictures(64)
        draws = Augmentation(flip=True).draw(np.random.default_rng(1), 64, 8, 8)
        expected = np.where(draws.flips[:, None, None, None], images[:, :, ::-1], images)
        np.testing.assert_array_equal(worked(images, draws), expected)
        # Chance of a count so far from half: 3e-4 at 3.6 standard deviations; the seed is fixed.
        assert 18 < draws.flips.sum() < 46

    def test_a_rotation_is_bilinear_about_the_centre(self):
        images = np.random.default_rng(2).random((30, 9, 7, 2))
        images.flags.writeable = False
        draws = Augmentation(flip=True, crop=2, rotation=40.0).draw(np.random.default_rng(3), 30, 9, 7)
        y, x = np.mgrid[:9, :7].astype(float)
        expected = np.empty_like(images)
        for n, (cosine, sine) in enumerate(draws.turns):
            rows = 4 + cosine * (y - 4) + sine * (x - 3)
            columns = 3 - sine * (y - 4) + cosine * (x - 3)
            columns = 6 - columns if draws.flips[n] else columns
            where = [rows + draws.shifts[n, 0], columns + draws.shifts[n, 1]]
            for c in range(2):
                expected[n, :, :, c] = map_coordinates(images[n, :, :, c], where, order=1, mode="grid-constant")
        # Rounding of the places, times differences between pixels.
        np.testing.assert_allclose(worked(images, draws), expected, atol=1e-13)

    def test_a_quarter_turn_moves_pixels_whole(self):
        images = pictures(4)
        draws = unchanged(4)._replace(turns=np.tile([np.cos(np.pi / 2), 1.0], (4, 1)))
        np.testing.assert_allclose(worked(images, draws), np.rot90(images, axes=(1, 2)), atol=1e-11)

    def test_angles_fill_their_range(self):
        turns = Augmentation(rotation=10.0).draw(np.random.default_rng(0), 4000, 8, 8).turns
        angles = np.rad2deg(np.arctan2(turns[:, 1], turns[:, 0]))
        assert np.abs(angles).max() <= 10.0 + 1e-12
        assert angles.min() < -9.9 < 9.9 < angles.max()

    def test_a_hole_takes_the_mean(self):
        images = pictures(200)
        draws = Augmentation(cutout=3).draw(np.random.default_rng(4), 200, 8, 8)
        out = np.empty(images.shape)
        assemble(images, np.arange(200), *draws, np.ones(3), np.full(3, 0.25), out)
        for n, (y, x) in enumerate(draws.holes):
            inside = np.zeros((8, 8), bool)
            inside[max(y, 0) : y + 3, max(x, 0) : x + 3] = True
            assert (out[n][inside] == 0).all()
            np.testing.assert_array_equal(out[n][~inside], images[n][~inside] + 0.25)
        # Its centre may be any pixel, also on the edge.
        assert set(np.unique(draws.holes)) == set(range(-1, 7))

    def test_switching_one_change_on_leaves_the_others(self):
        some = Augmentation(crop=4).draw(np.random.default_rng(5), 50, 32, 32)
        every = Augmentation(flip=True, crop=4, rotation=10.0, cutout=8).draw(np.random.default_rng(5), 50, 32, 32)
        np.testing.assert_array_equal(some.shifts, every.shifts)

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            ({"flip": 1}, TypeError, "flip is 1"),
            ({"crop": -1}, ValueError, "crop is -1"),
            ({"crop": 1.5}, TypeError, "crop is 1.5"),
            ({"rotation": 181}, ValueError, "rotation is 181"),
            ({"rotation": np.nan}, ValueError, "rotation is nan"),
            ({"cutout": -2}, ValueError, "cutout is -2"),
        ],
    )
    def test_arguments_are_checked(self, given, error, message):
        with pytest.raises(error, match=message):
            Augmentation(**given)


EVERYTHING = Augmentation(flip=True, crop=2, rotation=15.0, cutout=3)


def loader(**options):
    given = {"batch": 6, "seed": 1, "augment": EVERYTHING, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    return Loader(pictures(), np.arange(40), **(given | options))


def listed(batches):
    return [(x.copy(), y.copy()) for x, y in batches]


def equal(one, other):
    return len(one) == len(other) and all(
        x.tobytes() == u.tobytes() and x.dtype == u.dtype and (y == v).all()
        for (x, y), (u, v) in zip(one, other, strict=True)
    )


class TestLoader:
    def test_batches_are_normalised_images(self):
        batches = listed(loader(augment=None, drop_last=False, dtype=np.float64).epoch(0))
        for x, y in batches:
            expected = (pictures()[y] / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]
            np.testing.assert_allclose(x, expected, atol=1e-14)
        assert [len(y) for _, y in batches] == [6] * 6 + [4]
        assert sorted(np.concatenate([y for _, y in batches])) == list(range(40))
        for (x, _), (u, _) in zip(batches, listed(loader(augment=None, drop_last=False).epoch(0)), strict=True):
            assert u.dtype == np.float32
            np.testing.assert_allclose(u, x, atol=FLOAT32 * np.abs(x).max())

    def test_vectors_are_standardised_by_feature(self):
        x = np.random.default_rng(0).standard_normal((20, 5)).astype(np.float32) * 3 + 1
        dataset = Dataset("v", x, np.arange(20) % 2, x, np.arange(20) % 2, 2)
        ((made, _),) = Loader(x, np.arange(20), 20, mean=dataset.mean, std=dataset.std).in_order()
        assert made.shape == (20, 5)
        np.testing.assert_allclose(made, (x - x.mean(0)) / x.std(0), atol=5 * FLOAT32)

    def test_a_batch_depends_on_seed_epoch_and_number_alone(self):
        first = listed(loader().epoch(2))
        assert equal(first, listed(loader().epoch(2)))
        assert not equal(first, listed(loader().epoch(3)))
        assert not equal(first, listed(loader(seed=2).epoch(2)))
        # The order does not depend on what is drawn for the images.
        plain = listed(loader(augment=None).epoch(2))
        assert [y.tolist() for _, y in plain] == [y.tolist() for _, y in first]

    @pytest.mark.parametrize("start", range(7))
    def test_an_epoch_broken_off_goes_on_bit_for_bit(self, start):
        whole = listed(loader().epoch(1))
        assert equal(whole[start:], listed(loader().epoch(1, start=start)))

    @pytest.mark.parametrize("augment", [None, EVERYTHING])
    @pytest.mark.parametrize("drop_last", [True, False])
    def test_the_thread_makes_the_same_batches(self, augment, drop_last):
        ahead, plain = (loader(augment=augment, drop_last=drop_last, prefetch=p) for p in (True, False))
        assert equal(listed(ahead.epoch(4)), listed(plain.epoch(4)))
        assert equal(listed(ahead.in_order()), listed(plain.in_order()))
        assert len(ahead) == len(listed(ahead.epoch(4))) == (6 if drop_last else 7)

    def test_in_order_is_the_stored_order(self):
        batches = listed(loader().in_order())
        assert np.concatenate([y for _, y in batches]).tolist() == list(range(40))
        assert equal(batches, listed(loader(augment=None, seed=9).in_order()))

    def test_batches_ahead_are_not_overwritten(self):
        kept = list(loader().epoch(0))
        assert equal(kept, listed(loader().epoch(0)))

    @pytest.mark.parametrize("prefetch", [True, False])
    def test_an_error_comes_after_the_batches_before_it(self, monkeypatch, prefetch):
        made = loader(prefetch=prefetch)
        assembled, calls = made._assembled, []

        def failing(rows, draws):
            calls.append(rows)
            if len(calls) == 4:
                raise MemoryError("no room for batch 3")
            return assembled(rows, draws)

        monkeypatch.setattr(made, "_assembled", failing)
        batches = made.epoch(0)
        assert [len(next(batches)[1]) for _ in range(3)] == [6, 6, 6]
        with pytest.raises(MemoryError, match="no room for batch 3"):
            next(batches)
        assert not self.threads()

    def test_no_thread_outlives_a_consumer_who_breaks_off(self):
        batches = loader().epoch(0)
        next(batches)
        assert self.threads()
        batches.close()
        assert not self.threads()

    @staticmethod
    def threads():
        return [t for t in threading.enumerate() if t.name.startswith("linfa-data")]

    @pytest.mark.parametrize("prefetch", [True, False])
    def test_the_set_is_never_converted_as_a_whole(self, prefetch):
        images = np.zeros((40_000, 16, 16, 1), np.uint8)
        made = Loader(images, np.zeros(40_000, int), 100, prefetch=prefetch)
        next(made.epoch(0))
        tracemalloc.start()
        for number, _ in enumerate(made.epoch(1)):
            if number == 20:
                break
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # 10 MB as stored, 41 MB in float32; the order takes 0.3 MB and a batch 0.1 MB.
        assert peak < 2e6

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"batch": 41}, ValueError, "batch is 41; it must be at most 40"),
            ({"batch": 0}, ValueError, "batch is 0"),
            ({"seed": 1.0}, TypeError, "seed is 1.0"),
            ({"augment": True}, TypeError, "augment is True"),
            ({"augment": Augmentation(crop=8)}, ValueError, "crop is 8; it must be below 8"),
            ({"augment": Augmentation(cutout=9)}, ValueError, "cutout is 9; it must be below 8"),
            ({"mean": [0.1, 0.2]}, ValueError, "mean has 2 entries; it must be one number, or 3"),
            ({"mean": np.nan}, ValueError, "mean holds nan"),
            ({"std": [1.0, 0.0, 1.0]}, ValueError, "std holds 0; every entry must be above 0"),
            ({"dtype": np.float16}, TypeError, "dtype is float16"),
            ({"drop_last": 1}, TypeError, "drop_last is 1"),
            ({"prefetch": None}, TypeError, "prefetch is None"),
        ],
    )
    def test_arguments_are_checked(self, options, error, message):
        with pytest.raises(error, match=message):
            loader(**options)

    def test_vectors_have_no_sides_to_crop(self):
        with pytest.raises(ValueError, match="images are vectors of 5 numbers"):
            Loader(np.zeros((9, 5), np.float32), [0] * 9, 3, augment=EVERYTHING)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [((-1,), "number is -1"), ((0, 7), "start is 7; it must be at most 6"), ((0, -1), "start is -1")],
    )
    def test_an_epoch_is_checked_before_it_starts(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            loader().epoch(*arguments)
