"""The command line: parse, call, print."""

import argparse
import sys
from collections.abc import Sequence

from linfa import __version__

_EPILOGS = {
    "": "start with:  linfa verify          then:  linfa simulate --task digits --feedback fa",
    "verify": """\
examples:
  linfa verify                                  every prediction against simulation
  linfa verify --list                           what there is
  linfa verify fa-modes low-rank-limit          some of them
  linfa verify backprop-logistic --over scale=1e-4:1:9
                                                where a prediction stops being right
  linfa verify --from my_prediction.py          your own claims beside the built-in ones
next: linfa simulate --help""",
    "derive": """\
examples:
  linfa derive --list                           what there is
  linfa derive fa-modes                         step by step, in the terminal
  linfa derive fa-modes --latex > fa-modes.tex  compiles as it stands
  linfa derive --all --html handout.html        everything, with the verdict of every claim
next: linfa verify fa-modes""",
    "figure": """\
examples:
  linfa figure --list                           what there is
  linfa figure shrinkage --out shrinkage.pdf    one, as PNG, PDF or SVG
  linfa figure --gallery pictures               all of them, and a page that shows them
next: linfa derive fa-modes""",
    "simulate": """\
examples:
  linfa simulate --task semantic --feedback backprop --horizon 15
  linfa simulate --task digits --feedback backprop fa fixed --rank 1 2 4 10
  linfa simulate --task modes --modes 4 3 2 1 --inputs 8 --outputs 6 --feedback fa
  linfa simulate --task mine.npz --feedback raf --rank 3 --weight-decay 0.01
next: linfa verify low-rank-limit""",
}


