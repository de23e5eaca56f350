"""What the figures of a training say, in plain sentences: what is wrong, and what to do.

Each rule is a function that looks at the figures and returns a sentence, or None. A rule that has
too little to go by says nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .advice import never_decays
from .history import SURE, History, share
from .schedule import learning_rate

MOST = 2  # sentences of a verdict
RISE = 1.2  # times the loss just after burn-in: the rate is too high
WORSE = 1.05  # times the least validation loss: it rises
GAP = 0.2  # of the mAP of training pictures over that of validation pictures
NOTHING = 0.001  # mAP
LEAST_TRUTHS = 10  # before it means something that no anchor was given one
LEAST_ITERATIONS = 100  # before it means something that there was no truth


def verdict(history: History) -> list[str]:
    """Return at most two sentences, the more important first; none if there is nothing to say."""
    if not len(history.columns["iteration"]):
        return []
    found = (rule(history) for rule in RULES)
    return [sentence for sentence in found if sentence][:MOST]


def not_finite(history: History) -> str | None:
    """Say where the loss stopped being a number."""
    loss = history.columns["loss"]
    if np.isfinite(loss[-1]):
        return None
    at = len(loss) - int(np.isfinite(loss)[::-1].argmax()) if np.isfinite(loss).any() else 0
    iteration, rate = (history.columns[name][at] for name in ("iteration", "rate"))
    return (
        f"The loss is {loss[at]} since iteration {iteration:.0f}, at learning rate {rate:.6g}: go "
        "on from weights before it, with a smaller learning_rate or a longer burn_in."
    )


def no_label(history: History) -> str | None:
    """Say that no picture had an object."""
    enough = history.columns["epoch"][-1] >= 1 or history.last >= LEAST_ITERATIONS
    if history.columns["truths"].any() or not enough:
        return None
    return (
        f"Not one object was labelled in the pictures of {history.last} iterations: the network "
        "learns that there is nothing. Are the label files where they are looked for, and are the "
        "classes in them below classes= ?"
    )


def no_anchor(history: History) -> str | None:
    """Say that there were objects, but no head was given one."""
    heads = (name for name in history.columns if not name.startswith("ap_"))  # as classes do
    counts = [history.columns[name] for name in heads if name.endswith("_count")]
    truths = history.columns["truths"].sum()
    if not counts or truths < LEAST_TRUTHS or any(one.any() for one in counts):
        return None
    sizes = ""
    if len(history.sizes) and len(history.anchors):
        width, height = np.median(history.sizes, axis=0)
        anchors = ", ".join(f"{w:.0f} x {h:.0f}" for w, h in history.anchors)
        sizes = (
            f" An object is {width:.0f} x {height:.0f} pixels of the network's input in the "
            f"middle; the anchors of the heads are {anchors}."
        )
    return (
        f"None of {truths:.0f} objects was given to an anchor: those that fit them best are in no "
        f"head's mask.{sizes} Find anchors with calc_anchors, and name each in a mask."
    )


def rises(history: History) -> str | None:
    """Say that the loss rose since burn-in."""
    if history.levels is None:
        return None
    medians, errors = history.levels
    first = medians[0] + SURE * errors[0]
    if medians[-1] - SURE * errors[-1] < RISE * first or medians[-1] < medians[-2]:
        return None
    rate = history.columns["rate"][-1]
    return (
        f"The loss rose since burn-in, from {medians[0]:.4g} to {medians[-1]:.4g}: the learning "
        f"rate {rate:.6g} is probably too high; try a third of it."
    )


def no_map(history: History) -> str | None:
    """Say that nothing is found in validation pictures, although the network learns."""
    map50, train = (history.evaluations[name] for name in ("map50", "train_map50"))
    if len(map50) < 3 or (map50 >= NOTHING).any():
        return None
    if train[-1] >= GAP:
        return (
            f"Objects are found in training pictures (mAP {share(train[-1])}), and none in "
            "validation pictures: do the labels of both lists mean the same classes?"
        )
    levels = history.levels
    if levels is None or levels.medians[-1] > levels.medians[0] / 2:
        return None
    return (
        f"The loss halved, yet {len(map50)} evaluations found nothing: do the labels fit the "
        "pictures (-show_imgs draws them), and can the network learn five pictures by heart?"
    )


def over_fits(history: History) -> str | None:
    """Say since when the network learns its pictures by heart."""
    figures = history.evaluations
    loss, map50, train = (figures[name] for name in ("val_loss", "map50", "train_map50"))
    if len(map50) < 3 or not np.isfinite(loss).all():
        return None
    least = len(loss) - 1 - int(loss[::-1].argmin())
    later = loss[least + 1 :]
    if len(later) < 2 or (later < WORSE * loss[least]).any() or history.best > least + 1:
        return None
    if not train[-1] - map50[-1] >= GAP:  # as nan is not
        return None
    return (
        f"Over-fitting since iteration {figures['iteration'][least]:.0f}: mAP is "
        f"{share(train[-1])} on training pictures and {share(map50[-1])} on validation pictures, "
        f"whose loss rises since; {history.best_is}."
    )


def differs(history: History) -> str | None:
    """Say that validation pictures are much harder, though their loss does not rise."""
    map50, train = (history.evaluations[name] for name in ("map50", "train_map50"))
    if len(map50) < 3 or not (train[-3:] - map50[-3:] >= GAP).all():
        return None
    if map50[-1] < NOTHING or over_fits(history):
        return None
    return (
        f"mAP is {share(train[-1])} on training pictures and {share(map50[-1])} on validation "
        "pictures: more pictures for training, more like those of validation, would help most."
    )


def constant_rate(history: History) -> str | None:
    """Say that the loss stands still, and the rate will not fall."""
    options = history.options
    if not history.is_still or not never_decays(options):
        return None
    eight, nine = (options.max_batches * part // 10 for part in (8, 9))
    return (
        f"The loss falls no more, and the learning rate never does before max_batches="
        f"{options.max_batches}: set policy=steps, steps={eight},{nine} and scales=.1,.1."
    )


def long_burn_in(history: History) -> str | None:
    """Say that much of the training was burn-in."""
    burn_in, iterations = history.options.burn_in, history.options.max_batches
    if not history.is_over or burn_in < iterations / 3:
        return None
    return (
        f"{min(burn_in, iterations)} of {iterations} iterations were burn-in, at a lower learning "
        "rate than the one asked for: a tenth is plenty."
    )


def still_learns(history: History) -> str | None:
    """Say that the loss falls, and what is to come."""
    if history.levels is None or not history.falls or over_fits(history):
        return None
    options = history.options
    fell = f"the loss fell by {100 * history.levels.fall[0]:.0f} % into the last fifth"
    if history.is_over:
        more = f"a max_batches above {options.max_batches} would go on"
        return f"Still learning at the end: {fell} of the training; {more}."
    steps = [one for one in options.steps if history.last < one < options.max_batches]
    ahead = ", ".join(map(str, steps)) if options.policy == "steps" else ""
    coming = f"; the learning rate falls at {ahead}" if ahead else ""
    return f"Still learning: {fell} of the iterations{coming}."


def stands_still(history: History) -> str | None:
    """Say that more iterations bring nothing."""
    evaluated = len(history.evaluations["map50"])
    if not history.is_still or history.is_over or evaluated < 4 or history.best > evaluated - 4:
        return None
    options = history.options
    if learning_rate(options, options.max_batches) < learning_rate(options, history.last):
        return None
    return (
        "The loss stands still, and the last three evaluations gained nothing: the training may "
        f"be stopped; {history.best_is}."
    )


def best_at_end(history: History) -> str | None:
    """Name the best weights when the training is over."""
    if not history.is_over or not len(history.evaluations["map50"]) or over_fits(history):
        return None
    sentence = history.best_is
    return f"{sentence[0].upper()}{sentence[1:]}."


RULES: tuple[Callable[[History], str | None], ...] = (  # the more important first
    not_finite,
    no_label,
    no_anchor,
    rises,
    no_map,
    over_fits,
    differs,
    constant_rate,
    long_burn_in,
    still_learns,
    stands_still,
    best_at_end,
)
