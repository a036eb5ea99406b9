"""Claims about what direct feedback selects: among degenerate solutions, by signs, and in deep linear networks."""

from itertools import product

import numpy as np

from linfa._random import stream
from linfa.claims._settings import ROUNDING
from linfa.claims.register import claim
from linfa.claims.teacher_student import direct
from linfa.feedback import Backprop, DirectFeedback
from linfa.neighbours import teacher_student as ts
from linfa.tasks import LinearTask
from linfa.theory.deep_direct import compressed_flow


@claim(
    "teacher-degenerate-solutions",
    title="sign and permutation patterns without error among all: K! 2^K of them, and their largest error",
    tolerance=1e-14,
    accuracy="exact",
    reason="the error of a solution is a sum of K² arcsines of order 1 that cancel, and its velocity of K⁴",
    entry="S4",
    quick={"largest": 2},
)
def degenerate_solutions(largest: int = 3, seed: int = 98) -> tuple:
    """Units can be exchanged, and w_i and v_i flip their signs together; no other choice of units and signs is free."""
    predicted, simulated = [], []
    for units in range(1, largest + 1):
        generator = stream(seed, "claim", units)
        head = generator.uniform(0.5, 2.0, units)
        teacher = generator.standard_normal((units, 40)) / np.sqrt(40)
        overlaps, count = teacher @ teacher.T, 0
        for pick in product(range(units), repeat=units):
            for lower, upper in product(product((1, -1), repeat=units), repeat=2):
                chosen, signs = list(pick), np.array(lower)
                r = signs[:, None] * overlaps[chosen]
                q = r[:, chosen] * signs
                count += ts.generalisation_error(r, q, upper * head[chosen], overlaps, head) < 1e-12
        worst = max(float(_start_error(solution.start(overlaps, head))) for solution in ts.all_solutions(units))
        predicted += [ts.solution_count(units), 0.0]
        simulated += [count, worst]
    return predicted, simulated


def _start_error(start: ts.Start) -> float:
    return ts.generalisation_error(start.r, start.q, start.upper, start.teacher, start.head)


@claim(
    "teacher-degeneracy-breaking",
    title="signs and matches of the solution that DFA reaches from small random starts, equations and samples, K = 2",
    tolerance=1e-9,
    accuracy="exact",
    reason="labels are whole numbers; all starts must reach the predicted one, with a thousandth of their first error",
    entry="S4",
    quick={"members": 2},
)
def degeneracy_breaking(members: int = 5, rate: float = 0.5, scale: float = 1e-2, seed: int = 99) -> tuple:
    """Eight solutions without error, and feedback picks one: v takes the signs of F, large |F| goes with large |A|."""
    size, predicted, simulated = 500, [], []
    for carrier, head in (([1.0, 0.5], [1.0, 0.7]), ([-0.6, 1.2], [1.0, 0.6]), ([-1.0, -0.6], [-0.6, 1.1])):
        expected = ts.selected_solution(carrier, head)
        starts = [ts.Start.draw(2, head, size, scale, seed + m) for m in range(members)]
        options = {"learning_rate": rate}
        run = ts.ensemble(starts, direct(carrier), [0.0, 900.0], inputs=size, seed=seed, **options)
        courses = [run.member(m) for m in range(members)]
        courses += [ts.ode(start, direct(carrier), [0.0, 900.0], **options) for start in starts[:2]]
        for course in courses:
            found = ts.reached_solution(course)
            predicted.append([*expected.signs, *expected.matches, 1.0])
            simulated.append([*found.signs, *found.matches, float(course.error[-1] < 1e-3 * course.error[0])])
    return np.array(predicted), np.array(simulated)


@claim(
    "teacher-backprop-degeneracy",
    title="solutions that backprop reaches: each of the eight equally often, by symmetry of rule and start, K = 2",
    tolerance=3.2e-1,
    accuracy="statistical",
    reason="means of 160 signs around 0, held against 1: four standard errors, 0.08 each; all eight must be reached",
    entry="S4",
    quick={"members": 160},
)
def backprop_degeneracy(members: int = 240, rate: float = 0.5, seed: int = 100) -> tuple:
    """Flip a unit or exchange two: start and rule do not change, so no solution is preferred. Feedback breaks this."""
    size = 50
    starts = [ts.Start.draw(2, [1.0, 0.6], size, 0.05, 1000 * seed + m) for m in range(members)]
    run = ts.ensemble(starts, Backprop(), [0.0, 800.0], inputs=size, learning_rate=rate, seed=seed)
    done = run.error[:, -1] < 2e-3 * run.error[:, 0]
    labels = [ts.reached_solution(run.member(m)) for m in np.flatnonzero(done)]
    first, second = np.array([label.signs for label in labels]).T
    third = np.array([1 - 2 * label.matches[0] for label in labels])
    # A distribution over eight labels is uniform if its seven characters average to nothing.
    characters = [first, second, third, first * second, first * third, second * third, first * second * third]
    distinct = len({(label.signs, label.matches) for label in labels})
    return [1.0 + np.zeros(7), 1.0, 8.0], [1.0 + np.mean(characters, axis=1), done.mean(), float(distinct)]


