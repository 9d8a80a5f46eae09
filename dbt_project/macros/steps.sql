{# The two CTEs that number the steps of each test from 1, as `step_number`. A reading begins a step where step or cycle
   is another than that of the reading before, or the step time fell, since a step may be repeated within a cycle. #}
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

{# Where a counter starts anew at a reading: the rules of dataflows/course.py, with the numbers of battery/reading.py.
   A reset starts near zero; where a step has begun since the counter was last measured, any fall beyond lost digits is
   one. To be used after the columns that `counter_before` gives. #}
{% macro counter_is_reset(column, name) -%}
    (
        "{{ column }}" < {{ name }}_before - 1e-9
        and abs("{{ column }}") < {{ name }}_before
        * case when step_number > {{ name }}_step_before then 0.99999 else 0.5 end
    )
{%- endmacro %}

{# What a counter stood at before, and in which step that was. To be used with the window `in_test`, ordered. #}
{% macro counter_before(column, name) -%}
    lag("{{ column }}" ignore nulls) over in_test as {{ name }}_before,
    lag(case when "{{ column }}" is not null then step_number end ignore nulls) over in_test as {{ name }}_step_before
{%- endmacro %}

{# What a counter gained with a reading, in whole pico-Ah or pico-Wh, so that sums are exact in any order. A counter
   begins at zero where a test begins, and as it comes where the first reading is more than an hour into the test. #}
{% macro counter_gain(column, name) -%}
    round("{{ column }}" * 1e12)::hugeint - round(
        case
            when {{ name }}_before is null then case when "test_time(s)" <= 3600 then 0 else "{{ column }}" end
            when {{ counter_is_reset(column, name) }} then 0
            else {{ name }}_before
        end * 1e12
    )::hugeint
{%- endmacro %}

{# The sum of capacities or energies of steps, which are whole pico-units: exact, and so the same in any order. #}
{% macro exact_sum(column) -%} sum(round({{ column }} * 1e12)::hugeint) / 1e12 {%- endmacro %}

{# Whether two capacities or energies differ by more than their last digits, of which a pack of many MWh has fewer
   behind the point. #}
{% macro differs(one, other) -%}
    (
        ({{ one }} is null) <> ({{ other }} is null)
        or coalesce(abs({{ one }} - {{ other }}) > greatest(1e-9, 1e-12 * abs({{ one }})), false)
    )
{%- endmacro %}

{# A voltage that still counts as the limit below it: 0.1 V above it, or 3 % where that is more, as of a pack. #}
{% macro just_above(limit) -%} {{ limit }} + greatest(0.1, 0.03 * abs({{ limit }})) {%- endmacro %}
