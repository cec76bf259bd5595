"""Datacards written: what is written and read again is the same model, whatever a card can say."""

from pathlib import Path

import hist
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from colonnade.errors import ConfigError
from colonnade.statistics import Likelihood
from colonnade.statistics.formats import export_model, read_model
from colonnade.statistics.model import Channel, Modifier, Sample, make_model

# within what numbers in a card, and kappas that are rounded to six digits, are the same
SAME = 1e-5


def numbers(*values):
    return np.array(values, dtype=float)


def same(model, again):
    """Assert that two models are one: names, settings, and the likelihood at random points, but for a constant."""
    here, there = Likelihood(model), Likelihood(again)
    assert sorted(here.labels) == sorted(there.labels)
    place = [there.labels.index(label) for label in here.labels]
    np.testing.assert_array_equal(there.fixed[place], here.fixed)
    np.testing.assert_allclose(there.lower[place], here.lower, rtol=1e-9)
    np.testing.assert_allclose(there.upper[place], here.upper, rtol=1e-9)
    assert dict(again.groups) == dict(model.groups)
    widths = np.array(
        [
            each.widths[index] if each.constraint == "normal" else 0.2 * max(abs(each.inits[index]), 0.1)
            for each in model.parameters
            for index in range(each.size)
        ]
    )
    rng = np.random.default_rng(0)
    start = None
    for _ in range(5):
        theta = np.clip(here.inits + widths * rng.uniform(-1, 1, len(widths)), here.lower, here.upper)
        theta[here.fixed] = here.inits[here.fixed]
        moved = np.empty_like(theta)
        moved[place] = theta
        difference = there.logpdf(moved, there.observed) - here.logpdf(theta, here.observed)
        start = difference if start is None else start
        assert difference == pytest.approx(start, abs=SAME * (1 + abs(here.logpdf(theta, here.observed))))


def written(model, folder):
    export = export_model(model, folder, "again", "combine")
    return read_model(export.path)


def test_small_cards_of_every_kind(shared_data, tmp_path):
    """Each has one difficulty; among them gmN, negative rates, autoMCStats, formulas, measured rateParams."""
    cards = [path for path in sorted((shared_data / "cards").glob("*.txt")) if path.stem != "s_mismatch"]
    assert len(cards) > 20
    for card in cards:
        model = read_model(card)
        same(model, written(model, tmp_path / card.stem))


# ---- cards from the grammar

CELLS = [("one", "sig"), ("one", "bkg"), ("two", "sig"), ("two", "bkg"), ("two", "qcd")]
TEMPLATES = {"sig": (3.0, 5.0, 2.0), "bkg": (20.0, 12.0, 9.0), "qcd": (6.0, 7.0, 8.0)}
FACTORS = st.sampled_from(["1.1", "0.95", "1.2/0.9", "0.8/1.3", "1.05/1.02", "-", "1.3"])


def cells(entries, counted=()):
    """A row's entries, one a cell, of which one at least is not a dash."""
    return st.lists(entries, min_size=len(CELLS), max_size=len(CELLS)).filter(lambda row: set(row) - {"-", *counted})


ROWS = {
    "lnN": cells(FACTORS).map(lambda row: f"ln_a lnN {' '.join(row)}"),
    "lnU": cells(st.sampled_from(["1.2", "0.9/1.3", "-"])).map(lambda row: f"ln_u lnU {' '.join(row)}"),
    "gmM": st.sampled_from(["0.2", "0.5"]).map(lambda width: f"gm_m gmM - {width} - {width} -"),
    "trG": st.sampled_from(["0.3", "-0.2"]).map(lambda size: f"tr_g trG {size} - - {size} -"),
    "unif": st.just("un_i unif -1 1 - - 0.3 - -"),
    "rateParam": st.sampled_from(["", " [0,5]"]).map(lambda span: f"rp rateParam * qcd 1.2{span}"),
    "measured": st.sampled_from(["0.2", "-0.1/+0.3"]).map(
        lambda width: f"rm rateParam one bkg 1\nrm param 1 {width} [0.2,2.5]"
    ),
    "formula": st.just("fa rateParam two bkg (@0*exp(@1)) ex,ln_f\nex extArg 1.3 [0.5,2]\nln_f lnN 1.1 1.1 - - -"),
    "param": st.sampled_from(["0.5 1.5", "0 -0.7/+1.2"]).map(
        lambda text: f"ln_p lnN 1.1 - - 1.2/0.95 -\nln_p param {text} [-3,3]"
    ),
    "freeze": st.just("ln_z lnN 1.1 1.2 - - -\nnuisance edit freeze ln_z"),
    "group": st.just("ln_g lnN 1.1 1.2 - - -\nln_h lnN - - - 1.2 1.1\nsome group = ln_g ln_h"),
}
SHAPES = {
    "shape": cells(st.sampled_from(["1", "0.5", "2", "-"])).map(lambda row: f"sh_a shape {' '.join(row)}"),
    "shapeN": st.sampled_from(["1", "0.5"]).map(lambda size: f"sh_n shapeN - - {size} {size} -"),
    "shapeU": st.just("sh_u shapeU 1 1 - - -"),
    "statistics": st.sampled_from(["* autoMCStats 0", "one autoMCStats 0 1", "* autoMCStats -1"]),
}


