"""``zoo predict RUN [INPUT]``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.options import PLUGIN, QUIET, keep_for_results, stdout
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.model.inputs import Format, Post, Source
    from zoo.model.model import Model
    from zoo.model.outputs import Output

FILE = click.Path(path_type=Path)


@click.command("predict")
@click.argument("run")
@click.argument("input", required=False)
@click.option("--text", metavar="TEXT", help="Predict this one sentence instead of a file.")
@click.option("--image", metavar="FILE", type=FILE, help="The picture posted with --text.")
@click.option("--caption", metavar="TEXT", help="A caption of it, where the model reads captions.")
@click.option(
    "--images",
    metavar="DIR",
    type=FILE,
    help="The folder of the pictures: by the field `image` of JSONL, the IMGID of columns, or the "
    "number of a line of text.",
)
@click.option(
    "--captions",
    metavar="FILE",
    type=FILE,
    help="Captions by the id of a post (its IMGID, or the number of a line of text).",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "jsonl", "conll", "csv"]),
    help="What INPUT is (default: by its suffix, else by its first line).",
)
@click.option(
    "--columns",
    metavar="KEY=NAME,…",
    help="Which field of JSONL, or column of CSV, is the text (words, id, image, caption, "
    "language): text=tweet,id=nr. Of columns the number of the word, from 0: word=1.",
)
@click.option(
    "--id",
    "mark",
    metavar="MARK",
    help="Of columns, what a line with an id looks like, as the reader's `id` (default: IMGID).",
)
@click.option("--json", "output", flag_value="json", help="Print a JSON object a sentence.")
@click.option("--conll", "output", flag_value="conll", help="Print a word and its tag a line.")
@click.option("--html", "output", flag_value="html", help="Print a page with marked entities.")
@click.option("--out", metavar="FILE", type=FILE, help="Write here instead of printing.")
@click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="DIR",
    type=FILE,
    help="The results folder with the stored runs.",
)
@click.option(
    "--allow-changed",
    is_flag=True,
    help="Use the model although the code of its parts is not that which it was trained by.",
)
@QUIET
@PLUGIN
@click.pass_context
def command(
    context: click.Context,
    /,
    run: str,
    input: str | None,
    text: str | None,
    image: Path | None,
    caption: str | None,
    images: Path | None,
    captions: Path | None,
    kind: Format | None,
    columns: str | None,
    mark: str | None,
    output: Output | None,
    out: Path | None,
    results: Path,
    allow_changed: bool,
    quiet: bool,
    plugins: tuple[Path, ...],
) -> None:
    """Find the entities of new sentences with the trained model of a run.

    RUN is a run's folder, the beginning of its id, SYSTEM@DATASET (the run that was best on dev),
    or the name of a model on the hub. INPUT is a file of running text (a sentence a line), JSONL
    (`text` or `words`, `image`, `caption`), columns (a word a line), or CSV (a column `text`);
    - is standard input.

    By default an entity a line is printed: the id of its sentence, type, words, score, and its
    place in characters (in words, where words were given).
    """
    keep_for_results(context)
    if (input is None) == (text is None):
        raise click.UsageError("give either INPUT or --text")
    if text is not None and (images is not None or captions is not None):
        raise click.UsageError("--images and --captions belong to a file; give --image, --caption")
    if text is None and (image is not None or caption is not None):
        raise click.UsageError("--image and --caption belong to --text; for a file give --images")
    if text is not None and (columns is not None or mark is not None):
        raise click.UsageError("--columns and --id belong to a file, not to --text")
    from zoo.model.inputs import STDIN, Source, of_text, picture_of
    from zoo.registry import load_plugin_file, load_plugins

    if input is not None and input != STDIN and not Path(input).exists():
        raise ConfigError(f"{input}: no such file; for one sentence give --text")
    if out is not None and out.is_dir():
        raise ConfigError(f"--out {out}: a folder; name a file")
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: no folder {out.parent}; make it first")
    if out is not None and input not in (None, STDIN) and out.resolve() == Path(input).resolve():
        raise ConfigError(f"--out {out}: is the file that is read; name another")
    load_plugins()
    for plugin in plugins:
        load_plugin_file(plugin)
    posts: Iterable[Post]
    if text is not None:
        picture = None if image is None else picture_of(image)
        one = of_text(text, "1", picture=picture, caption=caption)
        source = None
        posts = [one]
    else:
        assert input is not None, "checked above"
        posts = source = Source(input, images, kind, captions, _columns(columns), mark)
    model = _model(run, results, allow_changed, quiet)
    write(model, posts, output or "text", out, input or "a sentence")
    if source is not None:
        _notes(model, source, quiet)
    if not quiet:
        _unused(model, picture=image or images, caption=caption or captions)
        if text is not None and "picture" in model.sees and image is None:
            click.echo("zoo: the model reads a picture; give --image FILE", err=True)


def _columns(written: str | None) -> dict[str, str]:
    """What ``--columns`` says."""
    from zoo.errors import near
    from zoo.model.records import KEYS

    found: dict[str, str] = {}
    for part in () if written is None else written.split(","):
        key, _, name = (each.strip() for each in part.partition("="))
        if not name or key in found:
            raise ConfigError(f"--columns {part}: write KEY=NAME, each key once: text=tweet,id=nr")
        if key not in ("word", *KEYS):
            raise ConfigError(f"--columns {part}: no such key{near(key, ('word', *KEYS))}")
        found[key] = name
    return found


def write(
    model: Model, posts: Iterable[Post], output: Output, out: Path | None, title: str
) -> None:
    """Predict and print, sentence by sentence; a file is written whole or not at all."""
    from zoo.files import owner, sweep_beside
    from zoo.model.outputs import written

    parts = written(model.predict_posts(posts), output, f"{model.name}: {title}", model.types)
    if out is None:
        shown = stdout()
        for part in parts:
            shown.write(part)
        return
    sweep_beside(out)
    beside = out.with_name(f".{out.name}.{owner()}.tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(parts)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)


def _model(name: str, results: Path, allow_changed: bool, quiet: bool) -> Model:
    from zoo.model.find import find_run
    from zoo.model.model import Model

    chosen = find_run(name, results)
    if chosen is not None:
        if chosen.why and not quiet:
            click.echo(f"zoo: {chosen.why}", err=True)
        return Model.from_folder(chosen.folder, allow_changed=allow_changed)
    if "/" not in name or name.startswith((".", "/", "~")):
        raise ConfigError(
            f"{name}: no folder, no stored run of {results} and no model on the hub; give a run's "
            "folder or id, SYSTEM@DATASET, or OWNER/NAME"
        )
    return Model.from_pretrained(name, allow_changed=allow_changed)


def _notes(model: Model, source: Source, quiet: bool) -> None:
    """Say what the posts name and is absent and, if not quiet, what the model reads and no post
    has."""
    tally = source.tally
    if not tally.posts:
        name = "standard input" if source.path == "-" else source.path
        click.echo(f"zoo: {name} holds no sentence", err=True)
    if tally.absent:
        click.echo(
            f"zoo: {tally.absent} of {tally.posts} posts name a picture that is not there (the "
            f"first: {tally.first}); they were read without it",
            err=True,
        )
    if tally.uncaptioned:
        click.echo(
            f"zoo: {tally.uncaptioned} of {tally.posts} posts have no id that is in "
            f"{source.captions} (the first: {tally.first_uncaptioned}); they were read without a "
            "caption",
            err=True,
        )
    if tally.several and not quiet:
        click.echo(
            f"zoo: {tally.several} of {tally.posts} posts have several pictures, of which the "
            "first is used (the encoder `album` reads all)",
            err=True,
        )
    hints = {
        "picture": "" if source.images else "; give --images DIR",
        "caption": "" if source.captions else "; give --captions FILE",
    }
    for name in () if quiet else model.sees:
        if name != "words" and name not in tally.had and tally.posts:
            hint = hints.get(name, "")
            click.echo(
                f"zoo: the model reads a {name}, and none of the {tally.posts} posts has one{hint}",
                err=True,
            )


def _unused(model: Model, **given: object) -> None:
    """Say what was given and the model does not read."""
    for name, value in given.items():
        if value is not None and name not in model.sees:
            reads = ", ".join(model.sees)
            click.echo(f"zoo: the model reads {reads}; no {name} changes what it finds", err=True)
