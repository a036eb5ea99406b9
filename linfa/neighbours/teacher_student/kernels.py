"""Gaussian averages of erf units in closed form, velocities made of them, and learners that see one sample at a time.

The averages and the two updates that are proved symbolically are plain functions that Numba compiles into its callers:
SymPy gets the same lines. All kernels are in this file, as a cached kernel follows changes of its own file only.

Fields z = (λ, ν) of a sample, the student's K first, then the teacher's M, have the covariance C = [[Q, R], [Rᵀ, T]].
"""

import math

import numpy as np
from numba.extending import register_jitable

from linfa.core.compile import entry

LINEAR, ERF, RELU = 0, 1, 2


@register_jitable
def erf_second(aa, bb, ab, xp=np):
    """<g(a) g(b)> = (2/π) asin(C_ab/√((1 + C_aa)(1 + C_bb))) for g(z) = erf(z/√2).

    Parameters
    ----------
    aa, bb, ab : entries C_aa, C_bb, C_ab of the covariance of Gaussian fields a, b with mean 0
    xp : namespace of `asin`, `sqrt` and `pi`

    Notes
    -----
    Numbers, arrays or symbols. Source: Williams 1997; Saad & Solla 1995.

    Examples
    --------
    >>> round(float(erf_second(1.0, 1.0, 1.0)), 12)
    0.333333333333
    """
    return 2 / xp.pi * xp.asin(ab / xp.sqrt((1 + aa) * (1 + bb)))


@register_jitable
def erf_slopes(aa, bb, ab, xp=np):
    """<g'(a) g'(b)> = (2/π)/√((1 + C_aa)(1 + C_bb) − C_ab²) for g(z) = erf(z/√2); arguments as `erf_second`.

    Examples
    --------
    >>> round(float(erf_slopes(0.0, 0.0, 0.0) * np.pi), 12)
    2.0
    """
    return 2 / xp.pi / xp.sqrt((1 + aa) * (1 + bb) - ab**2)


@register_jitable
def erf_third(aa, cc, ab, ac, bc, xp=np):
    """<g'(a) b g(c)> = (2/π) (C_bc (1 + C_aa) − C_ab C_ac)/((1 + C_aa) √((1 + C_aa)(1 + C_cc) − C_ac²)).

    The field b itself stands in the middle; arguments are named as in `erf_second`. Source: Saad & Solla 1995.

    Examples
    --------
    >>> float(erf_third(1.0, 1.0, 0.5, 0.0, 0.0))
    0.0
    """
    return erf_slopes(aa, cc, ac, xp) * (bc * (1 + aa) - ab * ac) / (1 + aa)


@register_jitable
def erf_fourth(aa, bb, cc, dd, ab, ac, ad, bc, bd, cd, xp=np):
    """<g'(a) g'(b) g(c) g(d)> = (4/π²) asin(L0/√(L1 L2))/√L4 for g(z) = erf(z/√2).

        L4 = (1 + C_aa)(1 + C_bb) − C_ab²
        L0 = L4 C_cd − C_bc C_bd (1 + C_aa) − C_ac C_ad (1 + C_bb) + C_ab (C_ac C_bd + C_ad C_bc)
        L1 = L4 (1 + C_cc) − C_bc² (1 + C_aa) − C_ac² (1 + C_bb) + 2 C_ab C_ac C_bc,   L2 the same with d for c

    Arguments are named as in `erf_second`. Source: Saad & Solla 1995.

    Examples
    --------
    >>> slopes, pair = erf_slopes(0.0, 0.0, 0.0), erf_second(1.0, 2.0, 0.5)
    >>> bool(abs(erf_fourth(0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5) - slopes * pair) < 1e-15)
    True
    """
    l4 = (1 + aa) * (1 + bb) - ab**2
    l0 = l4 * cd - bc * bd * (1 + aa) - ac * ad * (1 + bb) + ab * (ac * bd + ad * bc)
    l1 = l4 * (1 + cc) - bc**2 * (1 + aa) - ac**2 * (1 + bb) + 2 * ab * ac * bc
    l2 = l4 * (1 + dd) - bd**2 * (1 + aa) - ad**2 * (1 + bb) + 2 * ab * ad * bd
    return (2 / xp.pi) ** 2 * xp.asin(l0 / xp.sqrt(l1 * l2)) / xp.sqrt(l4)


