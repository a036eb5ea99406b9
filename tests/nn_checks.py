"""References for nonlinear networks: PyTorch on the same layers, finite differences, plain gradient descent."""

import numpy as np

from linfa import nn
from linfa.nn import Pass

IMAGE = (6, 6, 3)


def network(layers, shape=IMAGE, **options):
    """A network in double precision."""
    return nn.Network(layers, shape, **({"dtype": "float64"} | options))


def batch(shape=IMAGE, samples=5, classes=3, seed=0):
    """Samples (N, …) and labels (N,)."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((samples, *shape)), generator.integers(0, classes, samples)


def gradients(net, x, labels, **options):
    """Gradients of all parameters by name, from one way forward and back."""
    net.learn(x, labels, Pass(**options))
    return {p.name: p.gradient.copy() for p in net.parameters}


def spread_out(net, seed=1):
    """Move every gain, shift and bias away from ones and zeros, where mistakes cancel."""
    generator = np.random.default_rng(seed)
    for p in net.weights:
        if p.role in ("bias", "gain", "embedding"):
            p.value += 0.3 * generator.standard_normal(p.value.shape)
    return net


def assert_close(found, wanted, tolerance):
    """Arrays by name, each within `tolerance` of its own largest entry (of the largest of all, where it is zero)."""
    assert found.keys() == wanted.keys()
    largest = max(np.abs(w).max() for w in wanted.values())
    for name in wanted:
        # A gradient that cancels, as that of a shift before batch norm, is known to the rounding of what cancelled.
        scale = max(np.abs(wanted[name]).max(), 1e-2 * largest)
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=tolerance * scale, err_msg=name)


def slope(net, x, labels, direction, step, **options):
    """Derivative of the loss along `direction` (arrays by name), by five points: error step⁴ and eps/step."""
    start = {p.name: p.value.copy() for p in net.weights}

    def loss(distance):
        for p in net.weights:
            p.value[...] = start[p.name] + distance * step * direction[p.name]
        return net.loss(net.forward(x, Pass(**options)), net.targets(labels))[0]

    values = {distance: loss(distance) for distance in (-2, -1, 1, 2)}
    for p in net.weights:
        p.value[...] = start[p.name]
    return (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)


def assert_slopes(net, x, labels, step=1e-4, tolerance=1e-8, **options):
    """Gradient against finite differences along one direction in every parameter, and along one in all of them.

    At a step of 1e-4 the truncation is 1e-16 of a fifth derivative and the rounding of the loss, some eps, becomes
    1e-11; networks with kinks take 1e-6 so that none is crossed, where it becomes 1e-9.
    """
    generator = np.random.default_rng(7)
    exact = gradients(net, x, labels, **options)
    full = {p.name: generator.standard_normal(p.value.shape) for p in net.weights}
    alone = [{other: full[other] * (other == name) for other in full} for name in full]
    for direction in [full, *alone]:
        wanted = sum(float((exact[name] * direction[name]).sum()) for name in full)
        found = slope(net, x, labels, direction, step, **options)
        assert abs(found - wanted) < tolerance * max(1.0, abs(wanted)), [n for n in full if direction[n].any()]


def descend(net, x, labels, rate, decay=0.0, steps=1):
    """Plain gradient descent: every array moves against its gradient and decays, as W ← W − η (g + wd W)."""
    for step in range(steps):
        net.learn(x, labels, Pass(step=step))
        for p in net.parameters:
            wd = decay if p.decay is None else p.decay
            p.value -= rate * (p.rate * p.gradient + wd * p.value)


class TorchTwin:
    """The layers of a network as PyTorch computes them, with copies of its parameters that autograd follows.

    Random masks are those that the network's own last pass in training drew.
    """

    def __init__(self, net):
        import torch

        # Products as small as these only make threads wait for each other.
        torch.set_num_threads(1)
        self.torch, self.net = torch, net
        self.parameters = {p.name: torch.tensor(p.value, requires_grad=True) for p in net.weights}
        self.buffers = {
            f"{layer.name}.{key}": torch.tensor(value) for layer in net.layers for key, value in layer.buffers.items()
        }

    def loss(self, x, labels, mode="train"):
        out = self.run(self.net.body, self.torch.tensor(x), mode)
        return self.torch.nn.functional.cross_entropy(out, self.torch.tensor(labels)), out

    def gradients(self, x, labels, mode="train"):
        self.loss(x, labels, mode)[0].backward()
        return {name: p.grad.numpy() for name, p in self.parameters.items()}

    def run(self, layer, x, mode):
        return getattr(self, f"_{type(layer).__name__.lower()}")(layer, x, mode)

    def _of(self, layer, name):
        return self.parameters.get(f"{layer.name}.{name}")

    def _sequential(self, layer, x, mode):
        for inner in layer.list:
            x = self.run(inner, x, mode)
        return x

    def _residual(self, layer, x, mode):
        made = self.run(layer.body, x, mode)
        if layer._kept is not None:
            made = made * self.torch.tensor(layer._kept)
        return made + (x if layer.shortcut is None else self.run(layer.shortcut, x, mode))

    def _identity(self, layer, x, mode):
        return x

    def _relu(self, layer, x, mode):
        return self.torch.relu(x)

    def _tanh(self, layer, x, mode):
        return self.torch.tanh(x)

    def _gelu(self, layer, x, mode):
        return self.torch.nn.functional.gelu(x)

    def _dropout(self, layer, x, mode):
        return x if layer._kept is None else x * self.torch.tensor(layer._kept)

    def _flatten(self, layer, x, mode):
        return x.reshape(len(x), -1)

    def _dense(self, layer, x, mode):
        return self.torch.nn.functional.linear(x, self._of(layer, "weight"), self._of(layer, "bias"))

    def _conv2d(self, layer, x, mode):
        weight = self._of(layer, "weight").permute(0, 3, 1, 2)
        made = self.torch.nn.functional.conv2d(
            x.permute(0, 3, 1, 2), weight, self._of(layer, "bias"), stride=layer.stride, padding=layer.padding
        )
        return made.permute(0, 2, 3, 1)

    def _batchnorm(self, layer, x, mode):
        mean, variance = (self.buffers[f"{layer.name}.{name}"] for name in ("mean", "variance"))
        rows = self.torch.nn.functional.batch_norm(
            x.reshape(-1, x.shape[-1]),
            mean,
            variance,
            self._of(layer, "gain"),
            self._of(layer, "shift"),
            training=mode == "train",
            momentum=layer.momentum,
            eps=layer.epsilon,
        )
        return rows.reshape(x.shape)

    def _layernorm(self, layer, x, mode):
        gain, shift = self._of(layer, "gain"), self._of(layer, "shift")
        return self.torch.nn.functional.layer_norm(x, x.shape[-1:], gain, shift, layer.epsilon)

    def _maxpool(self, layer, x, mode):
        made = self.torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), layer.size, layer.stride)
        return made.permute(0, 2, 3, 1)

    def _averagepool(self, layer, x, mode):
        made = self.torch.nn.functional.avg_pool2d(x.permute(0, 3, 1, 2), layer.size, layer.stride)
        return made.permute(0, 2, 3, 1)

    def _globalaveragepool(self, layer, x, mode):
        return x.flatten(1, -2).mean(1)

    def _subsample(self, layer, x, mode):
        kept = x[:, :: layer.stride, :: layer.stride]
        return self.torch.nn.functional.pad(kept, (0, layer.channels - x.shape[-1]))

    def _patchembedding(self, layer, x, mode):
        tokens = self.run(layer.conv, x, mode).flatten(1, 2)
        if layer.class_token:
            first = self._of(layer, "token").expand(len(x), 1, -1)
            tokens = self.torch.cat([first, tokens], dim=1)
        return tokens + self._of(layer, "position")

    def _tokenpool(self, layer, x, mode):
        return x[:, 0] if layer.which == "first" else x.mean(1)

    def _selfattention(self, layer, x, mode):
        n, tokens, width = x.shape
        qkv = self.run(layer.qkv, x, mode).reshape(n, tokens, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
        masks = layer._kept[-1]
        if masks[1] is None:
            mixed = self.torch.nn.functional.scaled_dot_product_attention(*qkv)
        else:
            scores = qkv[0] @ qkv[1].transpose(2, 3) / qkv[0].shape[-1] ** 0.5
            mixed = (scores.softmax(-1) * self.torch.tensor(masks[1])) @ qkv[2]
        out = self.run(layer.projection, mixed.transpose(1, 2).reshape(n, tokens, width), mode)
        return out if masks[0] is None else out * self.torch.tensor(masks[0])
