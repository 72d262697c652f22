"""The documentation names only what there is: commands and their options, tests, files; it builds with no network."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from scripts import command_docs

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / place / "README.md" for place in ("terraform", "docker")),
]
SHELL, OTHERS = ("sh", "console"), ("sql", "python", "diff", "json", "mermaid")

# Neither make nor etl.py: what they are, and why no test runs them.
OTHER_PROGRAMS = {
    "aws": "needs an account; docs/deploy.md and docs/operations.md",
    "cp": "copies an example of terraform/, which test_files_that_pages_name_are_there finds",
    "docker": "needs an engine, which was not at hand (docker/README.md)",
    "export": "sets what the next line reads",
    ".venv/bin/pytest": "run by tests/integration/test_add_a_table.py, as it stands there",
    "sling": "another program, beside which this one is put; by hand (docs/comparison.md)",
}
USAGE_ERROR = typer.BadParameter.__mro__[1]  # typer has no public name for it, nor for the next
(MISSING_PARAMETER,) = (kind for kind in typer.BadParameter.__subclasses__() if kind.__name__ == "MissingParameter")
WORD_FOR = {"URL": "postgresql://me@host/x", "KEY": "7", "N": "7", "BATCH": "7", "PLACE": "./x", "DIR": "./x"}


def _blocks(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _commands(page: Path) -> Iterator[list[str]]:
    """The words of each command in the page's blocks; of a block that shows what is said, those behind a `$`."""
    for language, block in _blocks(page):
        if language in SHELL:
            lines = block.replace("\\\n", " ").splitlines()
            if language == "console":
                lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
            for line in lines:
                yield from _words(line)


def _words(line: str) -> Iterator[list[str]]:
    for part in line.split(" && "):
        words = shlex.split(part, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words:
            yield words


def _etl(words: list[str]) -> list[str] | None:
    """The arguments of etl.py; None where it is another program."""
    if words[0] == "etl.py":
        return words[1:]
    return words[2:] if words[:2] == [".venv/bin/python", "scripts/etl.py"] else None


def _parse(arguments: list[str]) -> str:
    """Have etl.py read the arguments as it would, and go no further; the command's name. Refused: UsageError."""
    known = command_docs.commands()
    name = next((" ".join(arguments[:n]) for n in (2, 1) if " ".join(arguments[:n]) in known), None)
    if name is None:
        raise typer.BadParameter(f"there is no command {' '.join(arguments[:2])}")
    known[name].make_context(name, arguments[len(name.split()) :])
    return name


def _ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_every_command_of_a_page_is_there_with_its_options(page: Path) -> None:
    targets, used = command_docs.targets(), set()
    for words in _commands(page):
        arguments = _etl(words)
        if arguments is not None:
            used.add(_parse(arguments))
        elif words[0] == "make":
            named = [word for word in words[1:] if "=" not in word]
            assert named
            assert [name for name in named if name not in targets] == []
        else:
            assert words[0] in OTHER_PROGRAMS, words
    assert [name for name in used if name not in command_docs.RUN_BY] == []


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_every_block_says_what_it_is(page: Path) -> None:
    assert [language for language, _ in _blocks(page) if language not in (*SHELL, *OTHERS)] == []


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_a_command_that_a_sentence_names_is_there_with_its_options(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`((?:etl\.py|make) [^`]+)`", text):
        (words,) = _words(re.sub(r"…|\[.*?\]", "", span))
        if words[0] == "make":
            missing = [word for word in words[1:] if "=" not in word and word not in command_docs.targets()]
            assert missing == [], span
            continue
        if "--help" in words:
            continue
        with suppress(MISSING_PARAMETER):  # a sentence need not say all of it
            _parse([WORD_FOR.get(word, word) for word in words[1:]])


def test_the_parser_refuses_what_is_not_there() -> None:
    for wrong in ("etl.py rnu", "etl.py run --lak x", "etl.py quarantine lst", "etl.py maintain --keep-days often"):
        with pytest.raises(USAGE_ERROR):
            _parse(wrong.split()[1:])


def test_every_command_in_blocks_is_run_by_a_test_that_is_there() -> None:
    for name, node in command_docs.RUN_BY.items():
        assert name in command_docs.commands()
        _assert_test(node)


def test_every_target_is_made_by_something_or_says_why_not() -> None:
    assert [name for name in command_docs.targets() if not list(command_docs.run_by(name))] == []


def test_the_list_of_commands_is_as_new_as_they_are() -> None:
    assert command_docs.TARGET.read_text(encoding="utf-8") == command_docs.render(), "run make commands"


# ---------------------------------------------------------------------------- tests and files that pages name


def _assert_test(node: str) -> None:
    file, _, name = node.partition("::")
    assert (ROOT / file).is_file(), node
    assert not name or re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), node


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    for node in re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", page.read_text(encoding="utf-8")):
        _assert_test(node)


def test_what_always_holds_has_tests_for_each_of_its_ten() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sections = re.split(r"^### \d+\. ", text, flags=re.MULTILINE)[1:]
    assert len(sections) == 10
    assert [section.splitlines()[0] for section in sections if "- `tests/" not in section] == []


def test_scenarios_name_files_of_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]*test_\w+\.py)", text))
    assert len(named) > 15
    assert [name for name in named if not any((ROOT / "tests").rglob(Path(name).name))] == []


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_files_that_pages_name_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:docs|scripts|lib|glue_jobs|terraform|docker)/[\w./-]+\.\w+)`", text)
    named += [words[1] for words in _commands(page) if words[0] == "cp"]
    made_by_hand = ("terraform/backend.hcl", "terraform/terraform.tfvars")
    assert [name for name in named if not (ROOT / name).exists() and name not in made_by_hand] == []


def test_errors_that_the_page_on_recovery_quotes_are_errors_of_the_code() -> None:
    files = [path for folder in ("lib", "glue_jobs", "scripts") for path in (ROOT / folder).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    table = (ROOT / "docs" / "recover.md").read_text(encoding="utf-8").partition("## By what the error says")[2]
    quoted = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(quoted) > 15
    assert [text for text in quoted if text not in code] == []


# ---------------------------------------------------------------------------- the site


def test_the_site_builds_and_calls_nobody(tmp_path: Path) -> None:
    # With --quiet it would count no warnings, and --strict would not be.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")}
    assert len(pages) > 20
    loads = (
        r'(?:<script[^>]*\ssrc|<link[^>]*rel="(?:stylesheet|preconnect|icon)"[^>]*href|<img[^>]*\ssrc)="?(http[^"]*)'
    )
    assert {name: found for name, html in pages.items() if (found := re.findall(loads, html))} == {}
    for name, html in pages.items():
        assert ('class="mermaid"' in html) == ("vendor/mermaid-" in html), name
    assert "vendor/mermaid-" in pages["erd.html"]
    assert (tmp_path / "vendor" / "mermaid-11.17.2.min.js").stat().st_size > 1_000_000
