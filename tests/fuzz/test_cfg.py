"""Bad .cfgs: each is refused with an error of ours, or built, and what is built runs."""

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkpy import DarkpyError, Detector, Network
from darkpy.layers import LAYERS, Shape
from darkpy.layers.recurrent import Recurrent
from tests.conftest import ROOT
from tests.fuzz import cfgs, spoil
from tests.fuzz.exercise import build, exercise, in_time

ZOO = sorted((ROOT / "cfg").glob("*.cfg"))
SLOW = pytest.mark.slow


def attempt(path, content, what=None):
    """Write a .cfg, do with it what can be done, and return what became of it."""
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    )
    with in_time(what or content):
        return exercise(path)


@pytest.mark.parametrize("section", cfgs.sections())
def test_every_section_with_every_key_runs_or_says_why_not(section, folder, tried):
    path = folder / "x.cfg"
    text = cfgs.mended(cfgs.written(section), path)
    expected = "refused" if issubclass(LAYERS[section], Recurrent) else "ran"
    assert attempt(path, text) == expected, build(path)
    tried("cfg: a section with all its keys")


@pytest.mark.parametrize("share", [0.02, pytest.param(0.4, marks=SLOW)])
def test_every_key_takes_any_value(share, folder, tried):
    path, draw = folder / "x.cfg", random.Random(1)
    for section in (*cfgs.sections(), "net"):
        good = cfgs.mended(cfgs.written("yolo" if section == "net" else section), path)
        before, _, after = good.rpartition(f"[{section}]\n")
        keys = cfgs.net_keys() if section == "net" else cfgs.keys_of(LAYERS[section])
        for key in keys:
            others = [line for line in after.split("\n") if line.partition("=")[0] != key]
            for value in spoil.VALUES:
                if draw.random() < share:
                    lines = (f"{before}[{section}]", f"{key}={value}", *others)
                    attempt(path, "\n".join(lines), (section, key, value))
                    tried("cfg: one key with a bad value")


@pytest.mark.parametrize("amount", [300, pytest.param(2000, marks=SLOW)])
def test_the_zoo_spoiled(amount, folder, tried):
    path, draw = folder / "x.cfg", random.Random(2)
    texts = [one.read_text("utf-8") for one in ZOO]
    for _ in range(amount):
        path.write_bytes(spoil.text(draw.choice(texts), draw))
        with in_time(path.read_bytes()), suppress(DarkpyError):
            build(path)
            Network.from_cfg(path, strict=True)
        tried("cfg: spoiled, of the zoo")


@pytest.mark.parametrize("amount", [400, pytest.param(12000, marks=SLOW)])
def test_small_networks_spoiled(amount, folder, tried):
    path, draw = folder / "x.cfg", random.Random(3)
    texts = [cfgs.mended(cfgs.written(section), path) for section in cfgs.sections()]
    outcomes = []
    for _ in range(amount):
        outcomes.append(attempt(path, spoil.text(draw.choice(texts), draw)))
        tried("cfg: spoiled, small")
    assert outcomes.count("ran") > amount // 10


def check_drawn(data, folder, tried):
    path = folder / "x.cfg"
    text = cfgs.mended(data.draw(cfgs.networks()), path)
    outcome = attempt(path, text)
    tried(f"cfg: drawn, {outcome}")


# The folder is the same for all examples of a test, and each writes the file anew.
drawn = settings(suppress_health_check=["function_scoped_fixture", "too_slow"], max_examples=150)


@drawn
@given(data=st.data())
def test_drawn_networks(data, folder, tried):
    check_drawn(data, folder, tried)


@SLOW
@settings(drawn, max_examples=1200)
@given(data=st.data())
def test_many_drawn_networks(data, folder, tried):
    check_drawn(data, folder, tried)


