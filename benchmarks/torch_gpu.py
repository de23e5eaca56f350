"""PyTorch on a GPU: what `bench_gpu.py` times beside darkpy, as calls that end when it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch_graph import ACTIVATIONS, Folded, Learning

Call = Callable[[], None]
PAIR = {"fp16": torch.float16, "bf16": torch.bfloat16}
LAST = torch.channels_last
WARM_UP = 3  # calls, in which cuDNN looks for its fastest ways

torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # of the truth


def copying(repeats: int = 20) -> Call:
    """Copy 1 GiB within the memory of the GPU, so often."""
    source = torch.randn(1 << 28, device="cuda")
    target = torch.empty_like(source)
    return captured(lambda: target.copy_(source), repeats)


def product(precision: str, side: int = 8192, repeats: int = 10) -> Call:
    """Multiply two square matrices of random numbers, so often."""
    a, b = (torch.randn(side, side, device="cuda", dtype=PAIR[precision]) for _ in range(2))
    out = torch.empty_like(a)
    return captured(lambda: torch.matmul(a, b, out=out), repeats)


def convolution(
    x: tuple[int, ...], w: tuple[int, ...], how: dict[str, Any], precision: str, repeats: int
) -> Call:
    """A convolution with bias and activation, in a graph so often.

    x, w  shapes (n, c, h, w) and (f, c / groups, k, k)
    how   stride, padding, dilation, groups, activation
    """
    dtype = PAIR[precision]
    given = torch.randn(x, device="cuda", dtype=dtype).contiguous(memory_format=LAST)
    weights = torch.randn(w, device="cuda", dtype=dtype) / np.prod(w[1:]) ** 0.5
    weights = weights.contiguous(memory_format=LAST)
    bias = torch.randn(w[0], device="cuda", dtype=dtype)
    act = ACTIVATIONS[how["activation"]]
    numbers = (how["stride"], how["padding"], how["dilation"], how["groups"])
    return captured(lambda: act(functional.conv2d(given, weights, bias, *numbers)), repeats)


def captured(call: Callable[[], Any], repeats: int) -> Call:
    """Return a replay of a graph of so many calls."""
    with torch.no_grad():
        warm(call)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(repeats):
                call()
    return lambda: finished(graph.replay)


def warm(call: Callable[[], Any]) -> None:
    """Call on a stream of its own, as a capture wants it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            call()
    torch.cuda.current_stream().wait_stream(stream)


def finished(call: Callable[[], Any]) -> None:
    """Call, and wait for the GPU."""
    call()
    torch.cuda.synchronize()


class Inference:
    """A network with batch norm folded, channels last.

    arrays  as `torch_graph.Folded` takes them
    """

    def __init__(self, network: Any, arrays: dict[str, np.ndarray], precision: str) -> None:
        self.model = Folded(network, arrays).cuda().eval()
        self.dtype = PAIR[precision]

    def truth(self, x: np.ndarray) -> list[np.ndarray]:
        """Return what feeds the heads, in float32."""
        with torch.no_grad():
            return [one.cpu().numpy() for one in self.model(torch.from_numpy(x).cuda())]

    def calls(self, x: np.ndarray, repeats: int) -> dict[str, Call]:
        """Return inference of a batch that is on the GPU: as a graph of many, and eagerly."""
        model = self.model.to(dtype=self.dtype, memory_format=LAST)
        given = torch.from_numpy(x).cuda().to(self.dtype).contiguous(memory_format=LAST)

        def eager() -> None:
            with torch.no_grad():
                model(given)

        return {
            "torch graph": captured(lambda: model(given), repeats),
            "torch eager": lambda: finished(eager),
        }


def training(network: Any, params: Any, x: np.ndarray, precision: str) -> dict[str, Call]:
    """Return a step of training, forward, back from drawn gradients, update: graph and eager."""
    model = Learning(network, params).cuda().to(memory_format=LAST).train()
    given = torch.from_numpy(x).cuda().contiguous(memory_format=LAST)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4)
    deltas: list[torch.Tensor] = []

    def step() -> None:
        with torch.autocast("cuda", PAIR[precision], cache_enabled=False):
            found = model(given)
        if not deltas:
            deltas.extend(1e-3 * torch.randn_like(one) for one in found)
        torch.autograd.backward(found, deltas)
        optimizer.step()
        optimizer.zero_grad()

    warm(step)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return {
        "torch graph": lambda: finished(graph.replay),
        "torch eager": lambda: finished(step),
    }
