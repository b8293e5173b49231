"""An audit as one HTML file: what was found, with pictures, and a place to decide."""

import base64
import io
import json
from dataclasses import dataclass

from PIL import Image

from stainproof.audit.checks import Audit
from stainproof.audit.findings import KINDS, Finding, Kind, to_csv
from stainproof.audit.measurements import square
from stainproof.audit.summary import AuditSummary
from stainproof.data.images import Images
from stainproof.reports.frame import read_template

TEMPLATE_FILE = "audit.html.jinja"
MOST_PICTURES_A_GROUP = 24
MOST_PICTURES_A_KIND = 240

MEANINGS: dict[Kind, str] = {
    "unreadable": "Files that cannot be read as images.",
    "exact_duplicate": "The same pixels more than once, turned and mirrored copies too. "
    "One of each group stays.",
    "near_duplicate": "Nearer to each other than two cells of this set can be: stored again, "
    "resized, brightened. The score is their distance, below the threshold. One stays.",
    "label_conflict": "One image under two labels. All copies are set aside: nobody can tell "
    "from here which label is right.",
    "doctored": "A foreign picture is blended in. In a group it is the same picture at the same "
    "place; the score is the agreement with it, above what turned images reach. Alone, the score "
    "says how far the image lies on the side of cells blended with made-up pictures.",
    "outlier": "Light, focus, colour or size far from the rest. A person should look.",
    "label_suspect": "A model that never saw the image hardly believes its label; the score is "
    "that belief, below the threshold. A person should look.",
}


@dataclass(frozen=True)
class Card:
    """One picture in the gallery."""

    file: str
    label: str
    score: str
    reason: str
    picture: str
    """Data URI; empty for a file without pixels."""


@dataclass(frozen=True)
class Group:
    """Findings that stand or fall together."""

    key: str
    """Kind and group or file: what a decision is about."""
    name: str
    action: str
    num_files: int
    cards: tuple[Card, ...]
    foreign: str
    """Data URI of the shared foreign picture, where there is one."""


@dataclass(frozen=True)
class Section:
    """All findings of one kind."""

    kind: Kind
    meaning: str
    num_files: int
    groups: tuple[Group, ...]
    num_hidden: int
    """Groups and single files that the page has no room for; they are in audit.csv."""


def render_audit(audit: Audit, summary: AuditSummary, *, review: bool) -> str:
    """Return the page of an audit.

    Args:
        audit: The findings and where the pictures are.
        summary: The figures.
        review: Whether findings can be refused and the decisions saved.

    Returns:
        HTML that needs no network. A person's decisions are saved as an `audit.csv` without what
        they refused, and with `drop` for what they were asked to look at and want to go;
        `stainproof clean --audit` takes it.
    """
    positions = {name: index for index, name in enumerate(audit.listing.names)}
    sections = [_section(audit, kind, positions) for kind in KINDS]
    return read_template(TEMPLATE_FILE).render(
        summary=summary,
        sections=[section for section in sections if section.num_files],
        review=review,
        findings=json.dumps(_rows(audit)) if review else "[]",
        header=to_csv([]).strip(),
    )


def group_key(found: Finding) -> str:
    """Return what a decision on this finding is about: its group, or the file alone."""
    return f"{found.kind} {found.group or found.file}"


def _rows(audit: Audit) -> list[list[str]]:
    return [
        [group_key(one), one.action, to_csv([one]).split("\n", 1)[1].strip("\n")]
        for one in audit.findings
    ]


def _section(audit: Audit, kind: Kind, positions: dict[str, int]) -> Section:
    findings = [one for one in audit.findings if one.kind == kind]
    groups: dict[str, list[Finding]] = {}
    for one in findings:
        groups.setdefault(group_key(one), []).append(one)
    shown: list[Group] = []
    room = MOST_PICTURES_A_KIND
    for key, members in groups.items():
        if room <= 0:
            break
        shown.append(_group(audit, key, members, positions))
        room -= len(shown[-1].cards)
    num_files = len({one.file for one in findings})
    return Section(kind, MEANINGS[kind], num_files, tuple(shown), len(groups) - len(shown))


def _group(audit: Audit, key: str, members: list[Finding], positions: dict[str, int]) -> Group:
    first = members[0]
    shown = members[:: -(-len(members) // MOST_PICTURES_A_GROUP)]
    foreign = audit.foreign_pictures.get(first.group) if first.kind == "doctored" else None
    return Group(
        key=key,
        name=first.group,
        action=first.action,
        num_files=len(members),
        cards=tuple(_card(audit, one, positions[one.file]) for one in shown),
        foreign=_data_uri(foreign) if foreign is not None else "",
    )


def _card(audit: Audit, found: Finding, index: int) -> Card:
    picture = "" if found.kind == "unreadable" else _data_uri(square(audit.listing, index))
    return Card(
        file=found.file,
        label=audit.listing.classes[audit.listing.labels[index]],
        score=f"{found.score:.3g}",
        reason=audit.reasons.get((found.file, found.kind), ""),
        picture=picture,
    )


def _data_uri(rgb: Images) -> str:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
