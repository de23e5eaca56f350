"""Spoil files in the ways that files are spoiled, and in ways nobody would think of.

Every function takes a `random.Random`, so that a loop over seeds is the same in every run.
"""

VALUES = (  # none of them leads out of the folder: what is written goes where a value says
    *("", "0", "1", "2", "3", "7", "15", "99", "255", "4096", "65535", "1000000", "2147483647"),
    *("-1", "-2", "-3", "-99", "-2147483648", "2147483648", "-99999999999999999999", "9" * 400),
    *("1e9", "-1e38", "3.4e38", "1e39", "1e-45", ".5", "-.5", "nan", "inf", "-inf", "1e", "e5"),
    *("1,2,3", "-1,-2", "0,0,0,0", ",", "1,,2", "-1,99999", "1,x", "1;2", "1 2", "0,1,2#3", "#"),
    *("true", "leaky", "logistc", "0x10", "1_0", "\u0663", "\u00b2", "\u221e", "%s%n", "x" * 5000),
    *("~nobody-here/x", "=", "==", "[", "]", "[net]", "\ufeff", "\ud800", "\U0001f642" * 9),
)
PIECES = (
    *("\0", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\t", " ", "\ufeff", "\u202e"),
    *("[", "]", "=", "#", ";", ",", "-", "\u00e9", "\ud800", "\U0001f642", "[avgpool]", "net"),
)


def text(original, random, values=VALUES):
    """Return the bytes of a text of lines ``key = value`` that one to eight things happened to."""
    lines = original.split("\n")
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 8))):
        random.choice(LINES)(lines, random, values)
        lines = lines or [""]
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    if random.random() < 0.15:
        data = bytes_(data, random)
    if random.random() < 0.03:
        encoding = random.choice(("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp037"))
        data = data.decode("utf-8", "replace").encode(encoding, "replace")
    return data


def _delete(lines, random, _):
    at = random.randrange(len(lines))
    del lines[at : at + random.choice((1, 1, 2, 9))]


def _double(lines, random, _):
    at = random.randrange(len(lines))
    lines[at:at] = lines[at : at + random.choice((1, 1, 5))]


def _swap(lines, random, _):
    a, b = random.randrange(len(lines)), random.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _cut(lines, random, _):
    at = random.randrange(len(lines))
    lines[at:] = [lines[at][: random.randrange(len(lines[at]) + 1)]]


def _value(lines, random, values):
    at = random.choice([i for i, line in enumerate(lines) if "=" in line] or [0])
    key, _, value = lines[at].partition("=")
    parts = value.split(",")
    parts[random.randrange(len(parts))] = random.choice(values)
    lines[at] = f"{key}={','.join(parts)}"


def _key(lines, random, values):
    at = random.choice([i for i, line in enumerate(lines) if "=" in line] or [0])
    key, equals, value = lines[at].partition("=")
    other = random.choice(lines).partition("=")[0]
    lines[at] = random.choice((other, key[1:], key + "s", "", key * 2)) + equals + value


def _piece(lines, random, _):
    at = random.randrange(len(lines))
    line, place = lines[at], random.randrange(len(lines[at]) + 1)
    lines[at] = line[:place] + random.choice(PIECES) + line[place:]


def _line(lines, random, values):
    sections = [line for line in lines if line.startswith("[")] or ["[net]"]
    new = random.choice((random.choice(values), random.choice(sections), random.choice(lines)))
    lines.insert(random.randrange(len(lines) + 1), new)


LINES = (_delete, _double, _swap, _cut, _value, _value, _value, _value, _key, _piece, _piece, _line)


def bytes_(original, random):
    """Return bytes of which some are changed, missing, doubled, or new."""
    data = bytearray(original)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at, count = random.randrange(len(data) + 1), random.choice((1, 1, 2, 4, 100))
        part = data[at : at + count]
        data[at : at + count] = random.choice(
            (
                b"",
                part * 2,
                random.randbytes(len(part)),
                bytes([(part or b"\0")[0] ^ 1 << random.randrange(8)]) + part[1:],
                random.choice((b"\0", b"\xff", b"\x7f")) * len(part),
                random.randbytes(count) + part,
            )
        )
    return bytes(data)


def truncated(original, random):
    """Return the beginning of some bytes."""
    return original[: random.randrange(len(original) + 1)]
