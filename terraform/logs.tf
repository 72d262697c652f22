# Each Spark job writes into log groups of its own: <prefix>/output has what our code says (standard error among it),
# <prefix>/error what Spark and Glue say. Python shell jobs write into the account's /aws-glue/python-jobs.

locals {
  log_root   = "/${local.name}"
  log_prefix = { for job in keys(local.jobs) : job => "${local.log_root}/${job}" }
  log_groups = merge([for job in local.spark_jobs : { for kind in ["output", "error"] : "${job}/${kind}" => "${local.log_prefix[job]}/${kind}" }]...)
}

resource "aws_cloudwatch_log_group" "job" {
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this["data"].arn
}