CONV = "[convolutional]\nfilters=4\nactivation=leaky\n"
BIG = ("1000", "40000", "1000000", "100000000", "2147483647")
ABSURD = {
    "stride": "size=3\npad=1\nstride={}\n",
    "stride_x": "size=3\npad=1\nstride_x={}\n",
    "size": "size={}\npad=1\n",
    "size, no pad": "size={}\n",
    "padding": "padding={}\n",
    "padding and stride": "padding={0}\nstride={0}\nsize=3\n",
    "dilation": "size=3\npad=1\ndilation={}\n",
    "dilation of a depthwise one": "size=3\npad=1\ngroups=4\ndilation={}\n",
    "stride of a depthwise one": "size=3\npad=1\ngroups=4\nstride={}\n",
    "stride with a blur": "size=3\npad=1\nantialiasing=1\nstride={}\n",
    "padding with a blur": "padding={0}\nantialiasing=1\nstride={0}\n",
    "groups": "groups={}\n",
    "filters": "filters={}\n",
    "[maxpool] size": "[maxpool]\nstride=1\nsize={}\n",
    "[maxpool] size and stride": "[maxpool]\nstride={0}\nsize={0}\n",
    "[maxpool] stride": "[maxpool]\nsize=2\nstride={}\n",
    "[maxpool] padding": "[maxpool]\nsize=2\npadding={0}\nstride={0}\n",
    "[maxpool] blur": "[maxpool]\nsize=2\npadding={0}\nantialiasing=2\nstride={0}\n",
    "[local_avgpool] size": "[local_avgpool]\nstride=1\nsize={}\n",
    "[local_avgpool] stride": "[local_avgpool]\nsize=2\nstride={}\n",
    "[local] size": "[local]\nsize={}\n",
    "[local] stride": "[local]\nsize=3\nstride={}\n",
    "[upsample] stride": "[upsample]\nstride={}\n",
    "[upsample] down": "[upsample]\nstride=-{}\n",
    "[reorg] stride": "[reorg]\nstride={}\n",
    "[reorg3d] reverse": "[reorg3d]\nreverse=1\nstride={}\n",
    "[normalization] size": "[normalization]\nsize={}\n",
    "[softmax] groups": "[softmax]\ngroups={}\n",
    "[connected] output": "[connected]\noutput={}\n",
    "[implicit] filters": "[implicit]\nfilters={0}\natoms={0}\n",
    "[crop]": "[crop]\ncrop_height={0}\ncrop_width={0}\n",
    "[yolo] num": "filters=7\n[yolo]\nclasses=2\nnum={}\n",
    "[yolo] num and mask": "filters=7\n[yolo]\nclasses=2\nmask=3\nnum={}\n",
    "[yolo] classes": "filters=7\n[yolo]\nclasses={}\n",
    "[yolo] max": "filters=7\n[yolo]\nclasses=2\nmax={}\n",
    "[region] num": "filters=7\n[region]\nclasses=2\nnum={}\n",
    "[Gaussian_yolo] num": "filters=7\n[Gaussian_yolo]\nclasses=2\nmask=3\nnum={}\n",
    "[detection] side": "[detection]\nside={}\n",
    "[contrastive] classes": "[contrastive]\nclasses={}\n",
    "share_index": "[convolutional]\nfilters=4\nshare_index={}\n",
    "[route] layers": "[route]\nlayers=-1,{}\n",
}


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("what", ABSURD)
def test_absurd_numbers_cost_no_more_than_the_result(what, groups, folder, tried):
    conv = (
        CONV.replace("activation", f"groups={groups}\nactivation") if "groups" not in what else CONV
    )
    for number in BIG:
        net = f"[net]\nwidth=8\nheight=8\nchannels=4\n{conv}{conv}"
        attempt(folder / "x.cfg", net + ABSURD[what].format(number), (what, number))
        tried("cfg: absurd numbers")


@pytest.mark.parametrize("side", BIG)
def test_absurd_inputs(side, folder, tried):
    for key in ("width", "height", "channels", "inputs", "batch", "subdivisions", "time_steps"):
        net = {"width": 4, "height": 4, "channels": 3, key: side}
        lines = "".join(f"{name}={value}\n" for name, value in net.items())
        assert attempt(folder / "x.cfg", f"[net]\n{lines}{CONV}") in ("refused", "built", "ran")
        tried("cfg: absurd inputs")


