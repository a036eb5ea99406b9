"""Nonlinear networks under the same vocabulary of feedback: layers, models, optimisers, data, probes, training."""

from linfa.nn.activations import GELU, Dropout, Flatten, Identity, ReLU, Tanh
from linfa.nn.attention import PatchEmbedding, SelfAttention, TokenPool
from linfa.nn.composition import Residual, Sequential
from linfa.nn.layer import Layer, Pass
from linfa.nn.losses import CrossEntropy, SquaredError
from linfa.nn.maps import Conv2d, Dense
from linfa.nn.models import MODELS, conv4, mlp, model, resnet, retina, vgg, vit
from linfa.nn.network import Network
from linfa.nn.normalisation import BatchNorm, LayerNorm
from linfa.nn.parameters import Parameter
from linfa.nn.pooling import AveragePool, GlobalAveragePool, MaxPool, Subsample

__all__ = [
    "GELU",
    "MODELS",
    "AveragePool",
    "BatchNorm",
    "Conv2d",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "Identity",
    "Layer",
    "LayerNorm",
    "MaxPool",
    "Network",
    "Parameter",
    "Pass",
    "PatchEmbedding",
    "ReLU",
    "Residual",
    "SelfAttention",
    "Sequential",
    "SquaredError",
    "Subsample",
    "Tanh",
    "TokenPool",
    "conv4",
    "mlp",
    "model",
    "resnet",
    "retina",
    "vgg",
    "vit",
]
