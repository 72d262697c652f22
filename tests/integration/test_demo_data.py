"""The demo source: what it is made of, that it hangs together, and what happens to it."""

import hashlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pg8000.native import Connection, DatabaseError, identifier

from retail_etl.model import SOURCE
from retail_etl.schema import DATE_TEXT, INT
from scripts.demo_data import LARGE, ODD_TEXTS, create_reader, create_schema, fill, simulate
from scripts.embedded_postgres import EmbeddedPostgres

Connect = Callable[[str], Connection]
COLUMNS = [(table, column) for table in SOURCE.values() for column in table.columns]
ROWS = {
    "address": 30, "counterparty": 20, "currency": 3, "department": 8, "design": 300, "staff": 20, "payment_type": 4,
    "sales_order": 5_000, "purchase_order": 2_000, "transaction": 7_000, "payment": 7_000,
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(postgres: EmbeddedPostgres, connect: Connect) -> Iterator[Connection]:
    """A database with the demo data of scale 1, for tests that only read."""
    name = f"filled_{uuid4().hex}"
    postgres.create_database(name)
    connection = connect(postgres.url(name))
    create_schema(connection)
    fill(connection)
    yield connection
    connection.close()


@pytest.fixture
def source(database: str, connect: Connect) -> Iterator[Connection]:
    """A small filled source of the test's own."""
    connection = connect(database)
    create_schema(connection)
    fill(connection, scale=0.2)
    yield connection
    connection.close()


def count(connection: Connection, table: str, where: str = "true") -> int:
    return int(connection.run(f"SELECT count(*) FROM {identifier(table)} WHERE {where}")[0][0])


def counts(connection: Connection) -> dict[str, int]:
    return {table: count(connection, table) for table in SOURCE}


def content(connection: Connection) -> str:
    """A hash of every row of every table, in the order of the keys."""
    digest = hashlib.sha256()
    for table in SOURCE.values():
        digest.update(repr(connection.run(f'SELECT * FROM "{table.name}" ORDER BY "{table.key}"')).encode())
    return digest.hexdigest()


INCONSISTENT = {
    "a transaction's type and its order differ": """
        SELECT 1 FROM "transaction" WHERE "transaction_type" <> CASE
            WHEN "sales_order_id" IS NOT NULL AND "purchase_order_id" IS NULL THEN 'SALE'
            WHEN "sales_order_id" IS NULL AND "purchase_order_id" IS NOT NULL THEN 'PURCHASE' ELSE 'neither' END""",
    "an order has no transaction, or two": """
        SELECT 1 FROM "sales_order" LEFT JOIN "transaction" USING ("sales_order_id")
        GROUP BY "sales_order_id" HAVING count("transaction_id") <> 1
        UNION ALL SELECT 1 FROM "purchase_order" LEFT JOIN "transaction" USING ("purchase_order_id")
        GROUP BY "purchase_order_id" HAVING count("transaction_id") <> 1""",
    "a transaction was made at another time than its order": """
        SELECT 1 FROM "transaction" AS t LEFT JOIN "sales_order" AS s USING ("sales_order_id")
        LEFT JOIN "purchase_order" AS p USING ("purchase_order_id")
        WHERE t."created_at" <> coalesce(s."created_at", p."created_at")""",
    "a payment differs from its order": """
        SELECT 1 FROM "payment" AS m JOIN "transaction" AS t USING ("transaction_id")
        LEFT JOIN "sales_order" AS s USING ("sales_order_id")
        LEFT JOIN "purchase_order" AS p USING ("purchase_order_id")
        WHERE (m."payment_amount", m."currency_id", m."counterparty_id") IS DISTINCT FROM (
            coalesce(s."units_sold" * s."unit_price", p."item_quantity" * p."item_unit_price"),
            coalesce(s."currency_id", p."currency_id"), coalesce(s."counterparty_id", p."counterparty_id"))""",
    "a payment is of a kind that its transaction cannot have": """
        SELECT 1 FROM "payment" JOIN "transaction" USING ("transaction_id")
        JOIN "payment_type" USING ("payment_type_id")
        WHERE "payment_type_name" NOT LIKE CASE "transaction_type" WHEN 'SALE' THEN 'SALES_%' ELSE 'PURCHASE_%' END""",
    "a price has more than two decimals": """
        SELECT 1 FROM "sales_order" WHERE scale("unit_price") > 2 OR "unit_price" <= 0
        UNION ALL SELECT 1 FROM "purchase_order" WHERE scale("item_unit_price") > 2 OR "item_unit_price" <= 0""",
    "an agreed date is not after the order": """
        SELECT 1 FROM "sales_order"
        WHERE least("agreed_delivery_date", "agreed_payment_date") <= to_char("created_at", 'YYYY-MM-DD')
        UNION ALL SELECT 1 FROM "purchase_order"
        WHERE least("agreed_delivery_date", "agreed_payment_date") <= to_char("created_at", 'YYYY-MM-DD')""",
}


def test_scale_1_is_what_it_says(filled: Connection) -> None:
    assert counts(filled) == ROWS
    assert count(filled, "_prisma_migrations") == 1


def test_fill_returns_and_reports_the_rows_of_each_table(database: str, connect: Connect) -> None:
    connection, reported = connect(database), list[tuple[str, int]]()
    create_schema(connection)
    rows = fill(connection, scale=0.1, progress=lambda table, number: reported.append((table, number)))

    assert rows == dict(reported) == counts(connection)
    assert (rows["sales_order"], rows["purchase_order"], rows["payment"]) == (500, 200, 700)


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(
    postgres: EmbeddedPostgres, connect: Connect
) -> None:
    contents = []
    for seed in (7, 7, 8):
        name = f"seed_{uuid4().hex}"
        postgres.create_database(name)
        connection = connect(postgres.url(name))
        create_schema(connection)
        fill(connection, scale=0.1, seed=seed)
        contents.append(content(connection))
        connection.close()

    assert contents[0] == contents[1] != contents[2]


def test_fill_refuses_a_source_that_has_rows_and_leaves_it_as_it_is(source: Connection) -> None:
    before = content(source)
    with pytest.raises(ValueError, match="address has rows already"):
        fill(source)
    assert content(source) == before


def test_the_source_is_as_the_model_says(filled: Connection) -> None:
    found = filled.run(
        """SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> '_prisma_migrations' ORDER BY table_name, ordinal_position"""
    )
    wanted = [
        [table.name, column.name, column.type.source[0],
         "YES" if column.nullable and column.name != "last_updated" else "NO"]
        for table, column in sorted(COLUMNS, key=lambda pair: pair[0].name)
    ]  # fmt: skip
    assert found == wanted


def test_keys_references_and_indexes_are_all_there_after_the_fill(filled: Connection) -> None:
    kinds = dict(
        filled.run(
            """SELECT contype::text, count(*) FROM pg_constraint
            WHERE contype IN ('p', 'f') AND convalidated AND connamespace = 'public'::regnamespace
            AND conrelid <> '_prisma_migrations'::regclass GROUP BY 1"""
        )
    )
    indexed = filled.run("SELECT tablename FROM pg_indexes WHERE indexdef LIKE '%(last_updated)' ORDER BY 1")

    assert kinds == {"p": 11, "f": sum(column.references is not None for _, column in COLUMNS)}
    assert [name for (name,) in indexed] == sorted(table.name for table in LARGE)


def test_every_value_keeps_the_contract(filled: Connection) -> None:
    for table, column in COLUMNS:
        name = identifier(column.name)
        broken = []
        if column.type is INT and column.minimum is not None:
            broken.append(f"{name} < {column.minimum}")
        if column.type is DATE_TEXT:
            broken.append(f"to_char({name}::date, 'YYYY-MM-DD') <> {name} OR {name}::date > '2100-12-31'")
        if column.pattern:
            broken.append(f"{name} !~ '{column.pattern}'")
        if column.type.precision:
            limit = 10 ** (column.type.precision - column.type.scale)
            broken.append(f"scale({name}) > {column.type.scale} OR abs({name}) >= {limit}")
        for condition in broken:
            assert count(filled, table.name, condition) == 0, (table.name, condition)


@pytest.mark.parametrize("rule", INCONSISTENT)
def test_the_business_hangs_together(filled: Connection, rule: str) -> None:
    assert filled.run(f"SELECT count(*) FROM ({INCONSISTENT[rule]}) AS broken") == [[0]], rule


def test_the_past_is_that_of_two_years_and_over(filled: Connection) -> None:
    for table in LARGE:
        first, last, latest, stamped = filled.run(
            f"""SELECT min(created_at)::date::text, max(created_at)::date::text, max(last_updated)::text,
            count(*) FILTER (WHERE last_updated < created_at) FROM {identifier(table.name)}"""
        )[0]
        assert (first[:7], last[:7]) == ("2023-01", "2024-12")
        assert latest < "2025-02"
        assert stamped == 0


def test_a_third_of_the_orders_was_changed_later_and_most_came_by_office_hours(filled: Connection) -> None:
    office = "extract(hour FROM created_at) BETWEEN 8 AND 17 AND extract(isodow FROM created_at) < 6"

    assert 0.30 < count(filled, "sales_order", "last_updated > created_at") / ROWS["sales_order"] < 0.37
    assert 0.85 < count(filled, "sales_order", office) / ROWS["sales_order"] < 0.97


def test_what_was_due_in_the_past_is_paid_and_some_is_due_yet(filled: Connection) -> None:
    assert count(filled, "payment", """paid <> ("payment_date" < '2025-01-01')""") == 0
    assert 50 < count(filled, "payment", "NOT paid") < 500


def test_payments_do_not_have_the_keys_of_their_transactions(filled: Connection) -> None:
    assert count(filled, "payment", "payment_id = transaction_id") < 0.5 * ROWS["payment"]


def test_odd_texts_are_in_the_data_byte_for_byte(filled: Connection) -> None:
    designs = {name for (name,) in filled.run("SELECT design_name FROM design")}
    item_codes = {code for (code,) in filled.run("SELECT item_code FROM purchase_order")}

    assert set(ODD_TEXTS) <= designs
    assert set(ODD_TEXTS) <= item_codes
    assert {"\\N", "before\n\\.\nafter", "carriage\r\nreturn", "tab\tstop", "  spaces around  "} < set(ODD_TEXTS)
    assert count(filled, "design", "file_location = ''") > 0


@pytest.mark.parametrize(
    ("table", "column"),
    [("address", "address_line_2"), ("address", "district"), ("department", "location"), ("department", "manager"),
     ("counterparty", "commercial_contact"), ("counterparty", "delivery_contact")],
)  # fmt: skip
def test_optional_columns_are_sometimes_empty(filled: Connection, table: str, column: str) -> None:
    assert 0 < count(filled, table, f"{column} IS NULL") < ROWS[table]


def audit(connection: Connection) -> None:
    """Have the server itself note each row that is written, by table and kind, with its transaction."""
    connection.run(
        """CREATE TABLE audit (table_name text, kind text, transaction_id bigint, last_updated timestamp);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO audit VALUES (
                TG_TABLE_NAME, CASE TG_OP WHEN 'INSERT' THEN 'inserted' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END,
                txid_current(), CASE WHEN TG_OP <> 'DELETE' THEN NEW.last_updated END);
            RETURN NULL;
        END $$"""
    )
    for table in SOURCE:
        connection.run(
            f'CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON "{table}" FOR EACH ROW EXECUTE FUNCTION note()'
        )


@pytest.mark.parametrize("changes", [0, 1, 20, 250])
def test_simulate_does_what_it_says(source: Connection, changes: int) -> None:
    audit(source)
    before = counts(source)
    done = simulate(source, changes, seed=3)

    noted = source.run("SELECT table_name, kind, count(*) FROM audit GROUP BY 1, 2 ORDER BY 1, 2")
    assert noted == sorted([table, kind, rows] for table, kinds in done.items() for kind, rows in kinds.items() if rows)
    assert counts(source) == {
        table: before[table] + kinds["inserted"] - kinds["deleted"] for table, kinds in done.items()
    }


def test_simulate_mixes_orders_updates_edits_and_deletions(source: Connection) -> None:
    done = simulate(source, 200, seed=3)

    orders = done["sales_order"]["inserted"] + done["purchase_order"]["inserted"]
    assert orders == done["transaction"]["inserted"] == done["payment"]["inserted"] == 100
    # Of 70 updates each is of a payment: it is paid, or it follows its order.
    assert done["payment"]["updated"] == 70
    assert 0 < done["sales_order"]["updated"] + done["purchase_order"]["updated"] < 70
    assert done["payment"]["deleted"] == 10
    assert done["transaction"]["deleted"] == done["sales_order"]["deleted"] + done["purchase_order"]["deleted"] == 6
    assert (
        sum(sum(done[table].values()) for table in ("staff", "address", "department", "design", "counterparty")) == 20
    )


def test_simulate_stamps_what_it_writes_and_commits_an_order_with_its_payment(source: Connection) -> None:
    audit(source)
    started = source.run("SELECT now()::timestamp - interval '1 millisecond'")[0][0]
    simulate(source, 100, seed=3)

    assert source.run("SELECT count(*) FROM audit WHERE last_updated < :started", started=started) == [[0]]
    together = source.run(
        """SELECT array_agg(DISTINCT table_name ORDER BY table_name) FROM audit
        WHERE kind = 'inserted' AND table_name IN ('sales_order', 'purchase_order', 'transaction', 'payment')
        GROUP BY transaction_id"""
    )
    assert together == [[["payment", "purchase_order", "sales_order", "transaction"]]]


def test_simulate_deletes_nothing_where_it_may_not(source: Connection) -> None:
    done = simulate(source, 200, seed=3, deletes=False)

    assert all(kinds["deleted"] == 0 for kinds in done.values())
    assert done["payment"]["updated"] == 80


@pytest.mark.parametrize("rule", [rule for rule in INCONSISTENT if "after the order" not in rule])
def test_the_business_hangs_together_after_a_day_of_work(source: Connection, rule: str) -> None:
    simulate(source, 300, seed=3)

    assert source.run(f"SELECT count(*) FROM ({INCONSISTENT[rule]}) AS broken") == [[0]], rule


def test_simulate_refuses_a_negative_number(source: Connection) -> None:
    with pytest.raises(ValueError, match="-1 changes"):
        simulate(source, -1)


@pytest.fixture
def reader(source: Connection, database: str, postgres: EmbeddedPostgres, connect: Connect) -> Iterator[Connection]:
    """A connection of the reader, whose password is of the kind that breaks careless quoting."""
    name, user, password = urlsplit(database).path[1:], f"reader_{uuid4().hex}", 'it\'s \\ a "pass: word"; %s'
    create_reader(source, user, "an older password", name)
    create_reader(source, user, password, name)
    connection = connect(postgres.url(name, user, password))
    yield connection
    connection.close()
    source.run(f"DROP OWNED BY {identifier(user)}; DROP ROLE {identifier(user)}")


def test_the_reader_reads_every_table_of_the_model(reader: Connection, source: Connection) -> None:
    assert counts(reader) == counts(source)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO currency (currency_code) VALUES ('CHF')",
        "UPDATE currency SET currency_code = 'CHF'",
        "DELETE FROM payment",
        "TRUNCATE payment",
        "CREATE TABLE mine (id integer)",
        "CREATE TEMPORARY TABLE mine (id integer)",
        "SELECT nextval('currency_currency_id_seq')",
        "SELECT * FROM _prisma_migrations",
    ],
)
def test_the_reader_does_nothing_else(reader: Connection, statement: str) -> None:
    with pytest.raises(DatabaseError, match="42501"):
        reader.run(statement)
