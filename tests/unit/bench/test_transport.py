from bench.transport.compression import Sent, tensors
from bench.transport.results import LOOPBACK, Results, summary
from bench.transport.run import MEGABYTE, SMALL, run
from bench.transport.sending import Times
from core.problem import Compression

WAYS = {"raw", "stream", "grpc", "shared_memory", "shared_memory_written"}


def test_headline_figures_are_the_least_of_what_they_speak_of() -> None:
    def link(raw: float, stream: float) -> Times:
        slower = {10**6: [2 * stream, 2 * stream, 9.0]}
        return {"raw": {10**6: [raw, raw, 9.0]}, "stream": {10**6: [stream, stream, 9.0]}, "grpc": slower}

    loopback: Times = {
        "raw": {2**16: [0.1], 4_700_000: [1.0], 20_000_000: [4.0]},
        "stream": {2**16: [0.4], 4_700_000: [2.0], 20_000_000: [10.0]},
        "grpc": {2**16: [0.8], 4_700_000: [5.0], 20_000_000: [10.0]},
        "shared_memory": {2**16: [0.4], 4_700_000: [0.5], 20_000_000: [1.0]},
        "shared_memory_written": {2**16: [0.4], 4_700_000: [1.25], 20_000_000: [1.0]},
    }
    found = summary(Results({LOOPBACK: loopback, "5 MB/s": link(1.0, 1.25), "20 MB/s": link(1.0, 1.0)}, ""))
    assert (found["shaped_ratio"], found["loopback_ratio"], found["shared_memory_ratio"]) == (0.8, 0.4, 2.0)
    assert found["shared_memory_written_ratio"] == 0.8
    assert found["round_trip_seconds_64k"] == 0.4
    assert (found["grpc_shaped_ratio"], found["grpc_loopback_ratio"]) == (0.4, 0.2)
    assert found["grpc_round_trip_seconds_64k"] == 0.8


def test_compressing_counts_where_the_planner_chooses_it() -> None:
    times: Times = {
        "raw": {2**16: [0.02], 10**6: [0.2], 4_700_000: [0.94]},
        "stream": {2**16: [0.02], 10**6: [0.2], 4_700_000: [0.94]},
    }
    times["grpc"] = times["stream"]
    small, hard = Compression(0.5, 0.004, 0.001), Compression(0.97, 0.004, 0.001)
    sent = {
        "small": Sent(1_200_000, small, (0.24,), (0.125,)),
        "hard": Sent(1_200_000, hard, (0.24,), (0.3,)),
        "hoped for": Sent(1_200_000, small, (0.24,), (0.25,)),
    }
    results = Results({LOOPBACK: {way: {2**16: [1.0]} for way in WAYS}, "5 MB/s": times}, "")
    found = summary(Results(results.times, "", {"5 MB/s": sent}))
    assert [one["chosen"] for one in found["compression"]] == [True, False, True]
    assert found["compression_worst_ratio"] == 0.24 / 0.25
    assert found["compression_best_ratio"] == 0.24 / 0.125
    assert summary(results)["compression_worst_ratio"] is None


def test_every_way_is_measured_beside_the_raw_socket() -> None:
    results = run(quick=True)
    assert set(results.times[LOOPBACK]) == WAYS
    for times in results.times[LOOPBACK].values():
        assert {size: len(seconds) for size, seconds in times.items()} == {SMALL: 10, MEGABYTE: 5}
        assert min(map(min, times.values())) > 0
    assert results.compression[LOOPBACK].keys() == tensors().keys()
    found = summary(results)
    assert found["compression_worst_ratio"] > 0
    assert found["shaped_ratio"] is None
    assert found["loopback_ratio"] is None
    assert found["not_shaped"]
