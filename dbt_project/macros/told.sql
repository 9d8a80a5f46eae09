{# A value of the metadata that the lab has told, as text or, of tags, as JSON; NULL where it has told none. #}
{% macro told_value(relation, key) -%}
    {%- if key == 'tags' -%} {{ relation }}.told['{{ key }}'] {%- else -%} {{ relation }}.told['{{ key }}'] ->> '$' {%- endif -%}
{%- endmacro %}
