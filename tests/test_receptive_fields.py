"""Receptive fields and the centre–surround index: against gradients by differences, and on fields of known shape."""

import numpy as np
import pytest

import linfa
from linfa import nn
from linfa.nn.receptive_fields import field_shapes, receptive_fields

Y, X = np.mgrid[-6:7, -6:7]


def gaussian(width, dx=0.0, dy=0.0):
    return np.exp(-((X - dx) ** 2 + (Y - dy) ** 2) / (2 * width**2)) / (2 * np.pi * width**2)


def gabor(wave, angle, phase, width=2.0):
    return np.cos(wave * (X * np.cos(angle) + Y * np.sin(angle)) + phase) * gaussian(width)


def network(**options):
    layers = [nn.Conv2d(3, 3), nn.Tanh(), nn.Conv2d(4, 3, **options), nn.ReLU(), nn.Flatten(), nn.Dense(3)]
    return nn.Network(layers, (9, 9, 2), feedback=linfa.FeedbackAlignment(seed=1), dtype="float64")


@pytest.mark.parametrize("stride", [1, 2])
def test_one_step_is_the_gradient_at_zero(stride):
    net = network(stride=stride)
    fields = receptive_fields(net, "conv2", steps=1)
    assert fields.shape == (4, 9, 9, 2)
    centre = 4 if stride == 1 else 2

    def drive(x):
        out = x
        for layer in net.body.list[:3]:
            out = layer.forward(out, nn.Pass("evaluate"))
        return out[:, centre, centre]

    step = 1e-5
    moved = step * np.eye(162).reshape(162, 9, 9, 2)
    # Central differences: step² of a third derivative, here below 1e-9, and rounding of 1e-16/step.
    differences = (drive(moved) - drive(-moved)) / (2 * step)
    assert np.abs(fields.reshape(4, 162) - differences.T).max() < 1e-9


def test_the_second_step_is_the_gradient_where_the_first_one_led():
    net = network()
    first, second = (receptive_fields(net, "conv2", steps=n, rate=2.0) for n in (1, 2))
    climbed = (second - first) / 2.0
    # tanh bends: it is another gradient than that at zero, which is first/2.
    assert np.abs(climbed - first / 2.0).max() > 1e-3
    along = np.random.default_rng(1).standard_normal((9, 9, 2))

    def drive(x):
        for layer in net.body.list[:3]:
            x = layer.forward(x, nn.Pass("evaluate"))
        return x[np.arange(4), 4, 4, np.arange(4)]

    step = 1e-5
    differences = (drive(first + step * along) - drive(first - step * along)) / (2 * step)
    # As above; a direction of 162 entries raises the third derivative.
    assert np.abs((climbed * along).sum((1, 2, 3)) - differences).max() < 1e-7


def test_fields_are_as_wide_as_the_kernels_and_leave_the_network_alone():
    net = network()
    x, labels = np.random.default_rng(0).standard_normal((5, 9, 9, 2)), np.arange(5) % 3
    way = nn.Pass()
    net.learn(x, labels, way)
    gradients = [p.gradient.copy() for p in net.parameters]
    state = net.state()
    fields = receptive_fields(net, "conv2")
    assert not fields[:, :2].any()
    assert not fields[:, :, 7:].any()
    assert fields[:, 2:7, 2:7].all()
    assert all(np.array_equal(a, b.gradient) for a, b in zip(gradients, net.parameters, strict=True))
    assert all(np.array_equal(array, net.state()[name]) for name, array in state.items())
    # The way back that was under way can still be gone.
    net.backward(way.output_error, way)
    assert all(np.array_equal(a, b.gradient) for a, b in zip(gradients, net.parameters, strict=True))
    assert not net.maps[0].sends


def test_balanced_centre_and_surround_have_an_index_near_one():
    fields = [gaussian(a) - gaussian(b) for a, b in ((1.0, 2.0), (1.5, 2.5), (1.0, 1.6), (0.7, 1.5))]
    fields += [gaussian(1.0, dx, dy) - gaussian(2.0, dx, dy) for dx, dy in ((0.5, 0.5), (1.0, 0.0), (0.3, -0.8))]
    shapes = field_shapes(np.array(fields))
    # Pixels, straight pieces of the profile, and the edge at which the widest surround is cut take up to 5 %.
    assert (shapes.index > 0.95).all()
    # The four directions of the grid weigh the same, up to what the edge cuts from fields off the centre.
    assert (shapes.orientation < 0.01).all()
    # Sign and size do not matter; a power of two keeps the bits.
    assert np.array_equal(field_shapes(-(2.0**-40) * np.array(fields)).index, shapes.index)


def test_gratings_have_an_index_near_zero_at_any_angle_and_phase():
    fields = [
        gabor(wave, angle, phase)
        for wave in (0.8, 1.2, 1.6, 2.0)
        for angle in (0.0, 0.4, np.pi / 4)
        for phase in (0.0, np.pi / 4, np.pi / 2)
    ]
    shapes = field_shapes(np.array(fields))
    # The slowest of them has less than a period under its envelope.
    assert (shapes.index < 0.08).all()
    assert (shapes.orientation > 0.6).all()
    odd = shapes.symmetry.reshape(4, 3, 3)[:, :, 2]
    # Odd fields have no symmetric part, but for rounding.
    assert (odd < 1e-12).all()


def test_a_blob_without_surround_is_round_and_not_balanced():
    shapes = field_shapes(gaussian(1.5)[None])
    assert shapes.symmetry[0] > 0.99
    assert shapes.balance[0] < 0.01
    assert shapes.index[0] < 0.01


def test_noise_has_the_symmetry_of_its_rings():
    generator = np.random.default_rng(3)
    shapes = field_shapes(generator.standard_normal((400, 13, 13)))
    # Ten profile points out of 169 pixels, give or take the centre's place; standard error 0.0013.
    assert shapes.symmetry.mean() == pytest.approx(10 / 169, abs=0.006)
    assert shapes.index.mean() < 0.04


def test_an_empty_field_has_no_shape():
    shapes = field_shapes(np.stack([np.zeros((5, 5)), np.eye(5)]))
    assert np.isnan(shapes.index).tolist() == [True, False]


def test_bad_input_is_named():
    with pytest.raises(TypeError, match="network is list"):
        receptive_fields([], "conv1")
    with pytest.raises(ValueError, match=r"layer is 'conv7'.*conv1, conv2"):
        receptive_fields(network(), "conv7")
    with pytest.raises(ValueError, match="layer is 'dense1'"):
        receptive_fields(network(), "dense1")
    normed = nn.Network([nn.Conv2d(2, 3), nn.BatchNorm(), nn.Conv2d(2, 3), nn.Flatten(), nn.Dense(2)], (5, 5, 1))
    with pytest.raises(ValueError, match="behind the batch normalisation norm1"):
        receptive_fields(normed, "conv2")
    assert receptive_fields(normed, "conv1").shape == (2, 5, 5, 1)
    with pytest.raises(ValueError, match="steps"):
        receptive_fields(network(), "conv1", steps=0)
    with pytest.raises(ValueError, match="fields"):
        field_shapes(np.full((1, 5, 5), np.nan))
    with pytest.raises(ValueError, match="3 pixels"):
        field_shapes(np.ones((1, 2, 5)))
