{# True where a column went away from the reading before and came back, most of the way, with the reading after, both
   of the same step. Pre-cleaning looks back only, so its spike flags are suspicions: the end of a discharge that is
   sampled coarsely looks like a spike until what comes next does not come back. To be used with the window `in_step`. #}
{% macro came_back(column) -%}
    coalesce(
        (lead("{{ column }}" ignore nulls) over in_step - "{{ column }}")
        / nullif(lag("{{ column }}" ignore nulls) over in_step - "{{ column }}", 0) >= 0.5,
        false
    )
{%- endmacro %}
