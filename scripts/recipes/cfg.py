"""A .cfg under construction: sections one after another, each layer known by its index."""

from dataclasses import dataclass
from typing import Any

Options = dict[str, Any]  # key to int, float, str, tuple of numbers or of pairs, or None


@dataclass(frozen=True)
class Section:
    """One `[name]` with its keys; `part` names the piece of the network that begins here."""

    name: str
    options: Options
    part: str = ""


def net(
    side: int,
    *,
    batch: int = 1,
    subdivisions: int = 1,
    momentum: float = 0.9,
    learning_rate: float = 0.001,
    burn_in: int | None = 1000,
    max_batches: int = 500200,
    steps: tuple[int, ...] = (400000, 450000),
    scales: tuple[float, ...] = (0.1, 0.1),
    **more: Any,
) -> Options:
    """Return the `[net]` keys of a detector that sees side x side colour pictures.

    The learning rate climbs for burn_in batches, then is multiplied by each of scales in turn.
    """
    return dict(
        batch=batch,
        subdivisions=subdivisions,
        width=side,
        height=side,
        channels=3,
        momentum=momentum,
        decay=0.0005,
        angle=0,
        saturation=1.5,
        exposure=1.5,
        hue=0.1,
        learning_rate=learning_rate,
        burn_in=burn_in,
        max_batches=max_batches,
        policy="steps",
        steps=steps,
        scales=scales,
        **more,
    )


class Cfg:
    """The sections of a network; a layer reads the one before it unless it is a route.

    Whatever adds a layer returns its index, counted from 0, which `route` and `shortcut` take.
    """

    def __init__(self, title: str, net: Options, *, activation: str) -> None:
        self.title = title
        self.activation = activation  # of the convolutions to come
        self.sections = [Section("net", net)]
        self._part = ""

    @property
    def last(self) -> int:
        """Return the index of the newest layer."""
        return len(self.sections) - 2

    def part(self, name: str) -> None:
        """Let the next layer's comment say that here begins the part of that name."""
        self._part = name

    def add(self, section: str, **options: Any) -> int:
        """Add a layer; an option that is None is left out."""
        self.sections.append(Section(section, options, self._part))
        self._part = ""
        return self.last

    def conv(
        self,
        filters: int,
        size: int = 1,
        *,
        stride: int = 1,
        pad: int = 1,
        groups: int | None = None,
        activation: str | None = None,
    ) -> int:
        """Add a convolution, batch norm and activation; pad=1 keeps the map's size at stride 1."""
        return self.add(
            "convolutional",
            batch_normalize=1,
            filters=filters,
            size=size,
            stride=stride,
            pad=pad,
            groups=groups,
            activation=activation or self.activation,
        )

    def predict(self, filters: int, activation: str = "linear") -> int:
        """Add the 1x1 convolution with bias and no batch norm that stands before a head."""
        return self.add(
            "convolutional", filters=filters, size=1, stride=1, pad=1, activation=activation
        )

    def maxpool(self, size: int, stride: int) -> int:
        return self.add("maxpool", size=size, stride=stride)

    def upsample(self) -> int:
        return self.add("upsample", stride=2)

    def shortcut(self, layer: int) -> int:
        """Add the output of an earlier layer to the newest."""
        return self.add("shortcut", from_=layer - self.last - 1, activation="linear")

    def route(self, *near: int, far: int | None = None, **options: Any) -> int:
        """Concatenate the channels of layers, or go back to one.

        The same indices may be written in two ways: near ones are written as distances (-1 is the
        layer before), as inside a block, which may then be copied; the far one as it is.
        """
        distances = tuple(layer - self.last - 1 for layer in near)
        return self.add("route", layers=distances + (() if far is None else (far,)), **options)

    def text(self) -> str:
        """Return the file: the title, then each section under a comment with its index."""
        lines = [f"# {self.title}. Written by scripts/make_cfgs.py."]
        for index, section in enumerate(self.sections, start=-1):
            if section.name != "net":
                lines += ["", f"# {index} {section.part}".rstrip()]
            lines.append(f"[{section.name}]")
            for key, value in section.options.items():
                if value is not None:
                    lines.append(f"{key.rstrip('_')}={written(value)}")
        return "\n".join(lines) + "\n"


def written(value: Any) -> str:
    """Return a value as a .cfg has it: numbers joined by commas, pairs kept together."""
    if not isinstance(value, tuple):
        return str(value)
    pairs = isinstance(value[0], tuple)
    return (", " if pairs else ",").join(map(written, value))
