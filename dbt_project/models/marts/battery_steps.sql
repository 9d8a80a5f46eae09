{{ refreshed_from('battery_cleaned') }}

{%- set pulse_s = var('pulse_time_s') %}
{%- set tolerance = var('pulse_tolerance') %}

with readings as (
    select * from {{ ref('battery_cleaned') }} {{ only_touched() }}
),

{{ number_steps('readings') }},

{{ counter_gains(
    'readings', 'numbered', 'lag("internal_resistance(ohm)" ignore nulls) over in_test as resistance_before'
) }},

steps as (
    select
        cell_id,
        test_id,
        cycle_index,
        step_number,
        min(step_index) as step_index,
        min(data_point) as first_data_point,
        max(data_point) as last_data_point,
        min(date_time) as started_at,
        max(date_time) as ended_at,
        min("test_time(s)") as test_time_start_s,
        max("test_time(s)") - min("test_time(s)") as duration_s,
        coalesce(max("step_time(s)"), max("test_time(s)") - min("test_time(s)")) as lasted_s,
        arg_min("step_time(s)", data_point) as first_after_s,
        count(*) as row_count,
        sum(charge_aah) / {{ counter_unit() }} as charge_capacity_ah,
        sum(discharge_aah) / {{ counter_unit() }} as discharge_capacity_ah,
        sum(charge_awh) / {{ counter_unit() }} as charge_energy_wh,
        sum(discharge_awh) / {{ counter_unit() }} as discharge_energy_wh,
        min("current(a)") as current_min_a,
        quantile_cont("current(a)", 0.5) as current_median_a,
        max("current(a)") as current_max_a,
        quantile_cont("current(a)", 0.1) as current_low_a,
        quantile_cont("current(a)", 0.9) as current_high_a,
        arg_max("current(a)", data_point) as current_end_a,
        min("voltage(v)") as voltage_min_v,
        max("voltage(v)") as voltage_max_v,
        quantile_cont("voltage(v)", 0.1) as voltage_low_v,
        quantile_cont("voltage(v)", 0.9) as voltage_high_v,
        arg_min("voltage(v)", data_point) as voltage_start_v,
        arg_max("voltage(v)", data_point) as voltage_end_v,
        -- Means are sums of whole numbers, so that they are the same in any order.
        sum(round("internal_resistance(ohm)" * 1e15)::hugeint) / 1e15
        / nullif(count("internal_resistance(ohm)"), 0) as internal_resistance_ohm,
        count("internal_resistance(ohm)") as internal_resistance_count,
        bool_or(
            "internal_resistance(ohm)" is not null and "internal_resistance(ohm)" is distinct from resistance_before
        ) as is_resistance_measured,
        sum(round("temperature(c)" * 1e12)::hugeint) / 1e12 / nullif(count("temperature(c)"), 0) as temperature_mean_c,
        max("temperature(c)") as temperature_max_c,
        count("temperature(c)") as temperature_count,
        count(*) filter (where is_reset) as counter_reset_count,
        arg_min(is_reset, data_point) as is_reset_at_start,
        -- The largest current that half of the readings reach, in either direction: one wild reading does not move it.
        -quantile_disc(-abs("current(a)"), 0.5) as current_size_a,
        coalesce(sum(abs(charge_aah)), 0) + coalesce(sum(abs(discharge_aah)), 0) as counted_aah,
        count(charge_aah) + count(discharge_aah) as counted
    from gained
    group by cell_id, test_id, cycle_index, step_number
),

-- What each step moved: by the counters of the cycler, which do not count the offset of an instrument; by current and
-- time in a test without counters.
moved as (
    select
        cell_id,
        test_id,
        step_number,
        current_size_a,
        case
            when sum(counted) over (partition by cell_id, test_id) > 0 then counted_aah
            else current_size_a * lasted_s
        end as moved
    from steps
),

working as (
    select
        *,
        sum(moved) over (partition by cell_id, test_id) as moved_in_test,
        sum(moved) over (
            partition by cell_id, test_id order by current_size_a, step_number rows unbounded preceding
        ) as moved_up_to
    from moved
),

