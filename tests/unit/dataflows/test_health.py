"""The worker's pulse: fresh while epochs are done, old when they are not."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from dataflows.health import Pulse
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(recovery_dir=tmp_path / "recovery", lanes=2, commit_interval_seconds=10)


def test_a_worker_that_has_not_begun_is_not_well(settings: Settings) -> None:
    with pytest.raises(BatteryError, match=r"no worker has closed an epoch yet: there is no .*epoch"):
        Pulse(settings).age()


def test_a_worker_that_has_just_closed_an_epoch_is_well(settings: Settings) -> None:
    Pulse(settings).beat()
    assert Pulse(settings).age() < 5


@pytest.mark.parametrize(("age", "well"), [(40, True), (50, False)])
def test_three_missed_epochs_and_a_long_commit_are_too_much(settings: Settings, age: int, well: bool) -> None:
    Pulse(settings).beat()
    then = time.time() - age
    os.utime(settings.recovery_dir / "pulse" / "epoch", (then, then))
    if well:
        assert Pulse(settings).age() == pytest.approx(age, abs=2)
    else:
        with pytest.raises(BatteryError, match=r"has closed no epoch for 5. s, expected within 45 s"):
            Pulse(settings).age()


def test_a_pulse_that_cannot_be_written_is_one_line(settings: Settings) -> None:
    settings.recovery_dir.mkdir()
    (settings.recovery_dir / "pulse").write_text("in the way")
    with pytest.raises(BatteryError, match="RECOVERY_DIR: cannot write"):
        Pulse(settings).beat()
