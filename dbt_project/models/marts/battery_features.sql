select
    *,
    "voltage(v)" * "current(a)" as power_watt,
    "charge_capacity(ah)" + "discharge_capacity(ah)" as total_capacity
from {{ ref('battery_cleaned') }}