LINE, LINES = 10_000_000, 1_000_000  # bytes
LONG = {
    "a line": "x" * LINE,
    "a section": "[" + "x" * LINE + "]",
    "a section without end": "[" + "x" * LINE,
    "a key": "x" * LINE + "=1",
    "a comment": "#" * LINE,
    "a number": "filters=" + "1" * LINE,
    "a fraction": "angle=0." + "1" * LINE,
    "an exponent": "angle=1e" + "1" * LINE,
    "blanks": "filters" + " " * LINE + "=1",
    "a word": "activation=" + "leaky" * (LINE // 5),
    "a list": "[route]\nlayers=" + "0," * (LINE // 2),
    "a list of commas": "[route]\nlayers=" + "," * LINE,
    "anchors": "[yolo]\nanchors=" + "1.5," * (LINE // 4),
    "a file": "[yolo]\nmap=" + "x/" * (LINE // 2),
    "letters of four bytes": "activation=" + "\U0001f642" * (LINE // 4),
    "equals": "=" * LINE,
    "lines": "\n" * LINES,
    "carriage returns": "\r" * LINES,
    "short lines": "a=\n" * 20_000,
    "equal keys": "filters=1\n" * 30_000,
    "unknown keys": "".join(f"filterss{n}=1\n" for n in range(5_000)),
    "layers": "[avgpool]\n" * 30_000,
    "layers that route": "[route]\nlayers=-1\n" * 20_000,
    "networks": "[net]\n" * 30_000,
}


FAST = ("a line", "a key", "a number", "a word", "a list", "lines", "unknown keys", "layers")


@pytest.mark.parametrize(
    "what", [what if what in FAST else pytest.param(what, marks=SLOW) for what in LONG]
)
def test_long_files_are_read_or_refused_soon(what, folder, tried):
    (folder / "x.cfg").write_text(cfgs.HEAD + CONV + LONG[what] + "\n", encoding="utf-8")
    with in_time(what):
        build(folder / "x.cfg")
    tried("cfg: 10 MB")


ENCODED = {
    "utf-8 with a mark": ("utf-8-sig", "ran"),
    "latin-1": ("latin-1", "ran"),
    "utf-16": ("utf-16", "refused"),
    "utf-16 without a mark": ("utf-16-le", "refused"),
    "utf-32": ("utf-32", "refused"),
}


@pytest.mark.parametrize("what", ENCODED)
def test_encodings(what, folder, tried):
    encoding, expected = ENCODED[what]
    text = "# caf\u00e9\n" + cfgs.HEAD + CONV
    assert attempt(folder / "x.cfg", text.encode(encoding)) == expected
    for ends in ("\r\n", "\r"):
        assert attempt(folder / "x.cfg", text.replace("\n", ends).encode(encoding)) == expected
    tried("cfg: encodings", 3)


NO_TEXT = [b"", b"\n", b"\xef\xbb\xbf", b"\0", b"\xff\xfe", b"\xff" * 99, bytes(range(256)) * 9]


@pytest.mark.parametrize("content", NO_TEXT, ids=repr)
def test_what_is_no_text(content, folder, tried):
    assert attempt(folder / "x.cfg", content) == "refused"
    tried("cfg: no text")


NO_FILE = [
    "",
    ".",
    "/",
    "none.cfg",
    "x/y",
    "\0",
    "\ud800",
    "x" * 5000,
    "~",
    "~nobody-here/x",
    "con",
]


@pytest.mark.parametrize("path", NO_FILE, ids=ascii)
def test_what_is_no_file(path, folder, tried):
    with pytest.raises(DarkpyError):
        Network.from_cfg(path)
    tried("cfg: no file")


def test_long_chains_of_shared_parameters(folder, tried):
    for index in ("-1", "0"):
        shared = f"{CONV}share_index={index}\n"
        text = cfgs.HEAD + CONV + shared * 3000
        assert attempt(folder / "x.cfg", text, index) in ("refused", "ran", "built")
        tried("cfg: chains of share_index")


def test_deep_networks_run(folder, tried):
    layers = 8_000
    text = cfgs.HEAD.replace("=8", "=1") + "[activation]\nactivation=relu\n" * layers
    assert attempt(folder / "x.cfg", text, "deep") == "ran"
    tried("cfg: deep")


def test_a_run_is_planned_in_a_time_in_proportion_to_the_layers(tried):
    layers = [LAYERS["activation"](activation="relu")] * 40_000  # by squares it would take 30 s
    network = Network.from_layers(layers, Shape(1, 1, 1))
    with in_time("deep", 10):
        Detector(network, [{}] * len(layers))
    tried("cfg: deep")


@pytest.mark.parametrize(
    "head", ["[yolo]", "[region]", "[Gaussian_yolo]", "[detection]\nside=1\ncoords=4"]
)
def test_heads_after_a_vector_are_decoded(head, folder, tried):
    path = folder / "x.cfg"
    text = cfgs.HEAD + f"[connected]\noutput=OUT\n{head}\nclasses=2\nnum=1\nanchors=2,3\n"
    outcomes = {attempt(path, text.replace("OUT", str(count))) for count in (7, 11)}
    assert outcomes == {"ran", "refused"}
    tried("cfg: heads after a vector", 2)
