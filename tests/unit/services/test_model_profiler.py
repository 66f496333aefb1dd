import pytest

from core.errors import InvalidArgumentError
from services.model_profiler import check_noise_measure


@pytest.mark.parametrize("measure", ["mean-absolute-difference", "own.noise:largest"])
def test_named_measures_and_functions_of_allowed_modules_pass(measure):
    check_noise_measure(measure, ["own.noise"])


@pytest.mark.parametrize("modules", [[], [""], ["own"], ["own.noise.deeper"]])
def test_functions_of_other_modules_are_refused(modules):
    with pytest.raises(InvalidArgumentError, match=r"does not allow the module 'own\.noise'.*PARTITA_NOISE_MODULES"):
        check_noise_measure("own.noise:largest", modules)
