"""Filtering a job's log for the terminal, since a script can write anything to its log.

Text, colours and the cursor movements of progress bars are kept, but movements are limited to lines
that the job itself has written. All other control sequences are dropped: positions, titles, the
clipboard, queries (a terminal would type the answers into the user's shell), other screens, modes,
character sets. Sequences that are kept are rewritten, so that every terminal parses them in the
same way.
"""

import codecs
import enum
import re

MAX_SEQUENCE = 64
"""Maximum characters in a control sequence; longer ones are dropped instead of buffered."""

MAX_STEPS = 9999
"""Maximum movement within a line, in columns."""

# Embedding, overriding and isolating marks change the order in which text is displayed.
_BIDI = "\u202a-\u202e\u2066-\u2069"
_PLAIN = re.compile(f"[^\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f{_BIDI}]+")
_PARAMETERS = re.compile("[\x20-\x3f]*")
_STRING_END = re.compile("[\x07\x18\x1a\x1b\x9c\n]")
_COLOURS = re.compile("[0-9;:]*")
_NUMBER = re.compile("[0-9]{0,9}")
UNPRINTABLE = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDI}]")
_C1 = {
    "\x90": "P",
    "\x98": "X",
    "\x9b": "[",
    "\x9d": "]",
    "\x9e": "^",
    "\x9f": "_",
}


class _Mode(enum.Enum):
    TEXT = enum.auto()
    ESCAPE = enum.auto()
    ESCAPE_MORE = enum.auto()
    SEQUENCE = enum.auto()
    STRING = enum.auto()


class Sanitiser:
    """Turns the bytes of one log into text for a terminal.

    The result does not depend on how the log is split into pieces. At most `MAX_SEQUENCE`
    characters of an unfinished sequence are held back.

    The limit on movements counts line feeds only. A line that the terminal wraps takes more rows
    than counted, and a cursor at the upper edge moves up fewer rows, so the actual row is never
    above the counted row, whatever the terminal's size, and even if the size changes.
    """

    def __init__(self, *, colours: bool = True, movements: bool = True) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._colours = colours
        self._movements = movements
        self._mode = _Mode.TEXT
        self._sequence = ""
        self._styled = False
        # the cursor's row and the lowest row with output, relative to the start of the log
        self._row = 0
        self._last_row = 0
        self._last_row_has_text = False

    def feed(self, data: bytes) -> str:
        """Filter the next bytes of the log."""
        return self._filter(self._decoder.decode(data))

    def end(self) -> str:
        """Return the rest of the log at its end, followed by `leave`."""
        rest = self._filter(self._decoder.decode(b"", final=True))
        return rest + self.leave()

    def leave(self) -> str:
        """Return the text that moves the cursor to a fresh line below the log and resets colours.

        Other output can follow; the log can no longer move above that line.
        """
        line_feeds = "\n" * (self._last_row - self._row + self._last_row_has_text)
        reset = "\x1b[0m" if self._styled else ""
        self._row = self._last_row = 0
        self._last_row_has_text = self._styled = False
        return reset + line_feeds

    def _filter(self, text: str) -> str:
        output: list[str] = []
        position = 0
        while position < len(text):
            if self._mode is _Mode.TEXT:
                if plain := _PLAIN.match(text, position):
                    self._track_rows(plain[0])
                    output.append(plain[0])
                    position = plain.end()
                else:
                    self._control(text[position])
                    position += 1
            elif self._mode is _Mode.SEQUENCE:
                parameters = _PARAMETERS.match(text, position)
                assert parameters is not None  # matches the empty string too  # noqa: S101
                self._sequence = (self._sequence + parameters[0])[: MAX_SEQUENCE + 1]
                position = parameters.end()
                if position < len(text):
                    self._mode = _Mode.TEXT
                    if "@" <= text[position] <= "~":
                        output.append(self._rewrite(self._sequence, text[position]))
                        position += 1
            elif self._mode is _Mode.STRING:
                end = _STRING_END.search(text, position)
                if end is None:
                    break
                # a line feed ends it too: a missing terminator must not hide the rest of the log
                self._mode = _Mode.ESCAPE if end[0] == "\x1b" else _Mode.TEXT
                position = end.start() if end[0] == "\n" else end.end()
            else:
                position += self._continue_escape(text[position])
        return "".join(output)

    def _track_rows(self, plain: str) -> None:
        self._row += plain.count("\n")
        has_text = bool(plain[plain.rfind("\n") + 1 :].strip("\r\b"))
        if self._row > self._last_row:
            self._last_row, self._last_row_has_text = self._row, has_text
        elif self._row == self._last_row:
            self._last_row_has_text |= has_text

    def _control(self, char: str) -> None:
        if char == "\x1b":
            self._mode = _Mode.ESCAPE
        elif char in _C1:
            self._begin(_C1[char])

    def _continue_escape(self, char: str) -> int:
        """Process a character after ESC; return 1 if it belongs to the sequence, else 0."""
        first = self._mode is _Mode.ESCAPE
        self._mode = _Mode.TEXT
        if " " <= char <= "/":
            self._mode = _Mode.ESCAPE_MORE
        elif first and char in _C1.values():
            self._begin(char)
        elif not "0" <= char <= "~":
            return 0
        return 1

    def _begin(self, kind: str) -> None:
        self._mode = _Mode.SEQUENCE if kind == "[" else _Mode.STRING
        self._sequence = ""

    def _rewrite(self, parameters: str, final: str) -> str:
        """Return a control sequence in its permitted form, or an empty string."""
        if len(parameters) > MAX_SEQUENCE:
            return ""
        if final == "m":
            if not (self._colours and _COLOURS.fullmatch(parameters)):
                return ""
            self._styled = True
            return f"\x1b[{parameters}m"
        if not (self._movements and _NUMBER.fullmatch(parameters)):
            return ""
        number = int(parameters or 0)
        if final == "K":
            return f"\x1b[{number}K" if number <= 2 else ""
        if final in "CDG":
            self._last_row_has_text |= self._row == self._last_row
            return f"\x1b[{min(max(number, 1), MAX_STEPS)}{final}"
        if final in "ABEF":
            return self._move_row(max(number, 1), final)
        return ""

    def _move_row(self, steps: int, final: str) -> str:
        up = final in "AF"
        steps = min(steps, self._row if up else self._last_row - self._row)
        self._row += -steps if up else steps
        movement = f"\x1b[{steps}{'A' if up else 'B'}" if steps else ""
        return movement + ("\r" if final in "EF" else "")


def one_line(text: str) -> str:
    """Escape line ends and control characters, as in `\\x1b`, so that text fits on one line."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def multi_line(text: str) -> str:
    """Escape control characters but keep line ends."""
    return "\n".join(one_line(line) for line in text.split("\n"))
