{%- set width = var('alert_cycles') | int(1) %}

with cells as (
    select
        *,
        coalesce(nominal_capacity_ah, initial_capacity_ah) as basis_ah
    from {{ ref('battery_cells') }}
),

thresholds as (
    select * from {{ ref('battery_alert_thresholds') }}
    where threshold is not null
),

complete as (
    select
        *,
        row_number() over (partition by cell_id order by cycle_number desc) as number_from_the_end
    from {{ ref('battery_cycles') }}
    where is_complete and not is_reference_test
),

lives as (
    select
        cell_id,
        count(*) as complete_count,
        max(cycle_number) as last_cycle,
        min(cycle_number) filter (where number_from_the_end <= {{ var('recent_cycles') }}) as first_recent_cycle
    from complete
    group by cell_id
),

-- Of the whole life of a cell: at most one of each kind.
faded as (
    select
        cells.cell_id,
        'fast_fade' as kind,
        lives.first_recent_cycle as since_cycle,
        100 * cells.recent_fade_ah_per_100_cycles / cells.basis_ah as measured,
        'lost ' || format(
            '{:.1f} % of its {} capacity in 100 cycles, over cycles {} to {}',
            100 * cells.recent_fade_ah_per_100_cycles / cells.basis_ah,
            case when cells.nominal_capacity_ah is null then 'initial' else 'nominal' end,
            lives.first_recent_cycle,
            lives.last_cycle
        ) as what
    from cells
    inner join lives on cells.cell_id = lives.cell_id
    where lives.complete_count >= {{ var('alert_fade_cycles') }}
),

bent as (
    select
        cells.cell_id,
        'knee' as kind,
        round(cells.knee_cycle)::integer as since_cycle,
        cells.knee_confidence as measured,
        format(
            'fades faster since a knee at cycle {:.0f} (95 % interval {:.0f} to {:.0f}; clearness {:.2f} of 1)',
            cells.knee_cycle, cells.knee_low_cycle, cells.knee_high_cycle, cells.knee_confidence
        ) as what
    from cells
    inner join lives on cells.cell_id = lives.cell_id
    where cells.knee_high_cycle <= lives.last_cycle
),

ending as (
    select
        cells.cell_id,
        'end_of_life' as kind,
        coalesce(cells.eol_cycle, greatest(1, floor(cells.projected_eol_cycle - thresholds.threshold)))::integer
            as since_cycle,
        coalesce(cells.eol_cycle, cells.projected_eol_cycle) - lives.last_cycle as measured,
        case
            when cells.eol_cycle is not null
                then format('came to its end of life at cycle {}', cells.eol_cycle)
            else format(
                'comes to its end of life in about {:.0f} cycles, at cycle {:.0f} (plausible from {:.0f} to {})',
                cells.projected_eol_cycle - lives.last_cycle,
                cells.projected_eol_cycle,
                cells.projected_eol_low_cycle,
                coalesce(format('{:.0f}', cells.projected_eol_high_cycle), 'never')
            )
        end || format(
            ': the median of {{ var('median_cycles') }} complete cycles below {{ var('end_of_life_percent') }} % of '
            || 'its {} capacity',
            case when cells.nominal_capacity_ah is null then 'initial' else 'nominal' end
        ) as what
    from cells
    inner join lives on cells.cell_id = lives.cell_id
    inner join thresholds on cells.cell_id = thresholds.cell_id and thresholds.kind = 'end_of_life'
),

-- Of cycles: a median of several of them is beyond the threshold, and one wild cycle does not move it there.
measured_cycles as (
    select
        cell_id,
        test_id,
        cycle_index,
        cycle_number,
        'low_efficiency' as kind,
        coulombic_efficiency as measured
    from complete
    where coulombic_efficiency is not null
    union all
    select
        cell_id,
        test_id,
        cycle_index,
        cycle_number,
        'high_temperature' as kind,
        temperature_max_c as measured
    from complete
    where temperature_max_c is not null
),

