"""Plots of one's own linear runs with theory drawn over them: theory as lines, simulation as marks."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa.plot.base import colours, new_figure, styled
from linfa.trajectory import Trajectory

# As many as there are colours; modes beyond are weak and would hide the strong ones.
MOST_MODES = 7
# Marks along an axis: enough to show the curve, few enough to see the line beneath.
_MARKS = 28


def _marked(t: np.ndarray, log_time: bool) -> np.ndarray:
    """Indices of saved times spread evenly along the axis."""
    x = np.log(np.maximum(t, t[t > 0].min() if (t > 0).any() else 1.0)) if log_time else t
    goals = np.linspace(x[0], x[-1], min(_MARKS, len(t)))
    return np.unique(np.searchsorted(x, goals).clip(0, len(t) - 1))


def _time_axis(axes: Axes, run: Trajectory, log_time: bool) -> None:
    updates = "learning_rate" in run.settings
    axes.set_xlabel("updates" if updates else "time t  (unit time constant)")
    if log_time:
        later = run.t[run.t > 0]
        axes.set_xscale("log")
        if later.size:
            axes.set_xlim(later[0] * 0.8, later[-1] * 1.25)


def _visible(run: Trajectory, log_time: bool) -> np.ndarray:
    """Saved times that the axis can show: a logarithmic one has no room for zero."""
    return run.t > 0 if log_time else np.ones(len(run.t), dtype=bool)


def _single(run: Trajectory, theory: Trajectory | None = None) -> None:
    """That these are a single run and, if given, a single prediction for the same task."""
    for name, given in (("run", run), ("theory", theory)):
        if given is not None and not isinstance(given, Trajectory):
            raise TypeError(f"{name} is {type(given).__name__}; it must be a Trajectory")
    if theory is not None:
        if theory.members is not None:
            raise ValueError(f"theory is an ensemble of {theory.members} members; plot one with theory.member(index)")
        if not np.array_equal(theory.task.sigma_yx, run.task.sigma_yx):
            raise ValueError("theory is of another task than run; a prediction is drawn over what it predicts")
    if run.members is not None:
        raise ValueError(f"run is an ensemble of {run.members} members; plot one with run.member(index)")


def draw(axes: Axes, run: Trajectory, values: np.ndarray, colour: str, *, theory: bool, log_time: bool) -> None:
    """One curve: a line for theory; marks for simulation, on a faint line that guides the eye."""
    show = _visible(run, log_time)
    t, values = run.t[show], values[show]
    if theory:
        axes.plot(t, values, "-", color=colour)
        return
    axes.plot(t, values, "-", color=colour, linewidth=0.8, alpha=0.5)
    marks = _marked(t, log_time)
    axes.plot(t[marks], values[marks], "o", color=colour, markeredgecolor="white", markeredgewidth=0.4)


def loss(axes: Axes, run: Trajectory, theory: Trajectory | None = None, *, log_time: bool = False) -> None:
    """Excess loss over time, logarithmic, with the predicted curve where `theory` is given."""
    _single(run, theory)
    if theory is not None:
        draw(axes, theory, theory.excess_loss, "0.25", theory=True, log_time=log_time)
    draw(axes, run, run.excess_loss, colours(1)[0], theory=False, log_time=log_time)
    axes.set_yscale("log")
    top = float(np.nanmax(run.excess_loss))
    bottom = float(np.nanmin(run.excess_loss))
    # What lies twelve decades below the start is the integrator's tolerance, not learning.
    axes.set_ylim(max(bottom, 1e-12 * top) / 3 if bottom < top else None, top * 3 if top > 0 else None)
    axes.set_ylabel("loss above the best map")
    _time_axis(axes, run, log_time)


def mode_strengths(axes: Axes, run: Trajectory, theory: Trajectory | None = None, *, log_time: bool = False) -> None:
    """Strength of the map along the strongest of the task's explained modes; dotted: the strength to be learned."""
    _single(run, theory)
    goals = run.task.explained_modes[1]
    shown = min(MOST_MODES, len(goals))
    palette = colours(shown)
    for k in range(shown):
        axes.axhline(goals[k], color=palette[k], linestyle=":", linewidth=1.0)
        if theory is not None:
            draw(axes, theory, theory.explained_strengths[:, k], palette[k], theory=True, log_time=log_time)
        draw(axes, run, run.explained_strengths[:, k], palette[k], theory=False, log_time=log_time)
    ceiling = max(float(np.nanmax(run.explained_strengths)), float(goals[0]))
    labelled = np.inf
    for k in range(shown):
        # A number where there is room for it: modes of like strength share one.
        if labelled - goals[k] > 0.05 * ceiling:
            labelled = goals[k]
            axes.annotate(
                str(k + 1),
                (1.0, goals[k]),
                (4, 0),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                color=palette[k],
                va="center",
            )
    if shown < len(goals):
        axes.text(0.02, 0.02, f"strongest {shown} of {len(goals)} modes", color="0.4", transform=axes.transAxes)
        axes.set_ylim(-0.13 * ceiling, 1.08 * ceiling)
    inner = "W" if run.task.whitened else r"W \Sigma_x^{1/2}"
    axes.set_ylabel(f"mode strength  $u_k^T {inner} v_k$")
    _time_axis(axes, run, log_time)


