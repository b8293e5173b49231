import itertools
from pathlib import Path

from stainproof.search.search_page import render_search
from tests.common.trials import make_search, make_trial


def test_the_page_says_what_was_found_and_how_to_train_it_again() -> None:
    trials = [make_trial(n, 0.5 + n / 100, 1000 + 10 * n, 1 + n / 10) for n in range(14)]
    trials.append(make_trial(14, None, outcome="failed", reason="the loss became nan in epoch 2"))
    trials.append(make_trial(15, 0.2, outcome="stopped", reason="out of reach of trial 3"))
    page = render_search(make_search(trials), Path("study"))
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    assert "The best of 16 trials classifies 63.0 %" in page
    assert "settings of the preset reach 50.0 %" in page
    assert "stainproof train cells --out runs/trial-13 --config study/configs/0013.toml" in page
    assert "the loss became nan in epoch 2" in page
    assert "out of reach of trial 3" in page
    assert "14 finished, 1 stopped early, 1 failed; 20 requested" in page
    assert page.count("<svg") == 7
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_page_without_finished_trials_says_so(tmp_path: Path) -> None:
    running = make_trial(0, None, None, None, outcome="running", num_val_images=0)
    page = render_search(make_search([running]), tmp_path)
    assert "No trial has finished yet" in page
    assert "1 running" in page
    assert "No trial yet" in render_search(make_search([]), tmp_path)


def test_the_page_shows_hostile_names_as_text(tmp_path: Path) -> None:
    trials = [make_trial(0), make_trial(1, None, outcome="failed", reason="<script>1</script>")]
    page = render_search(make_search(trials, source="<b>$x$ 'cells'"), tmp_path)
    assert "<script>1" not in page
    assert "<b>$x$" not in page


def test_two_trials_are_enough_for_every_figure(tmp_path: Path) -> None:
    for accuracies in itertools.permutations((0.1, 0.9)):
        trials = [make_trial(number, value) for number, value in enumerate(accuracies)]
        assert "<svg" in render_search(make_search(trials), tmp_path)
