{{ config(
    materialized='incremental', incremental_strategy='touched',
    pre_hook="{{ find_changed_tests() }}",
    post_hook="{{ keep_watermark() }}",
) }}

with readings as (
    select * from {{ ref('battery_ts') }} {{ only_touched() }}
),

final as (
    select
        cell_id,
        test_id,
        {{ checksum('readings') }} as version,
        count(*) as reading_count,
        count(*) - count(distinct data_point) as duplicate_count
    from readings
    group by cell_id, test_id
)

select * from final
