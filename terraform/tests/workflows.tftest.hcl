# The workflows: what starts what, and how the jobs run.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  environment = "test"
  package     = "tests/package/package.json"
}

run "workflows" {
  command = plan

  assert {
    condition     = alltrue([for trigger in aws_glue_trigger.this : length(trigger.predicate) == (trigger.type == "CONDITIONAL" ? 1 : 0)])
    error_message = "A trigger has a predicate exactly where it is conditional."
  }

  assert {
    condition = alltrue(flatten([
      for trigger in aws_glue_trigger.this : [
        for predicate in trigger.predicate : [
          for condition in predicate.conditions : condition.state == "SUCCEEDED" && condition.logical_operator == "EQUALS" && predicate.logical == "AND"
        ]
      ]
    ]))
    error_message = "Nothing goes on after a job that did not succeed."
  }

  assert {
    condition = [
      for name in ["extracted", "raw_passed", "transformed", "published"] : [
        aws_glue_trigger.this["pipeline/${name}"].predicate[0].conditions[0].job_name,
        aws_glue_trigger.this["pipeline/${name}"].actions[0].job_name,
      ]
      ] == [
      ["retail-etl-test-extract", "retail-etl-test-quality_gate_raw"],
      ["retail-etl-test-quality_gate_raw", "retail-etl-test-transform"],
      ["retail-etl-test-transform", "retail-etl-test-quality_gate_star"],
      ["retail-etl-test-quality_gate_star", "retail-etl-test-load"],
    ]
    error_message = "The pipeline's chain is extract, raw gate, transform, star gate, load."
  }

  assert {
    condition     = aws_glue_trigger.this["reconcile/loaded"].actions[0].job_name == "retail-etl-test-certify"
    error_message = "Reconcile ends with the certificate."
  }

  assert {
    condition     = alltrue([for trigger in aws_glue_trigger.this : !trigger.enabled && trigger.start_on_creation == false if trigger.type == "ON_DEMAND"])
    error_message = "terraform apply starts nothing that is started by hand."
  }

  assert {
    condition     = aws_glue_trigger.this["rebuild/start"].type == "ON_DEMAND"
    error_message = "A rebuild is started by hand."
  }

  assert {
    condition = {
      for key, trigger in aws_glue_trigger.this : split("/", key)[0] => trigger.schedule if trigger.type == "SCHEDULED"
    } == { for name, workflow in local.declared : name => workflow.schedule if can(workflow.schedule) }
    error_message = "Each workflow that has a schedule has one trigger with it."
  }

  assert {
    condition     = alltrue([for trigger in aws_glue_trigger.this : trigger.enabled if trigger.type != "ON_DEMAND"])
    error_message = "Schedules and conditions are in force."
  }
}

