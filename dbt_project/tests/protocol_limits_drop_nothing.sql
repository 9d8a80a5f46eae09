-- A charge ends above 4.2 V and a discharge below 2.7 V as a matter of course: such a reading is missing from
-- battery_cleaned only if pre-cleaning saw a spike in it or no instrument could have reported it.
with beyond_protocol as (
    select
        cell_id,
        test_id,
        data_point,
        "voltage(v)"
    from {{ ref('battery_ts') }}
    where
        not ("voltage(v)" between 2.7 and 4.2)
        and not ({{ has_flag('spike') }})
        and {{ within_instrument_range('voltage(v)') }}
        and {{ within_instrument_range('current(a)') }}
        and {{ within_instrument_range('test_time(s)') }}
),

final as (
    select beyond_protocol.*
    from beyond_protocol
    anti join {{ ref('battery_cleaned') }} as cleaned
        on
            beyond_protocol.cell_id = cleaned.cell_id
            and beyond_protocol.test_id = cleaned.test_id
            and beyond_protocol.data_point = cleaned.data_point
)

select * from final
