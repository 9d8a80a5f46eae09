{%- set share = var('alert_live_share') %}

with ended as (
    select distinct
        cell_id,
        test_id
    from {{ source('landing', 'battery_about').include(database=false) }}
    where json_extract_string(metadata, '$.ended') is not null
),

newest as (
    select *
    from {{ ref('battery_arrivals') }}
    qualify
        row_number() over (
            partition by cell_id order by last_arrived_at desc, first_arrived_at desc, test_id desc
        ) = 1
),

final as (
    select
        newest.cell_id,
        newest.test_id,
        thresholds.cell_group,
        newest.first_arrived_at,
        newest.last_arrived_at,
        newest.last_at,
        newest.message_count,
        newest.recent_time_s / newest.recent_arrival_s as pace,
        newest.usual_pause_s,
        thresholds.threshold,
        thresholds.threshold_from,
        greatest(
            3600 * thresholds.threshold, {{ var('alert_pauses') }} * coalesce(newest.usual_pause_s, 0)
        ) as silence_s
    from newest
    inner join {{ ref('battery_alert_thresholds') }} as thresholds on newest.cell_id = thresholds.cell_id
    left join ended on newest.cell_id = ended.cell_id and newest.test_id = ended.test_id
    where
        thresholds.kind = 'stopped'
        and thresholds.threshold is not null
        and ended.cell_id is null
        and newest.recent_arrival_s >= {{ var('alert_live_s') }}
        and newest.recent_time_s between {{ share }} * newest.recent_arrival_s and newest.recent_arrival_s / {{ share }}
        and newest.recent_hours >= {{ share }} * newest.recent_arrival_s / 3600
)

select * from final
