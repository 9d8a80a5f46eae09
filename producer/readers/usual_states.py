"""What a column of states says, in the words of people and of several cyclers, where a mapping does not tell."""

from __future__ import annotations

from typing import Final

from producer.readers.neware_names import STATES
from producer.readers.record import CHARGE, DISCHARGE, REST

USUAL_STATES: Final = {
    **STATES,
    **dict.fromkeys(
        ("charge", "charging", "chg", "chrg", "c", "cha", "laden", "ladung", "lad", "carga", "carica"), CHARGE
    ),
    **dict.fromkeys(
        (
            "discharge",
            "discharging",
            "dchg",
            "dchrg",
            "dch",
            "d",
            "dis",
            "entladen",
            "entladung",
            "ela",
            "décharge",
            "descarga",
            "scarica",
        ),
        DISCHARGE,
    ),
    **dict.fromkeys(("rest", "pause", "r", "p", "pau", "idle", "ocv", "open circuit", "ruhe"), REST),
}
"""What a column of states says where the mapping does not tell."""
