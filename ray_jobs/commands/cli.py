"""The command line: results on standard output, progress on standard error, errors as one sentence and an exit code."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from csrms_dist.basics.words import counted
from csrms_dist.errors import ConfigError, require
from csrms_dist.export import EXPORTS
from csrms_dist.methods.stages import GRAPH
from ray_jobs.commands.jobs import add_jobs, add_submit, jobs, submit
from ray_jobs.sentences import sentence_of
from ray_jobs.stages.table import commands as stages
from ray_jobs.stopping import stopping

if TYPE_CHECKING:
    from csrms_dist.artefacts.run_directory import RunDirectory

INTERRUPTED = 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="csrms",
        description="Class-level structural relation modelling and smoothing, distributed, on a graph database.",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("--version", action="version", version=f"csrms-dist {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run every stage that is not done yet and say what came out")
    _configured(run)
    run.add_argument("--until", metavar="STAGE", help="stop after this stage, of whatever method")
    for stage in stages():
        _configured(commands.add_parser(stage, help=f"run the stage {stage}, after what it needs and is not done yet"))
        if stage == GRAPH.name:
            commands.choices[stage].add_argument(
                "--bundle",
                metavar="FOLDER",
                help="publish nothing, write the input of neo4j-admin's import",
            )
    manifest = commands.add_parser(
        "manifest", help="list where the images of a data set lie, once, into a Parquet file"
    )
    manifest.add_argument(
        "source", metavar="SOURCE", help="a folder, the URI of one, or a list: .txt, .csv or .parquet (docs/data.md)"
    )
    manifest.add_argument("--out", required=True, metavar="FILE", help="the file or URI to write, *.parquet")
    manifest.add_argument("--no-sizes", action="store_true", help="look no file up: sizes are left empty")
    manifest.add_argument("--workers", type=int, metavar="N", help="processes that list a folder (default: one a CPU)")
    plan = commands.add_parser(
        "plan", help="say what a run will take, before anything runs; afterwards, how far off that was"
    )
    _configured(plan)
    plan.add_argument(
        "--images", nargs="+", default=[], metavar="N", help="of so many images instead, a column each: 1M 10M 100M"
    )
    predict = commands.add_parser("predict", help="classify unseen images with a trained run")
    predict.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="images, folders of them, Parquet with a column `image` of bytes; -: reads paths of images, a line each, "
        "and answers each with a line of JSON",
    )
    predict.add_argument("--run", metavar="DIR", help="run directory (default: the last one below runs/)")
    predict.add_argument(
        "--head", default="plain", metavar="HEAD",
        help="whose answer is in the columns class and probability: plain (default), graph, mean",
    )  # fmt: skip
    predict.add_argument(
        "--all-probabilities", action="store_true", help="add a column of each head's probabilities of all classes"
    )
    _output(predict)
    export = commands.add_parser("export", help="write a trained run for use elsewhere")
    export.add_argument("run", metavar="RUN", help="run directory")
    export.add_argument(
        "--as", required=True, dest="form", metavar="FORM", help=f"{', '.join(EXPORTS)}, or module:name of your own"
    )
    export.add_argument("--out", required=True, metavar="PATH", help="the file to write")
    query = commands.add_parser("query", help="ask the graph database; without a name, list the named queries")
    name = query.add_argument("name", nargs="?", default="", help="a named query")
    name.completer = _query_names  # type: ignore[attr-defined]
    query.add_argument(
        "--param", action="append", default=[], metavar="K=V", help="a parameter: name=text or name:=JSON"
    )
    query.add_argument("--cypher", default="", metavar="TEXT", help="a Cypher text instead of a name (read-only)")
    query.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="rows at the most (of a table 10000, of the first ones 100; --out and a pipe of another --format: all)",
    )
    query.add_argument("--run", metavar="DIR", help="run directory (default: the last one below runs/)")
    _output(query)
    sent = commands.add_parser("submit", help="run as a job of a Ray cluster, and follow it to its end")
    _configured(sent)
    sent.add_argument("--until", metavar="STAGE", help="stop after this stage, of whatever method")
    add_submit(sent)
    listed = commands.add_parser("jobs", help="list the jobs of a Ray cluster, follow one or stop one")
    add_jobs(listed)
    _output(listed)
    runs = commands.add_parser("runs", help="list the runs in the graph database, or change which one is live")
    change = runs.add_mutually_exclusive_group()
    change.add_argument("--go-live", metavar="KEY", help="send readers to this run, at once")
    change.add_argument("--retire", metavar="KEY", help="remove this run, which must not be live")
    change.add_argument("--bundle", metavar="FOLDER", help="write all runs as the input of neo4j-admin's import")
    runs.add_argument("--run", metavar="DIR", help="run directory (default: the last one below runs/)")
    _output(runs)
    status = commands.add_parser("status", help="say how far a run is, and whether anybody is still at work")
    status.add_argument("run", nargs="?", metavar="RUN", help="run directory (default: the last one below runs/)")
    status.add_argument("--format", choices=("table", "json"), default="table", help="how to print")
    experiment = commands.add_parser("experiment", help="compare recipes: the runs of a spec, and tables of them")
    experiment.add_argument("spec", help="the spec's YAML file (docs/experiments.md)")
    experiment.add_argument("--size", metavar="NAME", help="one of the spec's sizes (default: the first)")
    experiment.add_argument("--out", metavar="DIR", help="folder of the experiment (default: runs/<name>-<size>)")
    experiment.add_argument("--jobs", type=int, metavar="N", help="runs at a time, each on a CPU (default: as many)")
    experiment.add_argument(
        "--set", action="append", default=[], metavar="KEY.KEY=VALUE", dest="overrides", help="change the spec"
    )
    experiment.add_argument("--list", action="store_true", help="list recipes and numbers of runs; run nothing")
    clean = commands.add_parser("clean", help="remove what a run no longer needs, and say what that frees")
    clean.add_argument("run", metavar="DIR", help="run directory")
    clean.add_argument("--yes", action="store_true", help="do it, instead of saying what would go")
    completion = commands.add_parser("completion", help="print a shell's code for completing commands with TAB")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    commands.add_parser("doctor", help="say what is installed and reachable")
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
    return parser


def _query_names(**_: object) -> list[str]:
    from graphstore.queries import named_queries

    return list(named_queries())


def _version() -> str:
    try:
        return version("csrms-dist")
    except PackageNotFoundError:
        return "(not installed)"


def _configured(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="the run's YAML file")
    parser.add_argument("--out", metavar="DIR", help="run directory (default: runs/<name>)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides",
        help="change a setting; may be given several times (docs/configuration.md)",
    )  # fmt: skip
    parser.add_argument("--no-control", action="store_true", help="leave the plain control out")


def _output(parser: argparse.ArgumentParser) -> None:
    formats = ("table", "json", "jsonl", "csv", "parquet")
    parser.add_argument("--format", choices=formats, default="table", help="how to print")
    parser.add_argument("--out", metavar="FILE", help="write .parquet, .csv, .json or .jsonl instead of printing")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for words
        require("argcomplete").autocomplete(parser)
    arguments = parser.parse_args(argv)
    stopping.listen()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, SystemExit) as stop:
        # While Ray starts, its own handler of SIGTERM is in place: it exits with the signal's number.
        if arguments.debug or (isinstance(stop, SystemExit) and stop.code != signal.SIGTERM):
            raise
        return _stopped(arguments.command)
    except BrokenPipeError:
        # The reader of our output has gone (csrms query ... | head): not an error of ours.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - stays open until the process ends
        return 0
    except Exception as error:
        if arguments.debug:
            raise
        if stopping.asked:  # whatever failed afterwards, that is why: a module of which half was imported, a dead actor
            return _stopped(arguments.command)
        sentence, code = sentence_of(error)
        print(f"csrms {arguments.command}: {sentence}", file=sys.stderr)
        return code


def _stopped(command: str) -> int:
    print(f"\ncsrms {command}: stopped; the same command goes on from here", file=sys.stderr)
    return INTERRUPTED


def _dispatch(arguments: argparse.Namespace) -> int:
    # Each command imports what it needs: `csrms doctor` must work where Ray is not installed.
    if arguments.command == "doctor":
        from ray_jobs.commands.doctor import report

        lines, complete = report()
        print("\n".join(lines))
        return 0 if complete else 7
    if arguments.command == "completion":
        print(require("argcomplete").shellcode(["csrms"], shell=arguments.shell))
        return 0
    if arguments.command == "clean":
        from ray_jobs.commands.clean import clean
        from ray_jobs.places import find_run

        print(clean(find_run(arguments.run), really=arguments.yes))
        return 0
    if arguments.command == "query":
        return _query(arguments)
    if arguments.command == "status":
        from ray_jobs.commands.status import status

        text, code = status(_run(arguments), arguments.format)
        print(text)
        return code
    if arguments.command == "runs":
        return _runs(arguments)
    if arguments.command == "predict":
        return _predict(arguments)
    if arguments.command == "export":
        return _export(arguments)
    if arguments.command == "experiment":
        from ray_jobs.commands.experiment import execute

        print(execute(arguments))
        return 0
    if arguments.command in ("submit", "jobs"):
        return (submit if arguments.command == "submit" else jobs)(arguments)
    if arguments.command == "manifest":
        from ray_jobs.commands.manifest import manifest

        print(manifest(arguments.source, arguments.out, sizes=not arguments.no_sizes, workers=arguments.workers))
        return 0
    if arguments.command == "plan":
        from ray_jobs.plan.plan import plan

        numbers = [_number("--images", text) for text in arguments.images]
        overrides, control = tuple(arguments.overrides), not arguments.no_control
        print(plan(arguments.config, arguments.out, overrides, control=control, images=numbers))
        return 0
    if arguments.command == GRAPH.name and arguments.bundle:
        from ray_jobs.pipeline import bundle

        _say_bundle(
            arguments.bundle, bundle(arguments.config, arguments.out, tuple(arguments.overrides), arguments.bundle)
        )
        return 0
    from ray_jobs.commands.closing import closing_text
    from ray_jobs.pipeline import run

    until = arguments.until if arguments.command == "run" else arguments.command
    result = run(
        arguments.config, arguments.out, tuple(arguments.overrides), control=not arguments.no_control, until=until
    )
    if until is None:
        print(closing_text(result))
    else:
        state = "done" if until in result.done else "was done already"
        print(f"{until}: {state}, {result.run.uri}/{until}")
    return 0


def _number(option: str, text: str) -> int:
    """'250000', '500k', '10M' or '1G' as a number."""
    found = re.fullmatch(r"([0-9]{1,10})([kMG]?)", text)
    if found is None or not int(found[1]):
        raise ConfigError(option, got=repr(text), expected="whole numbers such as 250000, 500k or 10M")
    return int(found[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[found[2]]


def _query(arguments: argparse.Namespace) -> int:
    if bool(arguments.name) and bool(arguments.cypher):
        raise ConfigError("the query", got="a name and --cypher", expected="one of them")
    if not arguments.name and not arguments.cypher:
        from ray_jobs.commands.catalogue import catalogue

        print(catalogue())
        return 0
    from graphstore.store import ROW_LIMIT
    from ray_jobs.commands.output import check_out, write
    from ray_jobs.commands.query import answer, parse_parameters

    # A file and a pipe get every row, as a table that is meant for people does not.
    to_file = arguments.out is not None or (arguments.format != "table" and not sys.stdout.isatty())
    if arguments.limit is not None and not 1 <= arguments.limit <= (arguments.limit if to_file else ROW_LIMIT):
        expected = "a whole number from 1 on" if to_file else f"a whole number in [1, {ROW_LIMIT}]"
        raise ConfigError("--limit", got=str(arguments.limit), expected=expected)
    check_out(arguments)
    table, left_out = answer(
        _run(arguments),
        arguments.name,
        parse_parameters(arguments.param),
        cypher=arguments.cypher,
        limit=arguments.limit,
        to_file=to_file,
    )
    write([table], arguments)
    if left_out:
        print(f"csrms query: {left_out}", file=sys.stderr)
    return 0


def _run(arguments: argparse.Namespace) -> RunDirectory:
    """The run that is asked; where nobody named it, it is said which."""
    from ray_jobs.places import find_run

    run = find_run(arguments.run)
    if arguments.run is None:
        print(f"csrms {arguments.command}: of {run.uri}, the run that was written last", file=sys.stderr)
    return run


def _say_bundle(folder: str, n_rows: int) -> None:
    print(f"{folder}: {counted(n_rows, 'row')}")
    print(f"load them with: make neo4j-import BUNDLE={folder}")


def _runs(arguments: argparse.Namespace) -> int:
    from ray_jobs.commands.output import check_out, write
    from ray_jobs.commands.query import check_run, published_run
    from ray_jobs.commands.runs import listing, write_bundle
    from ray_jobs.places import store_of

    check_out(arguments)
    run = _run(arguments)
    with store_of(run) as store:
        if not store.runs():
            published_run(run, store)  # says why there is nothing to list
        for option, key in (("--go-live", arguments.go_live), ("--retire", arguments.retire)):
            if key:
                check_run(store, option, key)
        if arguments.bundle:
            _say_bundle(arguments.bundle, write_bundle(store, arguments.bundle))
            return 0
        if arguments.go_live:
            store.go_live(arguments.go_live)
        if arguments.retire:
            store.retire(arguments.retire)
        write([listing(store)], arguments)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from csrms_dist.export.write import export
    from ray_jobs.places import find_run

    print(export(find_run(arguments.run), arguments.form, arguments.out))
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from functools import partial

    from ray_jobs.commands.output import check_out, write
    from ray_jobs.commands.predict import answer_lines, noted, predict

    chosen = {"head": arguments.head, "all_probabilities": arguments.all_probabilities}
    if "-" in arguments.paths:
        if len(arguments.paths) > 1 or arguments.out is not None or arguments.format not in ("table", "jsonl"):
            raise ConfigError(
                "the path -", got="other paths, --out or --format beside it", expected="it alone",
                remedy="it reads paths and prints lines of JSON",
            )  # fmt: skip
        answer_lines(_run(arguments), sys.stdin.fileno(), partial(print, flush=True), **chosen)
        return 0
    check_out(arguments)
    tables = predict(_run(arguments), *arguments.paths, **chosen)
    write(noted(tables, partial(print, file=sys.stderr)), arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
