"""Networks to try plans on: drawn ones, and parameters with statistics that are none of 0 and 1."""

import numpy as np

from darkpy.network import Network

ACTIVATIONS = ("leaky", "mish", "linear", "relu", "logistic", "swish")
FILTERS = (8, 16, 20, 32, 48)
END = "[yolo]\nmask=0\nanchors=4,4\nclasses=3\nnum=1\n"
ENDS = (
    "[convolutional]\nfilters=8\nsize=1\nactivation=linear\n" + END,
    "[convolutional]\nfilters=16\nsize=1\nactivation=linear\n"
    "[region]\nanchors=1,1,2,2\nclasses=3\nnum=2\nsoftmax=1\n",
    "[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
    "[connected]\noutput=19\nactivation=leaky\n",
)


def text(rng, layers=12):
    """Return the text of a .cfg: convolutions, pools, routes, sums and more that fit together."""
    side = int(rng.choice((16, 20, 26)))
    shapes = [(16, side, side)]
    parts = [
        f"[net]\nwidth={side}\nheight={side}\nchannels=3\n",
        "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=3\npad=1\nactivation=leaky\n",
    ]
    while len(shapes) < layers:
        part, shape = drawn_layer(rng, shapes)
        parts.append(part)
        shapes.append(shape)
    return "".join((*parts, ENDS[int(rng.integers(len(ENDS)))]))


def drawn_layer(rng, shapes):
    """Return the text of a layer that fits behind others, and its shape (c, h, w)."""
    c, h, w = shapes[-1]
    alike = [i for i, one in enumerate(shapes[:-1]) if one == shapes[-1]]
    beside = [i for i, one in enumerate(shapes[:-1]) if one[1:] == (h, w)]
    kind = str(rng.choice(("convolution", "convolution", "depthwise", "pool", "same", "spp", "up",
                           "reorg", "shortcut", "route", "group", "scale")))  # fmt: skip
    if kind == "depthwise":
        act = rng.choice(ACTIVATIONS)
        return conv(c, 3, 1, act, f"groups={c}\n"), (c, h, w)
    if kind == "pool" and h % 2 == 0:
        return "[maxpool]\nsize=2\nstride=2\n", (c, h // 2, w // 2)
    if kind == "same":
        return f"[maxpool]\nsize={rng.choice((2, 3))}\nstride=1\n", (c, h, w)
    if kind == "spp":
        sizes = "".join(f"[maxpool]\nsize={k}\nstride=1\n[route]\nlayers=-2\n" for k in (3, 5))
        shapes += [(c, h, w)] * 4
        return sizes + "[maxpool]\nsize=9\nstride=1\n[route]\nlayers=-1,-3,-5,-6\n", (4 * c, h, w)
    if kind == "up" and h < 14:
        return "[upsample]\nstride=2\n", (c, 2 * h, 2 * w)
    if kind == "reorg" and h % 2 == 0 and c % 4 == 0:
        return "[reorg]\nstride=2\n", (4 * c, h // 2, w // 2)
    if kind == "shortcut" and alike:
        act = rng.choice(("linear", "leaky"))
        return f"[shortcut]\nfrom={rng.choice(alike)}\nactivation={act}\n", (c, h, w)
    if kind == "route" and beside:
        other = int(rng.choice(beside))
        order = f"-1,{other}" if rng.random() < 0.5 else f"{other},-1"
        return f"[route]\nlayers={order}\n", (c + shapes[other][0], h, w)
    if kind == "group" and c % 2 == 0:
        part = rng.integers(2)
        return f"[route]\nlayers=-1\ngroups=2\ngroup_id={part}\n", (c // 2, h, w)
    if kind == "scale":
        shapes += [(c, 1, 1), (c, 1, 1)]
        gate = "[avgpool]\n" + conv(c, 1, 1, "logistic")
        return gate + "[scale_channels]\nfrom=-3\n", (c, h, w)
    f, k, s = int(rng.choice(FILTERS)), int(rng.choice((1, 3))), int(rng.choice((1, 1, 2)))
    shape = f, -(-h // s), -(-w // s)
    return conv(f, k, s, rng.choice(ACTIVATIONS)), shape


def conv(filters, size, stride, activation, more=""):
    """Return the text of a convolution that keeps sides, but for its stride."""
    return (
        f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride={stride}\n"
        f"pad=1\nactivation={activation}\n{more}"
    )


def params(network, seed=1):
    """Return drawn parameters."""
    rng = np.random.default_rng(seed)
    found = network.initial_params(rng)
    for own in found:
        for name in sorted(set(own) & {"biases", "rolling_mean"}):
            own[name] += rng.normal(0, 0.1, own[name].shape).astype(np.float32)
        for name in sorted(set(own) & {"scales", "rolling_variance"}):
            own[name] *= rng.uniform(0.5, 2, own[name].shape).astype(np.float32)
    return found


def read(path, side=None, batch=1):
    """Return a network, its drawn parameters, and pictures."""
    network = Network.from_cfg(path)
    if side:
        network = network.resized(side, side)
    images = np.random.default_rng(2).random((batch, *network.image), np.float32)
    return network, params(network), images
