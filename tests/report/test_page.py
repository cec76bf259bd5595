"""The page: complete, self-contained, escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers import made_run
from helpers.made_run import reported

from colonnade.cli import main
from colonnade.plotting import PlotSettings
from colonnade.plotting.draw import draw_all
from colonnade.plotting.lines import Line, LinePlot
from colonnade.plotting.style import Picture
from colonnade.report import PageSection, read_images, write_page
from colonnade.report.sections import SECTIONS

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects what tests ask about, and refuses tags that don't match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.stack, self.tables, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] not in ("style", "script"):
            self.words.append(data)
        if {"td", "th"} & set(self.stack):
            self.tables[-1][-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def report(folder):
    return Page(reported(folder).read_text(encoding="utf-8"))


def change(folder, name, edit):
    path = folder / f"{name}.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def page(drawn_run):
    return read(drawn_run)


def test_all_sections_with_their_anchors(page):
    names = [attributes["id"] for attributes in page.all("section")]
    assert names == [section.__name__ for section in SECTIONS.values() if section.__name__ in names]
    assert {"summary", "results", "yields", "histograms", "cutflow", "losses", "provenance"} <= set(names)
    targets = {attributes.get("id") for _, attributes in page.tags}
    links = [attributes["href"] for attributes in page.all("a")]
    assert {f"#{name}" for name in names} <= set(links)
    assert all(link[1:] in targets for link in links)
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_nothing_is_loaded_from_outside(page, drawn_run):
    for _, attributes in page.tags:
        for key in ("src", "href", "action", "srcset", "data", "poster"):
            assert re.match(r"(#|data:)", attributes.get(key, "#")), attributes
    text = (drawn_run / "report.html").read_text()
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "://" not in re.sub(r"data:[^\"]*", "", text)


def test_the_page_s_policy_allows_its_own_script_alone(drawn_run):
    text = (drawn_run / "report.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text
    assert "<script" not in text.replace("<script>", "", 1)


def test_pictures_are_inside_and_described(page, drawn_run):
    images = [attributes for attributes in page.all("img") if "src" in attributes]
    drawn = list((drawn_run / "plots").rglob("*.png"))
    assert len(images) == len(drawn)
    held = {base64.b64decode(attributes["src"].partition(",")[2]) for attributes in images}
    assert held == {path.read_bytes() for path in drawn}
    assert all(len(attributes["alt"]) > 10 for attributes in images)
    assert all(attributes["width"] and attributes["height"] for attributes in images)
    assert {attributes["data-region"] for attributes in page.all("figure")} == {"", "CR_mm", "SR1_mm"}


def test_structure_for_screen_readers(page):
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert page.all("meta")[1]["content"].startswith("width=device-width")
    assert all(attributes.get("scope") for attributes in page.all("th"))
    # a table that is too wide scrolls inside itself, by keyboard too
    regions = [attributes for attributes in page.all("div") if attributes.get("class") == "scroll"]
    assert len(regions) == len(page.all("table"))
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in regions)


def test_headlines(page):
    assert "Dark matter in events with a lepton pair" in page.text
    assert "139 fb⁻¹" in page.text
    assert "√ s = 13 TeV" in page.text
    assert "380 000" in page.text
    assert "Highest expected Z" in page.text
    # of the limits 0.20, 0.43, 1.01 and 2.4 on the signal strength
    assert re.search(r"Effective theory, expected 2 of 4 points excluded m Z ?′ = 130 to 400 GeV", page.text)
    assert "every expected event is in the result" in page.text
    assert "blinded" in page.text


def table_with(page, head):
    return next(table for table in page.tables if head in table[0])


def test_yields_are_the_cutflow_s(page, drawn_run):
    cutflow = json.loads((drawn_run / "cutflow.json").read_text())
    table = table_with(page, "Prediction")
    rows = {row[0]: row for row in table[1:]}
    last = cutflow["ttbar_2018"]["SR1_mm"][-1]
    # before the processes, of two cells each: region, data, and three of the prediction
    shown = rows["SR1 μμ"][5 + 2 * (table[0].index("tt\u0304") - 3) :]
    value, error = (float(re.sub(r"[^\d.]", "", cell)) for cell in shown[:2])
    assert value == pytest.approx(last["weighted"], abs=error)
    assert error == pytest.approx(last["error"], rel=0.15)
    assert len(rows) == len(made_run.region_names(("mm",)))


def test_blinded_data_are_nowhere(page):
    table = table_with(page, "Data")
    shown = {row[0]: row[table[0].index("Data")] for row in table[1:]}
    assert shown["SR1 μμ"] == shown["SR3 μμ"] == shown["CC μμ"] == "blinded"
    assert shown["CR μμ"].replace("\u202f", "").isdigit()
    assert "Observed values are not computed" in page.text
    assert "Z observed" not in page.text


def test_data_that_slipped_into_a_cutflow_stay_hidden(own_run):
    def slip(content):
        for table in content["data_2018"].values():
            table.append(
                {"cut": "mll > 110 GeV", "raw": 987654, "weighted": 987654.0, "error": 1.0, "n_minus_one": None}
            )

    change(own_run, "cutflow", slip)
    assert "987 654" in report(own_run).text
    regions = ["CR_mm", "CR_em", "SR1_mm", "SR2_mm", "SR3_mm", "CC_mm"]
    change(own_run, "provenance", lambda content: content.update(signal_regions=regions))
    assert "987 654" not in report(own_run).text


def test_unblinded_results(tmp_path):
    folder = made_run.make_run(tmp_path / "run", count=1, unblind=True, plane=False)
    found = report(folder)
    assert "unblinded" in found.text
    points = table_with(found, "Z observed")
    assert points[1][points[0].index("μ̂")] == "0.2 ± 0.6"
    table = table_with(found, "Prediction")
    assert all(row[1] != "blinded" for row in table[1:])


def test_what_is_seen_is_measured_and_not_excluded(tmp_path):
    folder = made_run.make_run(tmp_path / "run", count=1, unblind=True, plane=False)

    def page_of(significance):
        def see(content):
            for point in content["points"]:
                point["significance"]["observed"], point["mu_hat"] = 0.5, {"value": 0.1, "error": 0.2}
            point["significance"]["observed"], point["mu_hat"] = significance, {"value": 0.907, "error": 0.078}

        change(folder, "fit", see)
        return report(folder).text

    weak = page_of(4.9)
    assert "Highest expected Z" in weak
    assert "expected to be excluded" in weak
    found = page_of(6.04)
    assert re.search(r"Signal strength μ\s*0\.91 ± 0\.08", found)
    assert "Highest expected Z" not in found
    assert "expected to be excluded" not in found


def test_limits(page, drawn_run):
    fit = json.loads((drawn_run / "fit.json").read_text())
    table = table_with(page, "Z expected")
    assert len(table) == 1 + len(fit["points"])
    first = fit["points"][0]
    row = table[1]
    assert row[0] == "DH, mZ′ = 130 GeV"
    assert row[table[0].index("Z expected")] == f"{first['significance']['expected']:.2f}"
    assert float(row[table[0].index("Limit on μ, expected")]) == pytest.approx(first["limit"]["expected"][2], rel=5e-3)


def test_cutflow_tables(page, drawn_run):
    table = table_with(page, "Cut")
    assert [row[0] for row in table[1:]][:2] == ["all events", "two leptons"]
    assert "N−1" in page.text
    # of the first region: expected events, raw events, and what all cuts but one leave
    kinds = [table for table in page.tables if table[0][0] == "Cut"][:3]
    cutflow = json.loads((drawn_run / "cutflow.json").read_text())
    rows = {row["cut"]: row["n_minus_one"] for row in cutflow["ttbar_2018"]["CR_mm"]}
    column = 2 * kinds[2][0].index("tt̄") - 1
    shown = {row[0]: float(re.sub(r"[^\d.]", "", row[column])) for row in kinds[2][1:]}
    expected = {cut: row["weighted"] for cut, row in rows.items() if row is not None}
    assert shown == pytest.approx(expected, rel=0.02)


def test_provenance(page):
    assert "colonnade run workflows/dilepton_met.yaml" in page.text
    assert "2026.9.0" in page.text
    assert "luminosity_uncertainty: 0.017" in page.text


@pytest.mark.parametrize(("allowed", "state"), [(0.0, "bad"), (0.05, "warn")])
def test_losses(tmp_path, allowed, state):
    folder = made_run.make_run(tmp_path / "run", count=1, lost=True, allow_loss=allowed, plane=False)
    found = report(folder)
    (banner,) = [attributes for attributes in found.all("p") if "banner" in attributes.get("class", "")]
    assert state in banner["class"]
    assert ("role" in banner) == (state == "bad")
    assert "basket 12 of branch Muon_pt can't be decompressed" in found.text
    assert "2 500" in found.text
    assert [attributes.get("class") for attributes in found.all("tr")].count("hit") == 1
    # the first thing on the page after the link to the content
    assert found.text.index("Events were lost" if state == "bad" else "Some events") < found.text.index("Summary")


def test_no_loss_no_banner(page):
    assert not [attributes for attributes in page.all("p") if "banner" in attributes.get("class", "")]
    assert "No event was lost" in page.text


HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(1)>'


def test_everything_from_the_run_is_escaped(own_run):
    histograms, _ = made_run.make_histograms(1, ("mm",), plane=False)
    for processes in histograms.values():
        processes[HOSTILE] = processes.pop("ww")
    made_run.write_zip(histograms, own_run / "histograms.zip")

    def ledger(content):
        content["datasets"][HOSTILE] = content["datasets"].pop("ww_2018") | {
            "process": HOSTILE,
            "lost": [{"file": HOSTILE, "start": 0, "stop": 5, "reason": HOSTILE}],
        }

    def cutflow(content):
        rows = content.pop("ww_2018")
        content[HOSTILE] = {region: [{**row, "cut": HOSTILE} for row in table] for region, table in rows.items()}

    def fit(content):
        content["points"][0]["parameters"]["model"] = HOSTILE
        content["parameters"][0]["name"] = HOSTILE
        content["counting"][0]["region"] = HOSTILE
        content["decisions"] = [{"kind": HOSTILE, "subject": HOSTILE, "what": HOSTILE, "where": [HOSTILE]}]

    def provenance(content):
        content["config"]["plots"] = {"region_titles": {"CR_mm": HOSTILE}}
        content.update(command=HOSTILE, title=HOSTILE, extra={HOSTILE: HOSTILE}, finished=HOSTILE)
        content["environment"]["packages"] = {HOSTILE: HOSTILE}
        content["config"][HOSTILE] = HOSTILE

    for name, edit in (("ledger", ledger), ("cutflow", cutflow), ("fit", fit), ("provenance", provenance)):
        change(own_run, name, edit)
    found = report(own_run)
    assert found.text.count("<script>alert") >= 12
    assert len(found.all("script")) == 1
    assert not [attributes for attributes in found.all("img") if attributes.get("src") == "x"]
    assert not [attributes for _, attributes in found.tags if any(key.startswith("on") for key in attributes)]


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        (("fit.json",), {"results"}),
        (("cutflow.json",), {"cutflow"}),
        (("histograms.zip", "fit.json"), {"results", "yields"}),
        (("histograms.zip", "cutflow.json", "fit.json"), {"results", "yields", "cutflow"}),
    ],
)
def test_a_section_is_there_when_its_file_is(own_run, missing, gone):
    for name in missing:
        (own_run / name).unlink()
    names = {attributes["id"] for attributes in report(own_run).all("section")}
    never = {"histograms", "classifiers", "bumps", "experiments", "fit", "systematics"}  # of which this run has nothing
    assert names == {section.__name__ for section in SECTIONS.values()} - gone - never


def test_a_run_of_data_alone(own_run):
    histograms, _ = made_run.make_histograms(1, ("mm",), plane=False)
    made_run.write_zip({"mll": {"data": histograms["mll"]["data"]}}, own_run / "histograms.zip")
    change(own_run, "ledger", lambda c: c.update(datasets={"data_2018": c["datasets"]["data_2018"]}))
    change(own_run, "cutflow", lambda c: [c.pop(name) for name in list(c) if name != "data_2018"])
    (own_run / "fit.json").unlink()
    found = report(own_run)
    assert table_with(found, "Data")[0] == ["Region", "Data"]
    assert "Backgrounds" not in found.text
    change(own_run, "provenance", lambda content: content.update(signal_regions=[]))
    words = report(own_run).text
    assert "no signal region" in words
    assert "blinded" not in words


def test_a_page_of_ones_own(tmp_path):
    plot = LinePlot((Line("a", np.arange(3.0), np.ones(3)),), "m", "z")
    draw_all([Picture("one", "toys", "a picture of toys", plot)], tmp_path / "plots", PlotSettings(resolution=50))
    template = '{% import "macros.html" as m %}<p>{{ words }} {{ 2000 | grouped }}</p>{{ m.figure(images[0]) }}'
    section = PageSection("Toys & co", template, {"words": HOSTILE, "images": read_images(tmp_path / "plots")})
    path = write_page(HOSTILE, [section], tmp_path / "study.html")
    page = Page(path.read_text())
    assert [each["alt"] for each in page.all("img") if "src" in each] == ["a picture of toys"]
    assert page.text.count("<script>alert") == 3  # in the title, the heading and the section
    assert len(page.all("script")) == 1
    assert [each["id"] for each in page.all("section")] == ["Toys_co"]


def test_same_bytes(own_run):
    first = reported(own_run).read_bytes()
    assert reported(own_run).read_bytes() == first


def test_command(own_run, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["report", str(own_run)])
    assert caught.value.code == 0
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda run: run.rename(run.with_name("other")), "is not a folder"),
        (lambda run: (run / "ledger.json").write_text("{"), "not valid JSON"),
        (lambda run: (run / "cutflow.json").write_text('{"a": {"b": [{"cut": 1}]}}'), "a.b.0"),
        (lambda run: (run / "histograms.zip").write_bytes(b""), "can't be read as histograms"),
        (lambda run: (run / "provenance.json").unlink(), "says what is blinded"),
    ],
)
def test_errors_are_one_sentence(own_run, capsys, edit, words):
    edit(own_run)
    with pytest.raises(SystemExit) as caught:
        main(["report", str(own_run)])
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert words in told
    assert told.count("\n") == 1
    assert "Traceback" not in told
