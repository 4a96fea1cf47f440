"""What rooms ask about a task stands once, and for every task."""

from __future__ import annotations

from typing import get_args

import pytest

from lookcloser.core.choices import TRAITS, Task
from lookcloser.evaluation.evaluate import EVALUATIONS
from lookcloser.models.registry import METHODS
from lookcloser.training.fit import MODULES

TASKS = get_args(Task)


def test_every_task_has_traits_an_evaluation_and_a_step_of_training() -> None:
    assert set(TRAITS) == set(TASKS) == set(EVALUATIONS) == set(MODULES)


@pytest.mark.parametrize("task", TASKS)
def test_the_default_method_of_a_task_answers_it(task: Task) -> None:
    assert task in METHODS[TRAITS[task].method].tasks


@pytest.mark.parametrize("task", TASKS)
def test_words_of_a_task_fit_into_their_sentences(task: Task) -> None:
    traits = TRAITS[task]
    assert traits.answer.format("3 labels").count("3 labels") == 1
    for words in (traits.noun, traits.right, traits.pipeline):
        assert words == words.lower().strip()
        assert words
