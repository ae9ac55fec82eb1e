"""Reads a page as a browser would."""

from html.parser import HTMLParser


class PageChecker(HTMLParser):
    """Collects what a page would load, and checks that its tags are closed."""

    VOID = ("meta", "img", "input")

    def __init__(self):
        super().__init__()
        self.open, self.loaded = [], []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
