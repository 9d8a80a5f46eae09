{{ refreshed_from('battery_test_versions') }}

with readings as (
    select * from {{ ref('battery_ts') }} {{ only_touched() }}
),

messages as (
    select
        cell_id,
        test_id,
        streamed_at,
        min("test_time(s)") as first_time_s,
        max("test_time(s)") as last_time_s,
        max(date_time) as last_at
    from readings
    group by cell_id, test_id, streamed_at
),

spaced as (
    select
        *,
        epoch(streamed_at - lag(streamed_at) over in_test) as pause_s,
        streamed_at > max(streamed_at) over whole_test - interval 24 hours as is_recent
    from messages
    window
        in_test as (partition by cell_id, test_id order by streamed_at),
        whole_test as (partition by cell_id, test_id)
),

final as (
    select
        cell_id,
        test_id,
        min(streamed_at) as first_arrived_at,
        max(streamed_at) as last_arrived_at,
        max(last_at) as last_at,
        count(*) as message_count,
        epoch(max(streamed_at) - min(streamed_at) filter (where is_recent)) as recent_arrival_s,
        max(last_time_s) filter (where is_recent) - min(first_time_s) filter (where is_recent) as recent_time_s,
        count(distinct date_trunc('hour', streamed_at)) filter (where is_recent) as recent_hours,
        max(pause_s, {{ var('alert_pauses') }})[{{ var('alert_pauses') }}] as usual_pause_s
    from spaced
    group by cell_id, test_id
)

select * from final
