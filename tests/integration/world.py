"""A world of a test's own: source, warehouse, lake, and literal rows for the source."""

from pathlib import Path

from retail_etl.postgres import Database
from retail_etl.runtime import Progress
from scripts import lake_query
from scripts.workflow import REBUILD, RECONCILE, Run, only, read_pipeline, run_pipeline

NASTY = 'Zoë "O\'Neil"\n\t\\N, \\. 東京 🛍'

SOURCE_ROWS = f"""
INSERT INTO department (department_id, department_name, location, created_at, last_updated)
  VALUES (1, 'Sales', NULL, '2024-01-01', '2024-01-01');
INSERT INTO staff (staff_id, first_name, last_name, department_id, email_address, created_at, last_updated)
  VALUES (5, E'{NASTY.replace(chr(92), chr(92) * 2).replace("'", "''")}', 'Last', 1,
    'a@b.example', '2024-01-01', '2024-01-01');
INSERT INTO address (address_id, address_line_1, city, postal_code, country, phone, created_at, last_updated)
  VALUES (3, '1 High Street', 'Leeds', 'LS1', 'UK', '0113', '2024-01-01', '2024-01-01');
INSERT INTO counterparty (counterparty_id, counterparty_legal_name, legal_address_id, created_at, last_updated)
  VALUES (2, 'Acme', 3, '2024-01-01', '2024-01-01');
INSERT INTO currency (currency_id, currency_code, created_at, last_updated)
  VALUES (1, 'GBP', '2024-01-01', '2024-01-01');
INSERT INTO payment_type (payment_type_id, payment_type_name, created_at, last_updated)
  VALUES (1, 'SALES_RECEIPT', '2024-01-01', '2024-01-01');
INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated)
  VALUES (9, 'Wooden', '/usr', 'w.json', '2024-01-01', '2024-01-01');
INSERT INTO sales_order (sales_order_id, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,
    agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated)
  VALUES (100, 9, 5, 2, 7, 361.39, 1, '2024-03-01', '2024-02-28', 3,
    '2024-02-27 14:20:52.186', '2024-02-27 14:20:52.186');
INSERT INTO transaction (transaction_id, transaction_type, sales_order_id, created_at, last_updated)
  VALUES (40, 'SALE', 100, '2024-02-27 14:20:52.186', '2024-02-27 14:20:52.186');
INSERT INTO payment (payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid,
    payment_date, company_ac_number, counterparty_ac_number, created_at, last_updated)
  VALUES (70, 40, 2, 2529.73, 1, 1, false, '2024-02-28', 1, 2, '2024-02-27 14:20:52.186', '2024-02-27 14:20:52.186');
"""


class World:
    """A source, a warehouse and a lake of their own, and the workflow over them."""

    def __init__(self, source_url: str, reader_url: str, warehouse_url: str, lake: Path) -> None:
        self.owner = Database.from_url("source", source_url)
        self.databases = {
            "source": Database.from_url("source", reader_url),
            "warehouse": Database.from_url("warehouse", warehouse_url),
        }
        self.lake = str(lake)
        self.connect()

    def connect(self) -> None:
        """Open the test's own connections; again, where a server was down."""
        self.source = self.owner.connect()
        self.warehouse = self.databases["warehouse"].connect()

    def close(self) -> None:
        """Close them."""
        self.source.close()
        self.warehouse.close()

    def run(self, **variables: str) -> Run:
        """One run of the workflow."""
        return run_pipeline(read_pipeline(), {"lake": self.lake, **variables}, self.databases, lambda _: Progress())

    def extract(self) -> Run:
        """The extraction alone: its batch waits for the other stages."""
        return self.run_job("extract")

    def reconcile(self, *, heal: bool, **variables: str) -> Run:
        """One run of the reconcile workflow."""
        variables |= {"lake": self.lake, "heal": str(heal).lower()}
        return run_pipeline(read_pipeline(RECONCILE), variables, self.databases, lambda _: Progress())

    def rebuild_lake(self) -> Run:
        """The lake anew, from the raw zone."""
        return run_pipeline(read_pipeline(REBUILD), {"lake": self.lake}, {}, lambda _: Progress())

    def rebuild(self, *, anew: bool) -> Run:
        """The load alone; `anew`: of everything."""
        return self.run_job("load", rebuild=str(anew).lower())

    def run_job(self, job: str, **variables: str) -> Run:
        """One job of the workflow alone."""
        variables |= {"lake": self.lake}
        return run_pipeline(only(read_pipeline(), job), variables, self.databases, lambda _: Progress())

    def in_lake(self, sql: str) -> list[tuple]:
        """What DuckDB, which shares no code with Spark, reads from the lake."""
        return lake_query.query(self.lake, sql).fetchall()
