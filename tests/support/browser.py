"""A headless Chromium that opens a file and returns what a script in it has collected."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def collected(page: Path, script: str, fragment: str = "") -> Any:
    """Return what the body of an async function, run in the page, has pushed to `out`.

    The function may `await wait()` for the page to follow. Errors of the page fail the test.
    """
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    injected = f"""<script>
      const out = [], wrong = [];
      addEventListener("error", (event) => wrong.push(event.message));
      addEventListener("unhandledrejection", (event) => wrong.push(String(event.reason)));
      const wait = () => new Promise((done) => setTimeout(done, 100));
      addEventListener("load", async () => {{
        while (!document.body.dataset.answer && !wrong.length) await wait();
        if (!wrong.length) await (async () => {{ {script} }})().catch((error) => wrong.push(String(error)));
        const made = document.createElement("pre");
        made.id = "collected";
        made.textContent = JSON.stringify([out, wrong]);
        document.body.append(made);
      }});
    </script>"""
    tested = page.with_name(f"tested_{page.name}")
    tested.write_text(
        page.read_text(encoding="utf-8").replace("<main>", f"{injected}<main>", 1), encoding="utf-8"
    )
    done = subprocess.run(
        [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000",
            f"--user-data-dir={page.parent / 'browser'}", "--dump-dom", f"{tested.as_uri()}{fragment}",
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="collected">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    out, wrong = json.loads(html.unescape(found[1]))
    assert not wrong, wrong
    return out
