"""TOML that a person writes: what a parser takes long for is refused."""

import pytest
from egiz_cli import toml


@pytest.mark.parametrize("form", ["{} = 1", "[{}]\n", "a = {{ {} = 1 }}", " [[{}]]"])
def test_a_key_of_many_parts_is_refused_before_it_is_parsed(form):
    text = "x = 1\n" + form.format(".".join("a" * 20_000))
    with pytest.raises(ValueError, match="line 2: more than 300 dots"):
        toml.loads(text)


def test_dots_in_a_comment_and_in_addresses_are_no_key():
    hosts = ", ".join(f'"mqtt://10.0.0.{n}"' for n in range(90))
    text = f"#{'.' * 5000}\n  # {'.' * 5000}\nurl = [{hosts}]\n"
    assert len(toml.loads(text)["url"]) == 90
