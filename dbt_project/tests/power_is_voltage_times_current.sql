-- Checked in the latest test of each cell, which a refresh has most likely built. The rule itself has a unit test.
with latest as (
    select
        cell_id,
        arg_max(test_id, ordered_at) as test_id
    from {{ ref('battery_tests') }}
    group by cell_id
),

final as (
    select
        features.cell_id,
        features.test_id,
        features.data_point,
        features.power_watt
    from {{ ref('battery_features') }} as features
    inner join latest on features.cell_id = latest.cell_id and features.test_id = latest.test_id
    where features.power_watt is distinct from features."voltage(v)" * features."current(a)"
)

select * from final
