import pytest
from typer import BadParameter

from scripts import cost
from scripts.cost import Bill


def test_a_look_is_a_sixteenth_of_a_dpu_for_the_least_that_is_billed() -> None:
    assert Bill(0.48).look() == pytest.approx(0.48 / 16 / 60)


def test_a_run_with_changes_pays_for_each_spark_job_on_top() -> None:
    jobs_dpus_hours = 5 * 2 * 1.5 / 60
    assert Bill(0.44).chain() == pytest.approx(jobs_dpus_hours * 0.44)
    longer = Bill(0.44, {"transform": 4.5, "load": 0.2})  # less than a minute is billed as one
    assert longer.chain() == pytest.approx((jobs_dpus_hours + 2 * (3 - 0.5) / 60) * 0.44)


def test_a_month_grows_with_the_share_of_looks_that_find_changes() -> None:
    bill = Bill(0.44)
    runs = 730 * 60 / 30
    assert bill.month(30, 1.0) - bill.month(30, 0.0) == pytest.approx(runs * bill.chain())
    assert bill.month(5, 0.0) < bill.month_without_detect(5) / 50


def test_a_job_that_there_is_not_is_named() -> None:
    with pytest.raises(BadParameter, match="nothing=2: give JOB=MINUTES, where JOB is one of detect, extract,"):
        cost._minutes(["nothing=2"])
    assert cost._minutes(["load=2.5"]) == {"load": 2.5}


def test_the_page_is_as_new_as_the_jobs() -> None:
    cost.main(check=True)
