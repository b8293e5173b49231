"""Accuracy estimated without labels against the true one, beside published estimates.

python -m benchmarks.shift.expected_accuracy RUN --clean CLEAN --labs DS2 OTHER_LAB LISC
    --cache FOLDER
"""

from statistics import mean

from benchmarks.common.page import made_on, write_section
from benchmarks.shift.embeddings import (
    CELLS_A_CORRUPTION,
    LabelledSet,
    is_right,
    parse,
    read_corrupted,
    read_set,
    skewed,
)
from stainproof.deployment.expected_accuracy import AccuracyEstimator
from stainproof.deployment.set_scores import published_estimates

OURS = "**stainproof**"
MIXED_SIZE = 100


def main(arguments: list[str] | None = None) -> None:
    """Estimate every set by every method and write the table."""
    options = parse(__doc__, arguments, cells=CELLS_A_CORRUPTION, mixes=5)
    home, cache = options.home, options.cache
    clean = read_set(home, options.clean, cache)
    labs = [read_set(home, one, cache) for one in options.labs]
    profiled = [read_set(home, one, cache, profiled=True) for one in options.labs]
    groups: dict[str, list[LabelledSet]] = {
        "corruptions": list(read_corrupted(home, options.clean, cache, options.cells)),
        "laboratories": [clean, *labs],
        "laboratories, profile": profiled,
        "other class mixes": [
            mix
            for number, one in enumerate((clean, *labs))
            for mix in skewed(one, options.mixes, MIXED_SIZE, number)
        ],
    }
    estimator = AccuracyEstimator(
        home.reference, home.classifier.extractor, home.temperature, seed=0
    )
    published = published_estimates(
        home.classifier.extractor.logits(home.reference.home.features),
        home.reference.labels,
        home.training_mix,
        home.temperature,
    )
    errors: dict[str, dict[str, list[float]]] = {}
    covered: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    single = []
    for group, sets in groups.items():
        for one in sets:
            truth = float(is_right(home, one).mean())
            logits = home.classifier.extractor.logits(one.embedding.features)
            found = estimator(one.embedding)
            estimates = {OURS: found.value} | {
                name: estimate(logits) for name, estimate in published.items()
            }
            for name, value in estimates.items():
                errors.setdefault(name, {}).setdefault(group, []).append(value - truth)
            covered.setdefault(group, []).append(bool(found.low <= truth <= found.high))
            widths.setdefault(group, []).append(found.high - found.low)
            if group.startswith("laboratories"):
                single.append(
                    f"| {one.name} | {len(one.labels)} | {100 * truth:.1f} | {found.percent()} |"
                )
    num = {group: len(sets) for group, sets in groups.items()}
    write_section("Accuracy estimated without labels", "\n".join([
        f"{sum(num.values())} sets: "
        + ", ".join(f"{count} {group}" for group, count in num.items())
        + f". Corruptions: the 11 of MedMNIST-C at 5 severities on {options.cells} cells of the "
        f"home laboratory; class mixes: Dirichlet(1), {MIXED_SIZE} cells. Mean absolute error in "
        "points, mean error (bias) in brackets. The estimate is fitted on the validation cells of "
        "the run and their distorted copies; none of these sets was used. One run, one seed.\n",
        "| estimate | all | " + " | ".join(groups) + " |",
        "|---|" + "---|" * (1 + len(groups)),
        *(
            f"| {name} | {_cell([error for part in by_group.values() for error in part])} | "
            + " | ".join(_cell(by_group[group]) for group in groups)
            + " |"
            for name, by_group in errors.items()
        ),
        "\nShare of true values in the 90 % intervals of stainproof (mean width in points): "
        + "; ".join(
            f"{group} {100 * mean(covered[group]):.0f} % ({100 * mean(widths[group]):.0f})"
            for group in groups
        )
        + f"; all {100 * mean(one for part in covered.values() for one in part):.0f} %.\n",
        "| set | cells | accuracy, % | estimate with 90 % interval |",
        "|---|---|---|---|",
        *single,
        f"\n{made_on()}",
    ]))  # fmt: skip


def _cell(errors: list[float]) -> str:
    return f"{100 * mean(map(abs, errors)):.1f} ({100 * mean(errors):+.1f})"


if __name__ == "__main__":
    main()
