{# True where a value departed from the reading before and came back, most of the way, within the next three readings of
   the step. Pre-cleaning only looks back, so its spike flags are suspicions: the end of a coarsely sampled discharge
   looks like a spike until the next readings show that the value does not come back. To be used with the windows
   `in_step`, ordered, and `soon`, the three readings that follow. #}
{% macro came_back(column) -%}
    coalesce(
        (
            case
                when lag("{{ column }}" ignore nulls) over in_step > "{{ column }}" then max("{{ column }}") over soon
                else min("{{ column }}") over soon
            end - "{{ column }}"
        ) / nullif(lag("{{ column }}" ignore nulls) over in_step - "{{ column }}", 0) >= 0.5,
        false
    )
{%- endmacro %}
