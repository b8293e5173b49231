"""Model card of a run in Markdown, made from its card and its evaluations.

After Mitchell et al. 2019, "Model Cards for Model Reporting", with the items of the MI-CLAIM
checklist (Norgeot et al. 2020, "Minimum information about clinical artificial intelligence
modeling") in short form. What neither the run nor `About` says is `not stated`.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from stainproof.calibration.record import calibration_of
from stainproof.corruptions.bloodmnist import SEVERITIES
from stainproof.errors import CheckpointError
from stainproof.evaluation.corrupted_result import CORRUPTIONS_FILE, CorruptionEvaluation
from stainproof.evaluation.result import EVALUATION_FILE, MISTAKES_FOLDER, Evaluation
from stainproof.reports import own_files, wording
from stainproof.reports.about import NOT_STATED, About
from stainproof.runs.artefact import Estimate
from stainproof.runs.card import Card
from stainproof.runs.folder import HOME_SOURCES, RunFolder

NUM_MISTAKES = 8
"""Most confident mistakes of each evaluation in the card."""
_SPECIAL = re.compile(r"[\\`*<>\[\]|]")


def render(run: RunFolder, name: str, about: About) -> str:
    """Return the model card as Markdown; texts from files are escaped.

    Args:
        run: A run folder or that of a shipped model.
        name: Name of the model.
        about: What the files do not say.

    Raises:
        CheckpointError: The card or an evaluation cannot be read, or an evaluation is of other
            weights.
    """
    card, folders = run.read_card(), run.evaluation_folders()
    evaluations = [
        (folder, own_files.read_evaluation(run, folder))
        for folder in folders
        if (folder / EVALUATION_FILE).exists()
    ]
    corrupted = [
        (folder, own_files.read_corruptions(run, folder))
        for folder in folders
        if (folder / CORRUPTIONS_FILE).exists()
    ]
    weights = {folder: result.weights_sha256 for folder, result in evaluations}
    weights |= {folder: result.weights_sha256 for folder, result in corrupted}
    for folder, sha256 in weights.items():
        if sha256 != card.weights_sha256:
            raise CheckpointError(f"{folder}: evaluates other weights than the run's; remove it")
    results = [result for _, result in evaluations]
    sections = [
        [f"# Model card: {text(name)}", "", *_facts(run, card, about)],
        ["## Intended use", "", text(about.intended_use), "",
         f"Not intended: {text(about.out_of_scope)}"],
        _training_data(card, about),
        _overview(results, about),
        *(_evaluation(run, folder, result) for folder, result in evaluations),
        *(_corruptions(result) for _, result in corrupted),
        ["## Things that are no cells", "", text(about.not_cells)],
        _checklist(card, results, about),
    ]  # fmt: skip
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def text(value: object) -> str:
    """Return a text on one line, with the characters escaped that have a meaning in Markdown."""
    line = " ".join(str(value).split())
    return _SPECIAL.sub(lambda found: f"\\{found[0]}" if found[0] != "<" else "&lt;", line)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table; cells are escaped."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return lines + [f"| {' | '.join(map(text, row))} |" for row in rows]


def _facts(run: RunFolder, card: Card, about: About) -> list[str]:
    history, calibration = run.read_history(), calibration_of(run, card)
    found = calibration.describe() if calibration else {}
    elapsed_s = history[-1].elapsed_s if history else None
    facts = [
        *wording.facts(card, elapsed_s),
        ("Classes, by name", ", ".join(card.classes)),
        ("What the classes contain", about.classes),
        ("What images must show", about.images),
        ("Calibration", "; ".join(f"{key} {value}" for key, value in found.items()) or "none"),
        ("SHA-256 of the weights", card.weights_sha256),
        ("Made by", f"stainproof {card.provenance.stainproof}, commit {card.provenance.commit}"),
        ("Command", about.repeat or card.provenance.command),
    ]
    return table(("", ""), facts)


def _training_data(card: Card, about: About) -> list[str]:
    data, counts = about.data, card.data.class_counts
    facts = [
        ("Name", data.name),
        ("Description", data.description),
        ("Licence", data.licence),
        ("Published at", data.url or NOT_STATED),
        ("DOI", data.doi or NOT_STATED),
        ("Citation", data.citation),
        ("Acquisition and labels", data.acquisition),
        ("Changes before training", data.changes),
        ("Read from", f"{card.data.source}, {card.data.num_images:,} images"),
        ("SHA-256 of names, labels and pixels", card.data.sha256),
    ]
    rows = [
        (name, *(f"{by_class[name]:,}" for by_class in counts.values())) for name in card.classes
    ]
    return [
        "## Training data", "", *table(("", ""), facts), "",
        "Images by class and split:", "", *table(("class", *counts), rows), "",
        *(f"- {text(note)}" for note in card.data.notes),
    ]  # fmt: skip


def _overview(results: Sequence[Evaluation], about: About) -> list[str]:
    if not results:
        return ["## Evaluations", "", "None. `stainproof evaluate` makes them."]
    sets = [text(about.test_sets), ""] if about.test_sets else []
    rows = [
        (
            result.source,
            f"{result.num_images:,}",
            *(_percent(value) for value in _metrics(result)),
            f"{result.num_in_training:,}",
        )
        for result in results
    ]
    header = ("source", "images", "accuracy", "balanced accuracy", "macro-F1",
              "calibration error", "copies of training images")  # fmt: skip
    basis = dict.fromkeys(result.interval_basis for result in results)
    return [
        "## Evaluations", "", *sets, *table(header, rows), "",
        f"In brackets: {text('; '.join(basis))}. They do not reflect differences between "
        "laboratories, patients and training seeds. The best epoch was chosen on the validation "
        "images, so their figures are optimistic.",
    ]  # fmt: skip


def _metrics(result: Evaluation) -> tuple[Estimate, ...]:
    return (
        result.accuracy,
        result.balanced_accuracy,
        result.macro_f1,
        result.expected_calibration_error,
    )


def _percent(estimate: Estimate | None) -> str:
    return estimate.percent() if estimate else "-"


def _evaluation(run: RunFolder, folder: Path, result: Evaluation) -> list[str]:
    rows = [
        (
            one.name,
            f"{one.num_images:,}",
            _percent(one.sensitivity),
            _percent(one.specificity),
            _percent(one.precision),
            wording.confused_with(result, index) or "-",
        )
        for index, one in enumerate(result.per_class)
        if one.num_images
    ]
    header = ("class", "images", "sensitivity", "specificity", "precision", "confused with")
    lines = [f"### {text(result.source)}", "", *table(header, rows), ""]
    lines += [f"- {text(sentence)}" for sentence in wording.findings(result)]
    lines += [f"- {text(note)}" for note in result.notes]
    return [*lines, *_mistakes(run, folder, result)]


def _mistakes(run: RunFolder, folder: Path, result: Evaluation) -> list[str]:
    """Return the most confident mistakes, with their pictures if these are in the folder."""
    rows = []
    for mistake in result.mistakes[:NUM_MISTAKES]:
        picture = folder / MISTAKES_FOLDER / mistake.picture
        place = picture.relative_to(run.path).as_posix().replace(" ", "%20")
        shown = f"![]({place})" if picture.exists() else text(Path(mistake.name).name)
        confidence = f"{100 * mistake.confidence:.0f} %"
        cells = (shown, text(mistake.true), text(mistake.predicted), confidence)
        rows.append(f"| {' | '.join(cells)} |")
    if not rows:
        return []
    head = table(("image", "class", "predicted", "confidence"), ())
    return ["", "The most confident mistakes:", "", *head, *rows]


def _corruptions(result: CorruptionEvaluation) -> list[str]:
    """Return the balanced accuracy by corruption and severity."""
    rows = [
        (name.replace("_", " "), *(f"{100 * value:.1f}" for value in values),
         f"{100 * sum(values) / len(values):.1f}")
        for name, values in result.balanced_accuracy.items()
    ]  # fmt: skip
    header = ("corruption", *(f"severity {severity}" for severity in SEVERITIES), "mean")
    facts = result.describe()
    return [
        f"## Corruptions: {text(result.source)}", "",
        "Balanced accuracy in % on copies of the images with the corruptions of MedMNIST-C "
        f"(Di Salvo et al. 2024); {facts.pop('source')}. They are made at 224 px, so images that "
        "are not corrupted are resized to 224 px and back too. BE: balanced error relative to that "
        "of AlexNet, lower is better.", "",
        *table(header, rows), "",
        *(f"- {text(name)}: {text(value)}" for name, value in facts.items()),
    ]  # fmt: skip


def _checklist(card: Card, results: Sequence[Evaluation], about: About) -> list[str]:
    """Return the MI-CLAIM table."""
    home = [one.source for one in results if one.source in HOME_SOURCES.values()]
    away = [one.source for one in results if one.source not in HOME_SOURCES.values()]
    copies = sum(one.num_in_training for one in results if one.source in away)
    independence = f"{copies:,} images of other sources are copies of training images"
    if any(one.num_groups == 0 for one in results):
        independence += "; where a source names no patients, one may have cells in both"
    elsewhere = ", ".join(away) or "no other source"
    robustness = f"evaluated at home ({', '.join(home) or 'no'}) and on {elsewhere}"
    rows = [
        ("1", "Clinical problem", about.intended_use),
        ("1", "Research question", about.research_question),
        ("1", "Characteristics of training and test sets", "tables above"),
        ("1", "Representative of clinical routine", about.representative),
        ("1", "Baseline for comparison", about.baseline),
        ("2", "Origin and format of the data", f"{about.data.name}; {about.data.acquisition}"),
        ("2", "Transformations before the model", f"{about.data.changes}; {_preprocessing(card)}"),
        ("2", "Independence of training and test data", independence if away else NOT_STATED),
        ("3", "Models compared, and how the best was chosen",
         card.mean_of or f"epoch {card.best.epoch} of {card.num_epochs}, by validation accuracy"),
        ("3", "Kind of input data", "unstructured: RGB images"),
        ("4", "Primary metric", "accuracy and balanced accuracy with 95 % intervals"),
        ("4", "Metric of clinical utility", "sensitivity, specificity, precision of each class"),
        ("4", "Comparison with the baseline", about.baseline),
        ("5", "Examination of the model", "confusion matrix, calibration, most confident mistakes; "
         "class activation maps with stainproof explain"),
        ("5", "Relevance of the examination",
         "lowest sensitivity and most frequent confusion of each source, above"),
        ("5", "Interpretability of single cases", "stainproof explain; no proof of correctness"),
        ("5", "Robustness when the data change", robustness),
        ("6", "Reproducibility", "code, settings and seed are stored; command above"),
    ]  # fmt: skip
    return ["## MI-CLAIM", "", *table(("part", "item", "answer"), rows)]


def _preprocessing(card: Card) -> str:
    how = card.preprocessing
    white = f", white point {' '.join(map(str, how.white_point))}" if how.white_point else ""
    return f"{how.fit} to a square, {how.size_px} x {how.size_px} px, {how.channels}{white}"
