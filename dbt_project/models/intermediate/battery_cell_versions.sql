-- depends_on: {{ ref('battery_tests') }}
{{ config(materialized='view') }}

with tests as (
    {{ versions_of('battery_tests') }}
),

cells as (
    select
        cell_id,
        sum(hash(test_id, version)::hugeint) as tests_version
    from tests
    group by cell_id
),

-- Not called metadata, as a column of it is: its checksum is that of whole rows.
described as (
    select * from {{ ref('battery_cell_metadata') }}
),

known as (
    select
        cell_id,
        {{ checksum('described') }} as known_version
    from described
    group by cell_id
),

final as (
    select
        known.cell_id,
        hash(cells.tests_version, known.known_version)::varchar as version
    from known
    inner join cells on known.cell_id = cells.cell_id
)

select * from final
