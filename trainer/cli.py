"""`trainer`: audits data, trains, evaluates, publishes. Every command stands in this list."""

import typer

from diagnosis import WARNING
from trainer.commands import (
    augmenting,
    data,
    evaluating,
    exporting,
    gating,
    importing,
    inferring,
    registry,
    reviewing,
    searching,
    shipping,
    training,
)
from trainer.runtime import hush

# Before any import of a runtime further down, on every command.
hush()

app = typer.Typer(
    name="trainer",
    help=f"Audits data, trains, evaluates and publishes models. {WARNING}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(data.audit)
app.command(name="sign-off")(data.sign_off)
app.command()(augmenting.augment)
app.command(name="show-policy")(augmenting.show_policy)
app.command()(data.relabel)
app.command()(training.train)
app.command()(training.make_everyday_object)
app.command(name="train-all")(shipping.train_all)
app.command(name="add-reliability")(shipping.add_reliability)
app.command(name="add-reference")(shipping.add_reference)
app.command()(searching.search)
app.command()(searching.pretrain)
app.command(name="import-h5")(importing.import_h5)
app.command()(evaluating.evaluate)
app.command()(evaluating.compare)
app.command()(inferring.infer)
app.command()(gating.gate)
app.command(name="make-key")(registry.make_key_pair)
app.command()(registry.publish)
app.command()(registry.promote)
app.command()(registry.rollback)
app.command()(registry.retire)
app.command(name="list")(registry.list_versions)
app.command()(registry.diff)
app.command()(exporting.export)
app.command(name="export-reviews")(reviewing.export_reviews)

if __name__ == "__main__":
    app()
