{{ config(materialized='view') }}

-- The first complete cycle of every group of so many, the last complete one, and the reference tests.
with complete as (
    select
        cell_id,
        test_id,
        cycle_index,
        cycle_number,
        is_reference_test,
        row_number() over (
            partition by cell_id, (cycle_number - 1) // {{ var('ica_every_cycles') }} order by cycle_number
        ) as number_in_its_share,
        row_number() over (partition by cell_id order by cycle_number desc) as number_from_the_end
    from {{ ref('battery_cycles') }}
    where is_complete
),

final as (
    select
        cell_id,
        test_id,
        cycle_index,
        cycle_number
    from complete
    where number_in_its_share = 1 or number_from_the_end = 1 or is_reference_test
)

select * from final
