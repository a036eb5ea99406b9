"""An independent right-hand side: every rule written per sample, as its deep form reads, averaged over a data set.

Nothing here is shared with linfa's core, which never sees a sample.
"""

import numpy as np


class SampleRule:
    """Time derivative of (weights, feedback) on samples x (n, i), y (n, o); feedback is a dict of lists of matrices."""

    def __init__(self, x, y, *, rule, direct=False, q="fixed", p=(), rates=(1.0, 1.0, 1.0), decay, feedback_decay):
        self.x, self.y, self.rule, self.direct, self.q, self.p = x, y, rule, direct, q, p
        self.b_rate, self.q_rate, self.p_rate = rates
        self.decay, self.feedback_decay = decay, feedback_decay

    def __call__(self, weights, feedback):
        n, depth = len(self.x), len(weights)
        h = [self.x]
        for w in weights:
            h.append(h[-1] @ w.T)
        error = self.y - h[-1]
        delta = {depth: error}
        for l in range(depth, 1, -1):
            carried = error if self.direct else delta[l]
            delta[l - 1] = carried @ self.carrier(weights, feedback, l).T
        d_weights = [delta[l + 1].T @ h[l] / n - self.decay[l] * weights[l] for l in range(depth)]
        d_feedback = {key: [np.zeros_like(m) for m in ms] for key, ms in feedback.items()}
        for l in range(2, depth + 1):
            carried = error if self.direct else delta[l]
            self.learn(weights, feedback, d_feedback, l, h[l - 1], carried)
        return d_weights, d_feedback

    def carrier(self, weights, feedback, l):
        if self.rule == "backprop":
            return weights[l - 1].T
        if self.rule == "sign":
            return feedback["b"][l - 2] * np.sign(weights[l - 1].T)
        if "b" in feedback:
            return feedback["b"][l - 2]
        return feedback["q"][l - 2] @ feedback["p"][l - 2]

    def learn(self, weights, feedback, change, l, activity, carried):
        n, k = len(activity), l - 2
        wd = self.feedback_decay[k]
        replaced = weights[l - 1]
        if self.direct:
            replaced = weights[-1]
            for w in weights[-2 : l - 2 : -1]:
                replaced = replaced @ w
        if self.rule == "kolen-pollack":
            change["b"][k] = self.b_rate * activity.T @ carried / n - wd * feedback["b"][k]
        if self.rule == "mirror":
            change["b"][k] = self.b_rate * weights[l - 1].T - wd * feedback["b"][k]
        if "q" not in feedback:
            return
        q, p = feedback["q"][k], feedback["p"][k]
        mismatch = replaced.T - q @ p
        if self.q == "kolen-pollack":
            change["q"][k] = self.q_rate * activity.T @ (carried @ p.T) / n - wd * q
        elif self.q == "normative":
            change["q"][k] = self.q_rate * mismatch @ p.T
        rule = self.p[k]
        if rule == "local":
            change["p"][k] = self.p_rate * (activity @ q).T @ carried / n - wd * p
        elif rule == "normative":
            change["p"][k] = self.p_rate * q.T @ mismatch
        elif rule.startswith("oja"):
            signal = self.y if rule == "oja-label" else carried
            moments = signal.T @ signal / n
            change["p"][k] = self.p_rate * p @ moments @ (np.eye(len(moments)) - p.T @ p)


def pack(weights, feedback):
    """One flat vector: weights first, then feedback by key and layer."""
    return np.concatenate([m.ravel() for m in [*weights, *(m for ms in feedback.values() for m in ms)]])


def unpack(vector, weights, feedback):
    """The matrices of a flat vector, shaped like the templates given."""
    used = 0

    def take(like):
        nonlocal used
        used += like.size
        return vector[used - like.size : used].reshape(like.shape)

    return [take(w) for w in weights], {key: [take(m) for m in ms] for key, ms in feedback.items()}
