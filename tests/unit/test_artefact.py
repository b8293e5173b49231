"""How results show themselves in Python and in Jupyter."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from stainproof.audit.summary import AuditSummary
from stainproof.evaluation.result import Evaluation
from stainproof.runs.artefact import Described, html_table
from stainproof.runs.card import Card

DATA = Path(__file__).parents[1] / "data"
HOSTILE = '<script>alert("1")</script>\'&'


class Cells(HTMLParser):
    """Collects tags and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def card() -> Card:
    return Card.read(DATA / "run_v2" / "card.json")


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation.read(DATA / "run_v2" / "eval.json")


@pytest.fixture
def summary() -> AuditSummary:
    summary = AuditSummary.read(DATA / "audit_v2" / "audit.json")
    counts = {"findings": {"near_duplicate": 5, "outlier": 2}, "groups": {"near_duplicate": 2}}
    return summary.model_copy(update=counts)


def test_a_card_shows_what_was_trained(card: Card) -> None:
    lines = repr(card).splitlines()
    assert lines[0] == "Card" and len(lines) == 7
    assert "6,452 parameters, input 32 x 32 px" in lines[2]
    assert str(card) == repr(card)


def test_an_evaluation_shows_its_metrics_and_in_jupyter_its_classes(
    evaluation: Evaluation,
) -> None:
    lines = repr(evaluation).splitlines()
    assert lines[0] == "Evaluation" and len(lines) <= 8
    assert any(evaluation.accuracy.percent() in line for line in lines)
    shown = Cells(evaluation._repr_html_())
    assert shown.tags.count("table") == 2
    for text in (evaluation.macro_f1.percent(), "sensitivity", *evaluation.classes):
        assert text in shown.texts


def test_an_audit_shows_its_findings(summary: AuditSummary) -> None:
    values = [line.split("  ")[-1].strip() for line in repr(summary).splitlines()]
    assert "5 files in 2 groups" in values and "2 files" in values
    assert "near duplicate" in Cells(summary._repr_html_()).texts


def test_html_escapes_every_text(card: Card, evaluation: Evaluation, summary: AuditSummary) -> None:
    per_class = (evaluation.per_class[0].model_copy(update={"name": HOSTILE}),)
    shown: list[Described] = [
        card.model_copy(update={"classes": (HOSTILE, "b"), "stopped": HOSTILE}),
        evaluation.model_copy(update={"source": HOSTILE, "per_class": per_class}),
        summary.model_copy(update={"compared_with": HOSTILE, "source": HOSTILE}),
    ]
    for one in shown:
        cells = Cells(one._repr_html_())
        assert set(cells.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
        assert any(HOSTILE in text for text in cells.texts)
    cells = Cells(html_table((HOSTILE,), [(HOSTILE, HOSTILE)], HOSTILE))
    assert cells.texts == [HOSTILE] * 4
