-- A filter that takes the course of a cell for outliers drops whole ends of discharges: more than two readings
-- in a hundred of a test are a filter to look at, not a cell that glitches.
{{ config(severity='warn') }}

with final as (
    select
        cell_id,
        test_id,
        reading_count,
        cleaned_count
    from {{ ref('battery_tests') }}
    where cleaned_count < 0.98 * reading_count
)

select * from final
