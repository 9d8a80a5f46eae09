{%- set every = var('group_cycles') %}

with metadata as (
    select
        cell_id,
        cell_group
    from {{ ref('battery_cell_metadata') }}
    where cell_group is not null
),

rounded as (
    select
        metadata.cell_group,
        cycles.cell_id,
        cycles.cycle_number as exact_number,
        (round(cycles.cycle_number / {{ every }}) * {{ every }})::integer as cycle_number,
        cycles.soh
    from {{ ref('battery_cycles') }} as cycles
    inner join metadata on cycles.cell_id = metadata.cell_id
    where cycles.is_complete and not cycles.is_reference_test and cycles.soh is not null
),

-- Each cell counts once at a rounded cycle number, however many of its cycles that stands for.
cells as (
    select
        cell_group,
        cell_id,
        cycle_number,
        avg(soh order by exact_number) as soh
    from rounded
    group by cell_group, cell_id, cycle_number
),

final as (
    select
        cell_group,
        cycle_number,
        count(*) as cell_count,
        avg(soh order by cell_id) as soh_mean,
        quantile_cont(soh, 0.5) as soh_median,
        stddev_samp(soh order by cell_id) as soh_sd,
        min(soh) as soh_min,
        max(soh) as soh_max
    from cells
    group by cell_group, cycle_number
)

select * from final
