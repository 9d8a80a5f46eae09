-- The source is named without its database: a view keeps the name it was made with, and this one must still
-- work when the DuckDB file is renamed, copied or attached under an alias.
with landed as (
    select * from {{ source('landing', 'battery_ts_cleaned').include(database=false) }}
),

final as (
    select
        cell_id,
        test_id,
        source_file,
        data_point,
        "test_time(s)",
        date_time,
        "step_time(s)",
        step_index,
        cycle_index,
        "current(a)",
        "voltage(v)",
        "charge_capacity(ah)",
        "discharge_capacity(ah)",
        "charge_energy(wh)",
        "discharge_energy(wh)",
        "dv/dt(v/s)",
        "internal_resistance(ohm)",
        is_fc_data,
        "ac_impedance(ohm)",
        "aci_phase_angle(deg)",
        "temperature(c)",
        quality,
        streamed_at,
        kafka_partition,
        kafka_offset,
        kafka_row
    from landed
)

select * from final
