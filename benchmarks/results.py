"""Figures of inference as a table, a page and a chart."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

HEAD = ("engine", "ms", "best", "ratio", "quartiles", "GFLOP/s", "peak", "MB", "differs by")
FORM = "{:<26}{:>9}{:>9}{:>9}{:>14}{:>9}{:>7}{:>7}{:>12}"


def json_text(figures: dict) -> str:
    return json.dumps(figures, indent=1)


def cells(row: dict) -> tuple[str, ...]:
    """Return the cells of one engine's line."""
    name = " ".join(filter(None, (row["engine"], row["version"])))
    differs = "-" if row["difference"] is None else f"{row['difference']:.1e}"
    return (
        name, digits(row["median"]), digits(row["best"]), f"{row['ratio']:.2f}",
        f"{row['low']:.2f}-{row['high']:.2f}", f"{row['speed']:.0f}", f"{row['share']:.0%}",
        "-" if math.isnan(row["peak"]) else f"{row['peak']:.0f}", differs,
    )  # fmt: skip


def digits(milliseconds: float) -> str:
    """Return a time with three digits or more."""
    return f"{milliseconds:.{2 if milliseconds < 10 else 1 if milliseconds < 100 else 0}f}"


def about(figures: dict) -> list[str]:
    """Return what holds for all networks: machine, threads, precision, how often."""
    machine = figures["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "numpy", "numba"))
    return [
        f"{machine['processor']}, {machine['system']}, {machine['threads']} threads, {versions}",
        f"{figures['precision']}, batch {figures['batch']}, {figures['rounds']} rounds of turns of "
        f"{figures['seconds']} s; milliseconds are those of one picture, "
        f"ratios to {figures['base']}",
    ]


def title(network: dict) -> str:
    return f"{network['network']} {network['input']}, {network['gflops']:.2f} GFLOP"


def state(network: dict) -> str:
    """Return what the machine could do before and after."""
    before, after = network["before"], network["after"]
    return (
        f"multiply-adds at most {before['peak']:.0f} and {after['peak']:.0f} GFLOP/s before and "
        f"after, memory read at {before['reading']:.1f} and {after['reading']:.1f} GB/s; "
        f"weights {network['weights']}"
    )


def notes(network: dict) -> list[str]:
    """Return how each engine was set, and why some are absent."""
    rows, absent = network["engines"], network["absent"]
    lines = ["; ".join(f"{row['engine']}: {row['note']}" for row in rows if row["note"])]
    return lines + [f"absent: {name}: {why}" for name, why in absent.items()]


def table(figures: dict) -> str:
    """Return the figures for a terminal."""
    lines = about(figures)
    for network in figures["networks"]:
        lines += ["", title(network), state(network), FORM.format(*HEAD)]
        lines += [FORM.format(*cells(row)) for row in network["engines"]]
        lines += notes(network)
    return "\n".join(lines)


def markdown(figures: dict, folder: Path, what: str = "inference") -> Path:
    """Add the figures to the page of today in a folder; return its path."""
    path = folder / time.strftime(f"%Y-%m-%d-{what}.md")
    lines = [] if path.exists() else [f"# {what.capitalize()}, {time.strftime('%Y-%m-%d')}"]
    lines += [
        "",
        f"## {figures['precision']}, batch {figures['batch']}",
        "",
        ". ".join(about(figures)) + ".",
    ]
    lines += ["", f"`{figures.get('script', 'bench_detect.py')} {figures['command']}`"]
    for network in figures["networks"]:
        lines += ["", f"### {title(network)}", "", state(network) + ".", ""]
        lines += [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        lines += [f"| {' | '.join(cells(row))} |" for row in network["engines"]]
        lines += [f"\n{line}" for line in notes(network)]
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return path


def chart(figures: dict, path: Path) -> None:
    """Draw each engine's milliseconds as bars, a panel a network."""
    from matplotlib.figure import Figure

    networks = figures["networks"]
    figure = Figure(figsize=(3.2 * len(networks), 3.6), layout="constrained")
    panels = figure.subplots(1, len(networks), squeeze=False)[0]
    for panel, network in zip(panels, networks, strict=True):
        rows = network["engines"][::-1]
        colours = ["#0b7285" if row["engine"] == "darkpy" else "#adb5bd" for row in rows]
        bars = panel.barh([row["engine"] for row in rows], [row["median"] for row in rows])
        for bar, colour in zip(bars, colours, strict=True):
            bar.set_color(colour)
        panel.bar_label(bars, [digits(row["median"]) for row in rows], padding=2, fontsize=8)
        panel.set_title(f"{network['network']} @{network['input'].partition('x')[2]}", fontsize=9)
        panel.set_xlabel("ms a picture", fontsize=8)
        panel.margins(x=0.18)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    what = (
        f"{figures['precision']}, batch {figures['batch']}, {figures['machine']['threads']} threads"
    )
    figure.suptitle(f"{what}, {figures['machine']['processor']}", fontsize=9)
    figure.savefig(path, dpi=150)
