with messages as (
    select distinct
        cell_id,
        test_id,
        reader,
        assumptions
    from {{ source('landing', 'battery_about').include(database=false) }}
    where cell_id is not null
),

lines as (
    select
        cell_id,
        test_id,
        unnest(string_split(assumptions, chr(10))) as assumption,
        generate_subscripts(string_split(assumptions, chr(10)), 1) as place
    from messages
    where assumptions is not null
),

places as (
    select
        cell_id,
        test_id,
        assumption,
        min(place) as place
    from lines
    group by cell_id, test_id, assumption
),

assumed as (
    select
        cell_id,
        test_id,
        string_agg(assumption, chr(10) order by place, assumption) as assumptions
    from places
    group by cell_id, test_id
),

named as (
    select
        cell_id,
        test_id,
        coalesce(metadata::json ->> 'schedule', metadata::json ->> 'technique') as protocol,
        row(coalesce(streamed_at, timestamp '1970-01-01'), topic_id, partition, "offset") as place
    from {{ source('landing', 'battery_about').include(database=false) }}
    where cell_id is not null and metadata is not null
),

protocols as (
    select
        cell_id,
        test_id,
        arg_max(protocol, place) as protocol
    from named
    where protocol is not null
    group by cell_id, test_id
),

readers as (
    select
        cell_id,
        test_id,
        string_agg(distinct reader, ', ' order by reader) as reader
    from messages
    group by cell_id, test_id
),

final as (
    select
        readers.cell_id,
        readers.test_id,
        readers.reader,
        assumed.assumptions,
        protocols.protocol
    from readers
    left join assumed on readers.cell_id = assumed.cell_id and readers.test_id = assumed.test_id
    left join protocols on readers.cell_id = protocols.cell_id and readers.test_id = protocols.test_id
)

select * from final
