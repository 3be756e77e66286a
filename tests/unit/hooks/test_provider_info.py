"""The provider info, and the form of a connection on both Airflows."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import airflow
import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import ValidationError

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.get_provider_info import get_provider_info
from airflow_provider_talkpilot.hooks.connection import Options
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook


def schema(name: str) -> dict[str, Any]:
    text = (Path(airflow.__file__).parent / name).read_text(encoding="utf-8")
    return dict(json.loads(text))


@pytest.fixture
def connection_type() -> dict[str, Any]:
    [only] = get_provider_info()["connection-types"]
    return dict(only)


def test_provider_info_fits_the_schema_of_airflow() -> None:
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


@pytest.mark.airflow3
def test_the_connection_type_fits_the_schema_of_provider_files(
    connection_type: dict[str, Any],
) -> None:
    whole = schema("provider.yaml.schema.json")
    part = {**whole["properties"]["connection-types"], "definitions": whole.get("definitions", {})}
    jsonschema.validate([connection_type], part)


def test_airflow_finds_the_provider() -> None:
    [entry] = [
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.value.startswith("airflow_provider_talkpilot")
    ]
    assert entry.load()() == get_provider_info()
    assert get_provider_info()["versions"] == [__version__]


def test_the_behaviour_of_the_form_fits_airflow_2() -> None:
    behaviour = TalkPilotHook.get_ui_field_behaviour()
    assert behaviour["placeholders"]["host"] == "https://api.talkpilot.io/v1"
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))


@pytest.mark.skipif(find_spec("flask_appbuilder") is None, reason="only Airflow 2 builds widgets")
def test_airflow_2_builds_the_same_fields(connection_type: dict[str, Any]) -> None:
    from flask import Flask
    from wtforms import Form

    fields = connection_type["conn-fields"]
    widgets = TalkPilotHook.get_connection_form_widgets()
    assert list(widgets) == list(fields)
    with Flask(__name__).test_request_context():
        form = type("ConnectionForm", (Form,), widgets)()
        for name, field in fields.items():
            assert form[name].label.text == field["label"]
            assert str(form[name].description) == field["description"]
            assert f'name="{name}"' in str(form[name]())
        empty = type("ConnectionForm", (Form,), widgets)(data={})
        assert empty.validate()


def test_the_form_accepts_what_the_hook_accepts(connection_type: dict[str, Any]) -> None:
    for name, field in connection_type["conn-fields"].items():
        for number in (1, 0.5, 2.5, -1, 7, None):
            try:
                jsonschema.validate(number, field["schema"])
            except jsonschema.ValidationError:
                with pytest.raises(ValidationError):
                    Options.model_validate({name: number})
            else:
                assert getattr(Options.model_validate({name: number}), name) == number
