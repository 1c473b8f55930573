"""Languages by their codes, and what is said of other words."""

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("german", "write its code, 'de'"),
        ("EN", "write its code, 'en'"),
        ("deu", "write its code, 'de'"),
        ("swa", "write its code, 'sw'"),
        ("zho", "write its code, 'zh'"),
        ("arb", "write its code, 'ar'"),
        ("pt-br", "write its code, 'pt'"),
        ("es_ES", "write its code, 'es'"),
        ("iw", "write its code, 'he'"),
        ("fil", "write its code, 'tl'"),
        ("no", "write 'nn' (Norwegian Nynorsk) or 'nb' (Norwegian Bokmål)"),
        ("norwegian", "write 'nn' (Norwegian Nynorsk) or 'nb' (Norwegian Bokmål)"),
        ("spa_Latin", "did you mean 'spa_Latn'"),
    ],
)
def test_the_code_that_was_meant_is_named(word: str, says: str) -> None:
    with pytest.raises(UserError, match="unknown language") as caught:
        find(word)
    assert says in str(caught.value)
