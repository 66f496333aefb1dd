from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from partita.picture_layout import arrange
from tests.unit.partita.plans import CHAIN, plan_of


@st.composite
def plans(draw: st.DrawFn):
    count = draw(st.integers(2, 12))
    servers = draw(st.lists(st.sampled_from(["device", "edge", "cloud"]), min_size=count, max_size=count))
    pairs = st.sampled_from(list(combinations(range(count), 2)))
    return plan_of(servers, sorted(draw(st.sets(pairs))))


@given(plans())
def test_no_two_components_share_a_place_and_edges_go_right(plan) -> None:
    layout = arrange(plan)
    server = {component.id: component.server for component in plan.components}
    places = {(server[key], layout.columns[key], layout.rows[key]) for key in server}
    assert len(places) == len(plan.components)
    assert all(layout.rows[key] < layout.row_counts[server[key]] for key in server)
    assert all(layout.columns[edge.source] < layout.columns[edge.target] for edge in layout.edges)
    assert {(edge.source, edge.target) for edge in layout.edges} == {
        (component.id, target)
        for component in plan.components
        for targets in component.outputs.values()
        for target in targets
    }


@given(plans())
def test_edges_that_pass_columns_never_overlap_on_a_track(plan) -> None:
    layout = arrange(plan)
    server = {component.id: component.server for component in plan.components}
    passing = [edge for edge in layout.edges if layout.columns[edge.target] - layout.columns[edge.source] > 1]
    assert layout.tracks.keys() == {(edge.source, edge.target) for edge in passing}
    spans: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for edge in passing:
        lane = server[edge.target]
        track = layout.tracks[edge.source, edge.target]
        assert track < layout.track_counts[lane]
        spans.setdefault((lane, track), []).append((layout.columns[edge.source], layout.columns[edge.target]))
    for taken in spans.values():
        taken.sort()
        assert all(first[1] <= second[0] for first, second in pairwise(taken))


def test_lanes_stand_in_the_problems_order_and_unused_servers_have_none() -> None:
    plan = plan_of(["device", "cloud", "edge", "device"], [(0, 1), (1, 2), (2, 3)])
    reordered = plan_of(["device", "edge", "cloud", "device"], [])
    assert arrange(plan).lanes == ("device", "cloud", "edge")
    assert arrange(reordered).lanes == ("device", "edge", "cloud")
    assert arrange(CHAIN).column_count == 4
