{{ config(materialized='view') }}

select
    cell_id,
    test_id,
    cycle_index,
    cycle_number,
    direction,
    voltage_v,
    capacity_ah,
    dqdv_ah_per_v,
    dvdq_v_per_ah,
    peak_voltage_v is not null as is_peak,
    peak_voltage_v,
    peak_height_ah_per_v,
    peak_prominence_ah_per_v
from {{ ref('battery_ica_curves') }}
