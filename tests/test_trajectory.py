"""Files of runs: every bit back, damage noticed and named, a failed save without traces."""

import warnings

import numpy as np
import pytest
from scipy.io import netcdf_file

import linfa
from linfa import Trajectory

WIDTHS = (4, 6, 5, 3)
OBSERVABLES = (
    "map", "loss", "excess_loss", "mode_strengths", "explained_strengths", "recovery", "weight_alignment",
    "gradient_alignment", "effective_rank", "error_correlation",
)  # fmt: skip
GENERATOR = np.random.default_rng(0)
GIVEN = [GENERATOR.standard_normal(s) for s in ((6, 5), (5, 3))]
RULES = {
    "backprop": linfa.Backprop(),
    "fa": linfa.FeedbackAlignment(seed=1, scale=0.3),
    "fa-given": linfa.FeedbackAlignment(GIVEN),
    "dfa": linfa.DirectFeedback(seed=1, draw="orthonormal"),
    "dfa-rank": linfa.DirectFeedback(seed=1, rank=2),
    "kolen-pollack": linfa.KolenPollack(GIVEN, decay=0.1, rate=0.7),
    "mirror": linfa.WeightMirror(seed=1, noise_variance=0.5, decay=0.1),
    "sign-uniform": linfa.SignSymmetry(),
    "sign-fixed": linfa.SignSymmetry("fixed", seed=2),
    "low-rank": linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-error", seed=1),
    "low-rank-fixed": linfa.LowRankFeedback(rank=(3, 1)),
    "low-rank-half-fixed": linfa.LowRankFeedback(rank=2, q="normative"),
    "low-rank-direct": linfa.LowRankFeedback(rank=2, q="local", p="local", direct=True),
    "low-rank-given": linfa.LowRankFeedback(
        q_matrices=[np.eye(6)[:, :2], np.eye(5)[:, :1]], p_matrices=[np.eye(5)[:2], np.eye(3)[:1]], p="oja-label"
    ),
}
every_rule = pytest.mark.parametrize("rule", RULES)


def samples(deficient=False):
    generator = np.random.default_rng(1)
    x = generator.standard_normal((20, 4))
    if deficient:
        x[:, 3] = x[:, 0] - x[:, 1]
    return x, x @ generator.standard_normal((4, 3)) + 0.1 * generator.standard_normal((20, 3))


def quiet_task(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return linfa.LinearTask.from_data(*samples(deficient=True), **options)


TASKS = {
    "samples": linfa.LinearTask.from_data(*samples()),
    "rank-deficient": quiet_task(),
    "rank-deficient-whitened": quiet_task(whiten=True),
    "modes": linfa.LinearTask.from_modes([2.0, 2.0, 1.0], inputs=4, outputs=3, seed=4),
    "correlations": linfa.LinearTask(np.eye(3, 4), 0.5 * np.eye(4)),
    "zero": linfa.LinearTask(np.zeros((3, 4))),
    "semantic": linfa.LinearTask.semantic(2),
}


def bits(value):
    return np.ascontiguousarray(value, dtype=np.float64).tobytes()


def assert_same(one, other):
    """Same numbers to the last bit, same words, same observables."""
    assert bits(one.t) == bits(other.t)
    assert len(one.weights) == len(other.weights)
    for a, b in zip(one.weights, other.weights, strict=True):
        assert a.shape == b.shape
        assert bits(a) == bits(b)
    assert one.feedback_weights.keys() == other.feedback_weights.keys()
    for key, matrices in one.feedback_weights.items():
        for a, b in zip(matrices, other.feedback_weights[key], strict=True):
            assert a.shape == b.shape
            assert bits(a) == bits(b)
    assert one.feedback == other.feedback
    assert (one.source, one.settings, one.members) == (other.source, other.settings, other.members)
    assert np.array_equal(one.status, other.status)
    assert type(one.status) is type(other.status)
    assert bits(one.stopped_at) == bits(other.stopped_at)
    assert type(one.stopped_at) is type(other.stopped_at)
    assert (one.task.name, one.task.notes) == (other.task.name, other.task.notes)
    assert one.task.whitened == other.task.whitened
    for name in ("sigma_yx", "sigma_x", "target", "left", "strengths", "right", "residual_loss", "input_rank"):
        assert bits(getattr(one.task, name)) == bits(getattr(other.task, name)), name
    for name in ("sigma_y", "whitening"):
        kept, read = getattr(one.task, name), getattr(other.task, name)
        assert (kept is None) == (read is None), name
        assert kept is None or bits(kept) == bits(read), name
    for name in OBSERVABLES:
        assert bits(getattr(one, name)) == bits(getattr(other, name)), name


def small_run():
    task = linfa.LinearTask(np.diag([2.0, 1.0]))
    rule = linfa.LowRankFeedback(rank=1, q="kolen-pollack", seed=3)
    return linfa.simulate(task, linfa.initial_weights((2, 2, 2), scale=0.3), rule, [0.0, 1.0])


# Round trips


@every_rule
def test_saved_run_comes_back_bit_for_bit(rule, tmp_path):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    run = linfa.simulate(TASKS["samples"], weights, RULES[rule], [0.0, 0.3, 1.0], weight_decay=[0.1, 0.0, 1 / 3])
    assert_same(run, Trajectory.load(run.save(tmp_path / "run.nc")))


@every_rule
def test_saved_ensemble_comes_back_bit_for_bit(rule, tmp_path):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3, members=3)
    run = linfa.ensemble(TASKS["samples"], weights, RULES[rule], [0, 4, 9], learning_rate=0.01)
    back = Trajectory.load(run.save(tmp_path / "run.nc"))
    assert_same(run, back)
    assert_same(run.member(1), back.member(1))


