import re
from html.parser import HTMLParser

import small_tasks

from keras_wconv.experiments import comparison, report


class Checker(HTMLParser):
    """Collects what a page would load, and checks that its tags are closed."""

    VOID = ("meta", "img")

    def __init__(self):
        super().__init__()
        self.open, self.loaded = [], []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_text_is_escaped(tmp_path):
    page = report.Page("a < b & c")
    page.heading("<h>")
    page.text("<script>")
    page.code("x < y")
    page.table(["<th>"], [["<td>"]])
    page.write(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<script>" not in text and "<td><td>" not in text
    checker = Checker()
    checker.feed(text)
    assert not checker.open


def test_report_of_a_comparison(tmp_path):
    task = small_tasks.denoising(epochs=1)
    results = comparison.compare(
        task,
        tmp_path,
        search=comparison.search_among([[0.5], [0.9]]),
        seeds=(0, 1),
        arms="ABL",
    )
    report.write_comparison(results, command="keras-wconv compare --controls")
    markdown = (tmp_path / "report.md").read_text()
    assert results.conclusion() in markdown
    assert "keras-wconv compare --controls" in markdown
    assert "noisy PSNR" in markdown and "Test noisy_psnr of every run: " in markdown
    for name in results.effects():
        assert f"| {name} |" in markdown
    for name in re.findall(r"\]\((\w+\.png)\)", markdown):
        assert (tmp_path / name).stat().st_size > 5_000
    checker = Checker()
    checker.feed((tmp_path / "report.html").read_text())
    assert not checker.open
    assert len(checker.loaded) == 2
    assert all(value.startswith("data:image/png;base64,") for value in checker.loaded)
