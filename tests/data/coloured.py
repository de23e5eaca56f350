"""Training sets whose pictures show what their labels say: a rectangle of the class's colour."""

import cv2
import numpy as np

from darkpy.data.training import TrainingSet

COLOURS = np.array(  # blue, green, red of each class
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)], np.uint8
)


def write_png(path, image):
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return str(path)


def write_set(folder, count=6, size=(90, 120), seed=0):
    """Write pictures (h, w) of one rectangle each, and their labels; return the paths."""
    rng = np.random.default_rng(seed)
    paths = []
    for k in range(count):
        kind = k % len(COLOURS)
        h, w = size[0] + kind, size[1] - 3 * kind
        image = np.zeros((h, w, 3), np.uint8)
        left, top = rng.integers(0, w // 2), rng.integers(0, h // 2)
        right, bottom = left + rng.integers(w // 5, w // 2), top + rng.integers(h // 5, h // 2)
        image[top:bottom, left:right] = COLOURS[kind]
        x, y = (left + right) / 2 / w, (top + bottom) / 2 / h
        row = f"{kind} {x:.6f} {y:.6f} {(right - left) / w:.6f} {(bottom - top) / h:.6f}\n"
        (folder / f"{k:03}.txt").write_text(row)
        paths.append(write_png(folder / f"{k:03}.png", image))
    return paths


def coloured_set(folder, **options):
    return TrainingSet(write_set(folder, **options), len(COLOURS))


def require_agreement(made, slack=2):
    """Assert that each truth is full of its class's colour, and that no such colour is elsewhere.

    made   a Sample
    slack  pixels that a box may be beside the edges of its rectangle
    """
    image = made.planes[::-1].transpose(1, 2, 0) > 0.5  # blue, green, red
    h, w = image.shape[:2]
    for kind, colour in enumerate(COLOURS > 0):
        shown = (image == colour).all(-1)
        for x, y, wide, high in made.truths[made.truths[:, 0] == kind, 1:]:
            left, right = (x - wide / 2) * w, (x + wide / 2) * w
            top, bottom = (y - high / 2) * h, (y + high / 2) * h
            inner = shown[
                round(top) + slack : round(bottom) - slack,
                round(left) + slack : round(right) - slack,
            ]
            assert inner.all()
            outer = slice(max(0, round(top) - slack), round(bottom) + slack)
            shown[outer, max(0, round(left) - slack) : round(right) + slack] = False
        across, down = shown.any(0).sum(), shown.any(1).sum()
        assert min(across, down) <= slack, (made.path, kind)  # a sliver is no truth
