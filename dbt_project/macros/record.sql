{# After a model, in the transaction that built it: the run on record in _dbt_runs has built it, however the run ends.
   Without a run on record, as by hand, it does nothing. While dbt parses, it does nothing either: what it asks of the
   environment is another for each run, and dbt would parse everything anew. #}
{% macro record_build() -%}
    {%- if execute and env_var('BATTERY_DBT_RUN', '') -%}
        update main._dbt_runs
        set
            built = true,
            results = list_append(results, {
                'node': '{{ model.unique_id }}', 'kind': '{{ model.resource_type }}', 'status': 'success',
                'seconds': null, 'failures': null, 'message': null
            })
        where run = '{{ env_var('BATTERY_DBT_RUN') }}'
    {%- endif -%}
{%- endmacro %}