medians as (
    select
        *,
        row_number() over (partition by cell_id, kind order by cycle_number) as number,
        count(*) over (partition by cell_id, kind) as measured_count,
        count(*) over lately as count_lately,
        quantile_cont(measured, 0.5) over lately as median_value
    from measured_cycles
    window
        lately as (
            partition by cell_id, kind order by cycle_number rows between {{ width - 1 }} preceding and current row
        )
),

beyond as (
    select
        medians.*,
        coalesce(
            medians.number - lag(medians.number) over in_cell > {{ var('alert_apart_cycles') }}, true
        ) as is_first
    from medians
    inner join thresholds on medians.cell_id = thresholds.cell_id and medians.kind = thresholds.kind
    where
        medians.count_lately = {{ width }}
        and case medians.kind
            when 'low_efficiency' then medians.median_value < thresholds.threshold
            else medians.median_value > thresholds.threshold
        end
    window in_cell as (partition by medians.cell_id, medians.kind order by medians.number)
),

counted as (
    select
        *,
        count(*) filter (where is_first) over (partition by cell_id, kind order by number) as episode
    from beyond
),

episodes as (
    select
        cell_id,
        kind,
        min(cycle_number) as since_cycle,
        max(cycle_number) as until_cycle,
        max(number) < any_value(measured_count) as is_over,
        case kind when 'low_efficiency' then min(median_value) else max(median_value) end as measured,
        arg_min(test_id, number) as test_id,
        arg_min(cycle_index, number) as cycle_index
    from counted
    group by cell_id, kind, episode
),

states as (
    select * from faded
    union all
    select * from bent
    union all
    select * from ending
),

found as (
    select
        cell_id,
        kind,
        since_cycle,
        measured,
        null::integer as until_cycle,
        false as is_over,
        cell_id || '/' || kind as alert_id,
        what as said
    from states
    union all
    select
        cell_id,
        kind,
        since_cycle,
        measured,
        until_cycle,
        is_over,
        cell_id || '/' || kind || '/' || test_id || '/' || cycle_index as alert_id,
        case kind
            when 'low_efficiency' then format('has a coulombic efficiency of {:.2f} %', 100 * measured)
            else format('gets as hot as {:.1f} °C', measured)
        end || format(
            ' (the median of {{ width }} complete cycles{}) since cycle {}{}',
            case when since_cycle = until_cycle then '' else ', at its worst' end,
            since_cycle,
            case when is_over then format(', up to cycle {}', until_cycle) else '' end
        ) as said
    from episodes
),

final as (
    select
        found.alert_id,
        found.cell_id,
        thresholds.cell_group,
        found.kind,
        found.since_cycle,
        cycles.started_at as since_at,
        found.until_cycle,
        found.is_over,
        found.measured as value, -- noqa: RF04
        thresholds.threshold,
        thresholds.unit,
        thresholds.threshold_from,
        found.said || case
            when found.kind = 'fast_fade' then format('; the limit is {:g} %', thresholds.threshold)
            when found.kind = 'knee' then format('; it counts from a clearness of {:g} on', thresholds.threshold)
            when found.kind = 'end_of_life' and found.measured > 0
                then format('; this is told {:g} cycles before', thresholds.threshold)
            when found.kind = 'end_of_life' then ''
            when found.kind = 'low_efficiency' then format('; the limit is {:g} %', 100 * thresholds.threshold)
            else format('; the limit is {:g} °C', thresholds.threshold)
        end as sentence
    from found
    inner join thresholds on found.cell_id = thresholds.cell_id and found.kind = thresholds.kind
    left join {{ ref('battery_cycles') }} as cycles
        on found.cell_id = cycles.cell_id and found.since_cycle = cycles.cycle_number
    where
        found.kind in ('low_efficiency', 'high_temperature')
        or (found.kind = 'fast_fade' and found.measured > thresholds.threshold)
        or (found.kind = 'knee' and found.measured >= thresholds.threshold)
        or (found.kind = 'end_of_life' and found.measured <= thresholds.threshold)
)

select * from final
