"""Tells variant, type and time of UUIDs, as a table, raw or as JSON."""

import os
import sys
import time

HELP = b"""
Usage:
 uuidparse [options] <uuid ...>

Options:
 -J, --json             use JSON output format
 -n, --noheadings       don't print headings
 -o, --output <list>    COLUMNS to display (see below)
 -r, --raw              use the raw output format
 -h, --help             display this help
 -V, --version          display version

Available output columns:
     UUID  unique identifier
  VARIANT  variant name
     TYPE  type name
     TIME  timestamp

For more details see uuidparse(1).
"""

# Name, and the width that a column gets when its data are narrower.
COLUMNS = [(b"UUID", 37), (b"VARIANT", 9), (b"TYPE", 10), (b"TIME", 31)]
MOST_COLUMNS = 8
LONG = [(b"json", b"J"), (b"noheadings", b"n"), (b"output", b"o"), (b"raw", b"r"), (b"version", b"V"), (b"help", b"h")]
TYPES = {1: b"time-based", 2: b"DCE", 3: b"name-based", 4: b"random", 5: b"sha1-based",
         6: b"time-v6", 7: b"time-v7", 8: b"vendor"}
# From 1582-10-15 to 1970-01-01, in units of 100 ns.
GREGORIAN = 0x01B21DD213814000


class Fail(Exception):
    """Ends the program with status 1; `message` goes to standard error."""


def complain(message, hint=False):
    text = b"uuidparse: " + message + b"\n"
    if hint:
        text += b"Try 'uuidparse --help' for more information.\n"
    raise Fail(text)


def find_long(name, word):
    exact = [short for long, short in LONG if long == name]
    if exact:
        return exact[0]
    found = [(long, short) for long, short in LONG if long.startswith(name)]
    if not found:
        complain(b"unrecognized option '--" + word + b"'", True)
    if len(found) > 1:
        names = b"".join(b" '--" + long + b"'" for long, _ in found)
        complain(b"option '--" + word + b"' is ambiguous; possibilities:" + names, True)
    return found[0][1]


def options(arguments):
    """Yields (letter, value) as they are met, then (None, operands)."""
    operands = []
    posix = "POSIXLY_CORRECT" in os.environ
    at = 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word == b"--":
            operands += arguments[at:]
            break
        if word.startswith(b"--"):
            name, equals, value = word[2:].partition(b"=")
            letter = find_long(name, word[2:])
            full = next(long for long, short in LONG if short == letter)
            if letter != b"o":
                if equals:
                    complain(b"option '--" + full + b"' doesn't allow an argument", True)
                value = None
            elif not equals:
                if at == len(arguments):
                    complain(b"option '--" + full + b"' requires an argument", True)
                value = arguments[at]
                at += 1
            yield letter, value
        elif word.startswith(b"-") and len(word) > 1:
            for index in range(1, len(word)):
                letter = word[index:index + 1]
                if letter not in b"JnorVh":
                    complain(b"invalid option -- '" + letter + b"'", True)
                if letter != b"o":
                    yield letter, None
                    continue
                value = word[index + 1:]
                if not value:
                    if at == len(arguments):
                        complain(b"option requires an argument -- 'o'", True)
                    value = arguments[at]
                    at += 1
                yield letter, value
                break
        elif posix:
            operands += arguments[at - 1:]
            break
        else:
            operands.append(word)
    yield None, operands


def columns_of(text):
    chosen = []
    if text.startswith(b"+"):
        chosen = [0, 1, 2, 3]
        text = text[1:]
    if not text:
        raise Fail(b"")
    begin = None
    for at, byte in enumerate(text):
        if len(chosen) >= MOST_COLUMNS:
            raise Fail(b"")
        if begin is None:
            begin = at
        end = None
        if byte == ord(","):
            end = at
        if at + 1 == len(text):
            end = at + 1
        if end is None:
            continue
        if end <= begin:
            raise Fail(b"")
        name = text[begin:end].upper()
        found = [index for index, (column, _) in enumerate(COLUMNS) if column == name]
        if not found:
            complain(b"unknown column: " + text[begin:])
        chosen.append(found[0])
        begin = None
    return chosen


def words_of(data):
    """At most 36 bytes make a word, and the byte after it is lost; one that the input ends with does not count."""
    words = []
    at = 0
    while True:
        while at < len(data) and data[at] in b" \t\n\v\f\r":
            at += 1
        end = at
        while end < len(data) and end - at < 36 and data[end] not in b" \t\n":
            end += 1
        if end >= len(data):
            return words
        words.append(data[at:end].partition(b"\0")[0])
        at = end + 1


