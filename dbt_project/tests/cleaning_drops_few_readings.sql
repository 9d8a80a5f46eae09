-- A filter that takes real changes of voltage for outliers drops the whole end of a discharge. Where more than two
-- in a hundred readings of a test are dropped, the filter is probably wrong.
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
