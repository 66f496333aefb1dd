"""Every variant of the quantisation bench runs and is what its name says."""

from bench.quantization.models import quick_models
from bench.quantization.run import VARIANTS, run


def test_all_variants_are_measured_side_by_side():
    steps = []
    results = run(quick_models(), (2,), 1, lambda fraction, message: steps.append(fraction))
    by_name = {one.variant: one for one in results if one.provider == "CPUExecutionProvider"}
    assert by_name.keys() == {"float", *(variant.name for variant in VARIANTS)}
    assert by_name["float"].noise == 0
    assert by_name["float"].ratio == 1
    assert all(one.noise > 0 and one.layers == 2 for name, one in by_name.items() if name != "float")
    one_scale, per_channel, fused = (by_name[variant.name].noise for variant in VARIANTS[1:4])
    assert per_channel < one_scale
    assert abs(fused / per_channel - 1) < 1e-3  # the same numbers, but for rounding
    assert steps == sorted(steps)
