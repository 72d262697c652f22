# Who is told, and of what. docs/operations.md has a section for each alarm: what it means and what to do.

locals {
  alarm_jobs = local.spark_jobs # Python shell jobs write into a log group of the account's: of theirs, job-failed tells

  log_alarms = merge([
    for job in local.alarm_jobs : {
      for level in ["ERROR", "WARNING"] : "${lower(level)}s-${job}" => { job = job, level = level }
    }
  ]...)

  # After healing, source, lake and warehouse must agree. Where nothing is healed, what the comparison found is what is.
  is_healed      = lookup(var.job_variables, "heal", local.declared.reconcile.variables.heal) == "true"
  reconcile_last = local.is_healed ? "certify" : "compare"
}

# ---------------------------------------------------------------------------- who

resource "aws_sns_topic" "alarms" {
  name              = "${local.name}-alarms"
  kms_master_key_id = aws_kms_key.this["data"].id
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsAndEvents"
      Effect    = "Allow"
      Action    = "sns:Publish"
      Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "mail" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

# ---------------------------------------------------------------------------- of failed jobs

# A workflow's run reads COMPLETED although a job in it failed: it is the jobs that tell.
resource "aws_cloudwatch_event_rule" "job_failed" {
  name        = "${local.name}-job-failed"
  description = "A job of ${local.name} failed, ran out of time or could not start."

  event_pattern = jsonencode({
    source        = ["aws.glue"]
    "detail-type" = ["Glue Job State Change"]
    detail = {
      jobName = [for job in aws_glue_job.this : job.name]
      state   = ["FAILED", "TIMEOUT", "ERROR"]
    }
  })
}

resource "aws_cloudwatch_event_target" "job_failed" {
  rule = aws_cloudwatch_event_rule.job_failed.name
  arn  = aws_sns_topic.alarms.arn

  input_transformer {
    input_paths = {
      job     = "$.detail.jobName"
      message = "$.detail.message"
      run     = "$.detail.jobRunId"
      state   = "$.detail.state"
      time    = "$.time"
    }
    input_template = "\"<job>: <state> at <time>, run <run>. <message> What to do: docs/operations.md, job-failed.\""
  }

  # EventBridge tries for a day; what it cannot deliver then, the freshness alarm has told of long before.
  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }
}

# An action that could not start at all has no event. detect looks how the last run of its workflow ended.
resource "aws_cloudwatch_metric_alarm" "workflow_failed" {
  alarm_name        = "${local.name}-workflow-failed"
  alarm_description = "The last run of ${local.workflow_names.pipeline} has actions that failed, took too long or could not start. docs/operations.md, workflow-failed."

  namespace           = local.name
  metric_name         = "FailedActions"
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "ignore" # measured at each look

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]
}

# ---------------------------------------------------------------------------- of what jobs say

# Our own lines alone: "2026-01-31 10:00:00,000 ERROR retail_etl: …". Spark's own warnings are no news.
resource "aws_cloudwatch_log_metric_filter" "job" {
  for_each = local.log_alarms

  name           = "${local.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.job["${each.value.job}/output"].name
  pattern        = "\" ${each.value.level} retail_etl\""

  metric_transformation {
    namespace     = local.name
    name          = each.key
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "job" {
  for_each = local.log_alarms

  alarm_name        = "${local.name}-${each.key}"
  alarm_description = "The job ${each.value.job} logged ${each.value.level}: see the log group ${local.log_prefix[each.value.job]}/output. docs/operations.md, ${lower(each.value.level)}s."

  namespace           = local.name
  metric_name         = each.key
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_log_metric_filter" "quarantine" {
  name           = "${local.name}-quarantine-growth"
  log_group_name = aws_cloudwatch_log_group.job["quality_gate_raw/output"].name
  pattern        = "\"went to quarantine\""

  metric_transformation {
    namespace     = local.name
    name          = "quarantine-growth"
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "quarantine_growth" {
  alarm_name        = "${local.name}-quarantine-growth"
  alarm_description = "Rows of a batch were set aside; all others went on. docs/operations.md, quarantine-growth."

  namespace           = local.name
  metric_name         = "quarantine-growth"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = [aws_sns_topic.alarms.arn]
}

# ---------------------------------------------------------------------------- of what jobs measure, or do not

# The dead man: detect says so where nothing is new, load where it has brought what was. Silence is the alarm, whatever
# its reason: a look that fails, a run that does not come to its end. CloudWatch looks further back than it evaluates, and
# takes what it finds there in the place of what is missing; filled with zeros, nothing is, and the alarm is in time.
# Without schedules it is OK, so that switching them on arms it: what comes to nothing then is told.
resource "aws_cloudwatch_metric_alarm" "freshness" {
  alarm_name        = "${local.name}-freshness"
  alarm_description = "For ${var.fresh_within_minutes} minutes nothing said that the warehouse is what the source is. docs/operations.md, freshness."

  metric_query {
    id          = "fresh"
    expression  = "FILL(IF(behind <= ${var.fresh_within_minutes * 60}, 1, 0), ${var.schedules_enabled ? 0 : 1})"
    label       = "Told that it is fresh"
    return_data = true
  }
  metric_query {
    id = "behind"
    metric {
      namespace   = local.name
      metric_name = "SecondsBehindSource"
      stat        = "Minimum"
      period      = 300
    }
  }

  evaluation_periods  = var.fresh_within_minutes / 5
  datapoints_to_alarm = var.fresh_within_minutes / 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = var.schedules_enabled ? "breaching" : "notBreaching"

  actions_enabled = var.schedules_enabled
  alarm_actions   = [aws_sns_topic.alarms.arn]
  ok_actions      = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "quarantine" {
  for_each = local.raw_tables

  alarm_name        = "${local.name}-quarantine-${each.key}"
  alarm_description = "More than ${var.quarantine_rows} rows of ${each.key} are in quarantine. docs/operations.md, quarantine."

  namespace           = local.name
  metric_name         = "QuarantinedRows"
  dimensions          = { Table = each.key }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.quarantine_rows
  treat_missing_data  = "ignore" # measured with each batch: until the next one it stays as it is

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "reconcile_differences" {
  alarm_name        = "${local.name}-reconcile-differences"
  alarm_description = "Source, lake and warehouse are not equal${local.is_healed ? ", after healing" : ""}. docs/operations.md, reconcile-differences."

  namespace           = local.name
  metric_name         = "DifferingTables"
  dimensions          = { Phase = local.reconcile_last }
  statistic           = "Maximum"
  period              = 3600
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "ignore" # measured once a day

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "reconcile_missing" {
  alarm_name        = "${local.name}-reconcile-missing"
  alarm_description = "For 30 hours nothing was reconciled. docs/operations.md, reconcile-missing."

  namespace           = local.name
  metric_name         = "DifferingTables"
  dimensions          = { Phase = local.reconcile_last }
  statistic           = "SampleCount"
  period              = 3600
  evaluation_periods  = 30
  datapoints_to_alarm = 30
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = var.schedules_enabled ? "breaching" : "notBreaching"

  actions_enabled = var.schedules_enabled
  alarm_actions   = [aws_sns_topic.alarms.arn]
  ok_actions      = [aws_sns_topic.alarms.arn]
}
