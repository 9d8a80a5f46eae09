with tests as (
    select
        cell_id,
        test_id,
        started_at as ended_at,
        lag(test_id) over in_cell as test_id_before,
        lag(ended_at) over in_cell as started_at
    from {{ ref('battery_tests') }}
    window in_cell as (partition by cell_id order by ordered_at, test_id)
),

gaps as (
    select
        *,
        epoch(ended_at - started_at) / 3600 as gap_h
    from tests
    where ended_at > started_at + {{ var('pause_h') }} * interval 1 hour
),

cycles as (
    select
        cell_id,
        test_id,
        cycle_number,
        discharge_capacity_ah,
        soh,
        is_complete and not is_reference_test as is_compared
    from {{ ref('battery_cycles') }}
),

first_cycles as (
    select
        cell_id,
        test_id,
        min(cycle_number) as first_cycle_number
    from cycles
    group by cell_id, test_id
),

compared as (
    select
        *,
        count(*) over before as count_before,
        quantile_cont(discharge_capacity_ah, 0.5) over before as capacity_before_ah,
        quantile_cont(soh, 0.5) over before as soh_before
    from cycles
    where is_compared
    window before as (
        partition by cell_id order by cycle_number
        rows between {{ var('recovery_cycles') | int }} preceding and 1 preceding
    )
),

final as (
    select
        gaps.cell_id,
        gaps.test_id_before,
        gaps.test_id,
        gaps.started_at,
        gaps.ended_at,
        gaps.gap_h,
        first_cycles.first_cycle_number as cycle_number,
        compared.capacity_before_ah,
        compared.discharge_capacity_ah as capacity_after_ah,
        compared.discharge_capacity_ah - compared.capacity_before_ah as recovered_ah,
        coalesce(compared.soh - compared.soh_before > {{ var('recovery_soh') }}, false) as is_recovery
    from gaps
    left join first_cycles on gaps.cell_id = first_cycles.cell_id and gaps.test_id = first_cycles.test_id
    asof left join compared
        on gaps.cell_id = compared.cell_id and first_cycles.first_cycle_number <= compared.cycle_number
)

select * from final
