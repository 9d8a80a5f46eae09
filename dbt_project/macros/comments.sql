{# After a run: what the YAML says of models, seeds and their columns, in the table _comments, from which a publication
   comments on what readers see (refresh/comments.py). dbt's own persist_docs would comment on tables that each refresh
   makes again, which takes 0.7 s. The table is written only after other code than before. #}
{% macro keep_comments() -%}
    {%- if execute and (not env_var('BATTERY_CODE', '') or commented_code() != env_var('BATTERY_CODE')) -%}
        {%- set rows = [] -%}
        {%- for node in graph.nodes.values() if node.resource_type in ('model', 'seed') and node.description -%}
            {%- do rows.append((node.name, '', node.description)) -%}
            {%- for column in node.columns.values() if column.description -%}
                {%- do rows.append((node.name, column.name, column.description)) -%}
            {%- endfor -%}
        {%- endfor -%}
        {{- comments_table(rows) -}}
    {%- endif -%}
{%- endmacro %}

{% macro comments_table(rows) -%}
    {%- set values = [] -%}
    {%- for name, column, text in rows -%}
        {%- do values.append("('" ~ name ~ "', '" ~ column ~ "', " ~ duckdb_escape_comment(text | trim) ~ ")") -%}
    {%- endfor -%}
    create or replace table {{ schema_of_marks() }}._comments as
    select model, column_name, comment, '{{ env_var('BATTERY_CODE', '') }}' as code
    from (values {{ values | join(', ') }}) as described (model, column_name, comment)
{%- endmacro %}

{# The code after which the comments were written; none where there are none. #}
{% macro commented_code() -%}
    {%- set found = adapter.get_relation(target.database, schema_of_marks(), '_comments') -%}
    {%- if found -%}
        {{- return(run_query('select min(code) from ' ~ found).rows[0][0]) -}}
    {%- endif -%}
{%- endmacro %}
