import pytest

from retail_etl.contract import is_narrower


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("integer", "smallint"),
        ("bigint", "integer"),
        ("character varying(100)", "character varying(50)"),
        ("character varying", "character varying(1000)"),
        ("text", "character varying(1000)"),
        ("numeric(10,2)", "numeric(8,2)"),
        ("numeric(10,2)", "numeric(10,0)"),
        ("numeric(10,2)", "numeric(10,4)"),  # six digits before the point, where there were eight
        ("numeric(10,0)", "numeric(10,2)"),
        ("numeric(3,0)", "numeric(3,-2)"),
        ("numeric", "numeric(38,10)"),
        ("timestamp without time zone", "timestamp(3) without time zone"),
    ],
)
def test_a_type_that_holds_less_is_narrower(before: str, now: str) -> None:
    assert is_narrower(before, now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("smallint", "integer"),
        ("integer", "bigint"),
        ("character varying(50)", "character varying(100)"),
        ("character varying(1000)", "text"),
        ("numeric(38,10)", "numeric"),
        ("timestamp(3) without time zone", "timestamp without time zone"),
        ("numeric(10,2)", "numeric(12,2)"),
        ("numeric(10,2)", "numeric(12,4)"),
        ("character varying", "text"),
        ("text", "character varying"),
        ("timestamp without time zone", "timestamp(6) without time zone"),
        ("boolean", "boolean"),
        ("integer", "text"),
        ("bigint", "boolean"),
    ],
)
def test_a_type_that_holds_as_much_or_is_of_another_family_is_not_narrower(before: str, now: str) -> None:
    assert not is_narrower(before, now)
