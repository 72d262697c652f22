"""The report of a world in which `SOURCE_ROWS` have arrived: lake and warehouse give what the source holds."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from retail_etl.lake import NAMESPACE
from retail_etl.manifests import Manifests
from scripts.health import Look, look_at
from scripts.report import engines
from scripts.report.figures import Asked, Figures, figures
from tests.integration.world import NASTY, World

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2024, 3, 10, tzinfo=UTC)

SALES = """
SELECT o.created_at::date::text, c.currency_code, count(*), sum(o.units_sold), sum(o.units_sold * o.unit_price)
  FROM sales_order o JOIN currency c USING (currency_id) GROUP BY 1, 2"""
BY_COUNTRY = """
SELECT a.country, count(*), sum(o.units_sold * o.unit_price)
  FROM sales_order o JOIN counterparty b USING (counterparty_id) JOIN address a ON a.address_id = b.legal_address_id
 GROUP BY 1"""
PAYMENTS = """
SELECT p.payment_date, k.payment_type_name, p.paid, count(*), sum(p.payment_amount)
  FROM payment p JOIN payment_type k USING (payment_type_id) GROUP BY 1, 2, 3"""


def _figures(world: World, stars: engines.Answers) -> Figures:
    lake = engines.lake(world.lake, NAMESPACE, "")
    return figures(Asked(stars, lake, Manifests(world.lake), at=AT))


def _column(found: Figures, table: str, *names: str) -> list[tuple[Any, ...]]:
    stored = [found["tables"][table]["columns"][name] for name in names]
    assert all(isinstance(column, list) for column in stored)  # one row repeats nothing
    return list(zip(*stored, strict=True))


@pytest.mark.integration
def test_lake_and_warehouse_show_what_the_source_holds(loaded: World) -> None:
    warehouse = engines.Warehouse(loaded.databases["warehouse"])
    answered = [_figures(loaded, engines.lake(loaded.lake, NAMESPACE, "")), _figures(loaded, warehouse)]
    warehouse.close()

    def of_source(sql: str) -> list[tuple[Any, ...]]:
        return [tuple(map(_plain, row)) for row in loaded.source.run(sql)]

    for found in answered:
        assert _column(found, "sales", "period", "currency", "orders", "units", "amount") == of_source(SALES)
        assert _column(found, "sales_by_country", "label", "orders", "amount") == of_source(BY_COUNTRY)
        ((period, kind, state, count, amount),) = _column(
            found, "payments", "period", "kind", "state", "payments", "amount"
        )
        assert [(period, kind, state == "paid", count, amount)] == of_source(PAYMENTS)
        assert state == "overdue_1_30"
        assert _column(found, "sales_by_staff", "label") == [(f"{NASTY} Last",)]
        assert _column(found, "order_versions", "valid_from", "amount") == [("2024-02-27 14:20:52.186000", 2529.73)]
        assert found["pipeline"]["health"]["fresh"] is True
        assert found["pipeline"]["batches"][0]["seconds"].keys() == set(found["pipeline"]["stages"])
        assert found["tables"]["quality"]["rows"] == 2
    assert answered[0]["tables"] == answered[1]["tables"]


def _plain(value: Any) -> Any:
    return float(value) if not isinstance(value, (str, int)) else value


@pytest.mark.integration
def test_the_command_writes_the_same_figures_from_lake_and_warehouse(loaded: World, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    source, warehouse = (loaded.databases[name].url for name in ("source", "warehouse"))

    def report(*options: str) -> Figures:
        places = ["--lake", loaded.lake, "--source", source, "--output", str(file)]
        command = [sys.executable, str(ROOT / "scripts" / "etl.py"), "report", *places, *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{file}\n"), done.stderr
        data = re.search('<script type="application/json" id="data">(.*?)</script>', file.read_text("utf-8"), re.DOTALL)
        assert data
        found: Figures = json.loads(data[1])
        file.unlink()
        return found

    of_lake = report("--order", "100")
    of_warehouse = report("--from", "warehouse", "--warehouse", warehouse)
    assert (of_lake["read_from"], of_warehouse["read_from"]) == ("lake", "warehouse")
    assert of_lake["tables"] == of_warehouse["tables"]
    assert _column(of_lake, "order_versions", "sales_order_id", "amount") == [(100, 2529.73)]
    assert of_lake["pipeline"]["health"]["fresh"] is True


@pytest.mark.integration
def test_a_source_is_asked_whether_it_has_anything_newer(loaded: World) -> None:
    zone, source = Manifests(loaded.lake), loaded.databases["source"]
    assert look_at(zone, source) == Look()
    loaded.source.run("UPDATE sales_order SET units_sold = 8, last_updated = now()")
    assert look_at(zone, source) == Look(news="sales_order has changed")
    stranger = look_at(zone, loaded.databases["warehouse"])
    assert "was fed by the database" in (stranger.error or "")
