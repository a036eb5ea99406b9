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
  linfa simulate --task semantic --feedback backprop fa --method exact --horizon 1e6 --log-time
next: linfa verify low-rank-limit""",
    "cite": """\
examples:
  linfa cite fa-modes                           whose result it is
  linfa cite staircase raf --bibtex > refs.bib  entries of a figure and a rule of feedback
  linfa cite lillicrap2016                      what rests on this publication
  linfa cite --list                             all publications
next: linfa derive fa-modes""",
    "train": """\
examples:
  linfa train --data digits --model mlp --feedback normative --rank 10 --epochs 12 --seed 5
  linfa train --data cifar10 --root ~/data --model mlp --feedback raf --rank 10 --flip
  linfa train --data cifar10 --model conv4 --feedback fa --optimiser muon --model-option normalisation=null
  linfa train --data cifar10 --model mlp --feedback raf --rank 4 --layers dense4
  linfa train --config run.toml --seed 3        entries of the file have the names of the options
  linfa train --resume runs/digits-mlp-fa-adamw-seed0
next: linfa figure --list""",
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
    _add_train(commands)
    _add_cite(commands)
    return parser


def _command(commands: argparse._SubParsersAction, name: str, summary: str) -> argparse.ArgumentParser:
    made = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=_EPILOGS[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(parser=made)
    return made


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
        "--method",
        default="dormand-prince",
        metavar="NAME",
        help="dormand-prince (default): integrate the flow; exact: its closed form, where there is one",
    )
    run.add_argument(
        "--log-time",
        action=argparse.BooleanOptionalAction,
        help="save and plot at times that grow geometrically (default: where inputs are correlated)",
    )
    run.add_argument("--seed", type=int, default=0, help="of weights and feedback (default 0)")
    run.add_argument("--out", default="runs", metavar="DIR", help="folder for trajectories and figures (default runs)")
    simulate.set_defaults(run=_simulate)


def _add_train(commands: argparse._SubParsersAction) -> None:
    # Options that are not given stay None, so that those of a file, or the defaults of `linfa.nn.plan.Plan`, count.
    train = _command(commands, "train", "train a nonlinear network under any rule of feedback")
    train.add_argument("--config", metavar="FILE.toml", help="take the run from this file; options come on top")
    train.add_argument("--resume", metavar="DIR", help="go on with the run in this folder, bit for bit")
    data = train.add_argument_group("data")
    data.add_argument(
        "--data", metavar="NAME", help="digits (default), mnist, fashion-mnist, cifar10, cifar100, or a file .npz"
    )
    data.add_argument("--root", metavar="DIR", help="folder of the sets, in torchvision's layout (else LINFA_DATA)")
    data.add_argument("--classes", type=int, metavar="N", help="the first N classes alone")
    data.add_argument("--validation", type=float, metavar="N", help="hold out N training images and test on them")
    data.add_argument("--grayscale", action="store_true", default=None, help="luminance instead of colours")
    data.add_argument("--flip", action="store_true", default=None, help="mirror every other image")
    data.add_argument("--crop", type=int, metavar="N", help="pad by N pixels and crop at random")
    data.add_argument("--rotation", type=float, metavar="DEGREES", help="turn by up to so much")
    data.add_argument("--cutout", type=int, metavar="N", help="side of a square that is cut out")
    network = train.add_argument_group("network")
    network.add_argument(
        "--model", metavar="NAME", help="mlp (default), conv4, vgg, retina, resnet18, resnet20, vit, vit-6, vit-small"
    )
    network.add_argument(
        "--model-option", dest="model_options", action="append", metavar="NAME=VALUE", help="as widths=[256,256]"
    )
    network.add_argument("--loss", metavar="NAME", help="cross-entropy (default) or squared-error")
    network.add_argument("--precision", metavar="TYPE", help="float32 (default) or float64")
    rule = train.add_argument_group("feedback")
    rule.add_argument(
        "--feedback",
        metavar="RULE",
        help="backprop (default) fa dfa sdfa drtp fixed kolen-pollack raf draf normative local mirror usf brsf frsf",
    )
    rule.add_argument(
        "--rank", type=int, nargs="+", metavar="R", help="of low-rank feedback; one, or one for each layer"
    )
    rule.add_argument("--layers", nargs="+", metavar="NAME", help="give the feedback to these layers alone")
    rule.add_argument("--others", metavar="RULE", help="feedback of the other layers then (default backprop)")
    rule.add_argument(
        "--feedback-option", dest="feedback_options", action="append", metavar="NAME=VALUE", help="as draw=orthonormal"
    )
    rule.add_argument("--feedback-rate", type=float, metavar="RATE", help="of Q and P, by an AdamW of their own")
    rule.add_argument("--feedback-decay", type=float, metavar="WD", help="of Q and P then (default 0)")
    rule.add_argument("--refactor-every", type=float, metavar="EPOCHS", help="fit normative Q P anew (default 0.5)")
    rule.add_argument(
        "--clip-signal", type=float, metavar="X", help="largest entry of the error that a layer sends down"
    )
    descent = train.add_argument_group("optimiser")
    descent.add_argument("--optimiser", metavar="NAME", help="adamw (default), adam, sgd, muon")
    descent.add_argument(
        "--optimiser-option", dest="optimiser_options", action="append", metavar="NAME=VALUE", help="as momentum=0.9"
    )
    descent.add_argument("--rate", type=float, metavar="RATE", help="learning rate (default: usual for the optimiser)")
    descent.add_argument("--auxiliary-rate", type=float, metavar="RATE", help="of what Muon leaves to AdamW")
    descent.add_argument("--weight-decay", type=float, metavar="WD", help="default 0.01")
    descent.add_argument("--clamp", type=float, metavar="X", help="largest entry of a gradient")
    descent.add_argument("--schedule", metavar="NAME", help="cosine (default), constant, exponential")
    descent.add_argument("--warm-up", type=float, metavar="EPOCHS", help="of the cosine (default 0)")
    descent.add_argument("--factor", type=float, metavar="X", help="of the exponential, for each epoch (default 0.98)")
    descent.add_argument("--epochs", type=int, metavar="N", help="default 10")
    descent.add_argument("--batch", type=int, metavar="N", help="default 128, or 32 for small sets")
    run = train.add_argument_group("run")
    run.add_argument("--seed", type=int, help="of weights, feedback and order of images (default 0)")
    run.add_argument(
        "--probe-every", type=int, metavar="N", help="updates between probes; 0 for none (default: 20 a run)"
    )
    run.add_argument(
        "--checkpoint-every", type=int, metavar="N", help="updates between checkpoints (default: an epoch)"
    )
    run.add_argument("--threads", type=int, metavar="N", help="of the matrix products (default: all cores)")
    run.add_argument("--device", metavar="NAME", help="cpu (default) or cuda")
    run.add_argument("--out", metavar="DIR", help="folder of the run (default runs/DATA-MODEL-FEEDBACK-…)")
    run.add_argument("--overwrite", action="store_true", help="begin anew where a run was broken off")
    run.add_argument("--json", action="store_true", help="one object, for machines")
    train.set_defaults(run=_train)


def _add_cite(commands: argparse._SubParsersAction) -> None:
    cite = _command(commands, "cite", "say whose result something is, and how to cite it")
    cite.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="claims, derivations, figures, rules of feedback, or references (linfa itself when none is named)",
    )
    cite.add_argument("--bibtex", action="store_true", help="entries for a file of references")
    cite.add_argument("--list", action="store_true", help="all publications, and how many results rest on each")
    cite.set_defaults(run=_cite)


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


def _train(arguments: argparse.Namespace) -> int:
    from linfa import training

    return training.run(arguments)


def _cite(arguments: argparse.Namespace) -> int:
    from linfa import bibliography

    return bibliography.cite(arguments.names, bibtex=arguments.bibtex, list_only=arguments.list)


def _refuse(unknown: list[str], parser: argparse.ArgumentParser) -> None:
    """Options that a command does not have, with the nearest that it has."""
    from linfa._check import nearest

    known = [option for action in parser._actions for option in action.option_strings]
    hint = nearest(unknown[0].partition("=")[0], known) if unknown[0].startswith("-") else ""
    parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command `linfa`; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or pipe without Greek gets a question mark, not an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        _refuse(unknown, getattr(arguments, "parser", parser))
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
