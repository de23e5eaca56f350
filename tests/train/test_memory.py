"""How much memory a training takes, by estimate and by measure, and what is advised."""

import re
import tracemalloc

import numpy as np
import pytest

from darkpy import Network, Trainer
from darkpy.train.memory import PROCESS, out_of_memory_advice, training_memory
from tests.conftest import ROOT

GIB = 2**30


def network(name, side):
    return Network.from_cfg(ROOT / "cfg" / f"{name}.cfg", size=(side, side))


def measured(trained, minibatch):
    """Return the bytes of arrays that two steps of a training hold at most, pictures included."""
    rng = np.random.default_rng(0)
    images = rng.random((minibatch, *trained.image), np.float32)
    truths = [np.array([[0, 0.5, 0.5, 0.3, 0.4]], np.float32)] * minibatch
    Trainer(trained).step(images, truths)  # what is compiled or kept for good is made here
    tracemalloc.start()
    try:
        trainer = Trainer(trained)
        trainer.step(images, truths)
        trainer.step(images, truths)
        return tracemalloc.get_traced_memory()[1] + images.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "side", "minibatch"), [("yolov4-tiny", 128, 4), ("yolo-fastest-1.1", 128, 8)]
)
def test_the_estimate_is_near_the_truth(name, side, minibatch):
    trained = network(name, side)
    assert training_memory(trained, minibatch) == pytest.approx(
        measured(trained, minibatch), rel=0.3
    )


def test_more_is_remembered_with_adam_and_an_average(tmp_path):
    def needed(keys):
        path = tmp_path / "a.cfg"
        path.write_text(
            f"[net]\nwidth=8\nheight=8\nchannels=3\n{keys}[convolutional]\nfilters=64\nsize=8\n"
        )
        return training_memory(Network.from_cfg(path), 0)

    assert needed("adam=1\n") == needed("") * 4 // 3
    assert needed("ema_alpha=.99\n") == needed("") * 4 // 3


def test_the_fewest_subdivisions_that_fit_are_advised():
    trained = network("yolov4", 416)
    advice = out_of_memory_advice(trained, 64, 4, 8 * GIB)
    first, second = re.findall(r"about ([\d.]+) GiB", advice)
    assert "yolov4.cfg: not enough memory" in advice
    assert "mini-batch of 16 pictures (batch=64, subdivisions=4) of 416 x 416" in advice
    assert "this machine has 8.0 GiB" in advice
    assert float(second) <= 8 < float(first)
    chosen = int(re.search(r"subdivisions=(\d+) takes", advice)[1])
    assert 64 % chosen == 0
    coarser = next(one for one in range(chosen - 1, 0, -1) if 64 % one == 0)
    less = PROCESS + training_memory(trained, 64 // coarser)
    assert less + 4 * 64 * trained.image.size * 4 > 8 * GIB


def test_what_seems_to_fit_is_cut_finer_still():
    advice = out_of_memory_advice(network("yolov4-tiny", 416), 16, 2, 100 * GIB)
    assert "; subdivisions=4 takes" in advice


def test_a_smaller_input_is_advised_where_one_picture_is_too_much():
    trained = network("yolov4", 1024)
    advice = out_of_memory_advice(trained, 4, 1, 2 * GIB)
    width, height = map(
        int, re.search(r"subdivisions=4, and an input of (\d+) x (\d+)", advice).groups()
    )
    assert width == height and width % 32 == 0 and width < 1024
    smaller = trained.resized(height, width)
    pictures = 4 * 4 * 4 * smaller.image.size
    assert PROCESS + pictures + training_memory(smaller, 1) <= 2 * GIB


def test_parameters_that_leave_no_room():
    advice = out_of_memory_advice(network("yolov4", 416), 4, 4, GIB // 2)
    assert advice.endswith("use a smaller network or batch")


def test_nothing_is_left_but_to_close_other_programs():
    advice = out_of_memory_advice(network("yolov4-tiny", 416), 4, 4, 100 * GIB)
    assert advice.endswith("close other programs, or use a smaller width and height")