def card_of(rows, folder, *, shapes):
    totals = {name: sum(values) if shapes else values[0] for name, values in TEMPLATES.items()}
    lines = ["title", "imax *", "jmax *", "kmax *", "---"]
    if shapes:
        lines.append("shapes * * in.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC")
        with uproot.recreate(folder / "in.root") as file:
            for channel in ("one", "two"):
                file[f"{channel}/data_obs"] = template((30.0, 25.0, 20.0))
                for name, values in TEMPLATES.items():
                    file[f"{channel}/{name}"] = template(values)
                    for number, which in enumerate(("sh_a", "sh_n", "sh_u"), start=1):
                        slope = np.array([1 + 0.05 * number, 1.0, 1 - 0.02 * number])
                        file[f"{channel}/{name}_{which}Up"] = template(np.array(values) * slope)
                        file[f"{channel}/{name}_{which}Down"] = template(np.array(values) / slope**1.5)
    lines += ["bin one two", f"observation {'75 75' if shapes else '25 31'}", "---"]
    lines += ["bin " + " ".join(where for where, _ in CELLS), "process " + " ".join(name for _, name in CELLS)]
    lines += ["process " + " ".join({"sig": "0", "bkg": "1", "qcd": "2"}[name] for _, name in CELLS)]
    lines += ["rate " + " ".join(f"{totals[name]:g}" for _, name in CELLS), "---", *rows]
    path = folder / "card.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def template(values):
    filled = hist.Hist(hist.axis.Regular(3, 0, 3, name="x"), storage=hist.storage.Weight())
    filled.view()["value"], filled.view()["variance"] = values, np.array(values) * 0.3
    return filled


def some(rows):
    """Some of the constructs, in any order."""
    return st.lists(st.sampled_from(sorted(rows)), unique=True, max_size=6).flatmap(
        lambda names: st.tuples(*(rows[name] for name in names))
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some(ROWS), count=st.sampled_from([None, 0, 4, 17]))
def test_counting_cards_from_the_grammar(rows, count, tmp_path):
    if count is not None:
        rows = [*rows, f"gm_n gmN {count} - - - - {(6.0 / count if count else 6.0)!r}"]
    model = read_model(card_of(rows, tmp_path, shapes=False))
    same(model, written(model, tmp_path / "again"))


def can_be_said(rows):
    """Not two kinds of shapes on one process; and no part of a shapeN where its sum counts, which no entry says."""
    text = " ".join(rows)
    return not ("shape " in text and "shapeN" in text) and not ("shapeN - - 0.5" in text and "autoMCStats" in text)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some(ROWS), shapes=some(SHAPES).filter(can_be_said))
@example(rows=(), shapes=("* autoMCStats -1", "sh_n shapeN - - 1 1 -"))
def test_cards_with_templates_from_the_grammar(rows, shapes, tmp_path):
    model = read_model(card_of([*rows, *shapes], tmp_path, shapes=True))
    same(model, written(model, tmp_path / "again"))


# ---- what a card can't say


def model_with(modifiers=(), *, yields=(20.0, 30.0), signal_in=("SR", "CR"), names=("bkg", "SR"), overrides=None):
    background, region = names
    channels = []
    for name in (region, "CR"):
        strength = (Modifier("normfactor", "mu"),) if name in signal_in else ()
        samples = (Sample("sig", numbers(2, 3), strength), Sample(background, numbers(*yields), tuple(modifiers)))
        channels.append(Channel(name, samples, (0.0, 1.0, 2.0)))
    seen = {region: numbers(23, 31), "CR": numbers(23, 31)}
    return make_model(channels, seen, "mu", overrides=overrides)


def shape(up, down):
    return Modifier("histosys", "tilt", numbers(*up), numbers(*down), interpolation="code4p")


REFUSED = {
    "a shape without events": (model_with([shape((0, 0), (21, 29))]), "the shape tilt of bkg.*no events"),
    "a process without events in sum": (model_with(yields=(20.0, -20.0)), "not above 0, as that of bkg in SR"),
    "a signal in some channels": (model_with(signal_in=("SR",)), "mu scales sig in some channels only"),
    "a blank in a name": (model_with(names=("W jets", "SR")), "the name 'W jets'"),
    "a frozen strength": (model_with(overrides={"mu": {"fixed": True}}), "mu is held at 1"),
    "a factor held elsewhere": (
        model_with(
            [Modifier("normsys", "x", numbers(1.1), numbers(0.9))], overrides={"x": {"inits": [0.5], "fixed": True}}
        ),
        r"x is held at 0\.5",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_a_card_can_not_say_is_refused(name, tmp_path: Path):
    model, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message):
        export_model(model, tmp_path, "x", "combine")
    assert not list(tmp_path.iterdir())


def test_what_is_constant_stays_constant(tmp_path):
    modifiers = [Modifier("normsys", "x", numbers(1.1), numbers(0.9)), Modifier("normfactor", "scale")]
    fixed = {"x": {"fixed": True}, "scale": {"fixed": True, "inits": [1.3]}}
    model = model_with(modifiers, signal_in=("SR", "CR"), overrides=fixed)
    again = written(model, tmp_path)
    assert again.parameter("x").fixed == (True,)
    assert (again.parameter("scale").fixed, again.parameter("scale").inits) == ((True,), (1.3,))
