"""`tocsin vision`: models and cameras on the command line."""

from __future__ import annotations

from edge.vision.commands.detect import detect
from edge.vision.commands.evaluate import evaluate
from edge.vision.commands.export import export
from edge.vision.commands.watch import watch
from tocsin.cli.apps import new_app

app = new_app(
    "Models and cameras: find things in pictures, measure a model on labelled ones, watch frames as a camera, fetch what people judged."
)
app.command("eval")(evaluate)
app.command("detect")(detect)
app.command("watch")(watch)
app.command("export")(export)
