{{ config(
    materialized='incremental', incremental_strategy='touched',
    pre_hook="{{ find_changed_tests() }}",
    post_hook="{{ keep_watermark() }}",
) }}

with readings as (
    select * from {{ ref('battery_ts') }} {{ only_touched() }}
),

counted as (
    select
        cell_id,
        test_id,
        {{ checksum('readings') }} as version,
        count(*) as reading_count,
        count(*) - count(distinct data_point) as duplicate_count
    from readings
    group by cell_id, test_id
),

final as (
    select
        counted.cell_id,
        counted.test_id,
        {{ version_of_test('counted.version', 'about') }} as version,
        counted.reading_count,
        counted.duplicate_count
    from counted
    left join {{ ref('battery_test_about') }} as about
        on counted.cell_id = about.cell_id and counted.test_id = about.test_id
)

select * from final
