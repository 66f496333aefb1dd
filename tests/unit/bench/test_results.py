from dataclasses import replace

import pytest

from bench.planning.apart import Ended, Stopped
from bench.planning.cases import ALL, BOTH, Case, standard_cases
from bench.planning.generator import chain
from bench.planning.measure import Measured
from bench.planning.picture import draw
from bench.planning.results import CaseResult, Results, Timing, require_equal, summary, timing
from core.errors import InternalError
from core.plan import Normalization

PLAN = Measured(0.5, 0.4, "optimal", 0.25, Normalization(1.0, 2.0, 3.0, 4.0), layers=7, servers=3)


def make():
    return chain(3, 2)


def results() -> Results:
    def exact(seconds: float, peak: int = 1) -> Timing:
        return Timing(seconds, seconds, 3, peak)

    slow = {"exact": exact(0.5, 80), "ilp": Timing(10.0, 5.0, 1, 900), "literal": Timing(600.0, 550.0, 1, None, True)}
    quick = {"exact": exact(0.1), "ilp": Timing(1.0, 1.0, 3, 5)}
    return Results(
        False,
        Timing(0.06, 0.05, 3, 10),
        [
            CaseResult(Case("A", make, ALL, "literal_6_servers"), slow, PLAN),
            CaseResult(Case("B", make, BOTH, "650x3_int8"), quick, PLAN),
            CaseResult(Case("C", make, BOTH, "650x3_int8"), {**quick, "exact": exact(0.3)}, PLAN),
            CaseResult(Case("D", make, ("exact",), "5000x32"), {"exact": exact(2.0, 300)}, PLAN),
        ],
    )


def test_headline_figures() -> None:
    figures = summary(results())
    assert figures["ratio_literal_6_servers"] == 1100.0
    assert figures["ratio_literal_6_servers_is_lower_bound"] is True
    assert figures["ratio_ilp_6_servers"] == 10.0
    assert figures["seconds_650x3_int8"] == 0.3
    assert figures["seconds_5000x32"] == 2.0
    assert figures["seconds_components_1850"] == 0.06
    assert figures["peak_memory_bytes"] == 300
    assert figures["unfinished"] == []
    assert [one["name"] for one in figures["cases"]] == ["A", "B", "C", "D"]
    assert figures["cases"][0]["methods"]["literal"]["stopped"] is True
    assert figures["cases"][1]["ratio_ilp"] == 10.0


def test_an_exact_method_that_was_stopped_is_named_and_has_no_ratio() -> None:
    stopped = Timing(600.0, 590.0, 1, None, True)
    one = CaseResult(Case("E", make, BOTH, "5000x32"), {"exact": stopped, "ilp": Timing(1.0, 1.0, 3, 5)}, None)
    figures = summary(replace(results(), cases=[one]))
    assert figures["unfinished"] == ["E"]
    assert figures["seconds_5000x32"] is None
    assert figures["cases"][0]["ratio_ilp"] is None
    assert figures["cases"][0]["status"] is None
    assert figures["cases"][0]["methods"]["exact"]["stopped"] is True


def test_a_failure_is_told_and_loses_nothing_else(tmp_path) -> None:
    failed = CaseResult(Case("F", make, BOTH), {}, None, ("F, exact: out of memory",))
    found = replace(results(), cases=[*results().cases, failed])
    figures = summary(found)
    assert figures["failures"] == ["F, exact: out of memory"]
    assert figures["unfinished"] == ["F"]
    assert figures["seconds_5000x32"] == 2.0
    draw(found, tmp_path / "times.png")


def test_small_stand_ins_give_no_headline_figures() -> None:
    figures = summary(replace(results(), quick=True, cases=[]))
    assert figures["quick"] is True
    for name in ("ratio_literal_6_servers", "seconds_650x3_int8", "seconds_5000x32", "seconds_components_1850"):
        assert figures[name] is None


def test_every_headline_figure_has_its_case_among_the_standard_ones() -> None:
    cases = standard_cases()
    assert [case.methods for case in cases if case.figure == "literal_6_servers"] == [ALL]
    assert {case.figure for case in cases} == {None, "literal_6_servers", "650x3_int8", "5000x32"}
    assert len({case.name for case in cases}) == len(cases)


def test_timings_are_medians_and_keep_the_largest_memory() -> None:
    runs = [Ended(replace(PLAN, seconds=seconds), peak) for seconds, peak in ((3.0, 1), (1.0, 9), (2.0, 4))]
    assert timing(runs) == Timing(2.0, 0.4, 3, 9)
    assert timing([Stopped(7.0, 6.0)]) == Timing(7.0, 6.0, 1, None, True)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(PLAN, objective=0.2501), "disagree on the objective: exact 0.25, ilp 0.2501"),
        (replace(PLAN, normalization=Normalization(1.001, 2.0, 3.0, 4.0)), "the least latency"),
        (replace(PLAN, normalization=Normalization(1.0, 2.0, 2.999, 4.0)), "the least energy"),
        (replace(PLAN, status="infeasible", objective=None, normalization=None), "ilp ends 'infeasible'"),
    ],
)
def test_methods_that_disagree_fail_the_bench(other, message) -> None:
    with pytest.raises(InternalError, match=message):
        require_equal("ilp", other, PLAN)


def test_methods_that_agree_pass() -> None:
    require_equal("ilp", replace(PLAN, objective=0.25 + 1e-8), PLAN)
    nothing = replace(PLAN, status="infeasible", objective=None, normalization=None)
    require_equal("literal", nothing, nothing)
    with pytest.raises(InternalError, match="feasible"):
        require_equal("ilp", replace(PLAN, status="feasible"), replace(PLAN, status="feasible"))


def test_the_picture_shows_every_case(tmp_path) -> None:
    path, smaller = tmp_path / "all.png", tmp_path / "fewer.png"
    draw(results(), path)
    draw(replace(results(), cases=results().cases[:2]), smaller)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    height, fewer = (int.from_bytes(file.read_bytes()[20:24], "big") for file in (path, smaller))
    assert height > fewer