def test_saved_ensemble_keeps_the_feedback_of_each_member(tmp_path):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, members=2)
    run = linfa.ensemble(TASKS["samples"], weights, [linfa.FeedbackAlignment(seed=s) for s in (1, 2)], [0.0, 1.0])
    back = Trajectory.load(run.save(tmp_path / "run.nc"))
    assert_same(run, back)
    assert [f.seed for f in back.feedback] == [1, 2]


@pytest.mark.parametrize("name", TASKS)
def test_saved_task_comes_back_bit_for_bit(name, tmp_path):
    task = TASKS[name]
    weights = linfa.initial_weights((task.inputs, 5, task.outputs), scale=0.4)
    rule = linfa.LowRankFeedback(rank=2, p="oja-label")
    run = linfa.simulate(task, weights, rule, [0.0, 1.0])
    assert_same(run, Trajectory.load(run.save(tmp_path / "run.nc")))


@pytest.mark.parametrize("times", [[0.0], [1.0], [0.0, 1.0]])
@pytest.mark.parametrize("depth", [1, 2])
def test_shortest_runs_and_single_layers_come_back(times, depth, tmp_path):
    weights = linfa.initial_weights((4, 5, 3) if depth == 2 else (4, 3), scale=0.4)
    run = linfa.simulate(TASKS["modes"], weights, linfa.KolenPollack(), times)
    assert_same(run, Trajectory.load(run.save(tmp_path / "run.nc")))


def diverged(t):
    start = np.array([0.5, 10.0]).reshape(2, 1, 1)
    with pytest.warns(linfa.DivergenceWarning):
        return linfa.ensemble(
            linfa.LinearTask(np.eye(1)),
            [start, start],
            linfa.FeedbackAlignment([np.ones((1, 1))]),
            t,
            learning_rate=0.5,
        )


def test_diverged_members_come_back_with_their_status_and_nan(tmp_path):
    run = diverged(np.arange(40))
    assert run.status.tolist() == ["completed", "diverged"]
    back = Trajectory.load(run.save(tmp_path / "run.nc"))
    assert_same(run, back)
    assert_same(run.member(1), back.member(1))


def test_member_that_stopped_before_its_first_time_is_refused():
    with pytest.raises(ValueError, match=r"member 1 stopped at .* before the first time saved"):
        diverged([400]).member(1)


def test_theory_is_saved_as_theory(tmp_path):
    run = small_run()
    theory = Trajectory(run.task, run.feedback, run.t, run.weights, run.feedback_weights, source="theory")
    assert Trajectory.load(theory.save(tmp_path / "theory.nc")).source == "theory"


def test_feedback_that_never_changes_is_stored_once(tmp_path):
    weights = linfa.initial_weights(WIDTHS, scale=0.4)
    sizes = {}
    for name in ("fa", "kolen-pollack"):
        run = linfa.simulate(TASKS["samples"], weights, RULES[name], np.linspace(0.0, 1.0, 101))
        sizes[name] = run.save(tmp_path / f"{name}.nc").stat().st_size
    # 45 numbers of 8 bytes at each of 100 further times.
    assert sizes["kolen-pollack"] - sizes["fa"] > 0.9 * 100 * 45 * 8


def test_file_is_netcdf_that_others_read(tmp_path):
    run = small_run()
    with netcdf_file(run.save(tmp_path / "run.nc"), "r", mmap=False) as file:
        assert np.array_equal(file.variables["t"][...], run.t)
        assert np.array_equal(file.variables["W2"][...], run.weights[1])


def test_path_may_be_text_and_an_earlier_file_is_replaced(tmp_path):
    path = str(tmp_path / "run.nc")
    diverged(np.arange(40)).save(path)
    run = small_run()
    run.save(path)
    assert_same(run, Trajectory.load(path))
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


# Damage


def test_file_cut_at_any_length_is_refused_by_name(tmp_path):
    whole = small_run().save(tmp_path / "whole.nc").read_bytes()
    cut = tmp_path / "cut.nc"
    for length in range(0, len(whole), 13):
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.nc"):
            Trajectory.load(cut)
    cut.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"cut\.nc"):
        Trajectory.load(cut)


