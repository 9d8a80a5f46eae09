with readings as (
    select * from {{ ref('battery_ts') }}
),

numeric_readings as (
    -- A comparison with null is not true, so this drops nulls as well.
    select *
    from readings
    where
        {{ within_instrument_range('test_time(s)') }}
        and {{ within_instrument_range('current(a)') }}
        and {{ within_instrument_range('voltage(v)') }}
),

judged as (
    select
        *,
        {{ came_back('voltage(v)') }} as voltage_came_back,
        {{ came_back('temperature(c)') }} as temperature_came_back
    from numeric_readings
    window in_step as (partition by cell_id, test_id, cycle_index, step_index order by data_point)
),

final as (
    select
        * exclude (voltage_came_back, temperature_came_back)
        replace (
            case
                when not ({{ has_flag('temperature_spike') }} and temperature_came_back) then "temperature(c)"
            end as "temperature(c)"
        )
    from judged
    where not ({{ has_flag('spike') }} and voltage_came_back)
)

select * from final
