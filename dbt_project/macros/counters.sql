{# What the cycler's counters gained from reading to reading: the rule of dataflows/fold/counters.py in SQL, for
   battery_steps and for the Cycle page of the dashboard. A test holds the two to the same answers
   (tests/unit/dashboard/test_counter_rule.py). sink/care/recount.py shares nothing with either, on purpose. #}

{# The numbers of the rule, which are those of kernel/contract/reading.py: noise and zero for each ampere of the largest
   current before. #}
{% macro counter_number(name) -%}
    {{- {
        'noise': '1e-9',
        'zero': '1e-8',
        'leap_current': '1',
        'reset_share': '0.5',
        'step_reset_share': '0.99999',
        'gap_seconds': '3600',
        'most_flow': '4e6'
    }[name] -}}
{%- endmacro %}

{# How many of them make an Ah or Wh: gains are whole numbers of atto-Ah and atto-Wh, so that sums are exact in any
   order, and what a coin cell at 10 µA moves in a second still has ten digits. #}
{% macro counter_unit() -%} 1e18 {%- endmacro %}

{# The largest current of a test before a reading, in A, and what stands for it before any has flowed: what counts as
   noise of a counter follows it. To be used with the window `in_test`, ordered. #}
{% macro counter_size() -%}
    coalesce(
        nullif(max(abs("current(a)")) over (in_test rows between unbounded preceding and 1 preceding), 0),
        {{ counter_number('leap_current') }}
    ) as largest_a
{%- endmacro %}

{# True where a counter was reset at a reading. A reset starts near zero; where a step has begun since the counter was
   last measured, any fall beyond lost digits is a reset. To be used after the columns of `counter_before` and
   `counter_size`. #}
{% macro counter_is_reset(column, name) -%}
    (
        "{{ column }}" < {{ name }}_before - {{ counter_number('noise') }} * largest_a
        and abs("{{ column }}") < {{ name }}_before
        * case
            when step_number > {{ name }}_step_before then {{ counter_number('step_reset_share') }}
            else {{ counter_number('reset_share') }}
        end
    )
{%- endmacro %}

{# The counter's value when it was last measured, and the step of that reading. To be used with the window `in_test`,
   ordered. #}
{% macro counter_before(column, name) -%}
    lag("{{ column }}" ignore nulls) over in_test as {{ name }}_before,
    lag(case when "{{ column }}" is not null then step_number end ignore nulls) over in_test as {{ name }}_step_before
{%- endmacro %}

{# What a counter gained with a reading, in whole numbers of `counter_unit`. A counter
   begins at zero where a test begins, and at its first value where that reading is more than an hour into the test. #}
{% macro counter_gain(column, name) -%}
    round("{{ column }}" * {{ counter_unit() }})::hugeint - round(
        case
            when {{ name }}_before is null
                then case when "test_time(s)" <= {{ counter_number('gap_seconds') }} then 0 else "{{ column }}" end
            when {{ counter_is_reset(column, name) }} then 0
            else {{ name }}_before
        end * {{ counter_unit() }}
    )::hugeint
{%- endmacro %}

{# The CTEs that end with `leaps`: the gains in tests in which a counter leaps; those of other tests come from
   `counter_gain`. At a reading whose flag says that the counter leaped, it gains what the current moved, in whole
   units: by the trapezoid, energy times the voltage; where a step begins, by the reading's own current since then.
   Where the value is NULL, the next measured reading gains that much less. A counter that is back where it stood before
   it fell to zero gains what was moved since.

   Args: the readings, and the CTE that numbers their steps. #}
{% macro counter_leaps(readings, numbered) -%}
    {%- set counters = [
        ('charge_capacity(ah)', 'charge_capacity', 'charge_aah', 'greatest("current(a)", 0)'),
        ('discharge_capacity(ah)', 'discharge_capacity', 'discharge_aah', 'greatest(-1 * "current(a)", 0)'),
        ('charge_energy(wh)', 'charge_energy', 'charge_awh', 'greatest("current(a)", 0) * abs("voltage(v)")'),
        (
            'discharge_energy(wh)', 'discharge_energy', 'discharge_awh',
            'greatest(-1 * "current(a)", 0) * abs("voltage(v)")'
        )
    ] -%}
    leaping as (
        select distinct
            cell_id,
            test_id
        from {{ readings }}
        where
            false
            {% for _, name, _, _ in counters %}
                or {{ has_flag(name ~ '_leap') }} -- noqa: LT02
            {% endfor %}
    ),

    sized as (
        select
            *,
            {{ counter_size() }}
        from {{ numbered }}
        inner join leaping using (cell_id, test_id)
        window in_test as (partition by cell_id, test_id order by data_point)
    ),

    timed as (
        select
            *,
            {% for column, name, _, power in counters %} -- noqa: LT02
            {{ counter_before(column, name) }},
            lag(
                case
                    when abs("{{ column }}") > {{ counter_number('noise') }} * largest_a then "{{ column }}"
                end ignore nulls
            ) over in_test as {{ name }}_left,
            {{ power }} as {{ name }}_power,
            lag({{ power }}) over in_test as {{ name }}_power_before,
            {% endfor %}
            coalesce(step_number <> lag(step_number) over in_test, true) as is_first,
            "test_time(s)" - coalesce(lag("test_time(s)") over in_test, 0) as since_s
        from sized
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
            {% for _, name, _, _ in counters %},
            round(
                least(
                    (case when is_first then {{ name }}_power else {{ name }}_power_before end + {{ name }}_power) / 2
                    * case when lasted_s > {{ counter_number('gap_seconds') }} then 0 else lasted_s end / 3600,
                    {{ counter_number('most_flow') }}
                ) * {{ counter_unit() }}
            )::hugeint as {{ name }}_flow
            {% endfor %}
        from lasting
    ),

    given_in_total as (
        select
            *
            {% for column, name, _, _ in counters %},
            sum(
                case when "{{ column }}" is null and {{ has_flag(name ~ '_leap') }} then {{ name }}_flow else 0 end
            ) over in_test as {{ name }}_given_total
            {% endfor %}
        from flowing
        window in_test as (partition by cell_id, test_id order by data_point)
    ),

    given_since as (
        select
            *
            {% for column, name, _, _ in counters %},
            {{ name }}_given_total - coalesce(
                lag(case when "{{ column }}" is not null then {{ name }}_given_total end ignore nulls) over in_test, 0
            ) as {{ name }}_given
            {% endfor %}
        from given_in_total
        window in_test as (partition by cell_id, test_id order by data_point)
    ),

    leaps as (
        select
            cell_id,
            test_id,
            data_point,
            true as is_leaping
            {% for column, name, gain, _ in counters %},
            case
                when "{{ column }}" is null and not {{ has_flag(name ~ '_leap') }} then null
                when "{{ column }}" is null then {{ name }}_flow
                when
                    {{ has_flag(name ~ '_leap') }}
                    and abs({{ name }}_before) <= {{ counter_number('noise') }} * largest_a
                    and {{ name }}_left > {{ counter_number('zero') }} * largest_a
                    and "{{ column }}" between
                    {{ name }}_left - {{ counter_number('noise') }} * largest_a and 2 * {{ name }}_left
                    then
                        round("{{ column }}" * {{ counter_unit() }})::hugeint
                        - round({{ name }}_left * {{ counter_unit() }})::hugeint
                        - round({{ name }}_before * {{ counter_unit() }})::hugeint - {{ name }}_given
                when {{ has_flag(name ~ '_leap') }} and {{ name }}_before is null then 0
                when {{ has_flag(name ~ '_leap') }} then {{ name }}_flow
                else {{ counter_gain(column, name) }} - {{ name }}_given
            end as {{ gain }} -- noqa: LT02
            {% endfor %}
        from given_since
    )
{%- endmacro %}

{# The CTEs that end with `gained`: readings with what each counter gained over them in whole atto-Ah and atto-Wh
   (`charge_aah`, `discharge_aah`, `charge_awh`, `discharge_awh`; NULL where it was not measured), and with `is_reset`,
   whether a capacity counter was reset there.

   Args: the readings, the CTE that numbers their steps, and one more column from the window `in_test`, if any. #}
{% macro counter_gains(readings, numbered, another_column=none) -%}
    {%- set counters = [
        ('charge_capacity(ah)', 'charge_capacity', 'charge_aah'),
        ('discharge_capacity(ah)', 'discharge_capacity', 'discharge_aah'),
        ('charge_energy(wh)', 'charge_energy', 'charge_awh'),
        ('discharge_energy(wh)', 'discharge_energy', 'discharge_awh')
    ] -%}
    followed as (
        select
            {% for column, name, _ in counters %} -- noqa: LT02
            {{ counter_before(column, name) }},
            {% endfor %} -- noqa: LT02
            {% if another_column %} -- noqa: LT02
            {{ another_column }},
            {% endif %} -- noqa: LT02
            {{ counter_size() }},
            *
        from {{ numbered }}
        window in_test as (partition by cell_id, test_id order by data_point)
    ),

    {{ counter_leaps(readings, numbered) }},

    gained as (
        select
            followed.*,
            {% for column, name, gain in counters %} -- noqa: LT02
            case
                when leaps.is_leaping then leaps.{{ gain }}
                else {{ counter_gain(column, name) }}
            end as {{ gain }}, -- noqa: LT02
            {% endfor %}
            coalesce(
                {{ counter_is_reset('charge_capacity(ah)', 'charge_capacity') }}
                or {{ counter_is_reset('discharge_capacity(ah)', 'discharge_capacity') }},
                false
            ) as is_reset
        from followed
        left join leaps using (cell_id, test_id, data_point)
    )
{%- endmacro %}
