{# After a model, in the transaction that built it: add the model to the run's row in _dbt_runs, so that it is on
   record however the run ends. A run by hand has no row, and nothing happens. Nothing happens either while dbt parses: the
   variable differs for each run, and dbt would parse everything again. #}
{% macro record_build() -%}
    {%- if execute and env_var('BATTERY_DBT_RUN', '') -%}
        update internal._dbt_runs
        set
            built = true,
            results = list_append(results, {
                'node': '{{ model.unique_id }}', 'kind': '{{ model.resource_type }}', 'status': 'success',
                'seconds': null, 'failures': null, 'message': null
            })
        where run = '{{ env_var('BATTERY_DBT_RUN') }}'
    {%- endif -%}
{%- endmacro %}
