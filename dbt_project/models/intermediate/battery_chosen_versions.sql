-- depends_on: {{ ref('battery_steps') }}
{{ config(materialized='view') }}

with tests as (
    {{ versions_of('battery_steps') }}
),

chosen as (
    select
        cell_id,
        test_id,
        list({ 'cycle_index': cycle_index, 'cycle_number': cycle_number } order by cycle_number) as cycles
    from {{ ref('battery_chosen_cycles') }}
    group by cell_id, test_id
),

final as (
    select
        chosen.cell_id,
        chosen.test_id,
        hash(tests.version, chosen.cycles)::varchar as version
    from chosen
    inner join tests on chosen.cell_id = tests.cell_id and chosen.test_id = tests.test_id
)

select * from final
