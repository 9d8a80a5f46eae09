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

{# Where a counter starts anew at a reading: the rules of dataflows/fold/rules.py, with the numbers of kernel/contract/reading.py.
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

{# The CTEs that end with `leaps`: what counters gained in tests in which one leaps, the others being told by
   `counter_gain`. A reading whose flag says that the counter leaped there gains what the current would have it gain,
   in whole pico-units: by the trapezoid, energy times the voltage; where a step begins, by its own current since then.
   Where the value is NULL the next reading makes up for it. One that is back where it stood before it fell to zero
   gains what it did since. The rules of dataflows/fold/counters.py, with the numbers of kernel/contract/reading.py.

   Args: the readings, and the CTE that numbers their steps. #}
{% macro counter_leaps(readings, numbered) -%}
    {%- set counters = [
        ('charge_capacity(ah)', 'charge_capacity', 'charge_pah', 2048, 'greatest("current(a)", 0)'),
        ('discharge_capacity(ah)', 'discharge_capacity', 'discharge_pah', 4096, 'greatest(-1 * "current(a)", 0)'),
        ('charge_energy(wh)', 'charge_energy', 'charge_pwh', 8192, 'greatest("current(a)", 0) * abs("voltage(v)")'),
        (
            'discharge_energy(wh)', 'discharge_energy', 'discharge_pwh', 16384,
            'greatest(-1 * "current(a)", 0) * abs("voltage(v)")'
        )
    ] -%}
    leaping as (
        select distinct
            cell_id,
            test_id
        from {{ readings }}
        where (quality & {{ counters | sum(attribute=3) }}) <> 0
    ),

    timed as (
        select
            *,
            {% for column, name, _, _, power in counters %} -- noqa: LT02
            {{ counter_before(column, name) }},
            lag(case when abs("{{ column }}") > 1e-9 then "{{ column }}" end ignore nulls) over in_test as {{ name }}_left,
            {{ power }} as {{ name }}_power,
            lag({{ power }}) over in_test as {{ name }}_power_before,
            {% endfor %}
            coalesce(step_number <> lag(step_number) over in_test, true) as is_first,
            "test_time(s)" - coalesce(lag("test_time(s)") over in_test, 0) as since_s
        from {{ numbered }}
        inner join leaping using (cell_id, test_id)
        window in_test as (partition by cell_id, test_id order by data_point)
    ),

    lasting as (
        select
            *,
            case when is_first then least(since_s, "step_time(s)") else since_s end as lasted_s
        from timed
    ),

    flowing as (
        select
            *
            {% for _, name, _, _, _ in counters %},
            round(
                least(
                    (case when is_first then {{ name }}_power else {{ name }}_power_before end + {{ name }}_power) / 2
                    * case when lasted_s > 3600 then 0 else lasted_s end / 3600,
                    1e6
                ) * 1e12
            )::hugeint as {{ name }}_flow
            {% endfor %}
        from lasting
    ),

    told_of as (
        select
            *
            {% for column, name, _, bit, _ in counters %},
            sum(
                case when "{{ column }}" is null and (quality & {{ bit }}) <> 0 then {{ name }}_flow else 0 end
            ) over in_test as {{ name }}_told
            {% endfor %}
        from flowing
        window in_test as (partition by cell_id, test_id order by data_point)
    ),

    made_up as (
        select
            *
            {% for column, name, _, _, _ in counters %},
            {{ name }}_told - coalesce(
                lag(case when "{{ column }}" is not null then {{ name }}_told end ignore nulls) over in_test, 0
            ) as {{ name }}_given
            {% endfor %}
        from told_of
        window in_test as (partition by cell_id, test_id order by data_point)
    ),

    leaps as (
        select
            cell_id,
            test_id,
            data_point,
            true as is_leaping
            {% for column, name, gain, bit, _ in counters %},
            case
                when "{{ column }}" is null and (quality & {{ bit }}) = 0 then null
                when "{{ column }}" is null then {{ name }}_flow
                when
                    (quality & {{ bit }}) <> 0 and abs({{ name }}_before) <= 1e-9 and {{ name }}_left > 1e-8
                    and "{{ column }}" between {{ name }}_left - 1e-9 and 2 * {{ name }}_left
                    then
                        round("{{ column }}" * 1e12)::hugeint - round({{ name }}_left * 1e12)::hugeint
                        - round({{ name }}_before * 1e12)::hugeint - {{ name }}_given
                when (quality & {{ bit }}) <> 0 and {{ name }}_before is null then 0
                when (quality & {{ bit }}) <> 0 then {{ name }}_flow
                else {{ counter_gain(column, name) }} - {{ name }}_given
            end as {{ gain }} -- noqa: LT02
            {% endfor %}
        from made_up
    )
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
