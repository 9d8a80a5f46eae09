{# Passes when every row has its counterpart in another model, by all of `columns`. #}
{% test belongs_to(model, to, columns) %}

    select distinct {{ columns | join(', ') }}
    from {{ model }}
    anti join {{ to }} using ({{ columns | join(', ') }})

{% endtest %}
