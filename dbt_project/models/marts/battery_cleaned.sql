{{ refreshed_from('battery_test_versions') }}

with readings as (
    select * from {{ ref('battery_ts') }} {{ only_touched() }}
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

{{ number_steps('numeric_readings') }},

judged as (
    select
        *,
        {{ came_back('voltage(v)') }} as voltage_came_back,
        {{ came_back('temperature(c)') }} as temperature_came_back
    from numbered
    window
        in_step as (partition by cell_id, test_id, step_number order by data_point),
        soon as (
            partition by cell_id, test_id, step_number order by data_point
            rows between 1 following and 3 following
        )
),

final as (
    select
        * exclude (step_number, voltage_came_back, temperature_came_back)
        replace (
            case
                when not ({{ has_flag('temperature_spike') }} and temperature_came_back) then "temperature(c)"
            end as "temperature(c)"
        )
    from judged
    where not ({{ has_flag('spike') }} and voltage_came_back)
)

select * from final
