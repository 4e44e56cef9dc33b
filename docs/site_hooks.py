"""Hooks of mkdocs: the pages link to files of the repository as on GitHub, and the site follows."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)+[^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to the repository, and copy images from there into the site."""

    def moved(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        path, hash_, anchor = target.partition("#")
        file = (Path(page.file.abs_src_path).parent / path).resolve()
        if file.is_relative_to(config.docs_dir) or not file.is_relative_to(ROOT) or not file.exists():
            return match[0]  # a page of the site, or a broken link, which a strict build refuses
        inside = file.relative_to(ROOT).as_posix()
        if image:
            if files.get_file_from_path(f"repository/{inside}") is None:
                files.append(File.generated(config, f"repository/{inside}", abs_src_path=str(file)))
            here = posixpath.dirname(page.file.src_uri)
            return f"![{text}]({posixpath.relpath(f'repository/{inside}', here or '.')})"
        kind = "tree" if file.is_dir() else "blob"
        return f"[{text}]({config.repo_url.rstrip('/')}/{kind}/main/{inside}{hash_}{anchor})"

    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)
