import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.thesis.layer_sums import MethodSum
from bench.thesis.report import layer_sums, page, prediction, savings, scalability
from bench.thesis.report.page import write_report
from bench.thesis.report.plan_rows import asked, distinct
from bench.thesis.report.summary import summary
from bench.thesis.report.table import Column, Table, percent, signed_percent
from bench.thesis.results import Results, read_results
from bench.thesis.scalability import PlanningTime
from tests.unit.bench.thesis_results import MODEL, SIZES, case, filled


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(filled(tmp_path_factory.mktemp("raw")), SIZES, {MODEL: "made up"})


@pytest.fixture(scope="module")
def output(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("report")
    write_report(results, directory)
    return directory


def test_the_report_has_every_experiment_and_stands_alone(output: Path) -> None:
    text = (output / "report.md").read_text()
    for number in ("6.1", "6.3.1, 6.3.2", "6.3.3", "6.4", "6.5", "6.6", "6.7"):
        assert re.search(rf"^## {re.escape(number)} ", text, re.MULTILINE), number
    assert text.count("**The thesis's own figures**") == text.count("**What agrees, what does not, and why.**") == 7
    for figure in ("3,677 s", "+24 % to +42 %", "2 to 7 %", "10 to 47 s", "over 200 s", "not at hand"):
        assert figure in text
    shown = re.findall(r"\]\((figures/.+?\.png)\)", text)
    assert len(shown) == 7
    for name in shown:
        assert (output / name).read_bytes().startswith(b"\x89PNG")
    html = (output / "report.html").read_text()
    assert html.count('src="data:image/png;base64,') == 7
    assert "http" not in html
    assert html.count("<table>") == len(re.findall(r"^\| -", text, re.MULTILINE)) >= 14
    assert "a processor | of mine" in html


def test_tables_are_whole_as_csv(output: Path) -> None:
    files = (output / "tables").glob("*.csv")
    tables = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in files}
    assert {
        "links",
        "profiling",
        "layer-sums",
        "prediction",
        "savings",
        "distribution",
        "energy-limit",
    } <= tables.keys()
    # A row for each case that was asked, though cases share plans.
    assert len(tables["prediction"]) == 3 * len(SIZES.latency_weights) * len(SIZES.noise_levels)
    assert float(tables["prediction"][0]["predicted_sum_seconds"]) == pytest.approx(0.4)
    assert tables["links"][1]["measured_bytes_per_second"] == ""
    assert tables["energy-limit"][-1]["reason"] == "the least is 0.1 J"


def test_markdown_tables_have_equal_columns_and_say_the_model_only_where_there_are_several() -> None:
    columns = [Column("model", "model", right=False), Column("share", "share", percent)]
    one = Table("t", columns, [{"model": "a|b", "share": 0.5}, {"model": "a|b"}])
    assert one.markdown() == "| share |\n| ---: |\n| 50.0 % |\n| – |\n"
    two = Table("t", columns, [{"model": "a|b", "share": 0.5}, {"model": "c", "share": 1}])
    assert two.markdown().splitlines()[2] == "| a\\|b | 50.0 % |"
    assert two.csv() == "model,share\na|b,0.5\nc,1\n"


def test_cases_with_the_same_plan_are_one(results: Results) -> None:
    plans = distinct(results.models)
    assert len(plans) == 3 * 2
    assert [plan.asked for plan in plans[:2]] == ["ω 0, 1: η 0", "ω 0, 1: η 0.5"]
    assert (
        asked([case("device", 0, 0.5), case("device", 0, 0.1), case("device", 1, 0.1)]) == "ω 0: η 0.1–0.5; ω 1: η 0.1"
    )


def test_predictions_are_told_with_computing_as_it_was(results: Results) -> None:
    plan = next(plan for plan in distinct(results.models) if plan.case.servers == "device+edge")
    assert prediction.device_alone(plan) == pytest.approx(0.42 / 0.38 - 1)
    row = prediction.plan_row(plan)
    # Half of the prediction of 0.3 is computing, of which 0.1 was seen.
    assert row["computing_error"] == pytest.approx(0.1 / 0.15 - 1)
    assert row["known_seconds"] == pytest.approx(0.95 * 0.3 - 0.05)
    assert row["sum_error"] == pytest.approx(0.3 / 0.33 - 1)
    worst = prediction.summary_rows(distinct(results.models))[-1]
    assert worst["plans"] == 6
    assert worst["sum_median"] == pytest.approx(1 - 1 / 1.1)
    assert "above the thesis's 2 to 7 %" in prediction.findings(distinct(results.models))[0]


def test_savings_are_shares_of_the_device_alone_meanwhile(results: Results) -> None:
    rows = [savings.plan_row(plan) for plan in distinct(results.models)]
    fastest = min(rows, key=lambda row: row["measured_latency"])
    assert fastest["servers"] == "device+edge+cloud"
    assert fastest["measured_latency"] == pytest.approx(0.25 * 0.9 * 1.1 / 0.42)
    assert fastest["measured_energy"] == pytest.approx(3 * 0.25 * 0.9 / 1.2)
    figures = summary(results)["models"][MODEL]
    assert figures["least_latency"] == fastest["measured_latency"]
    assert figures["median_error"] == pytest.approx(1 - 1 / 1.1)


@pytest.mark.parametrize(
    ("excess", "verdict"),
    [(0.3, "within the thesis's"), (0.6, "more than the thesis's"), (0.05, "less than the thesis's")],
)
def test_the_sentence_on_sums_follows_the_figures(results: Results, excess: float, verdict: str) -> None:
    sums = replace(results.models[0].layer_sums, sums=(MethodSum("layer-by-layer", 0.1 * (1 + excess), 0.1),))
    words = layer_sums.findings([sums])[0]
    assert signed_percent(excess) in words
    assert verdict in words


def test_corrected_predictions_are_as_fast_as_the_machine_was_meanwhile(results: Results) -> None:
    rows = layer_sums.set_rows([results.models[0].layer_sums])
    assert rows[0]["layer-by-layer_error"] == pytest.approx(0)
    assert rows[1]["layer-by-layer_seconds"] == pytest.approx(0.047 * 0.05 / 0.051)
    assert rows[1]["profiler_error"] == pytest.approx(0)


def test_the_sentence_on_planning_compares_with_the_thesis(results: Results) -> None:
    words = " ".join(scalability.findings(results.planning))
    assert "20 to 94 times the time" in words
    literal = PlanningTime("static", MODEL, 9, 2, 0, "literal", 2.0, True, 0)
    assert "at least 100 times as long" in " ".join(scalability.findings([*results.planning, literal]))


def test_a_noise_limit_without_meaning_for_a_model_is_told_to_be_scaled(results: Results) -> None:
    assert "scaled so that 0.5 stands for that noise (1 for 0.01)" in page._scale(results)
    loud = replace(results.models[0], profiling=replace(results.models[0].profiling, noise_all=0.7))
    assert "they are absolute" in page._scale(replace(results, models=(loud,)))
