{# The two CTEs that number the steps of each test from 1, as `step_number`. A reading begins a step where step or cycle
   differ from the reading before, or the step time fell, since a step may be repeated within a cycle. #}
{% macro number_steps(readings) -%}
    stepped as (
        select
            *,
            coalesce(
                step_index <> lag(step_index) over in_test
                or cycle_index <> lag(cycle_index) over in_test
                or "step_time(s)" < lag("step_time(s)") over in_test,
                false
            ) as step_begins
        from {{ readings }}
        window in_test as (partition by cell_id, test_id order by data_point)
    ),

    numbered as (
        select
            * exclude (step_begins),
            1 + count(*) filter (where step_begins) over (
                partition by cell_id, test_id order by data_point
            ) as step_number
        from stepped
    )
{%- endmacro %}

{# The sum of capacities or energies of steps, which are whole numbers of `counter_unit`: exact, and so the same in any
   order. #}
{% macro exact_sum(column) -%}
    sum(round({{ column }} * {{ counter_unit() }})::hugeint) / {{ counter_unit() }}
{%- endmacro %}

{# Whether two capacities or energies differ by more than rounding: the stream counts in whole pico-Ah, and doubles
   round what a pack of many MWh moves. #}
{% macro differs(one, other) -%}
    (
        ({{ one }} is null) <> ({{ other }} is null)
        or coalesce(abs({{ one }} - {{ other }}) > greatest(1e-11, 1e-12 * abs({{ one }})), false)
    )
{%- endmacro %}

{# The highest voltage that still counts as the limit below it. #}
{% macro just_above(limit) -%}
    {{ limit }} + greatest({{ var('full_cycle_margin_v') }}, {{ var('full_cycle_margin_share') }} * abs({{ limit }}))
{%- endmacro %}
