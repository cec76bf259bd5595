"""The LaTeX of plot labels as HTML, for as much of it as titles are made of."""

from __future__ import annotations

__all__ = ["from_latex"]

import re

from markupsafe import Markup, escape

_SYMBOLS = {
    "ell": "ℓ", "to": "→", "rightarrow": "→", "pm": "±", "times": "×", "cdot": "·", "sim": "∼", "infty": "∞",
    "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "neq": "≠", "approx": "≈", "prime": "′", "sqrt": "√", "slash": "/",
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ",
    "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
    "quad": " ", "circ": "°", "%": "%", "$": "$", "_": "_", "{": "{", "}": "}", "&": "&", "#": "#",
    ",": "\u2009", ";": "\u2009", ":": "\u2009", " ": " ", "!": "",
}  # fmt: skip
_ACCENTS = {"bar": "\u0304", "overline": "\u0304", "tilde": "\u0303", "hat": "\u0302", "vec": "\u20d7", "dot": "\u0307"}
_UPRIGHT = ("mathrm", "text", "rm", "mathregular", "operatorname")
_TOKEN = re.compile(r"\\([A-Za-z]+|.)|([_^{}])|([A-Za-z]+)|(\s+)|(.)")


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
    tokens = [match.groups() for match in _TOKEN.finditer(text)]
    made, _ = _sequence(tokens, 0, upright=False, inside=False)
    return made


def _sequence(tokens: list[tuple[str | None, ...]], place: int, *, upright: bool, inside: bool) -> tuple[Markup, int]:
    made = Markup("")
    while place < len(tokens):
        if tokens[place][1] == "}":
            if inside:
                return made, place + 1
            place += 1
            continue
        piece, place = _piece(tokens, place, upright=upright)
        made += piece
    return made, place


def _piece(  # noqa: PLR0911 - one for each kind of token
    tokens: list[tuple[str | None, ...]], place: int, *, upright: bool
) -> tuple[Markup, int]:
    """Turn one token, and the group it applies to, into HTML."""
    if place >= len(tokens):
        return Markup(""), place
    command, sign, word, space, other = tokens[place]
    place += 1
    if sign == "{":
        return _sequence(tokens, place, upright=upright, inside=True)
    if sign in ("_", "^"):
        inner, place = _argument(tokens, place, upright=upright)
        return Markup("<{0}>{1}</{0}>").format("sub" if sign == "_" else "sup", inner), place
    if command in _UPRIGHT:
        return _piece(tokens, place, upright=True)
    if command in _ACCENTS:
        inner, place = _argument(tokens, place, upright=True)
        return Markup("<i>{}{}</i>").format(inner, _ACCENTS[command]), place
    if command is not None:
        return escape(_SYMBOLS.get(command, "" if command in ("left", "right") else command)), place
    if word is not None:
        return (escape(word) if upright else Markup("<i>{}</i>").format(word)), place
    if space is not None:
        return escape(" " if upright else ""), place
    return escape("′" if other == "'" else "−" if other == "-" else other or ""), place


def _argument(tokens: list[tuple[str | None, ...]], place: int, *, upright: bool) -> tuple[Markup, int]:
    """Return what an index or accent applies to: a group, or the next letter alone."""
    if place < len(tokens) and tokens[place][2] is not None and len(tokens[place][2] or "") > 1:
        letters = tokens[place][2] or ""
        first = escape(letters[0]) if upright else Markup("<i>{}</i>").format(letters[0])
        tokens[place] = (None, None, letters[1:], None, None)
        return first, place
    return _piece(tokens, place, upright=upright)
