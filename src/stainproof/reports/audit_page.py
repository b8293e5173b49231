"""HTML page of an audit: findings with pictures, filters and, for review, decisions to save."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from stainproof.audit.checks import Audit
from stainproof.audit.findings import (
    COLUMNS,
    KINDS,
    NEW_LABEL_COLUMN,
    Action,
    Finding,
    Kind,
    to_csv,
)
from stainproof.audit.summary import AuditSummary
from stainproof.reports.frame import picture_uri, render_page

MAX_PICTURES_PER_GROUP = 24
MAX_PICTURES_PER_KIND = 240

MEANINGS: dict[Kind, str] = {
    "unreadable": "Files that cannot be read as images.",
    "exact_duplicate": "The same pixels more than once, rotated and mirrored duplicates included. "
    "One of each group is kept.",
    "near_duplicate": "Images closer to each other than two different cells of this source: "
    "re-encoded, resized or brightened. The score is their distance, below the threshold. One of "
    "each group is kept.",
    "label_conflict": "The same image with different labels. All duplicates are set aside, because "
    "the images alone do not show which label is right.",
    "doctored": "An overlay image is blended in. In a group it is the same overlay at the same "
    "place, and the score is the agreement with it, above the maximum of rotated images. For a "
    "single image the score is the signed distance to the decision boundary between cells and "
    "cells blended with synthetic textures.",
    "outlier": "Brightness, focus, colour or size far from the other images. Needs a review.",
    "label_suspect": "The cross-validated probability of the label, given by a model that was not "
    "trained on the image, is below the threshold; it is the score. Needs a review.",
}


@dataclass(frozen=True)
class Card:
    """One image of a group."""

    file: str
    """Name in the source."""
    name: str
    """The same relative to the folder that all files share."""
    label: str
    score: str
    reason: str
    picture: str
    """Data URI; empty for a file without pixels."""


@dataclass(frozen=True)
class Group:
    """Findings that are decided on together."""

    key: str
    """Kind and group or file: what a decision is about."""
    name: str
    action: Action
    num_files: int
    labels: tuple[str, ...]
    cards: tuple[Card, ...]
    overlay: str
    """Data URI of the shared overlay image, if there is one."""
    can_be_relabelled: bool


@dataclass(frozen=True)
class Section:
    """All findings of one kind."""

    kind: Kind
    meaning: str
    num_files: int
    groups: tuple[Group, ...]
    num_hidden: int
    """Groups and single files beyond `MAX_PICTURES_PER_KIND`; they are in audit.csv only."""


def render_audit(audit: Audit, summary: AuditSummary, *, review: bool) -> str:
    """Return the page of an audit as one self-contained HTML text.

    Args:
        audit: The findings and the images.
        summary: The summary of the audit.
        review: Whether a person can decide on findings and save the decisions. They are saved as an
            `audit.csv` without the rejected findings, with `drop` for reviewed images to set aside
            and with new labels in a further column; `stainproof clean --audit` takes it.
    """
    folder = common_folder(audit.listing.names)
    sections = [_section(audit, kind, folder) for kind in KINDS]
    return render_page(
        "audit.html.jinja",
        source=summary.source,
        provenance=summary.provenance,
        summary=summary,
        sections=[section for section in sections if section.num_files],
        classes=audit.listing.classes,
        folder=folder,
        review=review,
        rows=_rows(audit.findings) if review else [],
        header=",".join([*COLUMNS, NEW_LABEL_COLUMN]),
    )


def common_folder(names: Iterable[str]) -> str:
    """Return the folder that all names begin with; empty if there is none."""
    folders = {name.rpartition("/")[0] for name in names}
    try:
        return "" if "" in folders else os.path.commonpath(folders)
    except ValueError:
        return ""


def group_key(found: Finding) -> str:
    """Return what a decision on this finding is about: its group, or the file alone."""
    return f"{found.kind} {found.group or found.file}"


def action_if_relabelled(found: Finding) -> Action:
    """Return the action for a finding with a new label: of duplicates one is kept."""
    is_duplicate = found.kind == "label_conflict" or found.action == "keep one"
    return "keep one" if is_duplicate else "review"


def _rows(findings: Iterable[Finding]) -> list[list[str]]:
    """Return key, action, action if relabelled and the row of audit.csv without its action."""
    return [
        [
            group_key(one),
            one.action,
            action_if_relabelled(one),
            to_csv([one]).split("\n", 1)[1].rstrip("\n").removesuffix(f",{one.action}"),
        ]
        for one in findings
    ]


def _section(audit: Audit, kind: Kind, folder: str) -> Section:
    findings = [one for one in audit.findings if one.kind == kind]
    groups: dict[str, list[Finding]] = {}
    for one in findings:
        groups.setdefault(group_key(one), []).append(one)
    positions = {name: index for index, name in enumerate(audit.listing.names)}
    shown: list[Group] = []
    room = MAX_PICTURES_PER_KIND
    for key, members in groups.items():
        if room <= 0:
            break
        shown.append(_group(audit, key, members, positions, folder))
        room -= len(shown[-1].cards)
    num_files = len({one.file for one in findings})
    return Section(kind, MEANINGS[kind], num_files, tuple(shown), len(groups) - len(shown))


def _group(
    audit: Audit, key: str, members: list[Finding], positions: dict[str, int], folder: str
) -> Group:
    first = members[0]
    shown = members[:: -(-len(members) // MAX_PICTURES_PER_GROUP)]
    overlay = audit.overlays.get(first.group) if first.kind == "doctored" else None
    cards = tuple(_card(audit, one, positions[one.file], folder) for one in shown)
    label_of = audit.listing.labels
    labels = {audit.listing.classes[label_of[positions[one.file]]] for one in members}
    return Group(
        key=key,
        name=first.group,
        action=first.action,
        num_files=len(members),
        labels=tuple(sorted(labels)),
        cards=cards,
        overlay="" if overlay is None else picture_uri(Image.fromarray(overlay)),
        can_be_relabelled=first.kind != "unreadable" and overlay is None,
    )


def _card(audit: Audit, found: Finding, index: int, folder: str) -> Card:
    is_readable = found.kind != "unreadable"
    picture = picture_uri(Image.fromarray(audit.listing.read(index).rgb)) if is_readable else ""
    return Card(
        file=found.file,
        name=found.file.removeprefix(folder).lstrip("/") if folder else found.file,
        label=audit.listing.classes[audit.listing.labels[index]],
        score=f"{found.score:.3g}",
        reason=audit.reasons.get((found.file, found.kind), ""),
        picture=picture,
    )
