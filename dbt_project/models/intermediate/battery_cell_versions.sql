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

metadata as (
    select * from {{ ref('battery_cell_metadata') }}
),

known as (
    select
        cell_id,
        {{ checksum('metadata') }} as known_version
    from metadata
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
