{# Something where a relation is not there; nothing where it is, and while dbt only reads the project. #}
{% macro is_missing(relation) -%}
    {%- if execute and load_relation(relation) is none -%} missing {%- endif -%}
{%- endmacro %}
