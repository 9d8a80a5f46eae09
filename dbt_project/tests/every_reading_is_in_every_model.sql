-- An hourly refresh replaces what has changed and nothing else. If a test were left out or built twice, the numbers of
-- readings would differ between the models. The numbers are kept in columns, so this test does not read the readings.
with readings as (
    select
        sum(reading_count) as landed,
        sum(cleaned_count) as cleaned,
        bool_and(cleaned_count <= reading_count) as is_plausible
    from {{ ref('battery_tests') }}
),

counts as (
    select
        readings.landed,
        readings.cleaned,
        readings.is_plausible,
        (select sum(versions.reading_count) from {{ ref('battery_test_versions') }} as versions) as versions,
        (select count(*) from {{ ref('battery_cleaned') }}) as in_cleaned,
        (select count(*) from {{ ref('battery_features') }}) as in_features,
        (select sum(steps.row_count) from {{ ref('battery_steps') }} as steps) as in_steps,
        (select sum(cycles.row_count) from {{ ref('battery_cycles') }} as cycles) as in_cycles,
        (select sum(cells.reading_count) from {{ ref('battery_cells') }} as cells) as in_cells
    from readings
),

final as (
    select *
    from counts
    where
        not is_plausible
        or landed < versions -- more may have landed while the models were built
        or landed is distinct from in_cells
        or coalesce(cleaned, 0) <> in_cleaned
        or in_cleaned <> in_features
        or coalesce(in_steps, 0) <> in_cleaned
        or coalesce(in_cycles, 0) <> in_cleaned
)

select * from final
