"""The sections with a memory of earlier frames or letters: their keys are read, then refused."""

from __future__ import annotations

from dataclasses import dataclass

from darkpy.kernels.common.activations import ACTIVATIONS

from ..cfg import key
from ..errors import NetworkError
from .base import Layer, Shape, section


@dataclass(frozen=True, kw_only=True)
class Recurrent(Layer):
    """A layer that darkpy reads and does not run."""

    def shape(self, *xs: Shape) -> Shape:
        raise NetworkError(
            f"[{self.section}] keeps a state from one input to the next, and darkpy does not run "
            "recurrent layers yet"
        )


@section("rnn")
@dataclass(frozen=True, kw_only=True)
class Rnn(Recurrent):
    """Keys of [rnn]: three connected layers and a hidden state; rnn_layer.c."""

    output: int = key(1, least=1)
    hidden: int = key(1, least=1)
    activation: str = key("logistic", choices=ACTIVATIONS)
    batch_normalize: bool = False
    logistic: bool = False
    shortcut: bool = False


@section("gru")
@dataclass(frozen=True, kw_only=True)
class Gru(Recurrent):
    """Keys of [gru] (Cho et al. 2014, https://arxiv.org/abs/1406.1078); gru_layer.c."""

    output: int = key(1, least=1)
    batch_normalize: bool = False


@section("lstm")
@dataclass(frozen=True, kw_only=True)
class Lstm(Recurrent):
    """Keys of [lstm] (Hochreiter and Schmidhuber 1997); lstm_layer.c."""

    output: int = key(1, least=1)
    batch_normalize: bool = False


@section("crnn")
@dataclass(frozen=True, kw_only=True)
class Crnn(Recurrent):
    """Keys of [crnn]: [rnn] with convolutions; crnn_layer.c."""

    output: int = key(1, least=1)
    hidden: int = key(1, least=1)
    size: int = key(3, least=1)
    stride: int = key(1, least=1)
    dilation: int = key(1, least=1)
    pad: bool = False
    padding: int = key(0, least=0)
    groups: int = key(1, least=1)
    activation: str = key("logistic", choices=ACTIVATIONS)
    batch_normalize: bool = False
    xnor: bool = False
    shortcut: bool = False


@section("conv_lstm")
@dataclass(frozen=True, kw_only=True)
class ConvLstm(Recurrent):
    """Keys of [conv_lstm] (Shi et al. 2015, arxiv.org/abs/1506.04214); conv_lstm_layer.c."""

    output: int = key(1, least=1)
    size: int = key(3, least=1)
    stride: int = key(1, least=1)
    dilation: int = key(1, least=1)
    pad: bool = False
    padding: int = key(0, least=0)
    groups: int = key(1, least=1)
    activation: str = key("linear", choices=ACTIVATIONS)
    lstm_activation: str = key("tanh", choices=ACTIVATIONS)
    batch_normalize: bool = False
    xnor: bool = False
    peephole: bool = False
    bottleneck: bool = False
    state_constrain: int = 0  # darknet: 32 * time_steps where it is not given
    shortcut: bool = False
    time_normalizer: float = 1.0


@section("history")
@dataclass(frozen=True, kw_only=True)
class History(Recurrent):
    """Keys of [history]: the last frames, one behind the other; conv_lstm_layer.c."""

    history_size: int = key(4, least=1)
