{{ refreshed_from('battery_steps') }}

with readings as (
    select * from {{ ref('battery_ts') }} {{ only_touched() }}
),

steps as (
    select
        *,
        lag(charge_capacity_ah + discharge_capacity_ah) over in_test > 0 as is_after_movement,
        coalesce(cycle_index <> lag(cycle_index) over in_test, true) as is_first_of_cycle
    from {{ ref('battery_steps') }} {{ only_touched() }}
    window in_test as (partition by cell_id, test_id order by step_number)
),

landed as (
    select
        cell_id,
        test_id,
        min(source_file) as source_file,
        min(date_time) as started_at,
        max(date_time) as ended_at,
        -- The order of the tests of a cell needs a start for each, so it is never NULL.
        coalesce(min(date_time), min(try_cast(test_id as timestamp)), min(streamed_at)) as ordered_at,
        max("test_time(s)") - min("test_time(s)") as duration_s,
        count(distinct cycle_index) as cycle_count,
        count(*) filter (where {{ is_flagged() }}) as flagged_count,
        count(*) filter (where {{ has_flag('spike') }}) as spike_count,
        count(*) filter (where {{ has_flag('temperature_spike') }}) as temperature_spike_count,
        count(*) filter (where {{ has_flag('gap') }}) as gap_count,
        count(*) filter (where {{ has_flag('counter_reset') }}) as counter_reset_count,
        count(*) filter (where {{ has_flag('counter_fell') }}) as counter_fell_count,
        count(*) filter (where {{ has_flag('counter_leap') }}) as counter_leap_count,
        count(*) filter (where {{ has_flag('clock_jump') }}) as clock_jump_count,
        count(*) filter (where {{ has_flag('cycle_backwards') }}) as cycle_backwards_count,
        count(*) filter (where {{ has_flag('value_dropped') }}) as value_dropped_count,
        count(*) filter (where {{ has_flag('retried') }}) as retried_count,
        count(*) filter (where {{ has_flag('counter_integrated') }}) as counter_integrated_count,
        count(*) filter (where "temperature(c)" is not null) as temperature_count
    from readings
    group by cell_id, test_id
),

counted as (
    select
        cell_id,
        test_id,
        count(*) as step_count,
        sum(row_count)::bigint as cleaned_count,
        count(charge_capacity_ah) + count(discharge_capacity_ah) > 0 as has_counters,
        sum(counter_reset_count) as resets,
        count(*) filter (where is_reset_at_start and not is_first_of_cycle) as resets_at_steps,
        count(*) filter (where is_after_movement and not is_first_of_cycle) as steps_after_movement,
        count(*) filter (where is_reset_at_start and is_first_of_cycle) as resets_at_cycles,
        count(*) filter (where is_after_movement is not null and is_first_of_cycle) as cycles_after_the_first
    from steps
    group by cell_id, test_id
),

final as (
    select
        landed.cell_id,
        landed.test_id,
        landed.source_file,
        landed.started_at,
        landed.ended_at,
        landed.ordered_at,
        landed.duration_s,
        -- The worker may land more while the models are built. Only what the models have seen counts.
        greatest(versions.reading_count, counted.cleaned_count) as reading_count,
        coalesce(counted.cleaned_count, 0) as cleaned_count,
        landed.cycle_count,
        coalesce(counted.step_count, 0) as step_count,
        case
            when not coalesce(counted.has_counters, false) then 'none'
            when counted.resets = 0 then 'per_test'
            when counted.resets_at_steps >= 0.8 * greatest(counted.steps_after_movement, 1) then 'per_step'
            when
                counted.resets_at_cycles >= 0.8 * greatest(counted.cycles_after_the_first, 1)
                and counted.resets_at_cycles = counted.resets
                then 'per_cycle'
            else 'irregular'
        end as counter_behaviour,
        landed.flagged_count,
        landed.spike_count,
        landed.temperature_spike_count,
        landed.gap_count,
        landed.counter_reset_count,
        landed.counter_fell_count,
        landed.counter_leap_count,
        landed.clock_jump_count,
        landed.cycle_backwards_count,
        landed.value_dropped_count,
        landed.retried_count,
        landed.counter_integrated_count,
        landed.temperature_count,
        about.reader,
        about.assumptions,
        about.protocol
    from landed
    inner join {{ ref('battery_test_versions') }} as versions using (cell_id, test_id)
    left join counted using (cell_id, test_id)
    left join {{ ref('battery_test_about') }} as about using (cell_id, test_id)
)

select * from final
