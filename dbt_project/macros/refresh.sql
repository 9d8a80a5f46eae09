{# What an hourly refresh has to build again.

   Every reading belongs to a test, and a test is the unit of refresh: battery_test_versions holds a checksum of all
   readings of each test, and of what its reader said of it. An incremental model names its upstream model in
   `meta.built_from`. In the transaction that builds it, it writes to the table _refreshed which version of each test
   (or cell) it was built from. Before it runs, it compares these versions with those of the upstream model. New tests,
   tests with late readings, tests that a replay changed and tests that are gone differ; no other tests do. So the next
   run completes one that broke off, model by model, and a model that is run alone takes the version that its upstream
   model was built from, not a newer one.

   The table also says which dbt run built each test (or cell), so that a publication need not compare rows
   (refresh/publish.py). #}

{# Where a run by hand builds for readers at once (main), what is internal stands in a schema of its own, as after a
   publication. The pipeline builds all of it in one schema. #}
{% macro schema_of_marks() -%}
    {{- 'internal' if target.schema == 'main' else target.schema -}}
{%- endmacro %}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{- custom_schema_name if custom_schema_name and target.schema == 'main' else target.schema -}}
{%- endmacro %}

{% macro create_refreshed() -%}
    create schema if not exists {{ schema_of_marks() }};
    create table if not exists {{ schema_of_marks() }}._refreshed (
        model varchar not null, cell_id varchar not null, test_id varchar not null, version varchar not null
    );
    alter table {{ schema_of_marks() }}._refreshed add column if not exists code varchar;
    alter table {{ schema_of_marks() }}._refreshed add column if not exists built_by varchar
{%- endmacro %}

{# The versions that a model was built from; of cells, the test_id is empty. #}
{% macro versions_of(model_name) -%}
    {%- if model_name == 'battery_test_versions' -%}
        select cell_id, test_id, version from {{ ref('battery_test_versions') }}
    {%- elif model_name == 'battery_cell_versions' -%}
        select cell_id, '' as test_id, version from {{ ref('battery_cell_versions') }}
    {%- elif model_name == 'battery_chosen_versions' -%}
        select cell_id, test_id, version from {{ ref('battery_chosen_versions') }}
    {%- else -%}
        select cell_id, test_id, version from {{ schema_of_marks() }}._refreshed where model = '{{ model_name }}'
    {%- endif -%}
{%- endmacro %}

{# Before a model: the tests (or cells) whose version differs from the one that it was built from, or that were built by
   other code; all of them where it is built from nothing. #}
{% macro find_touched() -%}
    create or replace temp table touched as
    select cell_id, test_id
    from ({{ versions_of(model.config.meta.built_from) }}) as upstream
    full join ({{ versions_of(this.identifier) }}) as here using (cell_id, test_id)
    {%- if execute and load_relation(this) is not none and not should_full_refresh() %}
        where upstream.version is distinct from here.version {{ or_of_other_code() }}
    {%- endif %}
{%- endmacro %}

{# Or those built by other code, where the environment names the code. #}
{% macro or_of_other_code() -%}
    {%- if env_var('BATTERY_CODE', '') -%}
        or (cell_id, test_id) in (
            select old.cell_id, old.test_id from {{ schema_of_marks() }}._refreshed as old
            where old.model = '{{ this.identifier }}' and old.code is distinct from '{{ env_var('BATTERY_CODE') }}'
        )
    {%- endif -%}
{%- endmacro %}

{# After a model: write down the versions that it was built from. #}
{% macro keep_versions() -%}
    delete from {{ schema_of_marks() }}._refreshed
    where model = '{{ this.identifier }}' and (cell_id, test_id) in (select t.cell_id, t.test_id from touched as t);
    insert into {{ schema_of_marks() }}._refreshed (model, cell_id, test_id, version, code, built_by)
    select
        '{{ this.identifier }}', cell_id, test_id, version, '{{ env_var('BATTERY_CODE', '') }}', '{{ invocation_id }}'
    from ({{ versions_of(model.config.meta.built_from) }}) as upstream
    where (cell_id, test_id) in (select t.cell_id, t.test_id from touched as t)
{%- endmacro %}

{# With the scan that begins a refresh: the position up to which it has read. refresh/news.py compares it with what has
   landed since. Where the models are in a file of this host, the number of the landing that it has taken as well
   (refresh/turns.py). #}
{% macro keep_watermark() -%}
    delete from {{ schema_of_marks() }}._refreshed where model in ('_watermark', '_inputs', '_taken');
    {%- if execute and adapter.get_relation(target.database, 'internal', '_watermark') %}
        insert into {{ schema_of_marks() }}._refreshed (model, cell_id, test_id, version, built_by)
        select '_watermark', '', '', watermark, '{{ invocation_id }}' from internal._watermark
        union all
        select '_inputs', '', '', '{{ env_var('BATTERY_INPUTS', '') }}', '{{ invocation_id }}';
    {%- endif %}
    {%- if execute and adapter.get_relation(target.database, 'internal', '_taken') %}
        insert into {{ schema_of_marks() }}._refreshed (model, cell_id, test_id, version, built_by)
        select '_taken', '', '', number::varchar, '{{ invocation_id }}' from internal._taken;
    {%- endif %}
{%- endmacro %}

{# The rows of a relation that a refresh has to read. #}
{% macro only_touched() -%}
    {%- if is_incremental() -%} where (cell_id, test_id) in (select t.cell_id, t.test_id from touched as t) {%- endif -%}
{%- endmacro %}

{# The same for a model of whole cells. #}
{% macro only_touched_cells() -%}
    {%- if is_incremental() -%} where cell_id in (select t.cell_id from touched as t) {%- endif -%}
{%- endmacro %}

{# The incremental strategy `touched`: delete the rows of what has changed, and insert them again. The table that dbt
   has put them into is dropped as well: for a model in Python it is not temporary, and readers would see it. #}
{% macro get_incremental_touched_sql(arg_dict) -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set key = 'cell_id' if model.config.meta.get('grain') == 'cell' else '(cell_id, test_id)' -%}
    delete from {{ arg_dict['target_relation'] }}
    where {{ key }} in (select {{ 't.cell_id' if key == 'cell_id' else 't.cell_id, t.test_id' }} from touched as t);
    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }};
    drop table {{ arg_dict['temp_relation'] }}
{%- endmacro %}

{# A checksum of all rows of a group, whatever their order. #}
{% macro checksum(relation) -%} sum(hash({{ relation }})::hugeint)::varchar {%- endmacro %}

{# The version of a test: the checksum of its readings, and what was said of it where anything was. #}
{% macro version_of_test(readings, about) -%}
    case
        when {{ about }}.cell_id is null then {{ readings }}
        else hash({{ readings }}, {{ about }}.reader, {{ about }}.assumptions, {{ about }}.protocol)::varchar
    end
{%- endmacro %}

{# Before battery_test_versions: the tests whose readings differ from those that it has seen. It is the only time that
   a refresh reads everything. It is fast, since it neither sorts nor writes. #}
{% macro find_changed_tests() -%}
    {%- if is_incremental() -%}
        create or replace temp table touched as
        select cell_id, test_id
        from (
            select summed.cell_id, summed.test_id, {{ version_of_test('summed.version', 'about') }} as version
            from (
                select cell_id, test_id, {{ checksum('readings') }} as version
                from {{ ref('battery_ts') }} as readings
                group by cell_id, test_id
            ) as summed
            left join {{ ref('battery_test_about') }} as about using (cell_id, test_id)
        ) as landed
        full join {{ this }} as here using (cell_id, test_id)
        where landed.version is distinct from here.version
    {%- endif -%}
{%- endmacro %}

{# The configuration of an incremental model that follows `upstream`, test by test or cell by cell. #}
{% macro refreshed_from(upstream, grain='test') -%}
    {%- do ref(upstream) -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='touched',
        meta={'built_from': upstream, 'grain': grain},
        pre_hook="{{ find_touched() }}",
        post_hook="{{ keep_versions() }}",
    ) }}
{%- endmacro %}
