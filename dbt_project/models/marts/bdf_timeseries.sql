{{ config(materialized='view') }}

with {{ number_steps(ref('battery_features')) }},

followed as (
    select
        *,
        {{ counter_size() }},
        {{ counter_before('charge_capacity(ah)', 'charge_capacity') }},
        {{ counter_before('discharge_capacity(ah)', 'discharge_capacity') }}
    from numbered
    window in_test as (partition by cell_id, test_id order by data_point)
),

gained as (
    select
        *,
        {{ counter_gain('charge_capacity(ah)', 'charge_capacity') }} as charge_aah,
        {{ counter_gain('discharge_capacity(ah)', 'discharge_capacity') }} as discharge_aah
    from followed
),

final as (
    select
        cell_id,
        test_id,
        "test_time(s)" as test_time_second,
        "voltage(v)" as voltage_volt,
        "current(a)" as current_ampere,
        epoch(date_time) as unix_time_second,
        cycle_index as cycle_count,
        step_number as step_count,
        "temperature(c)" as ambient_temperature_celsius,
        step_index as step_id,
        data_point as record_index,
        "step_time(s)" as step_time_second,
        "internal_resistance(ohm)" as internal_resistance_ohm,
        sum(charge_aah) over in_cycle / {{ counter_unit() }} as cycle_charging_capacity_ah,
        sum(discharge_aah) over in_cycle / {{ counter_unit() }} as cycle_discharging_capacity_ah,
        power_watt
    from gained
    window in_cycle as (partition by cell_id, test_id, cycle_index order by data_point)
)

select * from final
