from django import template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def as_control(field: BoundField) -> SafeString:
    """The field's widget in the form's look, without a placeholder that repeats its label."""
    return field.as_widget(attrs={"class": "form-control", "placeholder": ""})
