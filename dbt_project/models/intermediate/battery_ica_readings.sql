{{ config(materialized='view') }}

with {{ curve_readings(ref('battery_cleaned'), ref('battery_steps'), ref('battery_chosen_cycles')) }}

select * from curve_readings
