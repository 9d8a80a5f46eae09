-- The source is named without its database: a view keeps the name it was made with, and this one must still
-- work when the DuckDB file is renamed, copied or attached under an alias.
select *
from {{ source('landing', 'battery_ts_cleaned').include(database=false) }}