@entry
def erf_averages(c, units, second, slopes, third, fourth):
    """All averages that the velocities need, in place, from the covariance `c` (S, S) of S = K + M fields, K = `units`.

    second[i, a] = <g_i g_a>,  slopes[i, k] = <g'_i g'_k>,  third[i, b, a] = <g'_i z_b g_a>,
    fourth[i, k, a, b] = <g'_i g'_k g_a g_b>,  where i, k run over the student's fields, a, b over all.
    """
    fields = len(c)
    for i in range(units):
        for a in range(fields):
            second[i, a] = erf_second(c[i, i], c[a, a], c[i, a])
            for b in range(fields):
                third[i, b, a] = erf_third(c[i, i], c[a, a], c[i, b], c[i, a], c[b, a])
        for k in range(i + 1):
            slopes[i, k] = slopes[k, i] = erf_slopes(c[i, i], c[k, k], c[i, k])
            for a in range(fields):
                for b in range(a + 1):
                    value = erf_fourth(
                        c[i, i], c[k, k], c[a, a], c[b, b], c[i, k], c[i, a], c[i, b], c[k, a], c[k, b], c[a, b]
                    )
                    fourth[i, k, a, b] = fourth[k, i, a, b] = fourth[i, k, b, a] = fourth[k, i, b, a] = value


def averaged_velocity(second, slopes, third, fourth, output, carrier, rate, noise_variance, dr, dq, dv):
    """R', Q' and v' into `dr` (K, M), `dq` (K, K), `dv` (K,), from the averages of `erf_averages`.

        R'_in = η F_i Σ_a c_a <g'_i ν_n g_a>
        Q'_ik = η F_i Σ_a c_a <g'_i λ_k g_a> + η F_k Σ_a c_a <g'_k λ_i g_a>
                + η² F_i F_k (Σ_ab c_a c_b <g'_i g'_k g_a g_b> + σ² <g'_i g'_k>)
        v'_i  = η Σ_a c_a <g_i g_a>

    `output` holds c = (−v, A), `carrier` F (v itself for backprop), `noise_variance` σ². Arrays or matrices of symbols.
    """
    units, fields = len(carrier), len(output)
    for i in range(units):
        dv[i] = 0
        for a in range(fields):
            dv[i] += rate * output[a] * second[i, a]
        for n in range(fields - units):
            dr[i, n] = 0
            for a in range(fields):
                dr[i, n] += rate * carrier[i] * output[a] * third[i, units + n, a]
        for k in range(units):
            spread = noise_variance * slopes[i, k]
            drift = 0
            for a in range(fields):
                drift += output[a] * (carrier[i] * third[i, k, a] + carrier[k] * third[k, i, a])
                for b in range(fields):
                    spread += output[a] * output[b] * fourth[i, k, a, b]
            dq[i, k] = rate * drift + rate**2 * carrier[i] * carrier[k] * spread


compiled_velocity = entry(averaged_velocity)


@register_jitable
def add_update(q, r, fields, carried, square):
    """What one sample x does to Q = W Wᵀ and R = W W̃ᵀ when W ← W + c xᵀ, in place: exact for any sizes.

        Q ← Q + c λᵀ + λ cᵀ + |x|² c cᵀ,    R ← R + c νᵀ,    λ = W x,  ν = W̃ x

    Arrays or matrices of symbols: q (K, K), r (K, M), fields (K + M) with λ first, carried (K) with entries c, and
    square = |x|².
    """
    units = len(carried)
    for i in range(units):
        for n in range(len(fields) - units):
            r[i, n] += carried[i] * fields[units + n]
        for k in range(units):
            q[i, k] += carried[i] * fields[k] + carried[k] * fields[i] + square * carried[i] * carried[k]


@register_jitable
def _activation(z, kind):
    """g(z) and g'(z)."""
    if kind == ERF:
        return math.erf(z / math.sqrt(2.0)), math.sqrt(2.0 / math.pi) * math.exp(-0.5 * z * z)
    if kind == RELU:
        return (z, 1.0) if z > 0.0 else (0.0, 0.0)
    return z, 1.0


@register_jitable
def _respond(fields, upper, feedback, follows, head, noise, rate, kind, carried):
    """The change of the weights after a sample with these fields: `carried` c = η F g'(λ) e, and v, in place.

    e = Aᵀ g(ν) + noise − vᵀ g(λ). Both layers change from the same state.
    """
    units = len(upper)
    error = noise
    for n in range(len(head)):
        error += head[n] * _activation(fields[units + n], kind)[0]
    for i in range(units):
        error -= upper[i] * _activation(fields[i], kind)[0]
    for i in range(units):
        value, slope = _activation(fields[i], kind)
        carried[i] = rate * (upper[i] if follows else feedback[i]) * slope * error
        upper[i] += rate * value * error


