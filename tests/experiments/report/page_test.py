import numpy as np
from page_checker import PageChecker

from keras_wconv.experiments import Page


def test_text_is_escaped():
    page = Page("a < b & c")
    page.heading("<h>")
    page.text("<script>")
    page.table(["<th>"], [["<td>"]])
    text = page.to_html()
    assert "<script>" not in text and "<td><td>" not in text
    checker = PageChecker()
    checker.feed(text)
    assert not checker.open


def test_markup_is_rendered_and_code_is_not():
    page = Page("title")
    page.text("See `x < y` and **this**, in [all](a/report.md).")
    page.table(["name"], [["`a`"]])
    text = page.to_html()
    assert "<code>x &lt; y</code> and <strong>this</strong>" in text
    assert '<a href="a/report.md">all</a>' in text
    assert "<td><code>a</code></td>" in text and "`" not in text


def test_a_bar_in_a_cell_does_not_end_it():
    page = Page("title")
    page.table(["name"], [["a|b"]])
    assert "<td>a|b</td>" in page.to_html()


def test_one_version_of_a_picture_is_shown_at_a_time(tmp_path):
    page = Page("title")
    flat = np.full((8, 8), 0.5)
    page.pictures("faces", [{"noisy": (flat, "one"), "clean": (flat, "two")}], "Faces.")
    page.write(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert text.count("checked>") == 1 and 'id="faces-1" checked>' in text
    assert ".pictures div > div { display: none;" in text
    for i in range(2):
        assert f"#faces-{i}:checked ~ .pictures div > .faces-{i}" in text
        assert f'<div class="faces-{i}"><img' in text
    assert (tmp_path / "faces.png").read_bytes().startswith(b"\x89PNG")
    checker = PageChecker()
    checker.feed(text)
    assert not checker.open and len(checker.loaded) == 2
