"""Figures of a run that never was, the same for the same iteration."""

import numpy as np

from darkpy.train.figures import Evaluation, HeadFigures, Progress

HEADS = ("yolo_16", "yolo_23")
NAMES = ("white cell", "platelet")


def progress(iteration, **changes):
    loss = 3 / iteration
    heads = tuple(
        HeadFigures(name, loss / 2, loss / 3, loss / 6, count, 0.1 if count else float("nan"))
        for name, count in zip(HEADS, (3, 0), strict=True)
    )
    values = {
        "iteration": iteration,
        "epoch": iteration / 7,
        "loss": loss,
        "avg_loss": 1.1 * loss,
        "rate": 0.001,
        "width": 416,
        "height": 320,
        "pictures": 64 * iteration,
        "batch": 64,
        "truths": 3,
        "heads": heads,
        "seconds": 0.5,
        "waited": 0.1,
    }
    return Progress(**{**values, **changes})


def evaluation(iteration, **changes):
    values = {
        "iteration": iteration,
        "loss": 4 / iteration,
        "map50": 0.5,
        "map50_95": 0.3,
        "precision": 0.8,
        "recall": 0.7,
        "f1": 0.75,
        "ap": np.array([0.6, 0.4]),
        "train_map50": 0.9,
        "best": True,
    }
    return Evaluation(**{**values, **changes})
