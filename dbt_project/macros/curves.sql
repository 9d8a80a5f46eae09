{# The CTEs that end with `curve_readings`: the readings that incremental capacity is computed from. In each direction
   of a cycle these are the readings of the step at constant current that moved the most; of a step that then holds the
   voltage, the part before. battery_ica_readings and the Cycle page of the dashboard both use it.

   Args: the readings in the columns of the contract, rows of battery_steps, and a relation of the cycles wanted
   (`cell_id`, `test_id`, `cycle_index`, `cycle_number`). #}
{% macro curve_readings(readings, steps, cycles) -%}
    curve_steps as (
        select
            steps.cell_id,
            steps.test_id,
            cycles.cycle_index,
            cycles.cycle_number,
            case when steps.kind = 'cc_discharge' then 'discharge' else 'charge' end as direction,
            steps.first_data_point,
            steps.last_data_point,
            steps.test_time_start_s + coalesce(steps.cc_time_s, steps.duration_s) as until_s
        from {{ steps }} as steps
        inner join {{ cycles }} as cycles
            on
                steps.cell_id = cycles.cell_id
                and steps.test_id = cycles.test_id
                and steps.cycle_index = cycles.cycle_index
        where steps.kind in ('cc_charge', 'cccv_charge', 'cc_discharge')
        qualify row_number() over (
            partition by steps.cell_id, steps.test_id, cycles.cycle_index, direction
            order by steps.charge_capacity_ah + steps.discharge_capacity_ah desc, steps.step_number asc
        ) = 1
    ),

    curve_readings as (
        select
            readings.cell_id,
            readings.test_id,
            curve_steps.cycle_index,
            curve_steps.cycle_number,
            curve_steps.direction,
            readings.data_point,
            readings."voltage(v)" as voltage_v,
            case
                when curve_steps.direction = 'charge' then readings."charge_capacity(ah)"
                else readings."discharge_capacity(ah)"
            end as counter_ah
        from {{ readings }} as readings
        inner join curve_steps
            on
                readings.cell_id = curve_steps.cell_id
                and readings.test_id = curve_steps.test_id
                and readings.data_point between curve_steps.first_data_point and curve_steps.last_data_point
        where readings."test_time(s)" <= curve_steps.until_s
        -- In a step in which a counter leaps and stays, its values do not follow the charge.
        qualify
            not bool_or(
                {{ has_flag('counter_leap') }} and counter_ah is not null
            ) over (partition by readings.cell_id, readings.test_id, curve_steps.cycle_index, curve_steps.direction)
    )
{%- endmacro %}
