{# The bits of kernel.contract.reading.Quality: true where pre-cleaning set the named flag on a reading. #}
{% macro has_flag(name) -%}
    {%- set bits = {
        'spike': 1,
        'temperature_spike': 2,
        'gap': 4,
        'counter_reset': 8,
        'clock_jump': 16,
        'cycle_backwards': 32,
        'value_dropped': 64,
        'counter_fell': 128,
        'retried': 256,
        'counter_leap': 512,
        'late': 1024,
        'charge_capacity_leap': 2048,
        'discharge_capacity_leap': 4096,
        'charge_energy_leap': 8192,
        'discharge_energy_leap': 16384,
        'counter_integrated': 32768
    } -%}
    (quality & {{ bits[name] }}) <> 0
{%- endmacro %}

{# True where pre-cleaning noticed anything that may be wrong with a reading: that a counter was computed is not. #}
{% macro is_flagged() -%} (quality & ~32768) <> 0 {%- endmacro %}