run "jobs" {
  command = plan

  assert {
    condition     = alltrue([for workflow in aws_glue_workflow.this : workflow.max_concurrent_runs == 1])
    error_message = "A workflow has one run at a time."
  }

  assert {
    condition = alltrue([
      for job, runs in { extract = 1, quality_gate_raw = 2, quality_gate_star = 3, load = 2, reconcile = 1, rebuild = 1 } :
      aws_glue_job.this[job].execution_property[0].max_concurrent_runs == runs
    ])
    error_message = "A job has one run at a time for each workflow that it is part of."
  }

  assert {
    condition     = [for name, job in aws_glue_job.this : name if job.execution_class == "FLEX"] == [for name in keys(aws_glue_job.this) : name if name == "maintain"]
    error_message = "Only maintenance may wait for spare capacity."
  }

  assert {
    condition     = alltrue([for job in aws_glue_job.this : job.timeout > 0 && job.timeout <= 240 && job.max_retries == 0])
    error_message = "Each job has a timeout of its own, and the next run repairs, not a retry."
  }

  assert {
    condition     = alltrue(flatten([for job in aws_glue_job.this : [for value in values(job.default_arguments) : value != ""]]))
    error_message = "Glue does not keep empty arguments."
  }

  assert {
    condition     = alltrue(flatten([for job in aws_glue_job.this : [for value in values(job.default_arguments) : strcontains(value, "$${") == false]]))
    error_message = "Every variable of the JSON has its value."
  }

  assert {
    condition = alltrue([
      for name in local.spark_jobs : alltrue([
        for argument, value in {
          "--datalake-formats"                = "iceberg"
          "--enable-auto-scaling"             = "true"
          "--enable-job-insights"             = "true"
          "--enable-metrics"                  = "true"
          "--enable-observability-metrics"    = "true"
          "--enable-spark-ui"                 = "true"
          "--job-bookmark-option"             = "job-bookmark-disable"
          "--python-modules-installer-option" = "--no-index"
          "--lake"                            = "s3://retail-etl-test-raw-123456789012"
          "--spark-event-logs-path"           = "s3://retail-etl-test-artifacts-123456789012/jobs/${name}/spark-events/"
        } : aws_glue_job.this[name].default_arguments[argument] == value
      ])
    ])
    error_message = "A Spark job has its metrics, its event log, Iceberg, and packages from our bucket alone."
  }

  assert {
    condition = alltrue([
      for setting in [
        "spark.sql.ansi.enabled=true",
        "spark.sql.session.timeZone=UTC",
        "spark.scheduler.mode=FAIR",
        "spark.sql.extensions=org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.lake.catalog-impl=org.apache.iceberg.aws.glue.GlueCatalog",
        "spark.sql.catalog.lake.warehouse=s3://retail-etl-test-lake-123456789012/",
      ] : contains(split(" --conf ", aws_glue_job.this["transform"].default_arguments["--conf"]), setting)
    ])
    error_message = "Glue's session has the settings that a local one has, and the Data Catalog."
  }

  assert {
    condition     = !anytrue(flatten([for job in aws_glue_job.this : [for value in values(job.default_arguments) : strcontains(value, "password")]]))
    error_message = "No password is an argument."
  }

  assert {
    condition     = alltrue([for job in aws_glue_job.this : length(job.connections) == 0])
    error_message = "Without a VPC there is no connection."
  }
}

run "a_variable_of_the_json_is_set" {
  command = plan

  variables {
    job_variables = { source_time_zone = "Europe/London", heal = "false" }
    schedules     = { retail-etl = "cron(0/5 * * * ? *)" }
    max_workers   = 10
  }

  assert {
    condition     = aws_glue_job.this["extract"].default_arguments["--source_time_zone"] == "Europe/London"
    error_message = "job_variables reach the jobs' arguments."
  }

  assert {
    condition     = aws_glue_job.this["reconcile"].default_arguments["--heal"] == "false" && aws_cloudwatch_metric_alarm.reconcile_differences.dimensions.Phase == "compare"
    error_message = "Where nothing is healed, what the comparison finds is what is told."
  }

  assert {
    condition     = contains([for trigger in aws_glue_trigger.this : trigger.schedule if trigger.type == "SCHEDULED"], "cron(0/5 * * * ? *)")
    error_message = "schedules replace the JSON's."
  }

  assert {
    condition     = aws_glue_job.this["transform"].number_of_workers == 10
    error_message = "max_workers is how far auto scaling may go."
  }
}

run "schedules_are_off" {
  command = plan

  variables {
    schedules_enabled = false
  }

  assert {
    condition     = alltrue([for trigger in aws_glue_trigger.this : trigger.enabled == (trigger.type == "CONDITIONAL")])
    error_message = "Nothing starts by itself; what follows a start does."
  }

  assert {
    condition = alltrue([
      for alarm in [aws_cloudwatch_metric_alarm.freshness, aws_cloudwatch_metric_alarm.reconcile_missing] :
      !alarm.actions_enabled && alarm.treat_missing_data == "notBreaching"
    ])
    error_message = "Without schedules, silence is no alarm; with them it becomes one."
  }
}

run "no_such_variable" {
  command = plan

  variables {
    job_variables = { accept_deletion = "payment" }
  }

  expect_failures = [aws_glue_workflow.this]
}

run "no_such_workflow" {
  command = plan

  variables {
    schedules = { retail = "cron(0/5 * * * ? *)" }
  }

  expect_failures = [aws_glue_workflow.this]
}

run "not_packaged" {
  command = plan

  variables {
    package = "tests/package/none.json"
  }

  expect_failures = [aws_glue_job.this]
}
