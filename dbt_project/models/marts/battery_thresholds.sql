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
    ('alert_fast_fade', '% in 100 cycles', 'Alert, fast fade: more of the nominal or else the initial capacity is lost'),
    ('alert_fade_cycles', 'cycles', 'Alert, fast fade: the complete cycles that it takes at least'),
    ('alert_knee', '1', 'Alert, knee: the least clearness'),
    ('alert_end_of_life', 'cycles', 'Alert, end of life: so many cycles are left at most'),
    ('alert_low_efficiency', '1', 'Alert, low efficiency: the coulombic efficiency is below'),
    ('alert_high_temperature', '°C', 'Alert, high temperature: the highest temperature of a cycle is above'),
    ('alert_cycles', 'cycles', 'Alert, efficiency and temperature: the complete cycles that the median is taken of'),
    ('alert_apart_cycles', 'cycles', 'Alert, efficiency and temperature: what comes back sooner is the same alert'),
    ('alert_stopped', 'h', 'Alert, stopped: a live test sends nothing for longer'),
    ('alert_pauses', '1', 'Alert, stopped: it also takes so many times the pause that was made so many times'),
    ('alert_live_s', 's', 'Alert, stopped: a live test has been arriving for so long at least'),
    ('alert_live_share', '1', 'Alert, stopped: how far the pace of a live test may be off that of its clock'),
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
