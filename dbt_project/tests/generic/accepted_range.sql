{# Passes when every value that is not null lies in [min_value, max_value]; NaN and infinity never do. Whole rows are
   selected, since a warning names their cells; dbt only counts them, so no further column is read. #}
{% test accepted_range(model, column_name, min_value, max_value) %}

    select *
    from {{ model }}
    where not ({{ column_name }} between {{ min_value }} and {{ max_value }})

{% endtest %}
