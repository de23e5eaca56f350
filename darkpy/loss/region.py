"""The loss of a [region]: squared errors; darknet's region_layer.c."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers.base import Array
from ..layers.region import Region
from ..tree import Tree
from .base import HeadLoss, Moment, Truths, loss
from .truths import is_placed, rows

WARM_UP = 12800  # pictures
NO_PLACE = 100_000  # an x and a y beyond it mean that of a picture the class alone is known
RULES = (
    *("coord_scale", "object_scale", "noobject_scale", "class_scale"),
    *("thresh", "classfix", "bias_match", "rescore", "focal_loss"),
)


@loss("region")
def region(ops: Any, layer: Region, output: Array, truths: Truths, moment: Moment) -> HeadLoss:
    """Return what the boxes did wrong; truths of classes or places that there are not are left out.

    A class of the tree may be taught without a place, to the box that is surest of it: by a truth
    whose x and y are beyond 100000. Its class is the tree's own; ``map`` is for those with a place.
    """
    tree = layer.hierarchy
    gradient, figures = ops.region_loss(
        output,
        known(layer, rows(truths, layer.max)),
        np.array(layer.priors, np.float32),
        None if tree is None else family(tree),
        warm_up=moment.seen < WARM_UP,
        **{name: getattr(layer, name) for name in RULES},
    )
    return HeadLoss.of_squares(gradient, figures)


def known(layer: Region, found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return those of ``found`` (k, 6) that count, with the classes of the network."""
    is_named = (found[:, 2:4] > NO_PLACE).all(1) & (layer.tree is not None)
    own = np.arange(layer.classes) if layer.map is None else np.array(layer.map)
    classes = np.where(is_named, layer.classes, min(len(own), layer.classes))
    is_class = (found[:, 1] >= 0) & (found[:, 1] < classes)
    mapped = is_class & ~is_named
    found[mapped, 1] = own[found[mapped, 1].astype(int)]
    left: NDArray[np.float32] = found[is_class & (is_named | is_placed(found))]
    return left


def family(tree: Tree) -> NDArray[np.intp]:
    """Return (3, classes): the parent of each class, its first sibling, the number of siblings."""
    groups = np.array(tree.groups)
    return np.stack([tree.parents, *np.repeat(groups, groups[:, 1], 0).T])
