locals {
  widgets = [
    {
      title   = "Seconds behind the source"
      stat    = "Maximum"
      metrics = [[local.name, "SecondsBehindSource"]]
    },
    {
      title   = "Rows in quarantine"
      stat    = "Maximum"
      metrics = [for table in keys(local.raw_tables) : [local.name, "QuarantinedRows", "Table", table]]
    },
    {
      title = "Expectations that did not hold"
      stat  = "Sum"
      metrics = [
        for severity in ["critical", "warning", "info"] :
        [{ expression = "SUM(SEARCH('{\"${local.name}\",Layer,Severity,Table} MetricName=\"FailedExpectations\" Severity=\"${severity}\"', 'Sum'))", label = severity, id = severity }]
      ]
    },
    {
      title   = "Seconds in the gates"
      stat    = "Maximum"
      metrics = [for layer in ["raw", "star"] : [local.name, "GateSeconds", "Layer", layer]]
    },
    {
      title   = "Tables that differ"
      stat    = "Maximum"
      metrics = [for phase in ["compare", "certify"] : [local.name, "DifferingTables", "Phase", phase]]
    },
    {
      title   = "Errors and warnings that jobs logged"
      stat    = "Sum"
      metrics = [for name in keys(local.log_alarms) : [local.name, name]]
    },
    {
      title = "Memory of the drivers (share of the heap)"
      stat  = "Maximum"
      metrics = [
        for job in local.spark_jobs :
        ["Glue", "glue.driver.jvm.heap.usage", "JobName", "${local.name}-${job}", "JobRunId", "ALL", "Type", "gauge"]
      ]
    },
    {
      title   = "Bytes that Athena scanned"
      stat    = "Sum"
      metrics = [["AWS/Athena", "ProcessedBytes", "WorkGroup", local.name]]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = local.name

  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 4
        properties = { title = "Alarms", alarms = local.alarm_arns }
      }],
      [
        for index, widget in local.widgets : {
          type   = "metric"
          x      = index % 2 * 12
          y      = 4 + floor(index / 2) * 6
          width  = 12
          height = 6
          properties = {
            title   = widget.title
            region  = var.region
            view    = "timeSeries"
            stat    = widget.stat
            period  = 300
            metrics = widget.metrics
          }
        }
      ],
    )
  })
}

locals {
  alarm_arns = concat(
    [
      aws_cloudwatch_metric_alarm.freshness.arn,
      aws_cloudwatch_metric_alarm.workflow_failed.arn,
      aws_cloudwatch_metric_alarm.reconcile_differences.arn,
      aws_cloudwatch_metric_alarm.reconcile_missing.arn,
      aws_cloudwatch_metric_alarm.quarantine_growth.arn,
    ],
    values(aws_cloudwatch_metric_alarm.quarantine)[*].arn,
    values(aws_cloudwatch_metric_alarm.job)[*].arn,
  )
}
