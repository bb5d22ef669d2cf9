"""`serving` in config.yaml: off where nothing is said, one experiment at a time, shares that make sense."""

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.config.serving_config import ServingConfig
from evergreen.errors import ConfigInvalid

REFUSED = {
    "arms: {champion: 90, challenger: 20}": r"serving\.arms.*found 90 and 20; valid: two shares that make 100",
    "canary: {steps: [5, 1]}": r"serving\.canary.*found 5, 1; valid: rising shares",
    "canary: {steps: []}": r"serving\.canary\.steps",
    "canary: {every: 0}": r"serving\.canary\.every",
    "shadow: true, canary: {}": r"serving.*found canary and shadow; valid: one of arms, canary, shadow",
    "arm: {}": r"serving\.arm",
}


def test_nothing_is_kept_where_nothing_is_said() -> None:
    said = ServingConfig()
    assert (said.keeps, said.experiments) == (False, False)


def test_each_experiment_is_shares_and_keeps_its_answers() -> None:
    for said, steps in (
        ({"arms": {"champion": 90, "challenger": 10}}, (10,)),
        ({"canary": {}}, (1, 5, 25, 100)),
        ({"shadow": True}, (0,)),
    ):
        config = ServingConfig.model_validate(said)
        assert (config.steps, config.keeps, config.experiments) == (steps, True, True)
    assert (ServingConfig(answers=True).keeps, ServingConfig(answers=True).experiments) == (True, False)


@pytest.mark.parametrize("said", REFUSED)
def test_what_makes_no_sense_is_refused_in_words(said, write_folder, edit_config):
    folder = write_folder(config=edit_config("seed: 7}\n", f"seed: 7}}\nserving: {{{said}}}\n"))
    with pytest.raises(ConfigInvalid, match=REFUSED[said]):
        load_model_folder(folder)
