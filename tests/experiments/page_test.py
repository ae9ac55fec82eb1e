from page_checker import PageChecker

from keras_wconv.experiments import Page


def test_text_is_escaped(tmp_path):
    page = Page("a < b & c")
    page.heading("<h>")
    page.text("<script>")
    page.code("x < y")
    page.table(["<th>"], [["<td>"]])
    page.write(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<script>" not in text and "<td><td>" not in text
    checker = PageChecker()
    checker.feed(text)
    assert not checker.open
