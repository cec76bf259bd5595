"""Text as a reader wants it: numbers rounded to what their uncertainty allows, and the LaTeX of titles as HTML."""

from __future__ import annotations

import math
import re
from collections import deque
from html.entities import html5

from markupsafe import Markup, escape

# a narrow space that does not break the line
_SPACE = "\u202f"
_MINUS = "\u2212"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NONE = "–"

# commands that HTML knows under another name or not at all
_SYMBOLS = {
    "to": "→", "cdot": "·", "infty": "∞", "neq": "≠", "sqrt": "√", "slash": "/", "quad": " ", "circ": "°",
    "varphi": "φ", "left": "", "right": "", ",": "\u2009", ";": "\u2009", ":": "\u2009", "!": "",
}  # fmt: skip
_ACCENTS = {"bar": "\u0304", "overline": "\u0304", "tilde": "\u0303", "hat": "\u0302", "vec": "\u20d7", "dot": "\u0307"}
_UPRIGHT = ("mathrm", "text", "rm", "mathregular", "operatorname")
# a command, a word, white space, or one letter
_TOKEN = re.compile(r"\\(?:[A-Za-z]+|.)|[A-Za-z]+|\s+|.")


def digits_of(error: float) -> int:
    """Return the decimal place to round to, by the rule of the Particle Data Group.

    Where the three highest digits of the error are 100 to 354, two are kept; 355 to 949, one; 950 to 999 is rounded
    up to 1000 and two are kept (R. L. Workman et al., Prog. Theor. Exp. Phys. 2022, 083C01, section 5.3).

    Parameters
    ----------
    error
        Above 0.

    Returns
    -------
    int
        As `round` takes it: 1 for tenths, -1 for tens.

    Examples
    --------
    >>> digits_of(0.119), digits_of(0.367), digits_of(43), digits_of(0.97)
    (2, 1, -1, 1)
    """
    exponent = math.floor(math.log10(error))
    leading = round(error / 10.0 ** (exponent - 2))
    if leading >= 950:
        return -exponent
    return 1 - exponent if leading < 355 else -exponent


def grouped(value: float, digits: int = 0) -> str:
    """Write a number with so many decimals (negative: rounded to tens ...), thousands apart.

    Examples
    --------
    >>> grouped(1234567.8).replace("\u202f", " ")
    '1 234 568'
    """
    text = f"{round(value, digits):,.{max(digits, 0)}f}".replace(",", _SPACE)
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def measured(value: float, *errors: float) -> tuple[str, ...]:
    """Round a value and its errors alike, by the smallest error that is not 0; if all are 0, leave them out.

    Examples
    --------
    >>> measured(0.827, 0.119)
    ('0.83', '0.12')
    >>> measured(0.827, 0.367)
    ('0.8', '0.4')
    """
    if not math.isfinite(value):
        return (NONE, *(NONE for _ in errors))
    known = [error for error in errors if math.isfinite(error) and error > 0]
    if not known:
        return (significant(value), *("" for _ in errors))
    digits = min(digits_of(min(known)), 8)
    return tuple(grouped(each, digits) if math.isfinite(each) else NONE for each in (value, *errors))


def plus_minus(value: float, error: float) -> str:
    """Write a value with its error, rounded alike; without the error where that is 0.

    Examples
    --------
    >>> plus_minus(0.827, 0.119), plus_minus(3.0, 0.0)
    ('0.83 ± 0.12', '3.00')
    """
    return " ± ".join(each for each in measured(value, error) if each)


def significant(value: float | None, count: int = 3) -> str:
    """Write a number with so many significant digits; whole ones keep them all.

    Examples
    --------
    >>> significant(0.0123456), significant(123456.0).replace("\u202f", " "), significant(None)
    ('0.0123', '123 456', '–')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-4 or size >= 1e15:
        mantissa, exponent = f"{value:.{count - 1}e}".split("e")
        return f"{mantissa.replace('-', _MINUS)} × 10{str(int(exponent)).translate(_RAISED)}"
    return grouped(value, max(count - 1 - math.floor(math.log10(size)), 0))


def fixed(value: float | None, digits: int = 2) -> str:
    """Write a number with a fixed count of decimals."""
    return NONE if value is None or not math.isfinite(value) else grouped(value, digits)


def signed(value: float, digits: int = 3) -> str:
    """Write a number with a fixed count of decimals and its sign, also where that is plus."""
    text = fixed(value, digits)
    return f"+{text}" if value > 0 and text[0].isdigit() else text


def percent(fraction: float) -> str:
    """Write a fraction as per cent: 0 % is nothing at all, and a little is never shown as nothing.

    Examples
    --------
    >>> percent(0), percent(0.5), percent(2e-7)
    ('0 %', '50 %', '< 0.001 %')
    """
    value = 100 * fraction
    if value == 0:
        return "0 %"
    return "< 0.001 %" if abs(value) < 0.001 else f"{value:.3g} %"


def from_latex(text: str) -> Markup:
    r"""Turn a label into HTML; what lies outside dollars is text, and everything is escaped.

    Examples
    --------
    >>> str(from_latex("$m_{Z'}$ < 1"))
    '<i>m</i><sub><i>Z</i>′</sub> &lt; 1'
    """
    parts = re.split(r"(?<!\\)\$", text)
    if len(parts) % 2 == 0:  # a dollar without its partner is a dollar
        return escape(text.replace(r"\$", "$"))
    made = [escape(part.replace(r"\$", "$")) if place % 2 == 0 else _math(part) for place, part in enumerate(parts)]
    return Markup("").join(made)


def _math(text: str) -> Markup:
    return _sequence(deque(_TOKEN.findall(text)), upright=False, inside=False)


def _sequence(tokens: deque[str], *, upright: bool, inside: bool) -> Markup:
    """Turn tokens into HTML, up to the end of the group or of all."""
    made = Markup("")
    while tokens:
        if tokens[0] != "}":
            made += _piece(tokens, upright=upright)
            continue
        tokens.popleft()
        if inside:
            break
    return made


def _piece(tokens: deque[str], *, upright: bool) -> Markup:
    """Turn the next token, and the group it applies to, into HTML."""
    part = tokens.popleft() if tokens else ""
    command = part[1:] if part.startswith("\\") else ""
    if part == "{":
        return _sequence(tokens, upright=upright, inside=True)
    if part in ("_", "^"):
        return Markup("<{0}>{1}</{0}>").format("sub" if part == "_" else "sup", _argument(tokens, upright=upright))
    if command in _UPRIGHT:
        return _piece(tokens, upright=True)
    if command in _ACCENTS:
        return Markup("<i>{}{}</i>").format(_argument(tokens, upright=True), _ACCENTS[command])
    if part.isascii() and part.isalpha():
        return escape(part) if upright else Markup("<i>{}</i>").format(part)
    plain = {"'": "′", "-": "−", "}": ""}.get(part, part)
    if part.isspace():
        plain = " " if upright else ""
    return escape(_SYMBOLS.get(command, html5.get(f"{command};", command)) if command else plain)


def _argument(tokens: deque[str], *, upright: bool) -> Markup:
    """Return what an index or accent applies to: a group, or the next letter alone."""
    if tokens and tokens[0].isascii() and tokens[0].isalpha():
        word = tokens.popleft()
        tokens.extendleft(filter(None, (word[1:], word[0])))
    return _piece(tokens, upright=upright)