-- A current up to this counts as none: it is the offset of an instrument. The limit is a share of the current at which
-- the test moved half of its charge, so it fits cells of any size. A test that moved nothing is at rest.
limits as (
    select
        cell_id,
        test_id,
        {{ var('rest_current_share') }} * min(current_size_a) filter (where 2 * moved_up_to >= moved_in_test) as rest_a
    from working
    where moved_in_test > 0
    group by cell_id, test_id
),

directed as (
    select
        steps.*,
        limits.rest_a,
        case
            when limits.rest_a is null or steps.current_size_a <= limits.rest_a then 'none'
            when steps.current_low_a < -limits.rest_a and steps.current_high_a > limits.rest_a then 'both'
            when steps.current_median_a > 0 then 'charge'
            else 'discharge'
        end as direction,
        steps.current_high_a - steps.current_low_a <= 0.02 * abs(steps.current_median_a) as is_current_steady,
        steps.voltage_high_v - steps.voltage_low_v <= 0.002 * steps.voltage_max_v as is_voltage_steady
    from steps
    left join limits using (cell_id, test_id)
),

placed as (
    select
        *,
        lag(direction) over in_test as direction_before,
        lead(direction) over in_test as direction_after,
        lag(voltage_end_v) over in_test as voltage_before_v,
        lag(current_end_a) over in_test as current_before_a,
        lag(test_time_start_s + duration_s) over in_test as ended_before_s,
        coalesce(test_time_start_s - first_after_s, lag(test_time_start_s + duration_s) over in_test) as began_at_s
    from directed
    window in_test as (partition by cell_id, test_id order by step_number)
),

-- Where a current sets in after a rest whose last reading is no older than the pulse time. Without a step time, the
-- current must set in at that last reading.
onsets as (
    select *
    from placed
    where
        direction_before = 'none'
        and direction in ('charge', 'discharge')
        and began_at_s - ended_before_s between -{{ tolerance }} * {{ pulse_s }} and {{ pulse_s }}
        and (first_after_s is not null or test_time_start_s - ended_before_s <= {{ tolerance }} * {{ pulse_s }})
),

-- Their readings around the pulse time, each with the one before and with how far the current has strayed by then.
courses as (
    select
        numbered.cell_id,
        numbered.test_id,
        numbered.step_number,
        coalesce(numbered."step_time(s)", numbered."test_time(s)" - onsets.began_at_s) as after_s,
        numbered."current(a)" as current_a,
        numbered."voltage(v)" as voltage_v,
        lag(after_s) over in_step as after_s_before,
        lag(numbered."current(a)") over in_step as current_before_a,
        lag(numbered."voltage(v)") over in_step as voltage_before_v,
        max(numbered."current(a)") over in_step - min(numbered."current(a)") over in_step as strayed_a
    from numbered
    inner join onsets using (cell_id, test_id, step_number)
    where numbered."test_time(s)" <= onsets.began_at_s + 2 * {{ pulse_s }}
    window in_step as (
        partition by numbered.cell_id, numbered.test_id, numbered.step_number order by numbered.data_point
    )
),

-- The first reading at the pulse time or after it, else the last before it.
reached as (
    select
        *,
        case
            when after_s <= {{ pulse_s }} then 1
            else ({{ pulse_s }} - after_s_before) / (after_s - after_s_before)
        end as weight
    from courses
    qualify row_number() over (
        partition by cell_id, test_id, step_number
        order by after_s < {{ pulse_s }}, abs(after_s - {{ pulse_s }})
    ) = 1
),

-- Current and voltage at the pulse time: interpolated between two readings of the step that are no further apart than
-- that, or of which one is close to it, and where the current has kept its value. A single reading cannot show that it
-- has; and where a cycler logs by voltage, its time would only show how far the voltage fell.
pulses as (
    select
        cell_id,
        test_id,
        step_number,
        current_before_a + weight * (current_a - current_before_a) as current_a,
        voltage_before_v + weight * (voltage_v - voltage_before_v) as voltage_v
    from reached
    where
        after_s_before is not null
        and strayed_a <= {{ tolerance }} * abs(current_a)
        and (
            abs(after_s - {{ pulse_s }}) <= {{ tolerance }} * {{ pulse_s }}
            or abs(after_s_before - {{ pulse_s }}) <= {{ tolerance }} * {{ pulse_s }}
            or (after_s > {{ pulse_s }} and after_s - after_s_before <= {{ pulse_s }})
        )
),

