"""chart.png: the course of a run in one picture, drawn from its metrics.csv alone."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import read_metrics

MOST_POINTS = 4000  # of a curve; the picture is 1000 pixels wide
MOST_CLASSES = 8  # whose average precision is told below
RAW, SMOOTH, VALID = "#9ec5e8", "#1f5fa8", "#e07b00"
MAP, MAP_HARD, MAP_TRAIN, RATE = "#c0182b", "#e58a94", "#2e8b57", "#8a8a8a"

Curves = dict[str, NDArray[np.float64]]


def draw_chart(
    csv: str | Path,
    title: str = "",
    *,
    max_loss: float = 20.0,
    iterations: int | None = None,
) -> bytes:
    """Draw metrics.csv: the bytes of a PNG of 1000 x 1000 pixels.

    Losses and accuracies are on top, the learning rate is below.

    max_loss    the loss axis ends there (max_chart_loss), unless most of the run lies above
    iterations  where the iteration axis ends: max_batches, or None for the last there is
    Raises DarkpyError if the file cannot be read.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = read_metrics(csv, MOST_POINTS)
    figure = Figure(figsize=(10, 10), dpi=100, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    top, bottom = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (6, 1), "hspace": 0.06}
    )
    figure.subplots_adjust(left=0.09, right=0.91, top=0.88, bottom=0.1)
    _draw_losses(top, curves, max_loss)
    _draw_accuracies(top.twinx(), curves)
    _draw_rate(bottom, curves)
    last = curves["iteration"][-1] if len(curves["iteration"]) else 0
    bottom.set_xlim(0, max(iterations or 0, last, 1))
    _write_words(figure, title, curves, iterations)
    data = io.BytesIO()
    canvas.print_png(data)
    return data.getvalue()


def _draw_losses(axes: Any, curves: Curves, max_loss: float) -> None:
    """Draw the loss of each iteration, smoothed, and that of the validation pictures."""
    x = curves["iteration"]
    _curve(axes, x, curves["loss"], color=RAW, linewidth=0.7, label="loss")
    _curve(axes, x, curves["avg_loss"], color=SMOOTH, linewidth=1.8, label="loss, smoothed")
    _curve(
        axes, x, curves["val_loss"], color=VALID, marker="o", markersize=4, label="validation loss"
    )
    low, high = _loss_limits(curves, max_loss)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_ylabel("loss", color=SMOOTH)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: _minor(value, low, high))
    axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
    axes.grid(True, which="minor", color="#f2f2f2", linewidth=0.6)
    axes.set_axisbelow(True)


def _minor(value: float, low: float, high: float) -> str:
    """Return the label of 2 or 5 times a power of ten; nothing of others, or on a long axis."""
    digit = round(value / 10 ** math.floor(math.log10(value)))
    return f"{value:g}" if digit in (2, 5) and high / low < 1e4 else ""


def _loss_limits(curves: Curves, max_loss: float) -> tuple[float, float]:
    """Return where the loss axis begins and ends."""
    smooth, valid = curves["avg_loss"], curves["val_loss"]
    drawn = np.concatenate([smooth, valid])
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    if not len(drawn):
        return 0.1, max(max_loss, 1.0)
    high = min(float(drawn.max()) * 1.2, max(max_loss, 2 * float(np.median(drawn))))
    return min(float(drawn.min()) * 0.6, high / 10), high


def _draw_accuracies(axes: Any, curves: Curves) -> None:
    """Draw the mAPs in per cent, and mark the best."""
    x = curves["iteration"]
    best = _best(curves)
    axes.set_visible(best is not None)
    if best is None:
        return
    hard = {"color": MAP_HARD, "linewidth": 1.2, "marker": ".", "label": "mAP@.5:.95"}
    train = {"color": MAP_TRAIN, "linewidth": 1.2, "linestyle": "--", "marker": "."}
    point = {"color": MAP, "marker": "o", "markersize": 4, "zorder": 4, "label": "mAP@.5"}
    _curve(axes, x, 100 * curves["map50"], **point)
    _curve(axes, x, 100 * curves["map50_95"], **hard)
    _curve(axes, x, 100 * curves["train_map50"], **train, label="mAP@.5 of training pictures")
    axes.set_ylim(0, 105)
    axes.set_yticks(range(0, 101, 10))
    axes.set_ylabel("mAP, per cent", color=MAP)
    y = 100 * curves["map50"][best]
    axes.plot(x[best], y, "*", color="gold", markeredgecolor=MAP, markersize=17, zorder=5)
    style = {"color": MAP, "weight": "bold", "ha": "center", "va": "bottom", "fontsize": 10}
    axes.annotate(f"{y:.1f}", (x[best], y), (0, 10), textcoords="offset points", **style)


