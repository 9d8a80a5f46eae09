{# A non-empty text where a relation does not exist; empty where it does, and while dbt only parses the project. #}
{% macro is_missing(relation) -%}
    {%- if execute and load_relation(relation) is none -%} missing {%- endif -%}
{%- endmacro %}
