from __future__ import annotations

import pytest

from dashboard.view import news_in_words


@pytest.mark.parametrize(
    ("news", "words"),
    [
        ("landed: 12; published: 11", "more has landed since"),
        ("the models, or what BATTERY_CELLS or BATTERY_ALERT_RULES says, have changed", "a refresh is due"),
        ("the published marts have not been exported", "a refresh is due"),
    ],
)
def test_changed_models_are_not_said_to_be_new_readings(news: str, words: str) -> None:
    assert news_in_words(news) == words
