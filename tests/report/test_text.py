"""Rounding and titles."""

from __future__ import annotations

import html
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.report.text import digits_of, fixed, from_latex, grouped, measured, percent, significant

NARROW, MINUS = "\u202f", "\u2212"


# the examples of the Review of Particle Physics, section 5.3
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0.827, 0.119, ("0.83", "0.12")),
        (0.827, 0.367, ("0.8", "0.4")),
        (0.827, 0.0354, ("0.827", "0.035")),
        (123.456, 0.96, ("123.5", "1.0")),
        (123456.0, 354.0, (f"123{NARROW}460", "350")),
        (123456.0, 4321.0, (f"123{NARROW}000", f"4{NARROW}000")),
        (-5.0, 0.31, (f"{MINUS}5.00", "0.31")),
        (5.0, 0.0, ("5.00", "")),
        (0.0, 0.0, ("0", "")),
        (math.nan, 1.0, ("–", "–")),
    ],
)
def test_particle_data_group_rounding(value, error, words):
    assert measured(value, error) == words


@given(st.floats(1e-8, 1e8))
def test_rounding_keeps_an_error_to_fifteen_per_cent(error):
    assert round(error, digits_of(error)) == pytest.approx(error, rel=0.15)


def test_smallest_error_decides():
    assert measured(456.4, 21.0, 64.0, 0.0) == ("456", "21", "64", "0")


def test_other_numbers():
    assert grouped(-0.2) == "0"
    assert grouped(-1234.5, 1) == f"{MINUS}1{NARROW}234.5"
    assert significant(None) == "–"
    assert significant(math.inf) == "–"
    assert significant(0) == "0"
    assert significant(0.000664) == "0.000664"
    assert significant(2.5e-7) == "2.50 × 10⁻⁷"
    assert significant(1370.0) == f"1{NARROW}370"
    assert fixed(None) == "–"
    assert fixed(25.804) == "25.80"
    assert percent(0) == "0 %"
    assert percent(0.00658) == "0.658 %"
    assert percent(1e-9) == "< 0.001 %"


@pytest.mark.parametrize(
    ("latex", "words"),
    [
        (r"$Z/\gamma^{*}\to\ell\ell$", "<i>Z</i>/γ<sup>*</sup>→ℓℓ"),
        (r"$t\bar{t}$", "<i>t</i><i>t\u0304</i>"),
        (r"DH, $m_{Z'}$ = 130 GeV", "DH, <i>m</i><sub><i>Z</i>′</sub> = 130 GeV"),
        (r"$E_T^{miss}$", "<i>E</i><sub><i>T</i></sub><sup><i>miss</i></sup>"),
        (r"$E_T^{\mathrm{miss}}$", "<i>E</i><sub><i>T</i></sub><sup>miss</sup>"),
        (r"$p_Tx$", "<i>p</i><sub><i>T</i></sub><i>x</i>"),
        ("W+jets", "W+jets"),
        (r"5\$ and 3\$", "5$ and 3$"),
        ("one $ alone", "one $ alone"),
        ("<script>", "&lt;script&gt;"),
        ("$<b>$", "&lt;<i>b</i>&gt;"),
        (r"$\unknown{x}$", "unknown<i>x</i>"),
        (r"$a_$", "<i>a</i><sub></sub>"),
        ("$}{$", ""),
    ],
)
def test_latex_to_html(latex, words):
    assert str(from_latex(latex)) == words


class _Strict(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        assert tag in {"i", "sub", "sup"}
        assert not attrs
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@given(st.lists(st.sampled_from([*"ab<>&\"'$\\{}_^ 1\n", r"\bar", r"\mathrm", "script"]), max_size=30).map("".join))
def test_latex_never_lets_markup_through(text):
    parser = _Strict()
    parser.feed(str(from_latex(text)))
    parser.close()
    assert parser.open == []


@given(st.text(max_size=30))
def test_text_without_dollars_is_kept(text):
    text = re.sub(r"[$\\]", "", text)
    assert html.unescape(str(from_latex(text))) == text