def _best(curves: Curves) -> int | None:
    """Return the row of the highest mAP@.5, of equal ones the last; None without evaluations."""
    values = curves["map50"]
    if np.isnan(values).all():
        return None
    return len(values) - 1 - int(np.nanargmax(values[::-1]))


def _draw_rate(axes: Any, curves: Curves) -> None:
    """Draw the learning rate, lightly, in a strip of its own."""
    x, rate = curves["iteration"], np.nan_to_num(curves["rate"])
    axes.fill_between(x, rate, color=RATE, alpha=0.25, linewidth=0)
    axes.plot(x, rate, color=RATE, linewidth=1)
    axes.set_ylim(0, max(float(rate.max(initial=0)) * 1.15, 1e-12))
    axes.set_ylabel("rate", color=RATE)
    axes.locator_params(axis="y", nbins=2)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("iteration")
    axes.grid(True, color="#eeeeee", linewidth=0.8)


def _curve(axes: Any, x: NDArray[np.float64], y: NDArray[np.float64], **style: Any) -> None:
    """Draw the points that have a value; a loss that is not finite leaves a gap."""
    is_sparse = np.isnan(y).mean() > 0.5 if len(y) else False
    there = np.isfinite(y)
    if is_sparse:
        x, y = x[there], y[there]
    if there.any():
        axes.plot(x, np.where(np.isfinite(y), y, np.nan), **style)


def _write_words(figure: Any, title: str, curves: Curves, iterations: int | None) -> None:
    """Write the title, the figures of the last row, of the best evaluation, and the legend."""
    words = {"parse_math": False, "ha": "left"}
    figure.text(0.09, 0.962, _known(title), fontsize=15, weight="bold", **words)
    figure.text(0.09, 0.938, _summary(curves, iterations), fontsize=11, **words)
    figure.text(0.09, 0.016, _known(_classes(curves)), fontsize=10, color="#444444", **words)
    handles = [line for axes in figure.axes for line in axes.get_lines()]
    named = [line for line in handles if not line.get_label().startswith("_")]
    if named:
        place = {"loc": "lower left", "bbox_to_anchor": (0.082, 0.88), "borderaxespad": 0.3}
        figure.legend(handles=named, ncols=6, fontsize=9, frameon=False, columnspacing=1.2, **place)


def _summary(curves: Curves, iterations: int | None) -> str:
    """Return the line below the title."""
    if not len(curves["iteration"]):
        return "no iteration yet"
    last = {name: values[-1] for name, values in curves.items()}
    of = f" / {iterations:,}" if iterations else ""
    parts = [f"iteration {last['iteration']:,.0f}{of}", f"epoch {last['epoch']:.1f}"]
    parts.append(f"loss {last['avg_loss']:.4g}")
    best = _best(curves)
    if best is not None:
        values = curves["map50"][~np.isnan(curves["map50"])]
        at = f"{curves['iteration'][best]:,.0f}"
        parts.append(f"mAP@.5 {values[-1]:.1%}, best {curves['map50'][best]:.1%} at {at}")
    return "  ·  ".join(parts)


def _classes(curves: Curves) -> str:
    """Return the last average precision of each class, if they are few."""
    rows = np.flatnonzero(~np.isnan(curves["map50"]))
    found = {name[3:]: curves[name] for name in curves if name.startswith("ap_")}
    if not len(rows) or not 1 < len(found) <= MOST_CLASSES:
        return ""
    return "AP@.5   " + "    ".join(f"{k[:20]} {v[rows[-1]]:.1%}" for k, v in found.items())


def _known(text: str) -> str:
    """Return text with "?" for letters that matplotlib's font does not have."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    return "".join(one if font.get_char_index(ord(one)) else "?" for one in text)
