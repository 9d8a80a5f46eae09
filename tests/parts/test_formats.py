"""Files of every format through the whole pipeline: one simulated cell as each writes it, and files of other labs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from support.pipeline import Pipeline, take_unit_tests_as_passed
from support.twins.cell import cycles, twin_cell
from support.twins.files import FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRECISION: Final = {
    "neware_csv": 1e-6, "neware_layers": 1e-6, "neware_ndax": 1e-5, "maccor_txt": 1e-4, "biologic_mpr": 1e-5,
    "landt_xlsx": 1e-4, "landt_csv": 1e-4, "pec_csv": 1e-4, "novonix_csv": 1e-5, "basytec_txt": 1e-5,
}  # fmt: skip
"""What the digits that a format writes leave of a cycle's capacity and energy, in Ah and Wh; 1e-9 of the others."""

FIRST: Final = {"pec_csv": 0, "maccor_txt": 0, "biologic_mpr": 0}
"""The first cycle's number in a file, where that is not 1."""

INTEGRATED: Final = ("biologic_mpr",)
"""Formats without energies: the pipeline computes them."""

Gains = list[tuple[int, float, float]]

REAL: Final[dict[str, Gains]] = {
    "arbin_mits8_no_data_point": [(1, 0.005702703, 0.011054898)],
    "arbin_four_channels_1-053": [
        (1, 0.001558342, 0.001269663), (2, 0.001457011, 0.001444043), (3, 0.00151524, 0.001496343),
        (4, 0.001393718, 0.001296924), (5, 0.001313693, 0.001300704), (6, 0.001313601, 0.000941203),
    ],
    "arbin_four_channels_1-059": [
        (1, 0.001730073, 0.001487308), (2, 0.001533866, 0.001503722), (3, 0.001525948, 0.001491027),
        (4, 0.001437565, 0.001376139), (5, 0.001385052, 0.000215478),
    ],
    "arbin_four_channels_1-064": [
        (1, 0.001894819, 0.001515027), (2, 0.00170787, 0.001498385), (3, 0.001718017, 0.001459324),
        (4, 0.001543696, 0.001412128), (5, 0.001495048, 0.000690947),
    ],
    "arbin_four_channels_1-066": [
        (1, 0.001196078, 0.000755575), (2, 0.001017024, 0.000860165), (3, 0.001084553, 0.000946723),
        (4, 0.00094038, 0.000719246), (5, 0.000804325, 0.000730528), (6, 0.000806327, 0.000746511),
    ],
    "arbin_matr": [(1, 0.191899, 1.072360), (2, 1.072532, 1.072909)],
    "calce_pl": [(1, 0.650098869, 1.3e-08)],
    "landt_b": [
        (1, 0.00274823, 0.00303312), (2, 0.00239283, 0.00255267), (3, 0.00222549, 0.00235058),
        (4, 0.00194575, 0.00207391),
    ],
    "neware_bts_detail": [
        (1, 0.0, 0.003524146), (2, 0.003119684, 0.002833252), (3, 0.002770788, 0.002682884),
        (4, 0.002617797, 0.002382515), (5, 0.002289968, 0.002165362), (6, 0.002125338, 0.001810545),
    ],
    "neware_bts8": [
        (1, 0.00424934, 0.00508628), (2, 0.00424668, 0.00436841), (3, 0.00783477, 0.00797423),
        (4, 0.00143796, 0.00331516),
    ],
    "maccor_text_d_hms": [(0, 17.6236, 17.36311)],
    "maccor_export_sec": [
        (0, 1.651849889, 4.714758284), (1, 4.732983958, 4.708743637), (2, 0.000268839, 0.000490941),
        (3, 6.76e-06, 6.397e-06), (4, 6.684e-06, 3.9595e-05), (5, 6.513e-06, 8.1002e-05),
    ],
    "pec": [(0, 0.0, 11.634168), (1, 44.424915, 44.351991), (2, 44.25893, 0.0)],
    "bdf_labels_hours_discharge_positive": [
        (1, 0.158947898, 0.276687081), (2, 0.155163424, 0.146837582), (3, 0.147342178, 0.147846775),
        (4, 0.148351371, 0.148855968), (5, 0.149360564, 0.149360564), (6, 0.139268634, 0.132204283),
    ],
    "arbin_86uA": [
        (1, 0.0004835149, 0.0004751559), (2, 0.0004767506, 0.0004743533), (3, 0.0004761845, 0.0004740015),
        (4, 0.0004760282, 0.0004737044), (5, 0.0, 0.0),
    ],
    "neware_v22": [(1, 0.118441417, 0.0)],
}  # fmt: skip
"""By cell, what the first cycles of a real file gain: number, charge and discharge in Ah; six, or all where fewer."""

