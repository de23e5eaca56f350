"""A small training as files, run in this process, and what it left compared with another's."""

import json
from contextlib import closing

import numpy as np

from darkpy.train.begin import begin
from darkpy.train.request import Request
from tests.tiny import write_picture

CFG = """[net]
width=32
height=32
channels=3
batch=4
subdivisions=2
max_batches=20
learning_rate=0.001
policy=steps
steps=12
scales=.1
burn_in=3
{net}
[convolutional]
batch_normalize=1
filters=6
size=3
stride=2
pad=1
activation=leaky
[dropout]
probability=.3
[convolutional]
filters=8
size=3
stride=4
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
{head}
"""
ALL = {
    "net": "adam=1\nema_alpha=.9\ndynamic_minibatch=1\nmosaic=1\nresize_step=16\nhue=.1",
    "head": "random=1\njitter=.3",
}
USUAL = {"workers": 1, "arguments": ("detector", "train"), "evaluate": False}
TIMES = 3  # columns of metrics.csv
PASSING = ("hours_left", "offsets")  # of the run's counters: they depend on the clock


def write_project(folder, net="", head="", pictures=6):
    """Write tiny.cfg, tiny.data, its lists, names, pictures and labels; return the folder."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(pictures):
        write_picture(folder / "images" / f"{k}.png", seed=k)
        rows = [(rng.integers(2), *rng.uniform(0.3, 0.7, 2), 0.3, 0.4) for _ in range(2)]
        text = "".join("{} {:.3f} {:.3f} {} {}\n".format(*row) for row in rows)
        (folder / "images" / f"{k}.txt").write_text(text)
    (folder / "tiny.cfg").write_text(CFG.format(net=net, head=head))
    (folder / "tiny.names").write_text("cat\ndog\n")
    (folder / "train.txt").write_text("".join(f"images/{k}.png\n" for k in range(pictures)))
    (folder / "tiny.data").write_text(
        f"classes = 2\ntrain = train.txt\nvalid = train.txt\nnames = tiny.names\n"
        f"backup = {folder / 'backup'}\n"
    )
    return folder


class Silent:
    """A watch that only remembers the iterations it was told of."""

    def __init__(self):
        self.told = []

    def iteration(self, progress, hours_left, course):
        self.told.append(progress.iteration)

    def evaluated(self, evaluation, report, verdict):
        pass

    def pictures(self, items, count, what):
        return items

    def fed(self, batch):
        pass

    def saved(self, path):
        pass


def request(folder, **changes):
    return Request(str(folder / "tiny.data"), str(folder / "tiny.cfg"), **{**USUAL, **changes})


def prepared(folder, stop_at=None, watch=None, **changes):
    """Return a run; it stops after iteration ``stop_at``."""
    made = []
    run = begin(
        request(folder, **changes),
        watch or Silent(),
        lambda: stop_at is not None and made[0].trainer.iteration >= stop_at,
    )
    made.append(run)
    return run


def train(folder, stop_at=None, watch=None, **changes):
    """Run a training; return it and its ending."""
    run = prepared(folder, stop_at, watch, **changes)
    with closing(run.record):
        return run, run.go()


def figures(folder, number=1):
    """Return the rows of metrics.csv without the times."""
    data = (folder / "backup" / "runs" / f"tiny-{number}" / "metrics.csv").read_bytes()
    return [line.rsplit(b",", TIMES)[0] for line in data.split(b"\r\n")]


def state(folder, number=1):
    """Return the arrays of state.npz, and its counters but for those of the clock."""
    path = folder / "backup" / "runs" / f"tiny-{number}" / "state.npz"
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    counters = json.loads(arrays.pop("counters").tobytes())
    for name in PASSING:
        del counters["run"][name]
    return arrays, counters


def weights(folder):
    return {path.name: path.read_bytes() for path in (folder / "backup").glob("*.weights")}


def assert_same(one, other):
    """Compare all that two trainings left, bit for bit."""
    assert figures(one) == figures(other)
    (arrays, counters), (others, theirs) = state(one), state(other)
    assert counters == theirs
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.tobytes() == others[name].tobytes(), name
    assert weights(one).keys() == weights(other).keys()
    for name, data in weights(one).items():
        assert data == weights(other)[name], name
