# What is refused before anything is made.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  environment = "test"
  package     = "tests/package/package.json"
}

run "names" {
  command = plan

  variables {
    project       = "Retail_ETL"
    environment   = "Production-2"
    region        = "London"
    account_id    = "12345"
    lake_database = "my-star"
    raw_database  = "Raw"
  }

  expect_failures = [var.project, var.environment, var.region, var.account_id, var.lake_database, var.raw_database]
}

run "numbers" {
  command = plan

  variables {
    max_workers             = 1
    database_port           = 0
    log_retention_days      = 31
    raw_cold_after_days     = 7
    raw_batches             = 0
    query_results_days      = 0
    fresh_within_minutes    = 7
    quarantine_rows         = -1
    athena_scan_limit_bytes = 1000
  }

  expect_failures = [
    var.max_workers, var.database_port, var.log_retention_days, var.raw_cold_after_days, var.raw_batches,
    var.query_results_days, var.fresh_within_minutes, var.quarantine_rows, var.athena_scan_limit_bytes,
  ]
}

run "half_a_network" {
  command = plan

  variables {
    vpc_id               = "vpc-0a"
    database_cidr_blocks = ["0.0.0.0/0"]
    service_cidr_blocks  = ["everywhere"]
    interface_endpoints  = ["s3"]
  }

  expect_failures = [
    var.subnet_id, var.availability_zone, var.database_cidr_blocks, var.service_cidr_blocks, var.interface_endpoints,
  ]
}

run "no_vpc" {
  command = plan

  variables {
    vpc_id            = "main"
    subnet_id         = "subnet-0a"
    availability_zone = "eu-west-2a"
  }

  expect_failures = [var.vpc_id]
}

run "words" {
  command = plan

  variables {
    schedules    = { retail-etl = "every ten minutes" }
    alarm_emails = ["nobody"]
  }

  expect_failures = [var.schedules, var.alarm_emails]
}

run "quicksight_for_nobody" {
  command = plan

  variables {
    enable_quicksight = true
  }

  expect_failures = [var.quicksight_principal]
}
