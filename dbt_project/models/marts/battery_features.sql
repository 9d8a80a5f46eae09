{{ refreshed_from('battery_cleaned') }}

with readings as (
    select * from {{ ref('battery_cleaned') }} {{ only_touched() }}
),

final as (
    select
        *,
        "voltage(v)" * "current(a)" as power_watt,
        "charge_capacity(ah)" + "discharge_capacity(ah)" as total_capacity
    from readings
)

select * from final
