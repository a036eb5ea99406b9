"""Nonlinear networks under the same vocabulary of feedback: layers, models, optimisers, data, probes, training."""

from linfa.nn import data, models
from linfa.nn.activations import GELU, Dropout, Flatten, Identity, ReLU, Tanh
from linfa.nn.attention import PatchEmbedding, SelfAttention, TokenPool
from linfa.nn.composition import Residual, Sequential
from linfa.nn.data import Augmentation, Dataset
from linfa.nn.history import History
from linfa.nn.layer import Layer, Pass
from linfa.nn.losses import CrossEntropy, Loss, SquaredError
from linfa.nn.maps import Conv2d, Dense
from linfa.nn.models import MODELS, conv4, mlp, model, resnet, retina, vgg, vit
from linfa.nn.muon import Muon
from linfa.nn.network import Network
from linfa.nn.normalisation import BatchNorm, LayerNorm
from linfa.nn.optimisers import SGD, Adam, AdamW, Optimiser
from linfa.nn.parameters import Parameter
from linfa.nn.plan import Plan
from linfa.nn.pooling import AveragePool, GlobalAveragePool, MaxPool, Subsample
from linfa.nn.probes import Probes, probe_batch
from linfa.nn.recipe import Recipe, Relative, Treatment
from linfa.nn.schedules import Constant, Exponential, Schedule, WarmUpCosine
from linfa.nn.trainer import Trainer

__all__ = [
    "GELU",
    "MODELS",
    "SGD",
    "Adam",
    "AdamW",
    "Augmentation",
    "AveragePool",
    "BatchNorm",
    "Constant",
    "Conv2d",
    "CrossEntropy",
    "Dataset",
    "Dense",
    "Dropout",
    "Exponential",
    "Flatten",
    "GlobalAveragePool",
    "History",
    "Identity",
    "Layer",
    "LayerNorm",
    "Loss",
    "MaxPool",
    "Muon",
    "Network",
    "Optimiser",
    "Parameter",
    "Pass",
    "PatchEmbedding",
    "Plan",
    "Probes",
    "ReLU",
    "Recipe",
    "Relative",
    "Residual",
    "Schedule",
    "SelfAttention",
    "Sequential",
    "SquaredError",
    "Subsample",
    "Tanh",
    "TokenPool",
    "Trainer",
    "Treatment",
    "WarmUpCosine",
    "conv4",
    "data",
    "mlp",
    "model",
    "models",
    "probe_batch",
    "resnet",
    "retina",
    "vgg",
    "vit",
]
