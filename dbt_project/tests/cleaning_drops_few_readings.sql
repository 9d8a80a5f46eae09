-- A filter that takes the course of a cell for outliers drops whole ends of discharges: more than two readings
-- in a hundred of a test are a filter to look at, not a cell that glitches.
{{ config(severity='warn') }}

with landed as (
    select
        cell_id,
        test_id,
        count(*) as landed_readings
    from {{ ref('battery_ts') }}
    group by cell_id, test_id
),

kept as (
    select
        cell_id,
        test_id,
        count(*) as kept_readings
    from {{ ref('battery_cleaned') }}
    group by cell_id, test_id
),

final as (
    select
        landed.cell_id,
        landed.test_id,
        landed.landed_readings,
        coalesce(kept.kept_readings, 0) as kept_readings
    from landed
    left join kept
        on landed.cell_id = kept.cell_id and landed.test_id = kept.test_id
    where coalesce(kept.kept_readings, 0) < 0.98 * landed.landed_readings
)

select * from final
