"""Run configuration made from classes of settings: the Launchpad shows each once declared, and refuses at launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Literal, TypeVar

import dagster as dg
from pydantic import ConfigDict, Field, create_model

from tcell_assets.settings import Form, Setting, Settings, SettingsError

T = TypeVar("T", bound=Settings)


class Launchpad(dg.Config, Generic[T]):
    """The run configuration of an asset: `config: Launchpad[HitRule]`, whose `config.settings()` is a `HitRule`."""

    model_config = ConfigDict(extra="forbid")

    form: ClassVar[Form[Any]]

    def __class_getitem__(cls, settings_class: Any) -> type[Launchpad[Any]]:
        is_one = isinstance(settings_class, type) and issubclass(settings_class, Settings)
        return _configuration_of(settings_class.form()) if is_one else cls

    def settings(self) -> T:
        """Return the settings that were filled in.

        Raises:
            SettingsError: One is out of bounds, or two contradict each other.
        """
        filled: T = self.form.filled(_values(self))
        return filled


def _configuration_of(form: Form[Any]) -> type[Launchpad[Any]]:
    fields: dict[str, Any] = {name: _pydantic_field(item) for name, item in form.fields.items()}
    configuration: type[Launchpad[Any]] = create_model(
        form.name, __base__=Launchpad, __doc__=form.title, **fields
    )
    configuration.form = form
    _refuse_at_launch(configuration)
    return configuration


def _pydantic_field(item: Setting | Form[Any]) -> tuple[Any, Any]:
    if isinstance(item, Form):
        return _configuration_of(item) | None, Field(default=None, description=item.title)
    kind: Any = item.kind
    if item.choices and not item.is_list:
        kind = Literal[item.choices]
    if item.is_list:
        kind = list[kind]
    default = list(item.default) if item.is_list else item.default
    return kind | None if item.is_optional else kind, Field(default=default, description=item.shown)


def _refuse_at_launch(configuration: type[Launchpad[Any]]) -> None:
    """Have Dagster check the settings when a run is launched, however that is done: Launchpad, schedule, shell.

    Of a `dg.Config` Dagster 1.13 reads types, choices, defaults and descriptions; bounds it checks only inside the
    step. `ConfigType.post_process` is its hook for more, called while the configuration is resolved at launch. Shapes
    of equal fields are one object there, so this one is that of the step. Were it not, bounds would be checked inside
    the step again; `tcell_assets_tests/defs/test_launchpad.py` would tell.
    """

    def check(values: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            configuration.form.filled(values)
        except SettingsError as error:
            raise dg.DagsterInvalidConfigError(str(error), [], values) from error  # type: ignore[no-untyped-call]
        return values

    shape = configuration.to_config_schema().as_field().config_type
    shape.post_process = check  # type: ignore[method-assign]


def _values(configuration: Launchpad[Any]) -> dict[str, Any]:
    return {
        name: _values(value) if isinstance(value, Launchpad) else value
        for name, value in ((name, getattr(configuration, name)) for name in configuration.form.fields)
    }
