"""How the pages show a form's fields, and say what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from django import template
from django.forms import BaseForm, BaseFormSet, BoundField
from django.utils.safestring import SafeString

register = template.Library()


class Trouble(NamedTuple):
    """A sentence, and the field that it is about; without one it is about the form as a whole."""

    text: str
    label: str = ""
    field_id: str = ""


@register.filter
def as_control(field: BoundField) -> SafeString:
    """The field's widget in the form's look, without a placeholder that repeats its label."""
    look = "form-select" if field.widget_type == "select" else "form-control"
    return field.as_widget(attrs={"class": look, "placeholder": ""})


@register.inclusion_tag("portal/partials/error_summary.html")
def error_summary(*forms: BaseForm | BaseFormSet[BaseForm] | list[BaseForm]) -> dict[str, list[Trouble]]:
    """At the top of what was refused: each trouble with a way to its field. The focus begins there."""
    return {"troubles": [trouble for form in forms for trouble in _troubles(form)]}


def _troubles(form: BaseForm | BaseFormSet[BaseForm] | list[BaseForm]) -> Iterator[Trouble]:
    if isinstance(form, list):
        for one in form:
            yield from _troubles(one)
        return
    if isinstance(form, BaseFormSet):
        yield from (Trouble(str(text)) for text in form.non_form_errors())
        for row in form.forms:
            yield from _troubles(row)
        return
    yield from (Trouble(str(text)) for text in form.non_field_errors())
    for field in form:
        # Radios and ticks have an id each; what holds them has the field's.
        field_id = field.id_for_label or field.auto_id
        yield from (Trouble(str(text), str(field.label), field_id) for text in field.errors)
