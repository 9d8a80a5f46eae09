{{ refreshed_from('battery_cell_versions', grain='cell') }}

{%- set rest_share = var('rest_of_discharge_share') %}

with steps as (
    select
        *,
        kind in ('cc_charge', 'cv_charge', 'cccv_charge') or (kind = 'dynamic' and current_median_a > 0) as is_charge,
        kind in ('cc_discharge', 'cv_discharge') or (kind = 'dynamic' and current_median_a < 0) as is_discharge
    from {{ ref('battery_steps') }} {{ only_touched_cells() }}
),

tests as (
    select * from {{ ref('battery_tests') }} {{ only_touched_cells() }}
),

followed as (
    select
        *,
        case when lag(kind) over in_test in ('rest', 'pulse') then lag(voltage_end_v) over in_test end as rested_v,
        lag(step_number) over in_test is null as is_first_of_test,
        lag(case when is_charge or is_discharge then is_charge end ignore nulls) over in_test as is_after_charge
    from steps
    window in_test as (partition by cell_id, test_id order by step_number)
),

-- The voltages at which those discharges of a cell begin that are known to follow a charge: the voltage of the rest
-- before them, and of their own first reading.
usual as (
    select
        cell_id,
        quantile_cont(rested_v, 0.5) as rested_v,
        quantile_cont(voltage_start_v, 0.5) as loaded_v
    from followed
    where is_discharge and is_after_charge
    group by cell_id
),

measured as (
    select
        cell_id,
        test_id,
        cycle_index,
        min(first_data_point) as first_data_point,
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        {{ exact_sum('charge_capacity_ah') }} as charge_capacity_ah,
        {{ exact_sum('discharge_capacity_ah') }} as discharge_capacity_ah,
        {{ exact_sum('charge_energy_wh') }} as charge_energy_wh,
        {{ exact_sum('discharge_energy_wh') }} as discharge_energy_wh,
        sum(internal_resistance_ohm * internal_resistance_count order by step_number) filter (where is_discharge)
        / nullif(sum(internal_resistance_count) filter (where is_discharge), 0) as internal_resistance_ohm,
        case when bool_or(is_charge) then coalesce(sum(cc_time_s order by step_number), 0) end as cc_charge_time_s,
        case when bool_or(is_charge) then coalesce(sum(cv_time_s order by step_number), 0) end as cv_charge_time_s,
        min(voltage_min_v) as voltage_min_v,
        max(voltage_max_v) as voltage_max_v,
        min(voltage_min_v) filter (where is_discharge) as discharged_to_v,
        sum(temperature_mean_c * temperature_count order by step_number)
        / nullif(sum(temperature_count), 0) as temperature_mean_c,
        max(temperature_max_c) as temperature_max_c,
        sum(duration_s order by step_number) filter (where is_discharge) / 3600 as discharge_h,
        sum(row_count)::bigint as row_count
    from steps
    group by cell_id, test_id, cycle_index
),

numbered as (
    select
        measured.*,
        tests.source_file,
        row_number() over (
            partition by measured.cell_id
            order by tests.ordered_at, measured.test_id, measured.first_data_point, measured.cycle_index
        )::integer as cycle_number,
        measured.discharge_capacity_ah / nullif(measured.discharge_h, 0) as discharge_rate_a
    from measured
    inner join tests on measured.cell_id = tests.cell_id and measured.test_id = tests.test_id
),

-- Where a lab sets nothing for a cell, the limits of a full cycle come from its own cycles.
limits as (
    select
        numbered.cell_id,
        metadata.nominal_capacity_ah,
        quantile_cont(numbered.discharged_to_v, 0.5) as discharged_to_v,
        coalesce(
            metadata.full_cycle_min_ah,
            {{ var('full_cycle_share') }} * metadata.nominal_capacity_ah,
            {{ var('full_cycle_share') }} * max(numbered.discharge_capacity_ah)
        ) as full_cycle_min_ah,
        coalesce(
            metadata.full_cycle_max_v,
            {{ just_above('metadata.discharge_limit_v') }},
            {{ just_above('quantile_cont(numbered.discharged_to_v, 0.5)') }}
        ) as full_cycle_max_v
    from numbered
    left join {{ ref('battery_cell_metadata') }} as metadata on numbered.cell_id = metadata.cell_id
    group by
        numbered.cell_id, metadata.nominal_capacity_ah, metadata.full_cycle_min_ah, metadata.full_cycle_max_v,
        metadata.discharge_limit_v
),

