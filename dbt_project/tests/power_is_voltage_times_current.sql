with final as (
    select
        cell_id,
        test_id,
        data_point,
        power_watt
    from {{ ref('battery_features') }}
    where power_watt is distinct from "voltage(v)" * "current(a)"
)

select * from final
