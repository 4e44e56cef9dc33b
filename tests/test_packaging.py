"""Packaging: one version, tested bounds, and workflows that run what exists."""

import ast
import datetime
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from lowest import constraints

import splitee

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))


def load(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    document = yaml.load(text, Loader=yaml.BaseLoader)  # the SafeLoader reads the key `on` as True
    assert isinstance(document, dict), path.name
    return document


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_version_is_written_once_and_the_citation_agrees() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "splitee.__version__"}
    assert load(ROOT / "CITATION.cff")["version"] == splitee.__version__
    assert f"## [{splitee.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_setuptools_reads_the_version_without_importing_the_package() -> None:
    tree = ast.parse((ROOT / "splitee" / "__init__.py").read_text(encoding="utf-8"))
    assigned = [
        n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__version__"
    ]
    assert [ast.literal_eval(n.value) for n in assigned] == [splitee.__version__]


def test_importing_loads_nothing_heavy() -> None:
    heavy = "numpy|numba|pandas|pyarrow|matplotlib|scipy|torch|click|rich"
    code = f"import sys, splitee; print([m for m in sys.modules if m in {heavy.split('|')!r}])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"


def test_addresses_and_licence_agree_everywhere() -> None:
    citation = load(ROOT / "CITATION.cff")
    urls = PROJECT["urls"]
    site = load_mkdocs()
    assert citation["repository-code"] == urls["Repository"] == site["repo_url"]
    assert citation["url"] == urls["Documentation"] == site["site_url"].rstrip("/")
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert urls["Issues"].startswith(urls["Repository"])
    assert urls["Changelog"].startswith(urls["Repository"])


def test_classifiers_name_the_versions_that_are_tested() -> None:
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}
    matrix = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert named == set(matrix["python"])
    assert PROJECT["requires-python"] == f">={min(named)}"


def test_lowest_versions_are_those_of_pyproject() -> None:
    written = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8")
    assert written == constraints(), "run: python tests/support/lowest.py > constraints-lowest.txt"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_what_exists(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}  # what more a job needs, it says itself
    for job in workflow["jobs"].values():
        for needed in [job.get("needs", [])] if isinstance(job.get("needs"), str) else job.get("needs", []):
            assert needed in workflow["jobs"]
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step)
        for line in step.get("run", "").splitlines():
            words = shlex.split(line)
            if words[0] == "make":
                assert set(words[1:]) <= TARGETS, line


def test_ci_lints_tests_packages_and_builds_the_documentation() -> None:
    run = {step["run"] for step in steps(load(ROOT / ".github" / "workflows" / "ci.yml")) if "run" in step}
    assert {"make lint", "make test", "make lowest", "make package", "make docs"} <= run


def test_a_tag_is_published_by_trust_and_not_by_a_token() -> None:
    release = load(ROOT / ".github" / "workflows" / "release.yml")
    assert release["on"] == {"push": {"tags": ["v*"]}}
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    used = [step["uses"] for step in publish["steps"]]
    assert used[-1].startswith("pypa/gh-action-pypi-publish@")
    assert "password" not in str(release)


def test_commands_of_the_makefile_name_files_that_exist() -> None:
    for script in re.findall(r"\bbenchmarks/\w+\.py|\btests/[\w./]+", MAKEFILE):
        assert (ROOT / script).exists(), script
    extras = set(PROJECT["optional-dependencies"])
    for named in re.findall(r"'\.\[([\w,]+)\]'", MAKEFILE):
        assert set(named.split(",")) <= extras


def test_pre_commit_runs_the_tools_that_make_test_installs() -> None:
    config = load(ROOT / ".pre-commit-config.yaml")
    hooks = {hook["id"]: hook for repo in config["repos"] for hook in repo["hooks"]}
    assert {"ruff-check", "ruff-format", "mypy", "end-of-file-fixer", "check-added-large-files"} <= set(hooks)
    dev = {re.split(r"[\[>]", entry)[0] for entry in PROJECT["optional-dependencies"]["dev"]}
    for hook in hooks.values():
        if "entry" in hook:
            assert Path(hook["entry"].split()[0]).name in dev


def test_package_data_is_there() -> None:
    for pattern in PYPROJECT["tool"]["setuptools"]["package-data"]["splitee"]:
        assert list((ROOT / "splitee").glob(pattern)), pattern


class _Loader(yaml.SafeLoader):
    """Of mkdocs.yml: names of Python functions are kept as text."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def load_mkdocs() -> dict:
    return yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=_Loader)


def pages(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for entry in (nav.values() if isinstance(nav, dict) else nav) for page in pages(entry)]


def test_every_page_is_in_the_navigation_once() -> None:
    docs = ROOT / "docs"
    listed = pages(load_mkdocs()["nav"])
    assert sorted(listed) == sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))


def test_the_reference_has_every_public_name() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    documented = re.findall(r"^::: splitee\.(\w+)$", text, re.MULTILINE)
    assert sorted(documented) == sorted(set(splitee.__all__) - {"__version__"})


def test_the_changelog_is_dated_or_unreleased() -> None:
    heading = re.search(
        r"^## \[[\d.]+\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert heading
    if heading[1] != "unreleased":
        datetime.date.fromisoformat(heading[1])
