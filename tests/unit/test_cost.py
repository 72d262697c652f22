import pytest
from typer import BadParameter

from scripts import cost
from scripts.cost import Bill


def test_a_look_is_a_sixteenth_of_a_dpu_for_the_least_that_is_billed() -> None:
    assert Bill(0.48, 0.29).look() == pytest.approx(0.48 / 16 / 60)


def test_a_run_with_changes_pays_for_each_spark_job_on_top() -> None:
    jobs_dpus_hours = 5 * 2 * 1.5 / 60
    assert Bill(0.44, 0.29).chain() == pytest.approx(jobs_dpus_hours * 0.44)
    longer = Bill(0.44, 0.29, {"transform": 4.5, "load": 0.2})  # less than a minute is billed as one
    assert longer.chain() == pytest.approx((jobs_dpus_hours + 2 * (3 - 0.5) / 60) * 0.44)


def test_a_month_grows_with_the_share_of_looks_that_find_changes() -> None:
    bill = Bill(0.44, 0.29)
    runs = 730 * 60 / 30
    assert bill.month(30, 1.0) - bill.month(30, 0.0) == pytest.approx(runs * bill.chain())
    assert bill.month(5, 0.0) < bill.month_without_detect(5) / 50


def test_other_workflows_cost_what_their_own_jobs_take_and_the_least_for_the_stages_between() -> None:
    (reconcile,) = (workflow for workflow in cost._others() if workflow["name"] == "retail-etl-reconcile")
    assert Bill(0.44, 0.29).other(reconcile) == pytest.approx((2 * 1.5 + 4 * 1) * 2 / 60 * 0.44)
    flexible = {"worker_type": "G.2X", "number_of_workers": 3, "execution_class": "FLEX"}
    assert Bill(0.44, 0.3).job("any", flexible, minutes=60) == pytest.approx(3 * 2 * 0.3)


@pytest.mark.parametrize(
    ("schedule", "a_month"), [("cron(35 2 * * ? *)", 730 / 24), ("cron(15 4 ? * SUN *)", 730 / 168)]
)
def test_a_schedule_says_how_often_it_is_due(schedule: str, a_month: float) -> None:
    assert cost._runs_a_month(schedule) == pytest.approx(a_month)


def test_a_schedule_that_is_not_understood_is_no_guess() -> None:
    with pytest.raises(ValueError, match="how often"):
        cost._runs_a_month("cron(0/10 * * * ? *)")


def test_a_job_that_there_is_not_is_named() -> None:
    with pytest.raises(BadParameter, match="nothing=2: give JOB=MINUTES, where JOB is one of detect, extract,"):
        cost._minutes(["nothing=2"])
    assert cost._minutes(["load=2.5"]) == {"load": 2.5}


def test_the_page_is_as_new_as_the_jobs() -> None:
    cost.main(check=True)