@entry
def learn_overlaps(q, r, upper, root, feedback, follows, head, normals, rest, noise, rate, kind, limit):
    """Online learning in the order parameters alone, in place: the exact law of a student with N weights a unit.

    Given the past, the fields of a fresh x ~ N(0, I_N) are Gaussian with covariance C, and |x|² is the squared length
    in the span of the weights, |ξ|² with z = L ξ and L Lᵀ = C, plus a χ² of N − K − M degrees of freedom. A sample
    costs of order (K + M)², whatever N.

    Arrays: q (K, K), r (K, M), upper (K,); root (S, S), the teacher first, with its factor T = root rootᵀ filled in
    above the student's rows; normals (steps, S) with rows ξ; rest (steps,) of that χ²; noise (steps,). `rate` is η/N.
    Returns the number of samples seen: fewer where an entry of Q left ±limit.
    """
    units, modes = len(upper), len(head)
    fields, carried = np.empty(units + modes), np.empty(units)
    for step in range(len(normals)):
        # The student's rows of the Cholesky factor; where a pivot vanishes, weights are linearly dependent and the
        # component of ξ stands for a direction outside their span.
        for i in range(units):
            row = modes + i
            for column in range(row + 1):
                left = r[i, column] if column < modes else q[i, column - modes]
                for j in range(column):
                    left -= root[row, j] * root[column, j]
                if column == row:
                    root[row, row] = math.sqrt(left) if left > 0.0 else 0.0
                else:
                    root[row, column] = left / root[column, column] if root[column, column] > 0.0 else 0.0
        square = rest[step]
        for row in range(units + modes):
            square += normals[step, row] ** 2
            total = 0.0
            for j in range(row + 1):
                total += root[row, j] * normals[step, j]
            fields[row - modes if row >= modes else units + row] = total
        _respond(fields, upper, feedback, follows, head, noise[step], rate, kind, carried)
        add_update(q, r, fields, carried, square)
        for i in range(units):
            # Negated, so that NaN counts as outside.
            if not q[i, i] <= limit:
                return step + 1
    return len(normals)


@entry
def learn_weights(lower, upper, feedback, follows, teacher, head, inputs, noise, rate, kind):
    """One update of a student for each row x of `inputs`, in place; both layers from the same state.

        λ = W x,  ν = W̃ x,  e = Aᵀ g(ν) + ζ − vᵀ g(λ);   W ← W + η F g'(λ) e xᵀ,   v ← v + η g(λ) e

    Arrays: lower W (K, N), upper v (K,), feedback F (K,), teacher W̃ (M, N), head A (M,), inputs (steps, N), noise
    (steps,) with entries ζ. F = v where the feedback follows the weights (backprop).
    """
    units, size = lower.shape
    fields, carried = np.empty(units + len(head)), np.empty(units)
    for step in range(len(inputs)):
        x = inputs[step]
        for row in range(len(fields)):
            weights = lower[row] if row < units else teacher[row - units]
            total = 0.0
            for n in range(size):
                total += weights[n] * x[n]
            fields[row] = total
        _respond(fields, upper, feedback, follows, head, noise[step], rate, kind, carried)
        for i in range(units):
            for n in range(size):
                lower[i, n] += carried[i] * x[n]


@entry
def learn_deep(weights, small, feedback, grams, widths, target, inputs, noise, rate):
    """Deep linear network under direct feedback, one sample at a time, and the small matrices beside it, in place.

        W_l ← W_l + η F_l e h_{l−1}ᵀ,  F_L = I;     A_l ← A_l + η e z_{l−1}ᵀ,  z_l = A_l G_{l−1} z_{l−1},  z_0 = x

    Arrays, padded to the widest layer m: weights (L, m, m), small (L, o, m), feedback (L, m, o) with F_L = I, grams
    (L, o, o) with G_l = F_lᵀ F_l in place l − 1, widths (L + 1,), target (o, i), inputs (steps, i), noise (steps, o).
    """
    depth, m = weights.shape[0], weights.shape[1]
    outputs = len(target)
    activity, inner = np.zeros((depth + 1, m)), np.zeros((depth + 1, m))
    through = np.empty(outputs)
    error, inner_error = np.empty(outputs), np.empty(outputs)
    for step in range(len(inputs)):
        for n in range(widths[0]):
            activity[0, n] = inner[0, n] = inputs[step, n]
        for l in range(depth):
            for i in range(widths[l + 1]):
                total = 0.0
                for n in range(widths[l]):
                    total += weights[l, i, n] * activity[l, n]
                activity[l + 1, i] = total
            # What the small matrix sees: the input itself, or z_{l−1} through the gram of the feedback below.
            width = widths[0] if l == 0 else outputs
            for o in range(outputs):
                if l > 0:
                    total = 0.0
                    for n in range(outputs):
                        total += grams[l - 1, o, n] * inner[l, n]
                    through[o] = total
            for o in range(outputs):
                total = 0.0
                for n in range(width):
                    total += small[l, o, n] * (inner[0, n] if l == 0 else through[n])
                inner[l + 1, o] = total
        for o in range(outputs):
            wanted = noise[step, o]
            for n in range(widths[0]):
                wanted += target[o, n] * inputs[step, n]
            error[o] = wanted - activity[depth, o]
            inner_error[o] = wanted - inner[depth, o]
        for l in range(depth):
            for i in range(widths[l + 1]):
                carried = 0.0
                for o in range(outputs):
                    carried += feedback[l, i, o] * error[o]
                for n in range(widths[l]):
                    weights[l, i, n] += rate * carried * activity[l, n]
            width = widths[0] if l == 0 else outputs
            for o in range(outputs):
                for n in range(width):
                    small[l, o, n] += rate * inner_error[o] * inner[l, n]