ROUNDED: Final = {"arbin_matr": 1e-6, "neware_v22": 1e-6}
"""How far apart they may be where the numbers, or the file, have fewer digits; 1e-9 of all others."""


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, broker: int) -> Callable[[str], Pipeline]:
    """What makes the pipeline through which a folder of files has gone."""
    done: dict[str, Pipeline] = {}

    def land(source: str) -> Pipeline:
        if source not in done:
            folder = tmp_path_factory.mktemp("formats")
            pipeline = Pipeline(folder / "pipeline", broker, {"BATTERY_TOPIC": f"formats{len(done)}"})
            take_unit_tests_as_passed(pipeline.settings)
            pipeline.battery("produce", source)
            for command in (["stream", "--until-end"], ["transform"], ["verify"]):
                pipeline.battery(*command)
            done[source] = pipeline
        return done[source]

    return land


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, landed: Callable[[str], Pipeline]) -> Pipeline:
    """The pipeline with the simulated cell as each format writes it, as cells of their own."""
    folder = tmp_path_factory.mktemp("twins")
    for kind, write in FILES.items():
        path = write(folder, twin_cell())
        path.rename(folder / f"{kind}.{path.name.partition('.')[2]}")
    return landed(str(folder))


@pytest.fixture(scope="module")
def real(shared_data: Path, landed: Callable[[str], Pipeline]) -> Pipeline:
    """The pipeline with the files of other labs."""
    folder = shared_data / "foreign"
    if not folder.is_dir():
        pytest.skip("the files of other makers are not here")
    return landed(str(folder))


def gains_of(pipeline: Pipeline, cell: str) -> list[tuple[int, float, float, float, float]]:
    columns = "cycle_index, charge_capacity_ah, discharge_capacity_ah, charge_energy_wh, discharge_energy_wh"
    rows: list[tuple[int, float, float, float, float]] = pipeline.query(
        f"select {columns} from battery_cycles where cell_id = '{cell}' order by cycle_index"  # noqa: S608
    )
    return rows


@pytest.mark.parametrize("kind", FILES)
def test_every_format_gives_the_cycles_of_the_simulated_cell(twins: Pipeline, kind: str) -> None:
    found, expected = gains_of(twins, kind), cycles(twin_cell())
    first = FIRST.get(kind, 1)
    assert [cycle for cycle, *_ in found] == [cycle - 1 + first for cycle, *_ in expected]
    compared = 2 if kind in INTEGRATED else 4
    for (_, *gains), (_, *wanted) in zip(found, expected, strict=True):
        assert gains[:compared] == pytest.approx(wanted[:compared], rel=0, abs=PRECISION.get(kind, 1e-9))


def test_what_was_assumed_stands_with_each_test(twins: Pipeline) -> None:
    said = dict(twins.query("select cell_id, assumptions from battery_tests"))
    assert said["landt_csv"].startswith("capacity counts both directions in one; it was shared out")
    assert said["arbin_xlsx"] is None
    flagged = twins.query("select cell_id from battery_tests where counter_integrated_count > 0")
    assert flagged == [("biologic_mpr",)]


@pytest.mark.parametrize("cell", REAL)
def test_a_real_file_of_another_lab_gives_the_cycles_that_its_counters_gained(real: Pipeline, cell: str) -> None:
    found = [gains[:3] for gains in gains_of(real, cell)][: len(REAL[cell])]
    assert [cycle for cycle, *_ in found] == [cycle for cycle, *_ in REAL[cell]]
    for (_, *gains), (_, *wanted) in zip(found, REAL[cell], strict=True):
        assert gains == pytest.approx(wanted, rel=0, abs=ROUNDED.get(cell, 1e-9))


def test_a_coin_cell_at_86_microampere_has_its_complete_cycles_and_efficiencies(real: Pipeline) -> None:
    found = real.query(
        "select coulombic_efficiency from battery_cycles where cell_id = 'arbin_86uA' and is_complete "
        "order by cycle_index"
    )
    assert [round(efficiency, 3) for (efficiency,) in found] == [0.983, 0.995, 0.995, 0.995]


def test_no_reading_of_a_real_file_is_quarantined(real: Pipeline) -> None:
    assert real.query("select source_file, reason, detail from battery_quarantine") == []