# Lowest bit: digits and letters turn into others; highest: text and sizes turn into what they cannot be.
@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_flipped_byte_is_refused_by_name_or_changes_nothing(mask, tmp_path):
    run = small_run()
    whole = run.save(tmp_path / "whole.nc").read_bytes()
    flipped = tmp_path / "flipped.nc"
    refused = 0
    wrong = []
    for where in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[where] ^= mask
        flipped.write_bytes(damaged)
        try:
            # Names of dimensions and padding may change without harm to what is read.
            assert_same(run, Trajectory.load(flipped))
        except ValueError as error:
            refused += 1
            if "flipped.nc" not in str(error):
                wrong.append((where, f"{error!r:.80}"))
        except Exception as error:
            wrong.append((where, f"{error!r:.80}"))
    assert not wrong, f"{len(wrong)} of {len(whole) // 3} flips, the first: {wrong[:3]}"
    # The numbers alone are a third of the file.
    assert refused > len(whole) // 9


def test_foreign_files_are_refused_by_name(tmp_path):
    foreign = tmp_path / "foreign.nc"
    with netcdf_file(foreign, "w") as file:
        file.createDimension("x", 3)
        file.createVariable("W1", "f8", ("x",))[:] = 1.0
    (tmp_path / "text.nc").write_text("no run at all\n" * 50)
    (tmp_path / "empty.nc").write_bytes(b"")
    (tmp_path / "noise.nc").write_bytes(np.random.default_rng(2).bytes(5000))
    (tmp_path / "magic.nc").write_bytes(b"CDF\x02" + np.random.default_rng(3).bytes(5000))
    np.savez(tmp_path / "arrays.nc.npz", t=np.ones(3))
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=path.name.replace(".", r"\.")):
            Trajectory.load(path)


def test_file_that_only_claims_to_be_a_run_is_refused_by_name(tmp_path):
    whole = small_run().save(tmp_path / "whole.nc")
    with netcdf_file(whole, "r", mmap=False) as file:
        form, description, digest = file.linfa_format, file.description, file.digest
        variables = {name: v[...].copy() for name, v in file.variables.items()}
    for leave_out in ("description", "digest", "t", "W2", "sigma_yx"):
        path = tmp_path / f"without-{leave_out}.nc"
        with netcdf_file(path, "w", version=2) as file:
            file.linfa_format = form
            for name, value in (("description", description), ("digest", digest)):
                if name != leave_out:
                    setattr(file, name, value)
            for name, array in variables.items():
                if name == leave_out:
                    continue
                dimensions = tuple(f"{name}_{axis}" for axis in range(array.ndim))
                for dimension, size in zip(dimensions, array.shape, strict=True):
                    file.createDimension(dimension, size)
                file.createVariable(name, "f8", dimensions)[...] = array
        with pytest.raises(ValueError, match=path.name):
            Trajectory.load(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.nc"):
        Trajectory.load(tmp_path / "none.nc")
    with pytest.raises(FileNotFoundError):
        Trajectory.load(tmp_path)


# Failed saves


def test_save_into_a_missing_folder_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        small_run().save(tmp_path / "nowhere" / "run.nc")
    assert not list(tmp_path.iterdir())


class _DiskFull(OSError):
    pass


@pytest.mark.parametrize("method", ["createVariable", "flush"])
@pytest.mark.parametrize("earlier", [False, True])
def test_failed_save_leaves_the_earlier_file_whole_and_no_leftovers(method, earlier, tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    run = small_run()
    if earlier:
        run.save(path)
        before = path.read_bytes()
    original = getattr(netcdf_file, method)
    calls = []

    def fail_midway(self, *arguments):
        calls.append(arguments)
        if method == "createVariable" and len(calls) < 4:
            return original(self, *arguments)
        if method == "flush":
            self.fp.write(b"CDF\x02half")
        raise _DiskFull("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(netcdf_file, method, fail_midway)
        with pytest.raises(_DiskFull):
            diverged(np.arange(40)).save(path)
    assert calls
    assert [p.name for p in tmp_path.iterdir()] == (["run.nc"] if earlier else [])
    if earlier:
        assert path.read_bytes() == before
        assert_same(run, Trajectory.load(path))


def test_interrupted_save_leaves_the_earlier_file_whole_and_no_leftovers(tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    before = small_run().save(path).read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        diverged(np.arange(40)).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


# What a run says of itself


def test_repr_names_sizes_rule_and_members():
    run = small_run()
    assert repr(run) == "Trajectory(simulation, 2-2-2, low-rank, 2 times)"
    many = linfa.ensemble(run.task, linfa.initial_weights((2, 2, 2), members=3), linfa.FeedbackAlignment(), [0.0, 1.0])
    assert repr(many) == "Trajectory(simulation, 2-2-2, fa, 2 times, 3 members)"
    assert many.members == 3
    assert run.members is None
