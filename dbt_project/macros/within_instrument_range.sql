{# The limits of battery.reading.INSTRUMENT_RANGE: what an instrument can report at all, never what a test
   protocol asks for. NaN and infinity lie outside. #}
{% macro within_instrument_range(column) -%}
    {%- set limits = {
        'test_time(s)': ('0', '1e9'),
        'current(a)': ('-2000', '2000'),
        'voltage(v)': ('-10', '10')
    } -%}
    "{{ column }}" between {{ limits[column][0] }} and {{ limits[column][1] }}
{%- endmacro %}