def alignment(axes: Axes, run: Trajectory, theory: Trajectory | None = None, *, log_time: bool = False) -> None:
    """Cosine of weights and feedback, layer by layer, and of the signals; grey: the band of unrelated matrices."""
    _single(run, theory)
    if not len(run.chance_alignment):
        axes.text(0.5, 0.5, "no hidden layer", ha="center", transform=axes.transAxes)
        return
    band = 2 * float(run.chance_alignment.max())
    axes.axhspan(-band, band, color="0.88", linewidth=0)
    palette = colours(2 * run.weight_alignment.shape[1])
    for which, name, offset in (
        ("weight_alignment", "weights", 0),
        ("gradient_alignment", "signals", run.weight_alignment.shape[1]),
    ):
        values = getattr(run, which)
        for l in range(values.shape[1]):
            colour = palette[offset + l]
            if which == "gradient_alignment" and run.feedback.name == "backprop":
                continue  # equal to the weights' alignment, which is 1
            if theory is not None:
                draw(axes, theory, getattr(theory, which)[:, l], colour, theory=True, log_time=log_time)
            draw(axes, run, values[:, l], colour, theory=False, log_time=log_time)
            layer = f" layer {l + 1}" if values.shape[1] > 1 else ""
            both = "weights and signals" if run.feedback.name == "backprop" else name
            axes.plot([], [], "o-", color=colour, label=both + layer)
    axes.plot([], [], color="0.88", linewidth=8, label="chance, ±2 s.d.")
    shown = [v[np.isfinite(v)] for v in (run.weight_alignment, run.gradient_alignment)]
    lowest = min([0.0, *(float(v.min()) for v in shown if v.size)])
    axes.set_ylim(max(-1.05, min(lowest - 0.1, -0.45)), 1.05)
    axes.set_ylabel("alignment  (cosine)")
    # Two columns lie flat under the curves, which mostly end above zero.
    axes.legend(loc="lower right", ncols=2)
    _time_axis(axes, run, log_time)


def effective_rank(axes: Axes, run: Trajectory, theory: Trajectory | None = None, *, log_time: bool = False) -> None:
    """Effective rank of the map; dotted: that of the best map."""
    from linfa.metrics import effective_rank as of_matrix

    _single(run, theory)
    goal = float(of_matrix(run.task.target))
    axes.axhline(goal, color="0.4", linestyle=":", linewidth=1.2)
    axes.text(0.99, goal, "best map ", color="0.35", ha="right", va="bottom", transform=axes.get_yaxis_transform())
    if theory is not None:
        # A map of zeros has no rank worth a line.
        values = np.where(theory.effective_rank > 0, theory.effective_rank, np.nan)
        draw(axes, theory, values, "0.25", theory=True, log_time=log_time)
    values = np.where(run.effective_rank > 0, run.effective_rank, np.nan)
    draw(axes, run, values, colours(3)[2], theory=False, log_time=log_time)
    axes.set_ylim(0, max(goal, float(np.nanmax(run.effective_rank))) * 1.15 + 0.2)
    axes.set_ylabel("effective rank of the map")
    _time_axis(axes, run, log_time)


def overview(
    run: Trajectory,
    theory: Trajectory | None = None,
    *,
    title: str = "",
    plateau: float | None = None,
    log_time: bool = False,
) -> Figure:
    """Four panels of one run: loss, mode strengths, alignment, effective rank.

    Parameters
    ----------
    run : Trajectory
        A single run.
    theory : Trajectory, optional
        The prediction, as from `linfa.theory.exact`; drawn as lines.
    title : str
    plateau : float, optional
        Excess loss that theory predicts for late times.
    log_time : bool
        Logarithmic time.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the run is an ensemble, or holds fewer than two times.
    """
    _single(run, theory)
    if len(run.t) < 2:
        raise ValueError(f"run holds {len(run.t)} times; a plot needs at least 2")

    def make() -> Figure:
        figure = new_figure(9.6, 6.6)
        (top_left, top_right), (low_left, low_right) = figure.subplots(2, 2)
        loss(top_left, run, theory, log_time=log_time)
        start = float(run.excess_loss[0])
        if plateau is not None and plateau > 1e-14 * start:
            top_left.axhline(plateau, color="0.25", linestyle="--", linewidth=1.4)
            low, high = top_left.get_ylim()
            top_left.set_ylim(min(low, plateau / 2), max(high, plateau * 3))
            top_left.annotate(
                "predicted plateau",
                (1.0, plateau),
                (0, 7),
                xycoords=top_left.get_yaxis_transform(),
                textcoords="offset points",
                ha="right",
                color="0.25",
            )
        mode_strengths(top_right, run, theory, log_time=log_time)
        alignment(low_left, run, theory, log_time=log_time)
        effective_rank(low_right, run, theory, log_time=log_time)
        for axes, letter in zip((top_left, top_right, low_left, low_right), "abcd", strict=True):
            axes.set_title(letter, fontweight="bold")
        key = f"marks: {run.source}, " + ("lines: theory" if theory is not None else "thin lines guide the eye")
        if title:
            figure.suptitle(title, fontsize=13, parse_math=False)
        figure.supxlabel(f"{key}, dotted: the task", fontsize=10, color="0.3")
        return figure

    return styled(make)
