with messages as (
    select
        cell_id,
        unnest(map_entries(metadata::json::map(varchar, varchar))) as stated, -- noqa: LT01
        row(coalesce(streamed_at, timestamp '1970-01-01'), topic_id, partition, "offset") as place
    from {{ source('landing', 'battery_about').include(database=false) }}
    where cell_id is not null and metadata is not null
),

newest as (
    select
        cell_id,
        stated['key'] as stated_key,
        arg_max(stated['value'], place) as stated_value
    from messages
    group by cell_id, stated_key
),

final as (
    select
        cell_id,
        map_from_entries(list(row(stated_key, stated_value) order by stated_key))::json::varchar as stated
    from newest
    group by cell_id
)

select * from final
