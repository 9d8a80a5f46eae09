from __future__ import annotations

import numpy as np
import pytest

from ageing.outliers import FAR, modified_z


def test_scores_are_robust_standard_deviations_from_the_median() -> None:
    scores = modified_z(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 100.0]))
    assert scores[5] == pytest.approx(0.6745 * 96.5 / 1.5)
    assert scores[5] > FAR > abs(scores[0])
    assert scores[0] == pytest.approx(-0.6745 * 2.5 / 1.5)


def test_values_that_agree_to_a_percent_do_not_stand_out() -> None:
    assert np.all(np.abs(modified_z(np.array([1.0, 1.0, 1.0, 1.0, 1.01]))) < FAR)
    assert modified_z(np.array([1.0, 1.0, 1.0, 1.0, 1.2]))[4] > FAR


def test_few_values_say_nothing_about_each_other() -> None:
    assert list(modified_z(np.array([1.0, 1.0, 1.0, 9.0]))) == [0.0] * 4
    assert list(modified_z(np.array([1.0, 1.0, 1.0, 9.0, np.nan]))) == [0.0] * 5


def test_where_there_is_no_value_there_is_no_score() -> None:
    scores = modified_z(np.array([1.0, 2.0, 3.0, 4.0, 50.0, np.nan]))
    assert scores[5] == 0.0
    assert scores[4] > FAR


def test_zeros_alone_do_not_stand_out() -> None:
    assert list(modified_z(np.zeros(6))) == [0.0] * 6
