with cleaned as (
    select * from {{ ref('battery_cleaned') }}
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
        kafka_row,
        "voltage(v)" * "current(a)" as power_watt,
        "charge_capacity(ah)" + "discharge_capacity(ah)" as total_capacity
    from cleaned
)

select * from final
