import csv
from pathlib import Path

from partita.front_csv import write_front_csv
from tests.unit.partita.fronts import FRONT


def test_a_row_for_each_point_with_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    write_front_csv(FRONT, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["latency_seconds"]) for row in rows] == [1.0, 2.0, 4.0]
    assert [float(row["energy_joules"]) for row in rows] == [8.0, 4.0, 2.0]
    assert [row["is_knee"] for row in rows] == ["0", "1", "0"]
    assert [row["layers_on_device"] for row in rows] == ["1", "1", "1"]
    assert [row["layers_on_far"] for row in rows] == ["0", "1", "0"]
    assert rows[0]["latency_weight_to"] == "1.0"
