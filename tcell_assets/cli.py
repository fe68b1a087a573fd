"""`tcell`, the platform from the shell. Each subcommand lives in `tcell_assets.commands` and is imported when used."""

from __future__ import annotations

import importlib
import os
import sys
import warnings

import click

from tcell_assets.installation.configuration import restrict_new_files

# name -> (module in tcell_assets.commands, first line of its help). `tcell --help` must not import dagster or torch:
# that would take it from 0.2 s to 4 s.
COMMANDS = {
    "alerts": ("alerts", "Send a test message to whom failed runs are told."),
    "attribute": ("jobs", "Explain the predictions of batches gene by gene, by Integrated Gradients."),
    "audit": ("audit", "Judge a screen's layout from its sample sheet, before anything is sequenced."),
    "backfill": ("backfill", "Bring many batches up to date, with a summary."),
    "benchmark": ("benchmark", "Time the engine against the published network on this machine."),
    "check": ("check", "Show what an ingest would understand of a folder; nothing is written."),
    "demo": ("demo", "Simulate a small screen and materialize every asset."),
    "doctor": ("doctor", "Look the installation over and name a fix for each finding."),
    "ensemble": ("jobs", "Train the current model from other seeds, for the sd of its predictions."),
    "evaluate": ("jobs", "Compare the current model's settings with plainer models on held-out wells."),
    "explain": ("jobs", "Sum Integrated Gradients up: gene ranking, drivers of hits, gene sets."),
    "export": ("export", "Write the screen for other tools: AnnData or the published CSV files."),
    "forget": ("forget", "Take a batch out of the screen, or bring it back."),
    "import": ("importing", "Turn a published-layout folder into one landing folder a batch."),
    "ingest": ("jobs", "Read and check batches of the landing zone."),
    "models": ("models", "List the model versions, promote one, or roll back."),
    "prune": ("prune", "Take out of the run history what nothing needs any more."),
    "query": ("query", "Answer one SELECT over every table of the lake, read-only."),
    "report": ("report", "Write the screen, or batches, as one HTML file to look at."),
    "run": ("drop_in", "Do what the published script did, on its files, through the assets."),
    "score": ("jobs", "Score batches with the current model."),
    "screen": ("jobs", "Sum up metabolites and genes over all scored batches."),
    "simulate": ("simulate", "Write a simulated screen, with its truth, into a landing zone."),
    "status": ("status", "Say of every batch whether it is current, and the next step where not."),
    "targets": ("targets", "List the targets, those of your own declaration among them."),
    "train": ("jobs", "Train a model on every ingested batch that has targets."),
    "ui": ("ui", "Open the Dagster UI with its daemon on this machine."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tcell_assets.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in sorted(COMMANDS.items())])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Examples:\n\n  tcell demo\n\n  tcell simulate data --preset clean\n\n  tcell run --data-dir D --out-dir R",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def tcell(ctx: click.Context, debug: bool) -> None:
    """T-cell DRUG-seq screens as a Dagster asset graph: from plates to scored metabolites, with lineage."""
    ctx.obj = {"debug": debug}


def main() -> None:
    """Run `tcell`; an error is one message with the next step, and exit code 1."""
    debug = "--debug" in sys.argv
    if not debug:
        _keep_warnings_from_the_terminal()
    try:
        restrict_new_files()
        tcell.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        _name_full_list(error)
        click.echo("(tcell --debug … shows the traceback)", err=True)
        sys.exit(1)


def _keep_warnings_from_the_terminal() -> None:
    """A warning of NumPy or pandas is for who writes code, not for who reads plates; the tests take it for an error."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        # Also in the processes that `tcell ui` starts.
        os.environ["PYTHONWARNINGS"] = "ignore"


def _name_full_list(error: Exception) -> None:
    """Where an error shows two examples of a cause, write the others down and say where."""
    if getattr(error, "is_shortened", False):
        from tcell_assets.landing.problems import LandingError, write_full_list

        assert isinstance(error, LandingError)
        click.echo(f"every one of them: {write_full_list(error)}", err=True)
