"""A small detector with drawn weights, and pictures, for tests that need files of their own."""

import cv2
import numpy as np

from darkpy import Network, write_weights

CFG = """[net]
width=64
height=64
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=16
size=3
stride=2
pad=1
activation=leaky
[convolutional]
filters=21
size=1
activation=linear
[yolo]
mask=0,1,2
anchors=8,9, 20,18, 40,50
classes=2
num=3
"""
SCHEDULE = """batch=4
subdivisions=2
learning_rate=0.001
policy=steps
steps=2
scales=.1
max_batches=3
"""
LABELS = "0 .3 .3 .2 .2\n1 .7 .6 .3 .4\n"


def write_training(folder, pictures=3, net=SCHEDULE):
    """Write the model, with keys of [net] to train it, and labelled pictures; return the folder.

    0.png and the others are to train on, valid.png to evaluate on; weights go to backup/
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder, cfg=CFG.replace("[net]\n", f"[net]\n{net}"))
    stems = [*map(str, range(pictures)), "valid"]
    for seed, stem in enumerate(stems):
        write_picture(folder / f"{stem}.png", seed=seed)
        (folder / f"{stem}.txt").write_text(LABELS)
    (folder / "train.list").write_text("".join(f"{stem}.png\n" for stem in stems[:-1]))
    (folder / "valid.list").write_text("valid.png\n")
    (folder / "tiny.data").write_text(
        "classes = 2\ntrain = train.list\nvalid = valid.list\nnames = tiny.names\nbackup = backup\n"
    )
    return folder


def write_model(folder, names=("cat", "dog"), cfg=CFG, shift=0):
    """Write tiny.cfg, tiny.weights, tiny.names and tiny.data into a folder; return it.

    shift  of what goes into the head: less than 0 makes its objects less likely
    """
    (folder / "tiny.cfg").write_text(cfg)
    network = Network.from_cfg(folder / "tiny.cfg")
    params = network.initial_params(np.random.default_rng(3))
    params[3]["biases"][:] = np.random.default_rng(4).normal(shift, 1, params[3]["biases"].shape)
    write_weights(network, params, folder / "tiny.weights", seen=6400)
    (folder / "tiny.names").write_text("\n".join(names) + "\n", encoding="utf-8")
    (folder / "tiny.data").write_text(
        f"classes = {len(names)}\nvalid = valid.txt\ntrain = valid.txt\nnames = tiny.names\n"
    )
    return folder


def write_picture(path, height=48, width=80, seed=0):
    """Write a picture of coloured rectangles; return its path."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 90, np.uint8)
    for _ in range(6):
        x, y = int(rng.integers(0, width - 8)), int(rng.integers(0, height - 8))
        color = rng.integers(0, 255, 3).tolist()
        cv2.rectangle(image, (x, y), (x + 14, y + 11), color, -1)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path
