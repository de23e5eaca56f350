"""Draw a street with a stop sign: python scripts/picture.py OUT, for a first try at detecting."""

import sys
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
SIGN, RADIUS = (400, 170), 95


def street() -> np.ndarray:
    """Return (HEIGHT, WIDTH, 3) uint8 BGR: sky, hills, a road, and the sign on its pole."""
    shade = np.linspace(0.75, 1.0, HEIGHT)[:, None, None]
    picture = np.broadcast_to(shade * (235, 206, 165), (HEIGHT, WIDTH, 3)).astype(np.uint8, "C")
    cv2.ellipse(picture, (180, 400), (420, 130), 0, 180, 360, (70, 120, 90), -1, cv2.LINE_AA)
    picture[380:] = (60, 110, 80)
    road = np.array([(60, HEIGHT), (300, 380), (330, 380), (480, HEIGHT)])
    cv2.fillPoly(picture, [road], (90, 90, 90), cv2.LINE_AA)
    cv2.rectangle(picture, (SIGN[0] - 6, SIGN[1]), (SIGN[0] + 6, 430), (140, 140, 140), -1)
    for radius, colour in ((RADIUS, (245, 245, 245)), (RADIUS - 8, (40, 30, 190))):
        cv2.fillPoly(picture, [octagon(radius)], colour, cv2.LINE_AA)
    write(picture, "STOP", SIGN, 1.9)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def octagon(radius: int) -> np.ndarray:
    """Return the corners of the sign."""
    turns = np.pi / 8 + np.arange(8) * np.pi / 4
    return np.round(np.stack([np.cos(turns), np.sin(turns)], 1) * radius + SIGN).astype(np.int32)


def write(picture: np.ndarray, text: str, centre: tuple[int, int], scale: float) -> None:
    """Write white text around a point."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 7)
    corner = (centre[0] - width // 2, centre[1] + height // 2)
    cv2.putText(
        picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, (245, 245, 245), 7, cv2.LINE_AA
    )


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(cv2.imencode(".png", street())[1])
