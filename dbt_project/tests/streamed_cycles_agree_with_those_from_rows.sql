-- The worker adds up each cycle as its readings pass; battery_cycles is made from the rows that landed, by other code.
-- Both count in whole pico-Ah, so they agree to the last digit. Tests of which more has landed than the
-- models have seen are left out, and all tests where a warehouse holds only readings. Where a counter leaps, the gain
-- comes from the current between two readings; it differs slightly once a spike between them is left out.
{% set streamed = source('landing', 'battery_cell_cycles') %}
{% if is_missing(streamed) | trim %}

    select cell_id
    from {{ ref('battery_tests') }}
    where false

{% else %}

    with streamed as (
        select * from {{ streamed.include(database=false) }}
    ),

    settled as (
        select
            tests.cell_id,
            tests.test_id,
            tests.reading_count - tests.cleaned_count as dropped
        from {{ ref('battery_tests') }} as tests
        inner join streamed on tests.cell_id = streamed.cell_id and tests.test_id = streamed.test_id
        group by tests.cell_id, tests.test_id, tests.reading_count, tests.cleaned_count
        having sum(streamed.reading_count) = tests.reading_count
    ),

    leapt as (
        select distinct
            cell_id,
            test_id,
            cycle_index
        from {{ ref('battery_ts') }}
        where {{ has_flag('counter_leap') }}
    ),

    final as (
        select
            streamed.cell_id,
            streamed.test_id,
            streamed.cycle_index,
            streamed.reading_count,
            cycles.row_count,
            streamed.charge_capacity_ah as streamed_charge_capacity_ah,
            cycles.charge_capacity_ah,
            streamed.discharge_capacity_ah as streamed_discharge_capacity_ah,
            cycles.discharge_capacity_ah
        from streamed
        inner join settled on streamed.cell_id = settled.cell_id and streamed.test_id = settled.test_id
        left join {{ ref('battery_cycles') }} as cycles
            on
                streamed.cell_id = cycles.cell_id
                and streamed.test_id = cycles.test_id
                and streamed.cycle_index = cycles.cycle_index
        left join leapt
            on
                streamed.cell_id = leapt.cell_id
                and streamed.test_id = leapt.test_id
                and streamed.cycle_index = leapt.cycle_index
        where
            streamed.reading_count - coalesce(cycles.row_count, 0) not between 0 and settled.dropped
            or (
                cycles.row_count is not null
                and (leapt.cell_id is null or streamed.reading_count = cycles.row_count)
                and (
                    {{ differs('streamed.charge_capacity_ah', 'cycles.charge_capacity_ah') }}
                    or {{ differs('streamed.discharge_capacity_ah', 'cycles.discharge_capacity_ah') }}
                    or {{ differs('streamed.charge_energy_wh', 'cycles.charge_energy_wh') }}
                    or {{ differs('streamed.discharge_energy_wh', 'cycles.discharge_energy_wh') }}
                )
            )
    )

    select * from final

{% endif %}
