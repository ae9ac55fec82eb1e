"""What pyproject.toml cannot know: the address of the repository that publishes.

The workflow that releases knows it. README's links are relative, for clones; those of
the package index must be absolute. Elsewhere they stay as they are.
"""

import os
import re
from pathlib import Path
from urllib.parse import urljoin

from setuptools import setup

text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
urls = {}
if "GITHUB_REPOSITORY" in os.environ:
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    home = f"{server}/{os.environ['GITHUB_REPOSITORY']}/"
    ref = os.environ.get("GITHUB_REF_NAME", "HEAD")
    owner, _, name = os.environ["GITHUB_REPOSITORY"].partition("/")

    def absolute(match):
        is_image, text, target = match.groups()
        base = urljoin(home, f"{'raw' if is_image else 'blob'}/{ref}/")
        return f"{is_image}[{text}]({urljoin(base, target)})"

    links = r"(!?)\[((?:!\[[^\]]*\]\([^)]*\)|[^\]])*)\]\(([^)\s]+)\)"
    images = r"(!)\[([^\]]*)\]\(([^)\s]+)\)"
    text = re.sub(links, absolute, re.sub(images, absolute, text))
    urls = {
        "Homepage": home,
        "Documentation": f"https://{owner}.github.io/{name}/",
        "Changelog": urljoin(home, "blob/HEAD/CHANGELOG.md"),
        "Issues": urljoin(home, "issues"),
    }

setup(
    long_description=text,
    long_description_content_type="text/markdown",
    project_urls=urls,
)