-- A test may begin with a discharge. It is the rest of one where it begins lower than the discharges that follow a
-- charge. Where there are none to compare with, it is the rest of one if the reading before its first is missing.
rests_of_discharges as (
    select
        followed.cell_id,
        followed.test_id,
        followed.cycle_index
    from followed
    inner join limits on followed.cell_id = limits.cell_id
    left join usual on followed.cell_id = usual.cell_id
    where
        followed.is_discharge
        and followed.is_after_charge is null
        and case
            when followed.rested_v is not null and usual.rested_v is not null
                then followed.rested_v < usual.rested_v - {{ rest_share }} * (usual.rested_v - limits.discharged_to_v)
            when usual.loaded_v is not null
                then
                    followed.voltage_start_v
                    < usual.loaded_v - {{ rest_share }} * (usual.loaded_v - limits.discharged_to_v)
            else followed.is_first_of_test
        end
),

judged as (
    select
        numbered.*,
        limits.nominal_capacity_ah,
        coalesce(
            numbered.discharge_capacity_ah > 0 and numbered.discharged_to_v <= limits.full_cycle_max_v, false
        ) as is_discharged,
        coalesce(
            numbered.discharge_capacity_ah > limits.full_cycle_min_ah
            and numbered.discharged_to_v <= limits.full_cycle_max_v
            and rests_of_discharges.cell_id is null,
            false
        ) as is_complete
    from numbered
    inner join limits on numbered.cell_id = limits.cell_id
    left join rests_of_discharges
        on
            numbered.cell_id = rests_of_discharges.cell_id
            and numbered.test_id = rests_of_discharges.test_id
            and numbered.cycle_index = rests_of_discharges.cycle_index
),

paced as (
    select
        *,
        coalesce(
            is_complete and discharge_rate_a <= {{ var('reference_rate_share') }} * quantile_cont(
                case when is_complete then discharge_rate_a end, 0.5
            ) over (partition by cell_id),
            false
        ) as is_reference_test,
        -- An efficiency compares what came out of a cell with what went in between two equal states: the ends of two
        -- complete discharges. A cycle that was charged in the test before is one loop with that test.
        count(*) filter (where is_discharged) over (
            partition by cell_id order by cycle_number rows between unbounded preceding and 1 preceding
        ) as loop_number
    from judged
),

placed as (
    select
        *,
        sum(case when is_complete and not is_reference_test then 1 end) over (
            partition by cell_id order by cycle_number
        ) as complete_number
    from paced
),

bases as (
    select
        cell_id,
        coalesce(
            any_value(nominal_capacity_ah),
            quantile_cont(discharge_capacity_ah, 0.5) filter (
                where is_complete and not is_reference_test and complete_number <= {{ var('initial_cycles') }}
            )
        ) as basis_ah
    from placed
    group by cell_id
),

looped as (
    select
        placed.*,
        bases.basis_ah,
        sum(placed.charge_capacity_ah) over in_loop as loop_charge_ah,
        sum(placed.discharge_capacity_ah) over in_loop as loop_discharge_ah,
        sum(placed.charge_energy_wh) over in_loop as loop_charge_wh,
        sum(placed.discharge_energy_wh) over in_loop as loop_discharge_wh,
        -- The first loop of a cell begins at an unknown state of charge: if more came out than went in, the cell was
        -- not empty. Later, if twice as much came out, the test with the charge has not landed.
        case when placed.loop_number = 0 then 1.05 else 2 end as loop_limit,
        sum(coalesce(placed.charge_capacity_ah, 0) + coalesce(placed.discharge_capacity_ah, 0)) over (
            partition by placed.cell_id order by placed.cycle_number
        ) as throughput_ah
    from placed
    inner join bases on placed.cell_id = bases.cell_id
    window in_loop as (partition by placed.cell_id, placed.loop_number order by placed.cycle_number)
),

final as (
    select
        cell_id,
        test_id,
        source_file,
        cycle_index,
        cycle_number,
        started_at,
        ended_at,
        charge_capacity_ah,
        discharge_capacity_ah,
        charge_energy_wh,
        discharge_energy_wh,
        case
            when is_discharged and loop_discharge_ah <= loop_limit * loop_charge_ah
                then loop_discharge_ah / nullif(loop_charge_ah, 0)
        end as coulombic_efficiency,
        case
            when coulombic_efficiency is not null then loop_discharge_wh / nullif(loop_charge_wh, 0)
        end as energy_efficiency,
        internal_resistance_ohm,
        cc_charge_time_s,
        cv_charge_time_s,
        voltage_min_v,
        voltage_max_v,
        discharge_energy_wh / nullif(discharge_capacity_ah, 0) as mean_discharge_voltage_v,
        temperature_mean_c,
        temperature_max_c,
        throughput_ah / (2 * basis_ah) as equivalent_full_cycles,
        -- A slow discharge gives more, so a reference test has no share of what the first usual cycles gave.
        case
            when is_complete and (nominal_capacity_ah is not null or not is_reference_test)
                then discharge_capacity_ah / basis_ah
        end as soh,
        is_complete,
        is_reference_test,
        row_count
    from looped
)

select * from final
