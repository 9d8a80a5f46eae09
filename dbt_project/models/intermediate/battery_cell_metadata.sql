{%- set of_the_lab = var('cells_file') | replace("'", "''") -%}

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

final as (
    select
        cell_id,
        chemistry,
        nominal_capacity_ah,
        charge_limit_v,
        discharge_limit_v,
        full_cycle_min_ah,
        full_cycle_max_v
    from matched
    where choice = 1
)

select * from final
