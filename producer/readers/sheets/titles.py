"""The titles of the columns of an Arbin channel sheet, as Arbin's software writes them."""

from __future__ import annotations

from typing import Final

NEEDED_TITLES: Final = (
    "Test_Time(s)",
    "Date_Time",
    "Step_Index",
    "Cycle_Index",
    "Current(A)",
    "Voltage(V)",
    "Charge_Capacity(Ah)",
    "Discharge_Capacity(Ah)",
    "Charge_Energy(Wh)",
    "Discharge_Energy(Wh)",
)
"""The columns that a sheet of readings must have; their units may be others of the same kind."""

HEADER: Final = (
    "Data_Point",
    *NEEDED_TITLES[:2],
    "Step_Time(s)",
    *NEEDED_TITLES[2:],
    "dV/dt(V/s)",
    "Internal_Resistance(Ohm)",
    "Is_FC_Data",
    "AC_Impedance(Ohm)",
    "ACI_Phase_Angle(Deg)",
)
"""The whole header of a channel sheet, in its order."""
