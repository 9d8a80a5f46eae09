{# Passes when every value that is not null lies in [min_value, max_value]; NaN and infinity never do. #}
{% test accepted_range(model, column_name, min_value, max_value) %}

    select {{ column_name }}
    from {{ model }}
    where not ({{ column_name }} between {{ min_value }} and {{ max_value }})

{% endtest %}
