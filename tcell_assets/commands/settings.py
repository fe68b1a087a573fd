"""Settings in the shell: `--set NAME=VALUE`, flags and the list in `--help`, all from the classes that declare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import click

from tcell_assets.settings import Form, Setting, Settings, SettingsError

Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)


class SettingType(click.ParamType[Any]):
    """Reads the value of a setting, within its bounds."""

    def __init__(self, item: Setting) -> None:
        self.item = item
        self.name = {bool: "boolean", int: "integer", float: "number", str: "text"}[item.kind]

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str | None:
        """Return the choices, as click shows its own."""
        return f"[{'|'.join(self.item.choices)}]" if self.item.choices else None

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value that a text means."""
        try:
            return self.item.read(value) if isinstance(value, str) else value
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class SettingFlag(click.Option):
    """A flag of its own for a setting that is often needed; what is not given is not said."""

    def __init__(self, declarations: list[str], *, step: str, setting: Setting, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.step, self.setting = step, setting


def setting_flag(
    step: str, settings_class: type[Settings], name: str, *flags: str
) -> Callable[[Decorated], Decorated]:
    """A flag for one setting of a step of a :class:`SettingsCommand`, described and bounded as it is declared."""
    item = _settings_of(settings_class)[name]
    several = item.is_list
    help_text = f"{_sentence(item.description)}  [default: {_default(item)}]"
    kind = click.Choice(item.choices) if several else SettingType(item)
    return click.option(
        *flags,
        cls=SettingFlag,
        step=step,
        setting=item,
        type=kind,
        multiple=several,
        default=None,
        help=help_text,
    )


def setting_option(
    settings_class: type[Settings], name: str, *flags: str, **attributes: Any
) -> Callable[[Decorated], Decorated]:
    """An ordinary option with default, bounds and description of a setting."""
    item = _settings_of(settings_class)[name]
    described: dict[str, Any] = {
        "default": item.default,
        "show_default": True,
        "help": _sentence(item.description),
    }
    return click.option(*flags, type=SettingType(item), **{**described, **attributes})


class SettingsCommand(click.Command):
    """A command whose steps can be set. Its function is given `config`: what was said, by step and setting.

    Args:
        *arguments: Of a command.
        steps: The class of settings of each step of the command's job that has one.
        **attributes: Of a command.
    """

    def __init__(self, *arguments: Any, steps: Mapping[str, type[Settings]], **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.steps = {step: settings_class.form() for step, settings_class in steps.items()}
        self.params.append(
            click.Option(
                ["--set", "set_values"],
                multiple=True,
                metavar="NAME=VALUE",
                help="Set one of the settings below.",
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Gather flags and `--set` into `config`, which no setting out of bounds passes."""
        rest = super().parse_args(ctx, args)
        config: dict[str, dict[str, Any]] = {}
        for param in self.params:
            if isinstance(param, SettingFlag):
                value = ctx.params.pop(param.name or "")
                if value not in (None, ()):
                    _put(config, param.step, param.setting.name, list(value) if param.multiple else value)
        for text in ctx.params.pop("set_values"):
            try:
                step, name, value = _read(text, self.steps, ctx.command_path)
                _put(config, step, name, list(value) if isinstance(value, tuple) else value)
            except SettingsError as error:
                raise click.BadParameter(str(error), ctx, param_hint="--set") from error
        for step, values in config.items():
            try:
                self.steps[step].filled(values)
            except SettingsError as error:
                raise click.BadParameter(str(error), ctx, param_hint="--set") from error
        ctx.params["config"] = config
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then every setting with its default and what it may be."""
        super().format_options(ctx, formatter)
        counted = _counted(self.steps)
        for step, form in self.steps.items():
            with formatter.section(f"Settings of {step}"):
                formatter.write_dl(
                    [
                        (
                            name if counted[name] == 1 else f"{step}.{name}",
                            f"{_sentence(item.shown)}  [default: {_default(item)}]",
                        )
                        for name, item in form.flat().items()
                    ]
                )


def run_config(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was said of settings as Dagster takes it."""
    return {"ops": {step: {"config": dict(values)} for step, values in config.items()}}


def _settings_of(settings_class: type[Settings]) -> dict[str, Setting]:
    return settings_class.form().flat()


def _read(text: str, steps: Mapping[str, Form[Any]], command: str) -> tuple[str, str, Any]:
    """Step, name and value of one NAME=VALUE.

    Raises:
        SettingsError: It is none, no setting or more than one is called so, or the value is not allowed.
    """
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals:
        raise SettingsError(f"{text!r} is not NAME=VALUE, as epochs=20 is")
    found = {
        (step, inner): item
        for step, form in steps.items()
        for inner, item in form.flat().items()
        if name in (inner, f"{step}.{inner}")
    }
    if not found:
        near = _nearest(name, steps)
        hint = f"; did you mean {near}?" if near else "."
        raise SettingsError(f"no setting is called {name[:64]}{hint} `{command} --help` names them all")
    if len(found) > 1:
        owners = [f"{step}.{inner}" for step, inner in found]
        raise SettingsError(f"{name} is a setting of several steps: write {' or '.join(owners)}")
    ((step, inner), item) = next(iter(found.items()))
    return step, inner, item.read(value.strip())


def _nearest(name: str, steps: Mapping[str, Form[Any]]) -> str | None:
    """The setting whose name is most like this one, whatever step or group either names."""
    by_last = {full.rpartition(".")[2]: full for form in steps.values() for full in reversed(form.flat())}
    near = get_close_matches(name.rpartition(".")[2][:64], by_last, n=1)
    return by_last[near[0]] if near else None


def _put(config: dict[str, dict[str, Any]], step: str, name: str, value: Any) -> None:
    """Set a value; `training.epochs` lies in the group `training`."""
    *groups, last = name.split(".")
    place: dict[str, Any] = config.setdefault(step, {})
    for group in groups:
        place = place.setdefault(group, {})
    place[last] = value


def _counted(steps: Mapping[str, Form[Any]]) -> dict[str, int]:
    """In how many steps a setting of each name is."""
    counted: dict[str, int] = {}
    for form in steps.values():
        for name in form.flat():
            counted[name] = counted.get(name, 0) + 1
    return counted


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _default(item: Setting) -> str:
    if item.default is None:
        return item.none_means or "none"
    if item.kind is bool:
        return str(item.default).lower()
    return ", ".join(item.default) if item.is_list else str(item.default)