class _Parser(argparse.ArgumentParser):
    """Errors in one line, with the command that helps."""

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: {message}\ntry: {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="linfa",
        description="Learning under low-dimensional error feedback: theory held against simulation.",
        epilog=_EPILOGS[""],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"linfa {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_verify(commands)
    _add_derive(commands)
    _add_figure(commands)
    _add_simulate(commands)
    return parser


def _command(commands: argparse._SubParsersAction, name: str, summary: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=_EPILOGS[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_verify(commands: argparse._SubParsersAction) -> None:
    verify = _command(commands, "verify", "hold every known prediction against simulation")
    verify.add_argument("names", nargs="*", metavar="NAME", help="claims to check (all when none is named)")
    verify.add_argument("--quick", action="store_true", help="small sizes")
    verify.add_argument("--json", action="store_true", help="a list of objects, for machines")
    verify.add_argument("--list", action="store_true", help="name the claims and what each compares")
    verify.add_argument("--from", dest="source", metavar="FILE.py", help="run this file first: it registers claims")
    verify.add_argument(
        "--over",
        metavar="KNOB=START:STOP:COUNT",
        help="table one claim's residual over a knob; steps are geometric where the range spans a decade, else even",
    )
    verify.set_defaults(run=_verify)


def _add_derive(commands: argparse._SubParsersAction) -> None:
    derive = _command(commands, "derive", "show why a prediction is true, step by step")
    derive.add_argument("names", nargs="*", metavar="NAME", help="derivations, or claims whose derivation is wanted")
    derive.add_argument("--all", action="store_true", help="all derivations")
    derive.add_argument("--list", action="store_true", help="name the derivations and what each shows")
    derive.add_argument("--latex", action="store_true", help="a LaTeX document on standard output")
    derive.add_argument(
        "--html", nargs="?", const="-", metavar="FILE", help="one HTML page, in FILE or on standard output"
    )
    derive.set_defaults(run=_derive)


def _add_figure(commands: argparse._SubParsersAction) -> None:
    figure = _command(commands, "figure", "draw the theory, with simulation as marks")
    figure.add_argument("name", nargs="?", metavar="NAME", help="the figure")
    figure.add_argument("--out", metavar="FILE", help="file to write, .png .pdf .svg (default NAME.png)")
    figure.add_argument("--quick", action="store_true", help="small sizes")
    figure.add_argument("--seed", type=int, default=0, help="of everything drawn at random (default 0)")
    figure.add_argument("--all", metavar="DIR", help="all figures, into a folder")
    figure.add_argument("--gallery", metavar="DIR", help="all figures and a page that shows them, into a folder")
    figure.add_argument("--list", action="store_true", help="name the figures, one a line")
    figure.set_defaults(run=_figure)


def _add_simulate(commands: argparse._SubParsersAction) -> None:
    simulate = _command(commands, "simulate", "train a deep linear network and compare it with theory")
    task = simulate.add_argument_group("task")
    task.add_argument(
        "--task",
        default="digits",
        metavar="NAME",
        help="digits, semantic, modes, or a file .npz of samples x, y (samples × size) or of sigma_yx, sigma_x, "
        "sigma_y",
    )
    task.add_argument("--whiten", action="store_true", help="whiten the inputs (digits, or samples in a file)")
    task.add_argument("--modes", nargs="+", type=float, metavar="S", help="strengths, for --task modes")
    task.add_argument("--inputs", type=int, help="number of inputs, for --task modes")
    task.add_argument("--outputs", type=int, help="number of outputs, for --task modes")
    network = simulate.add_argument_group("network")
    network.add_argument("--hidden", nargs="+", type=int, default=[32], metavar="N", help="hidden layers (default 32)")
    network.add_argument(
        "--init",
        default="auto",
        metavar="KIND",
        help="zero, gaussian, orthogonal, balanced, aligned; auto (default): zero, or balanced where a rule cannot "
        "leave zero",
    )
    network.add_argument("--scale", type=float, default=1e-3, help="size of initial weights (default 0.001)")
    rule = simulate.add_argument_group("feedback")
    rule.add_argument(
        "--feedback",
        nargs="+",
        default=["backprop"],
        metavar="RULE",
        help="one or more of: backprop fa dfa fixed kolen-pollack raf draf normative local mirror usf frsf",
    )
    rule.add_argument("--rank", nargs="+", type=int, metavar="R", help="ranks; low-rank rules run once for each")
    rule.add_argument(
        "--draw", default="auto", metavar="KIND", help="gaussian or orthonormal; auto (default): orthonormal if it fits"
    )
    run = simulate.add_argument_group("run")
    run.add_argument("--horizon", type=float, help="time of the flow, or number of updates (default: by the task)")
    run.add_argument("--points", type=int, default=201, help="saved times (default 201)")
    run.add_argument("--learning-rate", type=float, help="gradient descent at this rate instead of the flow")
    run.add_argument("--weight-decay", type=float, default=0.0, help="of all layers (default 0)")
    run.add_argument(
        "--log-time",
        action=argparse.BooleanOptionalAction,
        help="save and plot at times that grow geometrically (default: where inputs are correlated)",
    )
    run.add_argument("--seed", type=int, default=0, help="of weights and feedback (default 0)")
    run.add_argument("--out", default="runs", metavar="DIR", help="folder for trajectories and figures (default runs)")
    simulate.set_defaults(run=_simulate)


def _verify(arguments: argparse.Namespace) -> int:
    from linfa import report

    return report.verify(
        arguments.names,
        quick=arguments.quick,
        as_json=arguments.json,
        list_only=arguments.list,
        source=arguments.source,
        over=arguments.over,
    )


def _derive(arguments: argparse.Namespace) -> int:
    from linfa import handout

    return handout.derive(
        arguments.names,
        everything=arguments.all,
        list_only=arguments.list,
        as_latex=arguments.latex,
        page=arguments.html,
    )


def _figure(arguments: argparse.Namespace) -> int:
    from linfa import gallery

    return gallery.figure(
        arguments.name,
        out=arguments.out,
        quick=arguments.quick,
        seed=arguments.seed,
        everything=arguments.all,
        page=arguments.gallery,
        list_only=arguments.list,
    )


def _simulate(arguments: argparse.Namespace) -> int:
    from linfa import experiment

    return experiment.run(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command `linfa`; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or pipe without Greek gets a question mark, not an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("\nstopped; what was finished stays on disk", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has left; leave quietly too.
        sys.stderr.close()
        return 141
    except (ValueError, TypeError, OSError, RuntimeError, MemoryError, OverflowError) as error:
        print(f"linfa {arguments.command}: {error}", file=sys.stderr)
        return 2
