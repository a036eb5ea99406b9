"""A network of linfa as PyTorch modules with the same weights and the same feedback, to time and check it against.

Feedback is backprop, or low-rank and normative: those layers are autograd functions that send the error through Q P
and hand Q and P what they descend, written as one would write them for PyTorch.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from linfa import nn
from linfa.nn.backend import to_numpy
from linfa.nn.carriers import Transpose
from linfa.nn.maps import WeightMap


def _normative(weight: Tensor, q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """What Q (fan × r) and P (r × out) descend on ½|Q P − Wᵀ|²."""
    return q @ (p @ p.T) - weight.T @ p.T, (q.T @ q) @ p - q.T @ weight.T


class _LowRankLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, q: Tensor, p: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, q, p)
        ctx.biased = bias is not None
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> tuple:
        x, weight, q, p = ctx.saved_tensors
        rows, errors = x.reshape(-1, x.shape[-1]), error.reshape(-1, error.shape[-1])
        back = ((errors @ p.T) @ q.T).reshape(x.shape)
        bias = errors.sum(0) if ctx.biased else None
        return back, errors.T @ rows, bias, *_normative(weight, q, p)


class _LowRankConv(torch.autograd.Function):
    """P is a 1 × 1 convolution; Q, here (r, in, k, k), a transposed one."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, q: Tensor, p: Tensor, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight, q, p)
        ctx.biased, ctx.stride, ctx.padding = bias is not None, stride, padding
        return functional.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> tuple:
        x, weight, q, p = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        sent = functional.conv2d(error, p[:, :, None, None])
        # The rows and columns that the last window, at this stride, leaves over.
        over = [
            size - (positions - 1) * stride - q.shape[-1] + 2 * padding
            for size, positions in zip(x.shape[2:], error.shape[2:], strict=True)
        ]
        back = functional.conv_transpose2d(sent, q, None, stride, padding, over)
        _, gradient, bias = torch.ops.aten.convolution_backward(
            error, x, weight, [len(weight)], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1,
            [False, True, ctx.biased],
        )  # fmt: skip
        to_q, to_p = _normative(weight.reshape(len(weight), -1), q.reshape(len(q), -1).T, p)
        return back, gradient, bias, to_q.T.reshape(q.shape), to_p, None, None