def moment(seconds, micros):
    local = time.localtime(seconds)
    offset = abs(local.tm_gmtoff)
    # The sign is that of the hours: it is lost when they are zero.
    sign = "-" if local.tm_gmtoff <= -3600 else "+"
    return b"%04d-%02d-%02d %02d:%02d:%02d,%06d%s%02d:%02d" % (
        local.tm_year, local.tm_mon, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, micros,
        sign.encode(), offset // 3600, offset // 60 % 60)


def describe(word):
    """The four cells of a row; None where there is nothing to say."""
    digits = word.replace(b"-", b"")
    well = len(word) == 36 and len(digits) == 32 and all(word[at] == ord("-") for at in (8, 13, 18, 23))
    if not well or any(byte not in b"0123456789abcdefABCDEF" for byte in digits):
        return [word or None, b"invalid", b"invalid", b"invalid"]
    value = int(digits, 16)
    top = value >> 60 & 15
    if top < 8:
        return [word, b"NCS", None, None]
    if top >= 14:
        return [word, b"other", None, None]
    if top >= 12:
        return [word, b"Microsoft", None, None]
    version = value >> 76 & 15
    high, middle, low = value >> 96, value >> 80 & 0xFFFF, value >> 64 & 0xFFF
    when = None
    if version in (1, 6):
        ticks = low << 48 | middle << 32 | high if version == 1 else high << 28 | middle << 12 | low
        ticks = (ticks - GREGORIAN) % (1 << 64)
        when = moment(ticks // 10_000_000, ticks % 10_000_000 // 10)
    elif version == 7:
        millis = value >> 80
        when = moment(millis // 1000, millis % 1000 * 1000)
    return [word, b"DCE", TYPES.get(version, b"unknown"), when]


def escape(cell, raw):
    result = bytearray()
    for at, byte in enumerate(cell):
        backslash = byte == ord("\\") and (raw or cell[at + 1:at + 2] == b"x")
        if byte < 32 or byte > 126 or backslash or (raw and byte == 32):
            result += b"\\x%02x" % byte
        else:
            result.append(byte)
    return bytes(result)


def json_string(cell):
    if cell is None:
        return b"null"
    short = {34: b'\\"', 92: b"\\\\", 8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r"}
    result = bytearray(b'"')
    for byte in cell:
        if byte in short:
            result += short[byte]
        elif byte < 32:
            result += b"\\u%04x" % byte
        else:
            result.append(byte)
    return bytes(result + b'"')


def as_json(rows, chosen):
    objects = []
    for row in rows:
        fields = [b'         "' + COLUMNS[c][0].lower() + b'": ' + json_string(row[c]) for c in chosen]
        objects.append(b"{\n" + b",\n".join(fields) + b"\n      }")
    head = b"      " if rows else b""
    return b'{\n   "uuids": [\n' + head + b",".join(objects) + b"\n   ]\n}\n"


def as_lines(rows, chosen, headings, raw):
    if not rows:
        return b""
    table = [[escape(row[c] or b"", raw) for c in chosen] for row in rows]
    names = [COLUMNS[c][0] for c in chosen]
    widths = [0] * len(chosen)
    if not raw:
        for at, c in enumerate(chosen):
            heading = len(names[at]) if headings else 0
            widest = max(len(row[at]) for row in table)
            if widest < heading or widest == heading == 0:
                widths[at] = heading
            else:
                widths[at] = max(widest, COLUMNS[c][1])
        widths[-1] = 0
    if headings:
        table.insert(0, names)
    return b"".join(b" ".join(cell.ljust(width) for cell, width in zip(row, widths)) + b"\n" for row in table)


def run(arguments):
    json = raw = False
    headings = True
    chosen = [0, 1, 2, 3]
    listed = None
    operands = []
    for letter, value in options(arguments):
        if letter is None:
            operands = value
        elif letter == b"n":
            headings = False
        elif letter == b"o":
            listed = value
        elif letter == b"h":
            return HELP
        elif letter == b"V":
            return b"uuidparse from util-linux 2.41.5\n"
        else:
            json = json or letter == b"J"
            raw = raw or letter == b"r"
            if json and raw:
                complain(b"mutually exclusive arguments: --json --raw")
    if listed is not None:
        chosen = columns_of(listed)
    words = operands or words_of(sys.stdin.buffer.read())
    rows = [describe(word) for word in words]
    return as_json(rows, chosen) if json else as_lines(rows, chosen, headings, raw)


def main():
    try:
        output = run([os.fsencode(argument) for argument in sys.argv[1:]])
    except Fail as failure:
        sys.stderr.buffer.write(failure.args[0])
        return 1
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()
    return 0


sys.exit(main())
