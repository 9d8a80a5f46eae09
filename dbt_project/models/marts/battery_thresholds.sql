{%- set thresholds = [
    ('end_of_life_percent', '%', 'End of life: the capacity, as a share of the nominal or else the initial one'),
    ('median_cycles', 'cycles', 'End of life: the complete cycles that a rule takes the median of, an odd number'),
    ('mean_cycles', 'cycles', 'End of life: the complete cycles that a rule takes the mean of'),
    ('initial_cycles', 'cycles', 'The first complete cycles, whose median is the initial capacity'),
    ('recent_cycles', 'cycles', 'The last complete cycles, from which the recent fade is computed'),
    ('full_cycle_share', '1', 'Complete cycle: the least capacity as a share of the nominal or largest one'),
    ('full_cycle_margin_v', 'V', 'Complete cycle: how far above the discharge limit it may end'),
    ('full_cycle_margin_share', '1', 'Complete cycle: the same as a share of that limit; the larger margin counts'),
    ('rest_of_discharge_share', '1', 'Rest of a discharge: how much lower it begins, as a share of its voltage range'),
    ('reference_rate_share', '1', 'Reference test: the highest discharge rate as a share of the median one'),
    ('rest_current_share', '1', 'Rest: the highest current as a share of the one that moved half of the charge'),
    ('pause_h', 'h', 'A pause between two tests is longer than this'),
    ('recovery_soh', '1', 'Recovery in a pause: the least rise of the state of health'),
    ('recovery_cycles', 'cycles', 'Recovery in a pause: the complete cycles before it that the rise is measured from'),
    ('pulse_time_s', 's', 'Pulse resistance: the time after a current has set in'),
    ('pulse_tolerance', '1', 'Pulse resistance: how far current and time may be off, as a share'),
    ('group_cycles', 'cycles', 'Groups of cells: cycle numbers are rounded to multiples of this'),
    ('ica_every_cycles', 'cycles', 'Incremental capacity: one cycle in so many has curves'),
    ('instrument_max_voltage_v', 'V', 'The largest magnitude of a voltage that the instrument can report'),
    ('instrument_max_current_a', 'A', 'The largest magnitude of a current that the instrument can report'),
] -%}

{%- for name, unit, description in thresholds %}
    select
        '{{ name }}' as name, -- noqa: RF04
        {{ var(name) }}::double as value, -- noqa: RF04
        '{{ unit }}' as unit,
        '{{ description }}' as description
    {%- if not loop.last %}
        union all
    {%- endif %}
{%- endfor %}
