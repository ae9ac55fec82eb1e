"""Checks the links of the built site: python docs/check_site.py FOLDER.

Each link within the site must lead to a file, and to a place in it. Nothing but what a
reader clicks may lead to another host: the site loads nothing from elsewhere.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.places = set(), set(), {"", "top"}
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = {name: value or "" for name, value in attributes}
        for name in ("id", "name") if tag == "a" else ("id",):
            self.places.add(attributes.get(name, ""))
        href = attributes.get("href")
        if href is not None:
            # Relations such as "next" and "canonical" name pages; a browser loads none.
            relations = {"stylesheet", "icon", "preload", "modulepreload"}
            is_loaded = relations & set(attributes.get("rel", "").split())
            (self.loaded if tag == "link" and is_loaded else self.links).add(href)
        for name in ("src", "data", "poster"):
            if name in attributes and (name != "data" or tag == "object"):
                self.loaded.add(attributes[name])
        for candidate in attributes.get("srcset", "").split(","):
            self.loaded.update(candidate.split()[:1])
        self.loaded.update(urls_of_css(attributes.get("style", "")))
        self._in_style = tag == "style"

    def handle_data(self, data):
        if self._in_style:
            self.loaded.update(urls_of_css(data))

    def handle_endtag(self, tag):
        self._in_style = False


def urls_of_css(text):
    urls = re.findall(r"url\(\s*['\"]?([^'\")]+)['\"]?\s*\)", text)
    return [*urls, *re.findall(r"@import\s+['\"]([^'\"]+)", text)]


def check(folder):
    """Returns a line for each link of the site that is broken or leaves it unasked."""
    folder = folder.resolve()
    pages = {path: Page(path.read_text()) for path in sorted(folder.rglob("*.html"))}
    found = []

    def follow(source, url, is_loaded):
        parts = urlsplit(url)
        name = source.relative_to(folder)
        if parts.scheme == "data":
            return
        if parts.scheme or parts.netloc:
            if is_loaded:
                found.append(f"{name}: loads {url}")
            return
        target = source
        if parts.path:
            target = (source.parent / unquote(parts.path)).resolve()
        if target.is_dir():
            target /= "index.html"
        if not target.is_relative_to(folder) or not target.is_file():
            found.append(f"{name}: {url} is not there")
        elif target in pages and unquote(parts.fragment) not in pages[target].places:
            found.append(f"{name}: {url} names no place of the page")

    for path, page in pages.items():
        for url in sorted(page.links):
            follow(path, url, is_loaded=False)
        for url in sorted(page.loaded):
            follow(path, url, is_loaded=True)
    for path in sorted(folder.rglob("*.css")):
        for url in urls_of_css(path.read_text()):
            follow(path, url, is_loaded=True)
    if not pages:
        found.append(f"{folder} holds no page")
    return found


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    print("\n".join(found) or "The links of the site are right.")
    sys.exit(bool(found))