@claim(
    "teacher-relu-signs",
    title="sign patterns of F with which a ReLU student learns an all-positive teacher: all, and their fraction",
    tolerance=1e-12,
    accuracy="exact",
    reason="verdicts are 0 or 1: students that learn fall below 1 % of their first error, the others stay above 3 %",
    entry="S5",
    quick={"largest": 3},
)
def relu_signs(largest: int = 4, horizon: float = 1500.0, rate: float = 0.2, seed: int = 101) -> tuple:
    """No symmetry of the ReLU flips a sign of the second layer: M positive units need M positive entries of F."""
    size, predicted, simulated = 100, [], []
    for units, modes in ((k, m) for k in range(2, largest + 1) for m in range(1, min(k, 3) + 1)):
        signs = np.array(list(product((1, -1), repeat=units)))
        carriers = signs * stream(seed, "claim", units, modes).uniform(0.6, 1.5, signs.shape)
        starts = [ts.Start.draw(units, np.ones(modes), size, 0.01, seed + m) for m in range(len(signs))]
        run = ts.ensemble(
            starts,
            [direct(carrier) for carrier in carriers],
            [0.0, horizon],
            inputs=size,
            learning_rate=rate,
            activation="relu",
            seed=seed,
        )
        share = run.error[:, -1] / run.error[:, 0]
        # Neither learned nor failed is no verdict.
        verdict = np.where(share < 0.01, 1.0, np.where(share > 0.03, 0.0, np.nan))
        predicted += [[float(ts.can_learn(c, modes)) for c in carriers], ts.learning_probability(units, modes)]
        simulated += [verdict, verdict.mean()]
    return predicted, simulated


@claim(
    "teacher-weak-alignment",
    title="W_l against F_l A_l F_{l−1}ᵀ after 3000 to 20,000 updates of a sample each, correlated targets, L = 2 to 5",
    tolerance=2e-13,
    accuracy="exact",
    reason=ROUNDING + "; both sides forget their rounding, so that it does not grow with the number of updates",
    entry="S6",
    quick={"portion": 0.2},
)
def weak_alignment(learning_rate: float = 0.004, portion: float = 1.0, seed: int = 102) -> tuple:
    """However many samples have come, a hidden matrix is its feedback around a matrix of the output's size."""
    predicted, simulated = [], []
    for depth, updates in ((2, 3000), (3, 6000), (4, 20_000), (5, 20_000)):
        target = ts.target_map(ts.target_covariance(1.0, 0.5), 6, seed)
        hidden, count = [7 + k for k in range(depth - 1)], [max(1, round(portion * updates))]
        feedback = DirectFeedback(seed=seed)
        course = ts.learn_deep_online(
            target, hidden, feedback, count, learning_rate=learning_rate, noise=0.2, seed=seed
        )
        predicted += course.expanded
        simulated += course.weights
    return predicted, simulated


@claim(
    "teacher-conditioning",
    title="A_1 … A_4 early in the flow against their leading order, and cond(A_l) = κ^{2^{l−2}} for correlated targets",
    tolerance=1e-5,
    accuracy="asymptotic",
    reason="at depth 4 the error falls short of the target by a part t^15, which the weakest direction feels most",
    entry="S6",
)
def conditioning(time: float = 0.4, seed: int = 103) -> tuple:
    """A_2 is the covariance of the targets, early that of the errors; every layer above squares what is below."""
    predicted, simulated = [], []
    for correlation in (0.0, 0.4, 0.7):
        target = ts.target_map(ts.target_covariance(1.3, correlation), 5, seed)
        generic = DirectFeedback(seed=seed).resolve((5, 6, 7, 8, 2)).matrices["b"]
        small = compressed_flow(LinearTask(target), generic, np.array([time]))
        predicted += ts.early_small(time, target, [f.T @ f for f in generic])
        simulated += [a[0] for a in small]
        target = ts.target_map(ts.target_covariance(1.0, correlation), 5, seed)
        even = DirectFeedback(seed=seed, draw="orthonormal").resolve((5, 6, 7, 8, 2)).matrices["b"]
        small = compressed_flow(LinearTask(target), even, np.array([time]))
        for layer in (2, 3):
            spread = (1 + correlation) / (1 - correlation)
            predicted.append(ts.early_condition(spread, layer))
            simulated.append(np.linalg.cond(small[layer - 1][0]))
    return predicted, simulated


@claim(
    "teacher-gradient-alignment",
    title="mean cosine of DFA's and backprop's signals, early and sample by sample, against the correlation of targets",
    tolerance=3e-2,
    accuracy="statistical",
    reason="means of 12 networks after 10,000 updates of 3e-5: samples weigh directions unevenly by √(i/10,000) = 2 %, "
    "which costs independent targets 0.3 % of their alignment; four standard errors of 0.5 %",
    entry="S6",
    quick={"members": 6},
)
def gradient_alignment(members: int = 12, updates: int = 10_000, depth: int = 3, seed: int = 104) -> tuple:
    """Alignment falls with the correlation and comes back as targets become one: conditioning alone does not decide."""
    predicted, simulated = [], []
    fresh = stream(seed, "claim").standard_normal((1000, 6))
    for correlation in (0.0, 0.3, 0.6, 0.9, 0.99):
        found = []
        for member in range(members):
            target = ts.target_map(ts.target_covariance(1.0, correlation), 6, seed + member)
            course = ts.learn_deep_online(
                target,
                [20] * (depth - 1),
                DirectFeedback(seed=seed + member, draw="orthonormal"),
                [updates],
                learning_rate=0.3 / updates,
                seed=seed + member,
            )
            found.append(course.gradient_alignment(fresh)[0])
        predicted.append([ts.early_gradient_alignment(correlation, layer, depth) for layer in range(1, depth)])
        simulated.append(np.mean(found, axis=0))
    return np.array(predicted), np.array(simulated)
