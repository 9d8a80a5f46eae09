"""What people and scripts call columns, where no cycler's software has named them: the words of the field's languages.

Names are compared as titles are (`producer.readers.tables.titles.base_of`): without case, accents' letters, blanks and
signs. Titles that a reader's format knows stand with that reader; `known_names` puts both together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENGLISH: Final = {
    "data_point": "index, nr, no, number, point, row, record, datapoint, #, id",
    "test_time": (
        "t, time, elapsed, elapsed time, total time, run time, seconds, program duration, program time, prog time, "
        "time in test"
    ),
    "step_time": "time in step, relative time, step duration",
    "date_time": (
        "date, timestamp, clock, absolute time, real time, utc, system time, sys time, uts, unix, unix time, "
        "unix timestamp, epoch, datenum, datenum d, date stamp, time stamp, date and time"
    ),
    "step": "step, step number, line, ns",
    "cycle": "cycle, cycle number, cyc, n cycle",
    "current": (
        "i, current, amps, ampere, current in A, control current, current measured, measured current, battery current, "
        "cell current, im, we1current, i cell, current1"
    ),
    "voltage": (
        "u, v, e, voltage, ewe, ecell, potential, volts, voltage in V, voltage measured, measured voltage, "
        "terminal voltage, battery voltage, cell voltage, vf, working electrode, we1potential, u cell, v cell, voltage1"
    ),
    "charge_capacity": "qc, q+, q charge, charge capacity, charge q, charge, ahcha, ah cha, ah charge, charge ah",
    "discharge_capacity": (
        "qd, q-, q discharge, discharge capacity, discharge q, discharge, ahdch, ah dch, ah discharge, discharge ah"
    ),
    "charge_energy": "ec, charge energy, energy charge, whcha, wh charge",
    "discharge_energy": "ed, discharge energy, energy discharge, whdch, wh discharge",
    "capacity": "q, capacity, ah, ahaccu, ah accu, amp hours, ampere hours, cumulative charge",
    "energy": "energy, wh, whaccu, wh accu, watt hours, cumulative energy",
    "state": "state, status, mode, step mode, step type, command, md",
    "temperature": "temperature, temp, t cell, cell temperature, temperature measured, t1",
    "internal_resistance": "ir, dcir, resistance, internal resistance",
    "cell": "cell, cell id, cell name, battery, battery id, barcode, sample, serial",
    "channel": "channel, channel id, channel index, ch, slot",
}
_GERMAN: Final = {
    "data_point": "Nummer, Lfd Nr, laufende Nummer, Datenpunkt, Messpunkt, Zeile",
    "test_time": (
        "Zeit, Testzeit, Laufzeit, Messzeit, Prüfzeit, Gesamtzeit, vergangene Zeit, Programmdauer, Programmzeit, "
        "Versuchszeit, Dauer"
    ),
    "step_time": "Schrittzeit, Schrittdauer, Zeit im Schritt, relative Zeit",
    "date_time": "Datum, Zeitstempel, Uhrzeit, Datum Uhrzeit, Datum und Uhrzeit, Datum Zeit, absolute Zeit, Zeitpunkt",
    "step": "Schritt, Schrittnummer, Schritt Nr, Programmschritt",
    "cycle": "Zyklus, Zyklen, Zyklusnummer, Zyklenzahl, Zyklus Nr, Zykluszahl",
    "current": "Strom, Stromstärke, Zellstrom, Batteriestrom, Messstrom, Iststrom, I Zelle",
    "voltage": (
        "Spannung, Zellspannung, Zellenspannung, Klemmenspannung, Batteriespannung, Messspannung, Istspannung, U Zelle"
    ),
    "charge_capacity": (
        "Ladung, Ladekapazität, Ladekapazitaet, geladene Kapazität, eingeladene Kapazität, Kapazität Laden, "
        "Kapazität Ladung, Lademenge, geladen, ahlad, Ah Laden, Ah Ladung"
    ),
    "discharge_capacity": (
        "Entladung, Entladekapazität, Entladekapazitaet, entladene Kapazität, Kapazität Entladen, Kapazität Entladung, "
        "Entlademenge, entladen, ahela, Ah Entladen, Ah Entladung"
    ),
    "charge_energy": "Ladeenergie, geladene Energie, Energie Laden, Energie Ladung, whlad",
    "discharge_energy": "Entladeenergie, entladene Energie, Energie Entladen, Energie Entladung, whela",
    "capacity": "Kapazität, Kapazitaet, Ladungsmenge, Ladung",
    "energy": "Energie",
    "state": "Zustand, Modus, Betriebsart, Schritttyp, Schrittart",
    "temperature": "Temperatur, Zelltemperatur, Temp Zelle, T Zelle",
    "internal_resistance": "Innenwiderstand, Widerstand, Ri",
    "cell": "Zelle, Zellname, Zellen ID, Zell ID, Batterie, Probe, Prüfling, Seriennummer",
    "channel": "Kanal, Kanalnummer, Kanal Nr",
}
_FRENCH: Final = {
    "data_point": "numéro, numero, point de mesure",
    "test_time": "temps, temps écoulé, temps ecoule, temps total, durée, duree",
    "step_time": "temps d'étape, temps étape, temps de l'étape, durée étape",
    "date_time": "date et heure, date heure, horodatage, heure",
    "step": "étape, etape, pas, numéro d'étape",
    "cycle": "numéro de cycle, n° cycle, cycles",
    "current": "courant, courant mesuré, intensité, intensite",
    "voltage": "tension, tension cellule, tension mesurée, potentiel",
    "charge_capacity": "capacité de charge, capacite de charge, capacité charge, capacité chargée",
    "discharge_capacity": (
        "décharge, decharge, capacité de décharge, capacite de decharge, capacité décharge, capacité déchargée"
    ),
    "charge_energy": "énergie de charge, énergie charge, énergie chargée",
    "discharge_energy": "énergie de décharge, énergie décharge, énergie déchargée",
    "capacity": "capacité, capacite",
    "energy": "énergie",
    "state": "état, etat",
    "temperature": "température",
    "internal_resistance": "résistance, résistance interne, resistance interne",
    "cell": "cellule, batterie, échantillon, echantillon, numéro de série",
    "channel": "canal, voie",
}
_SPANISH: Final = {
    "data_point": "punto, fila",
    "test_time": "tiempo, tiempo transcurrido, tiempo total, tiempo de ensayo, duración, duracion",
    "step_time": "tiempo de paso, tiempo del paso",
    "date_time": "fecha, fecha y hora, fecha hora, marca de tiempo, hora",
    "step": "paso, número de paso",
    "cycle": "ciclo, número de ciclo, numero de ciclo, ciclos",
    "current": "corriente, corriente medida, intensidad",
    "voltage": "tensión, voltaje, voltaje de celda, tensión de celda",
    "charge_capacity": "carga, capacidad de carga, capacidad cargada",
    "discharge_capacity": "descarga, capacidad de descarga, capacidad descargada",
    "charge_energy": "energía de carga, energia de carga",
    "discharge_energy": "energía de descarga, energia de descarga",
    "capacity": "capacidad",
    "energy": "energía",
    "state": "estado, modo",
    "temperature": "temperatura",
    "internal_resistance": "resistencia, resistencia interna",
    "cell": "celda, celula, batería, bateria, muestra",
}
_ITALIAN: Final = {
    "test_time": "tempo, tempo trascorso, tempo totale",
    "date_time": "data, data e ora, data ora",
    "step": "passo",
    "current": "corrente",
    "voltage": "tensione, potenziale",
    "charge_capacity": "capacità di carica, carica",
    "discharge_capacity": "capacità di scarica, scarica",
    "capacity": "capacità",
    "energy": "energia",
    "state": "stato",
    "cell": "cella, batteria, campione",
    "channel": "canale",
}
_CHINESE_AND_JAPANESE: Final = {
    "data_point": "序号, 编号, 番号",
    "test_time": "时间, 總時間, 時間, 测试时间, 总时间, 运行时间, 经过时间, 経過時間",
    "step_time": "步时间, 工步时间, 相对时间",
    "date_time": "日期, 日期时间, 时间戳, 日時, 日付, 絶対時間, 绝对时间",
    "step": "步骤, 工步, 步",
    "cycle": "循环, 循环数, 循环次数, 圈数, 周期, 循環",
    "current": "电流, 電流, 电池电流",
    "voltage": "电压, 電壓, 電圧, 电池电压, 电位",
    "charge_capacity": "充电容量, 充電容量, 充电",
    "discharge_capacity": "放电容量, 放電容量, 放电",
    "charge_energy": "充电能量, 充電能量",
    "discharge_energy": "放电能量, 放電能量",
    "capacity": "容量",
    "energy": "能量",
    "state": "状态, 狀態, 状態, 模式",
    "temperature": "温度, 溫度, 电池温度",
    "internal_resistance": "内阻, 电阻, 抵抗",
    "cell": "电池, 电池编号, 电芯, 样品, 条码, 電池",
    "channel": "通道, 通道号",
}


def _common() -> dict[str, tuple[str, ...]]:
    languages = (_ENGLISH, _GERMAN, _FRENCH, _SPANISH, _ITALIAN, _CHINESE_AND_JAPANESE)
    return {
        quantity: tuple(
            dict.fromkeys(name for words in languages for name in words.get(quantity, "").split(", ") if name)
        )
        for quantity in _ENGLISH
    }


COMMON: Final[Mapping[str, tuple[str, ...]]] = _common()
"""For each quantity what a column of it is called; a word of two quantities stands with both, and is then unsure."""