-- One step may first charge at constant current and then hold the voltage. The second part begins where the current
-- leaves its plateau and the voltage stays at its highest from then on. Either part may be logged so sparsely that nine
-- of ten readings belong to the other.
undecided as (
    select * from placed
    where
        direction = 'charge'
        and voltage_min_v < 0.995 * voltage_max_v
        and current_end_a < 0.98 * current_high_a
),

plateaus as (
    select
        numbered.cell_id,
        numbered.test_id,
        numbered.step_number,
        quantile_cont(numbered."current(a)", 0.5) as plateau_a
    from numbered
    inner join undecided using (cell_id, test_id, step_number)
    where numbered."voltage(v)" < 0.995 * undecided.voltage_max_v
    group by numbered.cell_id, numbered.test_id, numbered.step_number
),

switches as (
    select
        numbered.cell_id,
        numbered.test_id,
        numbered.step_number,
        max(numbered."test_time(s)") filter (where numbered."current(a)" >= 0.98 * plateaus.plateau_a) as switch_time_s
    from numbered
    inner join plateaus using (cell_id, test_id, step_number)
    group by numbered.cell_id, numbered.test_id, numbered.step_number
),

holds as (
    select
        numbered.cell_id,
        numbered.test_id,
        numbered.step_number,
        switches.switch_time_s
    from numbered
    inner join switches using (cell_id, test_id, step_number)
    inner join undecided using (cell_id, test_id, step_number)
    where numbered."test_time(s)" > switches.switch_time_s
    group by numbered.cell_id, numbered.test_id, numbered.step_number, switches.switch_time_s
    having
        min(numbered."voltage(v)" >= 0.995 * undecided.voltage_max_v)
        and count(*) >= 2 -- a single one is the current being switched off
),

told as (
    select
        placed.*,
        holds.switch_time_s,
        pulses.current_a - placed.current_before_a as pulse_current_a,
        (pulses.voltage_v - placed.voltage_before_v) / (pulses.current_a - placed.current_before_a) as pulse_ohm,
        case
            when
                placed.lasted_s <= 60 and placed.is_resistance_measured
                and coalesce(abs(placed.current_median_a) <= 10 * placed.rest_a, true)
                then 'pulse'
            when
                placed.lasted_s <= 60 and placed.row_count >= 3 and placed.is_current_steady
                and placed.direction in ('charge', 'discharge')
                and placed.direction_before = 'none' and placed.direction_after = 'none'
                then 'pulse'
            when placed.direction = 'none' then 'rest'
            when placed.direction = 'both' then 'dynamic'
            when holds.switch_time_s is not null then 'cccv_charge'
            when placed.is_current_steady then 'cc_' || placed.direction
            when placed.is_voltage_steady then 'cv_' || placed.direction
            else 'dynamic'
        end as kind
    from placed
    left join holds using (cell_id, test_id, step_number)
    left join pulses using (cell_id, test_id, step_number)
),

final as (
    select
        cell_id,
        test_id,
        cycle_index,
        step_number,
        step_index,
        kind,
        first_data_point,
        last_data_point,
        started_at,
        ended_at,
        test_time_start_s,
        duration_s,
        row_count,
        charge_capacity_ah,
        discharge_capacity_ah,
        charge_energy_wh,
        discharge_energy_wh,
        current_min_a,
        current_median_a,
        current_max_a,
        voltage_min_v,
        voltage_max_v,
        voltage_start_v,
        voltage_end_v,
        case
            when kind = 'cc_charge' then duration_s
            when kind = 'cccv_charge' then switch_time_s - test_time_start_s
        end as cc_time_s,
        case
            when kind = 'cv_charge' then duration_s
            when kind = 'cccv_charge' then test_time_start_s + duration_s - switch_time_s
        end as cv_time_s,
        internal_resistance_ohm,
        internal_resistance_count,
        temperature_mean_c,
        temperature_max_c,
        temperature_count,
        case when abs(pulse_current_a) > rest_a and pulse_ohm > 0 then pulse_ohm end as pulse_resistance_ohm,
        case when pulse_resistance_ohm is not null then {{ pulse_s }}::double end as pulse_time_s,
        counter_reset_count,
        is_reset_at_start
    from told
)

select * from final
