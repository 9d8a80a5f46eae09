{%- set of_the_lab = var('cells_file') | replace("'", "''") -%}
{#- Each column with its name in the metadata, and its type. -#}
{%- set described_columns = [
    ('chemistry', 'chemistry', 'varchar'),
    ('nominal_capacity_ah', 'nominal_capacity_ah', 'double'),
    ('charge_limit_v', 'charge_limit_v', 'double'),
    ('discharge_limit_v', 'discharge_limit_v', 'double'),
    ('full_cycle_min_ah', 'full_cycle_min_ah', 'double'),
    ('full_cycle_max_v', 'full_cycle_max_v', 'double'),
] -%}
{%- set told_columns = [
    ('cell_group', 'group', 'varchar'),
    ('cell_format', 'format', 'varchar'),
    ('mass_g', 'mass_g', 'double'),
    ('area_cm2', 'area_cm2', 'double'),
    ('protocol', 'protocol', 'varchar'),
    ('temperature_c', 'temperature_c', 'double'),
    ('tags', 'tags', 'varchar[]'),
    ('notes', 'notes', 'varchar'),
] -%}

with cells as (
    select distinct cell_id from {{ ref('battery_tests') }}
),

described as (
    select
        *,
        false as is_of_the_lab
    from {{ ref('cells') }}
    {% if of_the_lab %}
        union all
        select
            cell_pattern,
            chemistry,
            nominal_capacity_ah::double as nominal_capacity_ah,
            charge_limit_v::double as charge_limit_v,
            discharge_limit_v::double as discharge_limit_v,
            full_cycle_min_ah::double as full_cycle_min_ah,
            full_cycle_max_v::double as full_cycle_max_v,
            true as is_of_the_lab
        from read_csv('{{ of_the_lab }}', header = true, all_varchar = true)
    {% endif %}
),

matched as (
    select
        cells.cell_id,
        described.*,
        row_number() over (
            partition by cells.cell_id
            order by described.is_of_the_lab desc, length(described.cell_pattern) desc, described.cell_pattern asc
        ) as choice
    from cells
    left join described on cells.cell_id glob described.cell_pattern
),

latest as (
    select
        cell_id,
        metadata::json::map(varchar, json) as told, -- noqa: LT01
        list_filter(
            map_entries(metadata::json::map(varchar, varchar)), -- noqa: LT01
            lambda entry: entry['key'] not in (
                {%- for _, key, _ in described_columns + told_columns -%}
                    '{{ key }}'{{ '' if loop.last else ', ' }}
                {%- endfor -%}
            )
        ) as free_columns
    from {{ source('landing', 'battery_cell_latest').include(database=false) }}
),

final as (
    select
        matched.cell_id,
        {%- for column, key, type in described_columns %}
            coalesce(({{ told_value('latest', key) }})::{{ type }}, matched.{{ column }}) as {{ column }},
        {%- endfor %}
        {%- for column, key, type in told_columns %}
            ({{ told_value('latest', key) }})::{{ type }} as {{ column }},
        {%- endfor %}
        case
            when len(latest.free_columns) > 0 then map_from_entries(latest.free_columns)::json::varchar
        end as metadata
    from matched
    left join latest on matched.cell_id = latest.cell_id
    where matched.choice = 1
)

select * from final
