{%- set percent = var('end_of_life_percent') %}
{%- set median_cycles = var('median_cycles') %}
{%- set mean_cycles = var('mean_cycles') %}

with cycles as (
    select * from {{ ref('battery_cycles') }}
),

lives as (
    select
        cell_id,
        count(*) as cycle_count,
        count(*) filter (where is_complete) as complete_cycle_count,
        count(*) filter (where is_reference_test) as reference_test_count,
        min(started_at) as first_at,
        max(ended_at) as last_at,
        max(equivalent_full_cycles) as equivalent_full_cycles,
        arg_max(soh, cycle_number) filter (where is_complete and not is_reference_test) as latest_soh,
        arg_max(discharge_capacity_ah, cycle_number) filter (
            where is_complete and not is_reference_test
        ) as latest_capacity_ah,
        arg_max(internal_resistance_ohm, cycle_number) filter (where is_complete) as latest_internal_resistance_ohm
    from cycles
    group by cell_id
),

complete as (
    select
        *,
        row_number() over (partition by cell_id order by cycle_number) as number,
        row_number() over (partition by cell_id order by cycle_number desc) as number_from_the_end,
        count(*) over around as count_around,
        quantile_cont(discharge_capacity_ah, 0.5) over around as median_ah,
        count(*) over lately as count_lately,
        avg(discharge_capacity_ah) over lately as mean_ah
    from cycles
    where is_complete and not is_reference_test
    window
        around as (
            partition by cell_id order by cycle_number
            rows between {{ median_cycles | int // 2 }} preceding and {{ median_cycles | int // 2 }} following
        ),
        lately as (
            partition by cell_id order by cycle_number
            rows between {{ (mean_cycles | int(1)) - 1 }} preceding and current row
        )
),

initial as (
    select
        cell_id,
        quantile_cont(discharge_capacity_ah, 0.5) as initial_capacity_ah
    from complete
    where number <= {{ var('initial_cycles') }}
    group by cell_id
),

thresholds as (
    select
        metadata.cell_id,
        metadata.chemistry,
        metadata.nominal_capacity_ah,
        metadata.cell_group,
        metadata.cell_format,
        metadata.mass_g,
        metadata.area_cm2,
        metadata.protocol,
        metadata.temperature_c,
        metadata.tags,
        metadata.notes,
        metadata.metadata,
        initial.initial_capacity_ah,
        {{ percent }} / 100 * metadata.nominal_capacity_ah as of_nominal_ah,
        {{ percent }} / 100 * initial.initial_capacity_ah as of_initial_ah
    from {{ ref('battery_cell_metadata') }} as metadata
    left join initial on metadata.cell_id = initial.cell_id
),

ends as (
    select
        complete.cell_id,
        min(complete.cycle_number) filter (
            where complete.count_around = {{ median_cycles }} and complete.median_ah < thresholds.of_nominal_ah
        ) as median_below_nominal,
        min(complete.cycle_number) filter (
            where complete.discharge_capacity_ah < thresholds.of_nominal_ah
        ) as first_below_nominal,
        min(complete.cycle_number) filter (
            where complete.count_around = {{ median_cycles }} and complete.median_ah < thresholds.of_initial_ah
        ) as median_below_initial,
        min(complete.cycle_number) filter (
            where complete.count_lately = {{ mean_cycles }} and complete.mean_ah < thresholds.of_initial_ah
        ) as mean_below_initial,
        case
            when bool_or(complete.number_from_the_end = 1 and complete.discharge_capacity_ah < thresholds.of_initial_ah)
                then max(complete.cycle_number) filter (
                    where complete.discharge_capacity_ah >= thresholds.of_initial_ah
                )
        end as last_above_initial
    from complete
    inner join thresholds on complete.cell_id = thresholds.cell_id
    group by complete.cell_id
),

gaps as (
    select
        cell_id,
        count(*) as gap_count,
        max(gap_h) as longest_gap_h,
        count(*) filter (where is_recovery) as recovery_count,
        sum(recovered_ah order by cycle_number) filter (where is_recovery) as recovered_ah
    from {{ ref('battery_gaps') }}
    group by cell_id
),

readings as (
    select
        cell_id,
        count(*) as test_count,
        sum(reading_count)::bigint as reading_count,
        sum(reading_count - cleaned_count)::bigint as dropped_count,
        sum(flagged_count)::bigint as flagged_count,
        sum(spike_count)::bigint as spike_count,
        sum(gap_count)::bigint as reading_gap_count,
        sum(counter_reset_count)::bigint as counter_reset_count,
        sum(clock_jump_count)::bigint as clock_jump_count,
        case
            when count(protocol) = count(*) and min(protocol) = max(protocol) then min(protocol)
        end as protocol_of_all_tests
    from {{ ref('battery_tests') }}
    group by cell_id
),

refused as (
    select
        cell_id,
        sum(row_count)::bigint as quarantined_count
    from {{ source('landing', 'battery_quarantine').include(database=false) }}
    group by cell_id
),

final as (
    select
        readings.cell_id,
        thresholds.chemistry,
        thresholds.nominal_capacity_ah,
        thresholds.initial_capacity_ah,
        readings.test_count,
        coalesce(lives.cycle_count, 0) as cycle_count,
        coalesce(lives.complete_cycle_count, 0) as complete_cycle_count,
        coalesce(lives.reference_test_count, 0) as reference_test_count,
        lives.first_at,
        lives.last_at,
        lives.equivalent_full_cycles,
        lives.latest_capacity_ah,
        lives.latest_soh,
        case
            when lives.latest_soh is null then null
            when thresholds.nominal_capacity_ah is not null then 'nominal'
            else 'initial'
        end as soh_basis,
        lives.latest_internal_resistance_ohm,
        -100 * fade.fade_ah_per_cycle as fade_ah_per_100_cycles,
        -100 * fade.recent_fade_ah_per_cycle as recent_fade_ah_per_100_cycles,
        case
            when thresholds.of_nominal_ah is not null
                then 'median_{{ median_cycles }}_below_{{ percent }}_percent_of_nominal'
            else 'median_{{ median_cycles }}_below_{{ percent }}_percent_of_initial'
        end as eol_rule,
        case
            when thresholds.of_nominal_ah is not null then ends.median_below_nominal
            else ends.median_below_initial
        end as eol_cycle,
        [
            {
                'rule': 'first_below_{{ percent }}_percent_of_nominal',
                'cycle_number': ends.first_below_nominal
            },
            {
                'rule': 'median_{{ median_cycles }}_below_{{ percent }}_percent_of_initial',
                'cycle_number': ends.median_below_initial
            },
            {
                'rule': 'mean_{{ mean_cycles }}_below_{{ percent }}_percent_of_initial',
                'cycle_number': ends.mean_below_initial
            },
            {
                'rule': 'last_above_{{ percent }}_percent_of_initial',
                'cycle_number': ends.last_above_initial
            }
        ] as eol_alternatives,
        fade.knee_cycle,
        fade.knee_low_cycle,
        fade.knee_high_cycle,
        fade.knee_confidence,
        fade.knee_method,
        case when eol_cycle is null then fade.projected_eol_cycle end as projected_eol_cycle,
        case when eol_cycle is null then fade.projected_eol_low_cycle end as projected_eol_low_cycle,
        case when eol_cycle is null then fade.projected_eol_high_cycle end as projected_eol_high_cycle,
        coalesce(gaps.recovery_count, 0) as recovery_count,
        gaps.recovered_ah,
        coalesce(gaps.gap_count, 0) as gap_count,
        gaps.longest_gap_h,
        readings.reading_count,
        readings.dropped_count,
        readings.flagged_count,
        readings.spike_count,
        readings.reading_gap_count,
        readings.counter_reset_count,
        readings.clock_jump_count,
        coalesce(refused.quarantined_count, 0) as quarantined_count,
        said.stated,
        thresholds.cell_group,
        thresholds.cell_format,
        thresholds.mass_g,
        thresholds.area_cm2,
        coalesce(thresholds.protocol, readings.protocol_of_all_tests) as protocol,
        thresholds.temperature_c,
        thresholds.tags,
        thresholds.notes,
        thresholds.metadata
    from readings
    inner join thresholds on readings.cell_id = thresholds.cell_id
    left join lives on readings.cell_id = lives.cell_id
    left join ends on readings.cell_id = ends.cell_id
    left join gaps on readings.cell_id = gaps.cell_id
    left join refused on readings.cell_id = refused.cell_id
    left join {{ ref('battery_fade') }} as fade on readings.cell_id = fade.cell_id
    left join {{ ref('battery_cell_stated') }} as said on readings.cell_id = said.cell_id
)

select * from final