class Peer(torch.nn.Module):
    """The same network: `forward` takes samples as linfa does, images with their channels last.

    Raises TypeError for a layer, and ValueError for a feedback, that it does not know.
    """

    def __init__(self, network: nn.Network, device: str = "cpu") -> None:
        super().__init__()
        self.device = device
        self.maps = {m.name: m for m in network.maps}
        # By linfa's names, whose dots PyTorch does not allow.
        self.of: dict[str, torch.nn.Parameter] = {}
        self.layers = [self._made(layer) for layer in network.body.list]

    def forward(self, x: Tensor) -> Tensor:
        # A view: channels-last images are a memory format of PyTorch's own, the faster one for convolutions.
        x = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
        for layer in self.layers:
            x = layer(x)
        return x

    def groups(self, decay: float) -> list[dict]:
        """Parameters as an optimiser takes them: weights decay, all else does not."""
        weights = [p for name, p in self.of.items() if name.endswith(".weight")]
        others = [p for name, p in self.of.items() if not name.endswith(".weight")]
        return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]

    def _parameter(self, name: str, array: np.ndarray) -> torch.nn.Parameter:
        made = torch.nn.Parameter(torch.tensor(np.array(array), device=self.device))
        self.of[name] = made
        # Under a name of PyTorch's liking, so that it is one of the module's own.
        self.register_parameter(name.replace(".", "_"), made)
        return made

    def _all(self, layer: nn.Layer) -> dict[str, torch.nn.Parameter]:
        """The layer's own parameters by their short names; kernels with their channels second."""
        found = {}
        for p in layer.parameters:
            value = to_numpy(p.value)
            value = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
            found[p.name.rpartition(".")[2]] = self._parameter(p.name, value)
        return found

    def _factors(self, m: WeightMap, kernel: int | None = None) -> tuple | None:
        """Q and P where the feedback is of low rank, None for backprop."""
        if not m.sends or isinstance(m.carrier, Transpose):
            return None
        if getattr(m.carrier, "q_rule", "") != "normative" or m.carrier.p_rule != "normative":
            raise ValueError(f"{m.name} has feedback {m.carrier.name}; the peer knows backprop and normative feedback")
        q = to_numpy(m.carrier.q)
        if kernel is not None:
            q = q.reshape(kernel, kernel, -1, q.shape[1]).transpose(3, 2, 0, 1)
        return self._parameter(f"{m.name}.q", q), self._parameter(f"{m.name}.p", to_numpy(m.carrier.p))

    def _made(self, layer: nn.Layer) -> Any:
        kind = type(layer).__name__.lower()
        if not hasattr(self, f"_{kind}"):
            raise TypeError(f"the peer does not know {type(layer).__name__}")
        return getattr(self, f"_{kind}")(layer)

    def _dense(self, layer: nn.Dense) -> Any:
        own, factors = self._all(layer), self._factors(layer.map)
        weight, bias = own["weight"], own.get("bias")
        if factors is None:
            return lambda x: functional.linear(x, weight, bias)
        return lambda x: _LowRankLinear.apply(x, weight, bias, *factors)

    def _conv2d(self, layer: nn.Conv2d) -> Any:
        own, factors = self._all(layer), self._factors(layer.map, layer.kernel)
        weight, bias, steps = own["weight"], own.get("bias"), (layer.stride, layer.padding)
        if factors is None:
            return lambda x: functional.conv2d(x, weight, bias, *steps)
        return lambda x: _LowRankConv.apply(x, weight, bias, *factors, *steps)

    def _batchnorm(self, layer: nn.BatchNorm) -> Any:
        own = self._all(layer)
        mean, variance = (torch.tensor(to_numpy(layer.buffers[n]), device=self.device) for n in ("mean", "variance"))
        return lambda x: functional.batch_norm(
            x, mean, variance, own["gain"], own["shift"], True, layer.momentum, layer.epsilon
        )

    def _layernorm(self, layer: nn.LayerNorm) -> Any:
        own = self._all(layer)
        return lambda x: functional.layer_norm(x, x.shape[-1:], own["gain"], own["shift"], layer.epsilon)

    def _relu(self, layer: nn.ReLU) -> Any:
        return functional.relu

    def _gelu(self, layer: nn.GELU) -> Any:
        return functional.gelu

    def _maxpool(self, layer: nn.MaxPool) -> Any:
        return lambda x: functional.max_pool2d(x, layer.size, layer.stride)

    def _globalaveragepool(self, layer: nn.GlobalAveragePool) -> Any:
        return lambda x: x.mean((2, 3))

    def _flatten(self, layer: nn.Flatten) -> Any:
        # In the order of linfa's memory.
        return lambda x: (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)

    def _residual(self, layer: nn.Residual) -> Any:
        body = [self._made(inner) for inner in layer.body.list]
        around = [] if layer.shortcut is None else [self._made(inner) for inner in layer.shortcut.list]

        def run(x: Tensor) -> Tensor:
            made = beside = x
            for part in body:
                made = part(made)
            for part in around:
                beside = part(beside)
            return made + beside

        return run

    def _patchembedding(self, layer: nn.PatchEmbedding) -> Any:
        own, conv = self._all(layer), self._made(layer.conv)

        def run(x: Tensor) -> Tensor:
            tokens = conv(x).flatten(2).transpose(1, 2)
            if layer.class_token:
                tokens = torch.cat([own["token"].expand(len(x), 1, -1), tokens], 1)
            return tokens + own["position"]

        return run

    def _selfattention(self, layer: nn.SelfAttention) -> Any:
        qkv, projection = self._made(layer.qkv), self._made(layer.projection)

        def run(x: Tensor) -> Tensor:
            n, tokens, width = x.shape
            parts = qkv(x).reshape(n, tokens, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(*parts)
            return projection(mixed.transpose(1, 2).reshape(n, tokens, width))

        return run

    def _tokenpool(self, layer: nn.TokenPool) -> Any:
        return lambda x: x[:, 0] if layer.which == "first" else x.mean(1)
