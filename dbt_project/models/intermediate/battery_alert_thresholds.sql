{%- set of_the_lab = var('alert_rules_file') | replace("'", "''") -%}

-- What alerts go by where the lab says nothing else: each kind with its threshold and unit.
with defaults as (
    select
        kinds.kind,
        kinds.threshold,
        kinds.unit
    from (
        values
        ('fast_fade', {{ var('alert_fast_fade') }}::double, '% in 100 cycles'),
        ('knee', {{ var('alert_knee') }}::double, '1'),
        ('end_of_life', {{ var('alert_end_of_life') }}::double, 'cycles'),
        ('low_efficiency', {{ var('alert_low_efficiency') }}::double, '1'),
        ('high_temperature', {{ var('alert_high_temperature') }}::double, '°C'),
        ('stopped', {{ var('alert_stopped') }}::double, 'h')
    ) as kinds (kind, threshold, unit)
),

-- An empty group stands for all cells; a threshold that is no number is `off`, as refresh/alerts/rules.py has checked.
rules as (
    {% if of_the_lab %}
        select
            nullif(trim(cell_group), '') as cell_group,
            trim(kind) as kind,
            try_cast(trim(threshold) as double) as threshold
        from read_csv('{{ of_the_lab }}', header = true, delim = ',', quote = '"', escape = '"', all_varchar = true)
        where kind is not null
    {% else %}
        select
            null::varchar as cell_group,
            null::varchar as kind,
            null::double as threshold
        where false
    {% endif %}
),

final as (
    select
        metadata.cell_id,
        defaults.kind,
        case
            when own.kind is not null then own.threshold
            when every.kind is not null then every.threshold
            else defaults.threshold
        end as threshold,
        defaults.unit,
        case
            when own.kind is not null then 'group'
            when every.kind is not null then 'all cells'
            else 'default'
        end as threshold_from,
        metadata.cell_group
    from {{ ref('battery_cell_metadata') }} as metadata
    cross join defaults
    left join rules as own on metadata.cell_group = own.cell_group and defaults.kind = own.kind
    left join rules as every on every.cell_group is null and defaults.kind = every.kind
)

select * from final
