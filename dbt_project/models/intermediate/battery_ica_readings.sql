{{ config(materialized='view') }}

with chosen as (
    select * from {{ ref('battery_chosen_cycles') }}
),

-- Of the steps at constant current in either direction, the one that moved the most.
steps as (
    select
        steps.cell_id,
        steps.test_id,
        chosen.cycle_index,
        chosen.cycle_number,
        case when steps.kind = 'cc_discharge' then 'discharge' else 'charge' end as direction,
        steps.first_data_point,
        steps.last_data_point,
        steps.test_time_start_s + coalesce(steps.cc_time_s, steps.duration_s) as until_s
    from {{ ref('battery_steps') }} as steps
    inner join chosen
        on
            steps.cell_id = chosen.cell_id
            and steps.test_id = chosen.test_id
            and steps.cycle_index = chosen.cycle_index
    where steps.kind in ('cc_charge', 'cccv_charge', 'cc_discharge')
    qualify row_number() over (
        partition by steps.cell_id, steps.test_id, chosen.cycle_index, direction
        order by steps.charge_capacity_ah + steps.discharge_capacity_ah desc, steps.step_number asc
    ) = 1
),

final as (
    select
        readings.cell_id,
        readings.test_id,
        steps.cycle_index,
        steps.cycle_number,
        steps.direction,
        readings.data_point,
        readings."voltage(v)" as voltage_v,
        case
            when steps.direction = 'charge' then readings."charge_capacity(ah)" else readings."discharge_capacity(ah)"
        end as counter_ah
    from {{ ref('battery_cleaned') }} as readings
    inner join steps
        on
            readings.cell_id = steps.cell_id
            and readings.test_id = steps.test_id
            and readings.data_point between steps.first_data_point and steps.last_data_point
    where readings."test_time(s)" <= steps.until_s
    -- Over a step in which a counter leaps to stay its values are no course.
    qualify
        not bool_or(
            {{ has_flag('counter_leap') }} and counter_ah is not null
        ) over (partition by readings.cell_id, readings.test_id, steps.cycle_index, steps.direction)
)

select * from final
