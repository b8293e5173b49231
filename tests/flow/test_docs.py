import re
from pathlib import Path
from typing import Any

import pytest

from tests.common.scripts import load_script

ROOT = Path(__file__).parents[2]


def load_generator(name: str) -> Any:
    return load_script(ROOT / "docs" / f"{name}.py")


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z][\w-]*", text.replace("--", " option-"))


@pytest.mark.slow
def test_the_page_of_commands_is_up_to_date() -> None:
    generator = load_generator("command_line")
    written = generator.PAGE.read_text(encoding="utf-8")
    assert words(written) == words(generator.page_text()), "run `make docs`"


def test_the_page_of_operations_is_up_to_date() -> None:
    generator = load_generator("operations")
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page_text(), "run `make docs`"


def test_the_tables_of_results_are_those_of_the_benchmarks() -> None:
    generator = load_generator("results_tables")
    benchmarks = generator.BENCHMARKS.read_text(encoding="utf-8")
    for path in generator.PAGES:
        page = path.read_text(encoding="utf-8")
        assert generator.SLOT.search(page)
        assert generator.filled(page, benchmarks) == page, "run `make docs`"


def test_the_outputs_on_the_page_of_sources_are_those_of_the_commands(tmp_path: Path) -> None:
    generator = load_generator("sources_examples")
    page = generator.PAGE.read_text(encoding="utf-8")
    generator.make_examples(tmp_path)
    assert len(generator.OUTPUT.findall(page)) == 8
    assert "large platelet" in generator.MAP_TABLE.search(page)[0]
    assert generator.filled(page, tmp_path) == page, "run `make docs`"


def test_every_file_that_the_readme_points_to_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} points to {target}"
