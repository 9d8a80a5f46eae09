{# The limits of kernel.contract.reading.INSTRUMENT_RANGE, with those that are settings: what an instrument can report,
   not what a test protocol asks for. NaN and infinity lie outside. #}
{% macro within_instrument_range(column) -%}
    {%- set limits = {
        'test_time(s)': ('0', '1e9'),
        'current(a)': ('-' ~ var('instrument_max_current_a'), var('instrument_max_current_a')),
        'voltage(v)': ('-' ~ var('instrument_max_voltage_v'), var('instrument_max_voltage_v'))
    } -%}
    "{{ column }}" between {{ limits[column][0] }} and {{ limits[column][1] }}
{%- endmacro %}
